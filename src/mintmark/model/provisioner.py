"""Provisioners: configured ways to authenticate requesters, and what each of them may issue."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mintmark.model.identifiers import IdentifierType
from mintmark.model.profile import SERVER


class ChallengeType(Enum):
    """How control of an identifier is shown, by the names of the ACME registry.

    RFC 8555 §8, RFC 8737, draft-ietf-acme-dns-account-label, draft-ietf-acme-dns-persist.
    """

    HTTP_01 = "http-01"
    DNS_01 = "dns-01"
    TLS_ALPN_01 = "tls-alpn-01"
    DNS_ACCOUNT_01 = "dns-account-01"
    DNS_PERSIST_01 = "dns-persist-01"


@dataclass(frozen=True, slots=True)
class ACMEProvisioner:
    """An ACME server of its own, at `/acme/{name}/directory`.

    Args:
        name: of the provisioner, in its URLs: a-z, 0-9 and '-'.
        identifier_types: kinds of identifier that orders may have: DNS and IP.
        names: globs that every identifier must match one of; empty allows whatever its
            challenge proves.
        challenges: kinds of challenge it offers, in this order.
        profiles: profiles that orders may name; the first one is the default.
        lifetime: seconds; None takes the profile's.
        external_account_binding: whether a new account has to show one (RFC 8555 §7.3.4).
        terms_of_service: URL, or empty.
        website: URL, or empty.
        max_identifiers: of one order.
        orders_per_hour: of one account.
        pending_authorizations: of one account at a time.
        failures_until_pause: failed validations of one account and identifier within a day,
            after which the pair is paused until `mintmark acme unpause`.
        order_lifetime: seconds until an unfinished order expires.
        authorization_lifetime: seconds that a valid authorization is reused.
    """

    name: str
    identifier_types: tuple[IdentifierType, ...] = (IdentifierType.DNS, IdentifierType.IP)
    names: tuple[str, ...] = ()
    challenges: tuple[ChallengeType, ...] = (
        ChallengeType.HTTP_01,
        ChallengeType.DNS_01,
        ChallengeType.TLS_ALPN_01,
    )
    profiles: tuple[str, ...] = (SERVER.name,)
    lifetime: int | None = None
    external_account_binding: bool = False
    terms_of_service: str = ""
    website: str = ""
    max_identifiers: int = 100
    orders_per_hour: int = 300
    pending_authorizations: int = 300
    failures_until_pause: int = 100
    order_lifetime: int = 7 * 86400
    authorization_lifetime: int = 86400
