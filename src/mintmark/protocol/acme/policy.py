"""What may be ordered: policy's word on identifiers, profile and validity, before validation.

RFC 8555 §7.4: a server refuses at once what it would not issue, and says why; each identifier
that is refused is a subproblem (§6.7.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from mintmark.authority.policy.approve import refusal_of, validity
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.time import DAY, HOUR, timestamp
from mintmark.protocol.acme import problem
from mintmark.protocol.acme.problem import ACMEError
from mintmark.protocol.acme.request import Call
from mintmark.wire.identifiers import parse

_TYPES = {"dns": IdentifierType.DNS, "ip": IdentifierType.IP}
_UNSET = "0001-01-01T00:00:00Z"


class GivenIdentifier(msgspec.Struct):
    """An identifier as a client writes it."""

    type: str
    value: str


def identifiers(call: Call, given: Sequence[GivenIdentifier]) -> tuple[Identifier, ...]:
    """Return identifiers in canonical form, without repetition.

    Raises:
        ACMEError: malformed, unsupportedIdentifier, rejectedIdentifier.
    """
    limit = call.provisioner.settings.max_identifiers
    if not 1 <= len(given) <= limit:
        raise ACMEError(
            "malformed" if not given else "rejectedIdentifier",
            f"{len(given)} identifiers were asked for; an order has 1 to {limit}",
        )
    found: dict[Identifier, None] = {}
    refused: list[ACMEError] = []
    for one in given:
        if one.type not in _TYPES:
            raise ACMEError(
                "unsupportedIdentifier",
                f"identifiers of type {one.type[:32]!r} are not known",
                hint=f"known: {', '.join(_TYPES)}",
            )
        try:
            found[parse(_TYPES[one.type], one.value)] = None
        except Error as error:
            named = Identifier(_TYPES[one.type], one.value[:255])
            refused.append(problem.about(named, error))
    if refused:
        raise problem.together(refused)
    return tuple(found)


def check_identifiers(call: Call, wanted: Sequence[Identifier], profile: str) -> None:
    """Refuse identifiers that no certificate of this provisioner and profile may have.

    Raises:
        ACMEError: invalidProfile, or rejectedIdentifier with a subproblem for each.
    """
    found = call.authority.policy.profiles.get(profile)
    allowed = call.provisioner.settings.profiles
    if found is None or profile not in allowed:
        raise ACMEError(
            "invalidProfile",
            f"profile {profile[:64]!r} is not offered by provisioner '{call.provisioner.name}'",
            hint=f"offered: {', '.join(allowed)}",
        )
    # Control is not shown yet; the question is whether it would be enough.
    requester = call.provisioner.requester(call.account.id, tuple(wanted))
    refused = []
    for identifier in wanted:
        refusal = call.provisioner.refusal(identifier) or refusal_of(
            call.authority.policy, found, requester, requester.service, identifier
        )
        if refusal is not None:
            refused.append(problem.about(identifier, refusal))
    if refused:
        raise problem.together(refused)


def moment(text: str | None, name: str) -> int | None:
    """Return a date that a client wrote (RFC 3339), in Unix seconds.

    Programs in Go write the first day of the year 1 for a date that they do not mean to set.

    Raises:
        Error: MALFORMED.
    """
    if text is None or text == _UNSET:
        return None
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError("no time zone")  # noqa: TRY301 - one refusal for both
        return int(found.astimezone(UTC).timestamp())
    except (ValueError, OverflowError) as error:
        raise Error(
            Kind.MALFORMED,
            f"'{name}' is {text[:40]!r}, not a date of RFC 3339",
            hint="write it as 2026-11-22T10:00:00Z",
        ) from error


def check_validity(call: Call, profile: str, not_before: int | None, not_after: int | None) -> None:
    """Refuse a validity that no certificate of the profile could have.

    Raises:
        Error: BAD_LIFETIME.
    """
    if not_before is not None and not_before < call.now - HOUR:
        raise Error(
            Kind.BAD_LIFETIME,
            f"'notBefore' {timestamp(not_before)} is more than an hour ago",
            hint="leave it out",
        )
    authority = call.authority
    validity(
        authority.policy.profiles[profile],
        authority.issuing.issuer,
        authority.clock(),
        authority.policy.backdate,
        lifetime=call.provisioner.settings.lifetime if not_after is None else None,
        not_before=not_before,
        not_after=not_after,
    )


async def check_pauses(call: Call, wanted: Sequence[Identifier]) -> None:
    """Refuse identifiers whose validation failed too often for this account.

    Raises:
        ACMEError: rateLimited, saying who can end it.
    """
    names = sorted({one.value.removeprefix("*.") for one in wanted})
    paused = [
        one.identifier
        for one in await call.authority.store.pauses(call.account.id, names)
        if one.paused_at is not None
    ]
    if paused:
        raise ACMEError(
            "rateLimited",
            f"validation of '{paused[0]}' failed so often that this account's orders for it are "
            "paused",
            hint=f"mend it, then have an operator say: mintmark acme unpause {call.account.id}",
            retry_after=DAY,
        )
