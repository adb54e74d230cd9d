"""ACME's objects as rows and back, the same for both databases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

import msgspec

from mintmark.model.acme import (
    Account,
    AccountStatus,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Change,
    ExternalKey,
    Order,
    OrderStatus,
    Pause,
    RenewalWindow,
)
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.provisioner import ChallengeType
from mintmark.model.time import DAY
from mintmark.store.acme import KEPT_SECONDS
from mintmark.store.versions import Versioned

_texts = msgspec.json.Decoder(tuple[str, ...]).decode
_pairs = msgspec.json.Decoder(list[tuple[str, str]]).decode
_lists = msgspec.json.Decoder(list[list[Any]]).decode
_problem = msgspec.json.Decoder(dict[str, Any]).decode


def _json(value: object) -> str:
    """Return a value as JSON.

    Raises:
        Error: INTERNAL when it is none.
    """
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise Error(Kind.INTERNAL, f"an ACME object cannot be written: {error}") from error


@dataclass(frozen=True, slots=True)
class Table:
    """Where objects of one kind are, and which columns change after the first version.

    Args:
        name: of the table.
        columns: name and PostgreSQL type of each, in the order of `row`.
        changing: names of those that a later version replaces.
        row: returns the values of `columns`.
    """

    name: str
    columns: dict[str, str]
    changing: tuple[str, ...]
    row: Callable[[Any], tuple[Any, ...]]

    @property
    def names(self) -> str:
        """The columns as SQL lists them."""
        return ", ".join(self.columns)

    @property
    def select(self) -> str:
        """The beginning of a query for whole rows."""
        return f"SELECT {self.names} FROM {self.name}"  # noqa: S608 - ours

    def changed(self) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
        """Return what takes the values of `changing` out of a row."""
        places = list(self.columns)
        return itemgetter(*(places.index(name) for name in self.changing))


def _account_row(account: Account) -> tuple[Any, ...]:
    return (
        account.id,
        account.provisioner,
        account.jwk,
        account.thumbprint,
        account.status.value,
        _json(account.contacts),
        account.terms_agreed,
        account.external_key,
        account.created_at,
        account.version,
    )


def account(row: Sequence[Any]) -> Account:
    """Return an account from its row."""
    id_, provisioner, jwk, thumbprint, status, contacts, agreed, external, created, version = row
    return Account(
        id_,
        provisioner,
        jwk,
        thumbprint,
        AccountStatus(status),
        _texts(contacts),
        bool(agreed),
        external,
        created,
        version,
    )


def _order_row(order: Order) -> tuple[Any, ...]:
    return (
        order.id,
        order.account,
        order.provisioner,
        order.status.value,
        _json([(name.type.value, name.value) for name in order.identifiers]),
        _json(order.authorizations),
        order.profile,
        order.not_before,
        order.not_after,
        order.replaces,
        order.expires_at,
        _json(order.error) if order.error is not None else None,
        order.certificate,
        order.version,
    )


def order(row: Sequence[Any]) -> Order:
    """Return an order from its row."""
    id_, of, provisioner, status, identifiers, authorizations, profile = row[:7]
    not_before, not_after, replaces, expires_at, error, certificate, version = row[7:]
    return Order(
        id_,
        of,
        provisioner,
        OrderStatus(status),
        tuple(Identifier(IdentifierType(kind), value) for kind, value in _pairs(identifiers)),
        _texts(authorizations),
        profile,
        not_before,
        not_after,
        replaces,
        expires_at,
        _problem(error) if error is not None else None,
        certificate,
        version,
    )


def _challenge(challenge: Challenge) -> list[Any]:
    """Return a challenge as a list, without what stands at its end by default."""
    values = [
        challenge.type.value,
        challenge.token,
        challenge.status.value,
        challenge.validated_at,
        challenge.error,
        challenge.next_attempt,
        challenge.attempts,
        challenge.account_url,
    ]
    # Type, token and status stay.
    while len(values) > 3 and values[-1] == _CHALLENGE_DEFAULTS[len(values) - 4]:
        values.pop()
    return values


_CHALLENGE_DEFAULTS: Final = (None, None, None, 0, "")


def _next_attempt(authorization: Authorization) -> int | None:
    """Return when the first of its challenges is due, None when none is."""
    if authorization.status is not AuthorizationStatus.PENDING:
        return None
    return min(
        (
            challenge.next_attempt
            for challenge in authorization.challenges
            if challenge.status is ChallengeStatus.PROCESSING and challenge.next_attempt is not None
        ),
        default=None,
    )


def _authorization_row(authorization: Authorization) -> tuple[Any, ...]:
    return (
        authorization.id,
        authorization.account,
        authorization.identifier.type.value,
        authorization.identifier.value,
        authorization.wildcard,
        authorization.status.value,
        authorization.expires_at,
        _json([_challenge(challenge) for challenge in authorization.challenges]),
        _next_attempt(authorization),
        authorization.version,
    )


def authorization(row: Sequence[Any]) -> Authorization:
    """Return an authorization from its row."""
    id_, of, kind, value, wildcard, status, expires_at, challenges, _, version = row
    return Authorization(
        id_,
        of,
        Identifier(IdentifierType(kind), value),
        bool(wildcard),
        AuthorizationStatus(status),
        expires_at,
        tuple(
            Challenge(ChallengeType(one[0]), one[1], ChallengeStatus(one[2]), *one[3:])
            for one in _lists(challenges)
        ),
        version,
    )


def _external_key_row(key: ExternalKey) -> tuple[Any, ...]:
    return (
        key.id,
        key.provisioner,
        key.hmac_key,
        key.name,
        key.created_at,
        key.account,
        key.revoked_at,
        key.version,
    )


def external_key(row: Sequence[Any]) -> ExternalKey:
    """Return an external account key from its row."""
    return ExternalKey(*row)


def pause(row: Sequence[Any]) -> Pause:
    """Return a pause from (account, identifier, failures, since, paused_at)."""
    return Pause(*row)


def pause_row(pause: Pause, failures: int) -> tuple[Any, ...]:
    """Return (account, identifier, failures, since, paused_at, how many failures it stands for)."""
    return (
        pause.account,
        pause.identifier,
        max(pause.failures, failures),
        pause.since,
        pause.paused_at,
        failures,
    )


def window_row(window: RenewalWindow) -> tuple[Any, ...]:
    """Return (serial, opens_at, closes_at, explanation_url)."""
    return window.serial, window.start, window.end, window.explanation_url


TABLES: Final[dict[type[Versioned], Table]] = {
    Account: Table(
        "acme_accounts",
        {
            "id": "text",
            "provisioner": "text",
            "jwk": "bytea",
            "thumbprint": "bytea",
            "status": "text",
            "contacts": "text",
            "terms_agreed": "boolean",
            "external_key": "text",
            "created_at": "bigint",
            "version": "bigint",
        },
        ("jwk", "thumbprint", "status", "contacts", "terms_agreed", "external_key", "version"),
        _account_row,
    ),
    ExternalKey: Table(
        "acme_external_keys",
        {
            "id": "text",
            "provisioner": "text",
            "hmac_key": "bytea",
            "name": "text",
            "created_at": "bigint",
            "account": "text",
            "revoked_at": "bigint",
            "version": "bigint",
        },
        ("hmac_key", "name", "account", "revoked_at", "version"),
        _external_key_row,
    ),
    Order: Table(
        "acme_orders",
        {
            "id": "text",
            "account": "text",
            "provisioner": "text",
            "status": "text",
            "identifiers": "text",
            "authorizations": "text",
            "profile": "text",
            "not_before": "bigint",
            "not_after": "bigint",
            "replaces": "bytea",
            "expires_at": "bigint",
            "error": "text",
            "certificate": "bytea",
            "version": "bigint",
        },
        ("status", "expires_at", "error", "certificate", "version"),
        _order_row,
    ),
    Authorization: Table(
        "acme_authorizations",
        {
            "id": "text",
            "account": "text",
            "identifier_type": "text",
            "identifier": "text",
            "wildcard": "boolean",
            "status": "text",
            "expires_at": "bigint",
            "challenges": "text",
            "next_attempt": "bigint",
            "version": "bigint",
        },
        ("status", "expires_at", "challenges", "next_attempt", "version"),
        _authorization_row,
    ),
}


# Table, its key, and what has ended at :now.
ENDED: Final = (
    ("acme_orders", "place", f"expires_at < :now - {KEPT_SECONDS}"),
    ("acme_authorizations", "id", f"expires_at < :now - {KEPT_SECONDS}"),
    ("acme_nonces", "(expires_at, nonce)", "expires_at < :now"),
    ("acme_pauses", "(account, identifier)", f"paused_at IS NULL AND since < :now - {DAY}"),
    (
        "acme_pauses",
        "(account, identifier)",
        """paused_at < :now AND NOT EXISTS
        (SELECT 1 FROM acme_accounts a WHERE a.id = account AND a.status = 'valid')""",
    ),
    ("acme_renewal_windows", "serial", "expires_at < :now"),
    ("acme_external_keys", "id", f"account IS NULL AND revoked_at < :now - {KEPT_SECONDS}"),
)
TIDY_ROWS: Final = 200
"""How many rows of a table one transaction deletes, so that others wait a moment at most."""
WINDOWS_AT_ONCE: Final = 1000
"""How many renewal windows one transaction sets."""
PAUSE: Final = "SELECT account, identifier, failures, since, paused_at FROM acme_pauses"


def texts(change: Change) -> list[str]:
    """Return the texts of a change that are stored as they are."""
    if isinstance(change, Pause):
        return [change.account, change.identifier]
    found = [change.id]
    if isinstance(change, Authorization):
        return [*found, change.account, change.identifier.value]
    found.append(change.provisioner)
    if isinstance(change, Account):
        return [*found, *change.contacts]
    if isinstance(change, ExternalKey):
        return [*found, change.name]
    return [*found, change.account, change.profile]


def findable(key: str) -> bool:
    """Whether a key can be in a table; a URL or a JWS can carry any text.

    PostgreSQL refuses NUL, and a refused key would fail all that are looked up together.
    """
    return key.isascii() and "\0" not in key
