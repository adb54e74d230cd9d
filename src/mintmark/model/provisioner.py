"""Provisioners: configured ways to authenticate requesters, and what each of them may issue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from msgspec import Struct

from mintmark.model.identifiers import IdentifierType
from mintmark.model.profile import PEER, SERVER
from mintmark.model.ssh import SSH_HOST, SSH_USER
from mintmark.model.time import DAY, HOUR, MINUTE


class Lifetimes(Struct, frozen=True, gc=False):
    """Bounds of a lifetime, in seconds, both inclusive."""

    minimum: int
    maximum: int
    default: int


@dataclass(frozen=True, slots=True)
class Claims:
    """What certificates of a provisioner may claim; the defaults are those of step-ca.

    Args:
        tls: lifetimes of X.509 certificates; a profile's own bounds hold beside them.
        ssh_user: lifetimes of SSH user certificates.
        ssh_host: lifetimes of SSH host certificates.
        ssh: whether it issues SSH certificates at all.
        renewal: whether its certificates may be renewed by possession.
        renewal_after_expiry: whether even when they have expired.
        ssh_user_renewal: whether SSH user certificates are renewed by possession too, which is
            for service accounts: a person signs in again, so that who left is locked out.
    """

    tls: Lifetimes = field(default=Lifetimes(5 * MINUTE, DAY, DAY))
    ssh_user: Lifetimes = field(default=Lifetimes(5 * MINUTE, DAY, 16 * HOUR))
    ssh_host: Lifetimes = field(default=Lifetimes(5 * MINUTE, 30 * DAY, 30 * DAY))
    ssh: bool = True
    renewal: bool = True
    renewal_after_expiry: bool = False
    ssh_user_renewal: bool = False


ONCE = Claims(renewal=False)
"""Of those who are asked anew each time: who left, or whose certificate ended, is locked out."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What certificates of a provisioner may carry.

    Args:
        names: globs that every X.509 name and SSH host principal must match one of; empty
            allows whatever the credential vouches for.
        principals: the same for principals of SSH user certificates.
        profiles: X.509 profiles that requests may name; the first one is the default.
        ssh_profiles: SSH profiles that requests may name; the first one of each type is the
            default.
    """

    names: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    profiles: tuple[str, ...] = (PEER.name,)
    ssh_profiles: tuple[str, ...] = (SSH_USER.name, SSH_HOST.name)


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
    renewal: bool = True
    renewal_after_expiry: bool = False


@dataclass(frozen=True, slots=True)
class JWKProvisioner:
    """Tokens signed by a key whose private half its owners unlock with a password.

    Args:
        name: of the provisioner, the `iss` of its tokens.
        key: the public JWK, JSON, with `kid` its RFC 7638 thumbprint.
        encrypted_key: the private JWK as compact JWE (PBES2-HS256+A128KW), or empty when its
            owners keep it elsewhere. Anybody may read it; the password protects it.
        claims: lifetimes and renewal.
        rules: names, principals and profiles.
    """

    name: str
    key: str
    encrypted_key: str = ""
    claims: Claims = Claims()
    rules: Rules = Rules()


@dataclass(frozen=True, slots=True)
class GroupMapping:
    """What members of groups, or holders of claims, may have; every one that fits adds up.

    Args:
        groups: one of them must be in the token's `groups`; empty asks for none.
        claims: values of claims that must all be there, as `{"department": "ops"}`.
        principals: of SSH user certificates: words, or `{claim}` in them, as `{email}`,
            `{email.local}` (what stands before the '@'), `{preferred_username}`, `root`.
        profiles: X.509 profiles; empty adds none.
        ssh_profiles: SSH profiles; empty adds none.
        lifetime: seconds, the most that certificates of these live; None sets no bound. Of
            several that fit the shortest holds.
    """

    groups: tuple[str, ...] = ()
    claims: Mapping[str, str] = field(default_factory=dict)
    principals: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    ssh_profiles: tuple[str, ...] = ()
    lifetime: int | None = None


@dataclass(frozen=True, slots=True)
class OIDCProvisioner:
    """People who sign in at an OpenID provider (OpenID Connect Core 1.0).

    Args:
        name: of the provisioner: letters, digits, '.', '_', '@' and '-'.
        configuration_endpoint: URL of the provider's discovery document, or its issuer.
        client_id: ours at the provider; the `aud` of its ID tokens.
        client_secret: of a native client, public by the step protocol; may be empty.
        scopes: asked for at sign-in.
        listen_address: loopback address and port of the browser's way back, or empty.
        groups: one of them must be in the token's `groups`; empty asks for none.
        domains: e-mail domains, one of which must be the token's; empty asks for none.
        required_claims: claims and the values, one of which each must have.
        admins: e-mail addresses or groups whose members ask for any names.
        mappings: what groups and claims may have; without any, SSH principals are made of
            the e-mail address and profiles are those of `rules`.
        ca_certificates: PEM of further roots to reach the provider with, or empty.
        claims: lifetimes; no renewal, unless they say so: people sign in again.
        rules: names, principals and profiles: bounds of whatever the mappings say.
    """

    name: str
    configuration_endpoint: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    scopes: tuple[str, ...] = ("openid", "email")
    listen_address: str = ""
    groups: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    required_claims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    admins: tuple[str, ...] = ()
    mappings: tuple[GroupMapping, ...] = ()
    ca_certificates: str = ""
    claims: Claims = ONCE
    rules: Rules = Rules()


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """A provider's word on its tokens.

    Args:
        issuer: what `iss` has to be (OpenID Connect Discovery 1.0 §3).
        keys: its JWK set, as decoded JSON objects (RFC 7517 §5).
    """

    issuer: str
    keys: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class X5CProvisioner:
    """Tokens signed by the key of a certificate under given roots (RFC 7515 §4.1.6).

    Args:
        name: of the provisioner: letters, digits, '.', '_', '@' and '-'.
        roots: PEM of the roots; empty takes this authority's own.
        claims: lifetimes; no renewal, unless they say so: nothing outlives the certificate that
            signed.
        rules: names, principals and profiles.
    """

    name: str
    roots: str = ""
    claims: Claims = ONCE
    rules: Rules = Rules()


@dataclass(frozen=True, slots=True)
class SSHPOPProvisioner:
    """Holders of an SSH host certificate of ours, who renew, rekey and revoke it.

    Args:
        name: of the provisioner: letters, digits, '.', '_', '@' and '-'.
        claims: whether renewal is allowed, and after expiry; lifetimes of the successor.
    """

    name: str
    claims: Claims = Claims()


@dataclass(frozen=True, slots=True)
class TokenProvisioner:
    """One-time tokens that an admin makes (`mintmark token`).

    Args:
        name: of the provisioner: letters, digits, '.', '_', '@' and '-'.
        claims: lifetimes; the whitelist and the token say what is allowed.
    """

    name: str
    claims: Claims = Claims(tls=Lifetimes(1, 1 << 40, 0))


AnyProvisioner = (
    ACMEProvisioner
    | JWKProvisioner
    | OIDCProvisioner
    | X5CProvisioner
    | SSHPOPProvisioner
    | TokenProvisioner
)
PROVISIONER_TYPES: dict[str, type[AnyProvisioner]] = {
    "acme": ACMEProvisioner,
    "jwk": JWKProvisioner,
    "oidc": OIDCProvisioner,
    "x5c": X5CProvisioner,
    "sshpop": SSHPOPProvisioner,
    "token": TokenProvisioner,
}


@dataclass(frozen=True, slots=True)
class StoredProvisioner:
    """A provisioner that was added while the server ran.

    Args:
        name: of the provisioner, of any type only once.
        type: a key of `PROVISIONER_TYPES`.
        document: the provisioner as JSON, sealed under the authority's secret; empty once it
            was removed.
        version: of the row; 1 is new, each change adds one, also removal and return.
        updated_at: Unix seconds.
    """

    name: str
    type: str
    document: bytes
    version: int
    updated_at: int
