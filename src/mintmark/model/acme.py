"""ACME's nouns (RFC 8555 §7.1) and their state machines as tables (§7.1.6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from mintmark.model.identifiers import Identifier
from mintmark.model.provisioner import ChallengeType


class AccountStatus(Enum):
    """RFC 8555 §7.1.2."""

    VALID = "valid"
    DEACTIVATED = "deactivated"
    REVOKED = "revoked"


class OrderStatus(Enum):
    """RFC 8555 §7.1.3."""

    PENDING = "pending"
    READY = "ready"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


class AuthorizationStatus(Enum):
    """RFC 8555 §7.1.4."""

    PENDING = "pending"
    VALID = "valid"
    INVALID = "invalid"
    DEACTIVATED = "deactivated"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ChallengeStatus(Enum):
    """RFC 8555 §7.1.5."""

    PENDING = "pending"
    PROCESSING = "processing"
    VALID = "valid"
    INVALID = "invalid"


ACCOUNT_TRANSITIONS = {
    AccountStatus.VALID: frozenset({AccountStatus.DEACTIVATED, AccountStatus.REVOKED}),
    AccountStatus.DEACTIVATED: frozenset[AccountStatus](),
    AccountStatus.REVOKED: frozenset[AccountStatus](),
}
ORDER_TRANSITIONS = {
    OrderStatus.PENDING: frozenset({OrderStatus.READY, OrderStatus.INVALID}),
    OrderStatus.READY: frozenset({OrderStatus.PROCESSING, OrderStatus.VALID, OrderStatus.INVALID}),
    OrderStatus.PROCESSING: frozenset({OrderStatus.VALID, OrderStatus.INVALID}),
    OrderStatus.VALID: frozenset[OrderStatus](),
    OrderStatus.INVALID: frozenset[OrderStatus](),
}
AUTHORIZATION_TRANSITIONS = {
    AuthorizationStatus.PENDING: frozenset(
        {
            AuthorizationStatus.VALID,
            AuthorizationStatus.INVALID,
            AuthorizationStatus.DEACTIVATED,
            AuthorizationStatus.EXPIRED,
        }
    ),
    AuthorizationStatus.VALID: frozenset(
        {
            AuthorizationStatus.DEACTIVATED,
            AuthorizationStatus.EXPIRED,
            AuthorizationStatus.REVOKED,
        }
    ),
    AuthorizationStatus.INVALID: frozenset[AuthorizationStatus](),
    AuthorizationStatus.DEACTIVATED: frozenset[AuthorizationStatus](),
    AuthorizationStatus.EXPIRED: frozenset[AuthorizationStatus](),
    AuthorizationStatus.REVOKED: frozenset[AuthorizationStatus](),
}
CHALLENGE_TRANSITIONS = {
    ChallengeStatus.PENDING: frozenset(
        {ChallengeStatus.PROCESSING, ChallengeStatus.VALID, ChallengeStatus.INVALID}
    ),
    ChallengeStatus.PROCESSING: frozenset({ChallengeStatus.VALID, ChallengeStatus.INVALID}),
    ChallengeStatus.VALID: frozenset[ChallengeStatus](),
    ChallengeStatus.INVALID: frozenset[ChallengeStatus](),
}


@dataclass(frozen=True, slots=True)
class Account:
    """An ACME account.

    Args:
        id: random, 128 bits or more, base64url; the last part of its URL.
        provisioner: name of its provisioner; an account means nothing to another one.
        jwk: its public key as a JWK in RFC 7638 canonical form.
        thumbprint: RFC 7638 SHA-256, 32 octets; unique within the provisioner.
        status: see `AccountStatus`.
        contacts: URLs, as `mailto:ops@example.com`.
        terms_agreed: whether it agreed to the terms of service.
        external_key: id of the external account key that it is bound to, or None.
        created_at: Unix seconds.
        version: 1 at first, one more with each change.
    """

    id: str
    provisioner: str
    jwk: bytes
    thumbprint: bytes
    status: AccountStatus
    contacts: tuple[str, ...]
    terms_agreed: bool
    external_key: str | None
    created_at: int
    version: int = 1


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to show control of an authorization's identifier.

    Args:
        type: which way.
        token: base64url of 256 random bits; empty for dns-persist-01, which has none.
        status: see `ChallengeStatus`.
        validated_at: Unix seconds, or None.
        error: problem document, decoded, or None.
        next_attempt: Unix seconds of the next attempt while PROCESSING, else None.
        attempts: how many attempts there were.
        account_url: as the client names its account, while PROCESSING: dns-account-01 hashes it.
    """

    type: ChallengeType
    token: str
    status: ChallengeStatus = ChallengeStatus.PENDING
    validated_at: int | None = None
    error: dict[str, Any] | None = None
    next_attempt: int | None = None
    attempts: int = 0
    account_url: str = ""


@dataclass(frozen=True, slots=True)
class Authorization:
    """An account's authorization for one identifier.

    Args:
        id: random, in its URL.
        account: whose it is.
        identifier: a wildcard's is without `*.` (RFC 8555 §7.1.4).
        wildcard: whether it stands for `*.identifier`.
        status: as stored; EXPIRED is derived from `expires_at`.
        expires_at: Unix seconds.
        challenges: at least one; once one is valid only that one stays.
        version: as of `Account`.
    """

    id: str
    account: str
    identifier: Identifier
    wildcard: bool
    status: AuthorizationStatus
    expires_at: int
    challenges: tuple[Challenge, ...]
    version: int = 1


@dataclass(frozen=True, slots=True)
class Order:
    """A request for a certificate.

    PENDING and READY are one stored state: an order is ready when all its authorizations are
    valid, which is looked at when it is read, so that validation writes one row and not two.

    Args:
        id: random, in its URL.
        account: whose it is.
        provisioner: where it was made.
        status: as stored: PENDING, PROCESSING, VALID or INVALID.
        identifiers: as ordered, wildcards with `*.`.
        authorizations: ids, one for each identifier, in order.
        profile: profile name.
        not_before: Unix seconds asked for, or None.
        not_after: Unix seconds asked for, or None.
        replaces: serial of the certificate that it replaces (RFC 9773 §5), or None.
        expires_at: Unix seconds.
        error: problem document, decoded, or None.
        certificate: serial, once VALID.
        version: as of `Account`.
    """

    id: str
    account: str
    provisioner: str
    status: OrderStatus
    identifiers: tuple[Identifier, ...]
    authorizations: tuple[str, ...]
    profile: str
    not_before: int | None
    not_after: int | None
    replaces: bytes | None
    expires_at: int
    error: dict[str, Any] | None = None
    certificate: bytes | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class ExternalKey:
    """An external account key: lets one account be made (RFC 8555 §7.3.4).

    Args:
        id: the `kid` of the binding.
        provisioner: where it is good.
        hmac_key: at least 32 octets; kept encrypted under the authority's passphrase.
        name: what the operator calls it.
        created_at: Unix seconds.
        account: the account bound to it, or None; a key binds once.
        revoked_at: Unix seconds, or None.
        version: as of `Account`.
    """

    id: str
    provisioner: str
    hmac_key: bytes
    name: str
    created_at: int
    account: str | None = None
    revoked_at: int | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class Pause:
    """Failures of an account with an identifier; too many pause the pair.

    Args:
        account: its id.
        identifier: canonical text.
        failures: within the day since `since`.
        since: Unix seconds of the first one counted.
        paused_at: Unix seconds, or None.
    """

    account: str
    identifier: str
    failures: int
    since: int
    paused_at: int | None = None


@dataclass(frozen=True, slots=True)
class RenewalWindow:
    """When a certificate should be renewed, where an operator moved it (RFC 9773 §4.2).

    Args:
        serial: of the certificate.
        start: Unix seconds.
        end: Unix seconds.
        explanation_url: a page for people, or empty.
    """

    serial: bytes
    start: int
    end: int
    explanation_url: str = ""


Change = Account | Authorization | Order | ExternalKey | Pause
"""A row to be written: version 1 inserts it, a higher one replaces the version before."""
