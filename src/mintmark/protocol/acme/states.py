"""States: the tables of `model.acme` in force, and what is derived instead of stored.

RFC 8555 §7.1.6. Every change of a status goes through `move`, which knows no exception. An
order is ready, or invalid, because of its authorizations, and things expire because of the
clock: that is looked at when they are read, so that no row is written for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from mintmark.model.acme import (
    ACCOUNT_TRANSITIONS,
    AUTHORIZATION_TRANSITIONS,
    CHALLENGE_TRANSITIONS,
    ORDER_TRANSITIONS,
    Account,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Order,
    OrderStatus,
)
from mintmark.model.errors import Error, Kind
from mintmark.protocol.acme import problem
from mintmark.protocol.acme.problem import ACMEError

T = TypeVar("T", Account, Authorization, Order, Challenge)

_TABLES: Final[dict[type, dict[Any, frozenset[Any]]]] = {
    Account: ACCOUNT_TRANSITIONS,
    Authorization: AUTHORIZATION_TRANSITIONS,
    Order: ORDER_TRANSITIONS,
    Challenge: CHALLENGE_TRANSITIONS,
}


def move(thing: T, status: Any, **changes: Any) -> T:
    """Return a thing in another state, to be written as its next version.

    Raises:
        Error: CONFLICT when its table has no such transition.
    """
    if status not in _TABLES[type(thing)][thing.status]:
        kind = type(thing).__name__.lower()
        raise Error(
            Kind.CONFLICT,
            f"the {kind} is {thing.status.value}, it cannot become {status.value}",
        )
    if not isinstance(thing, Challenge):  # a challenge is part of its authorization's row
        changes["version"] = thing.version + 1
    return replace(thing, status=status, **changes)


def authorization_now(authorization: Authorization, now: float) -> Authorization:
    """Return an authorization as it is now: one past its end is expired."""
    ended = AuthorizationStatus.EXPIRED in AUTHORIZATION_TRANSITIONS[authorization.status]
    if ended and now >= authorization.expires_at:
        return replace(authorization, status=AuthorizationStatus.EXPIRED)
    return authorization


def order_now(order: Order, authorizations: Sequence[Authorization], now: float) -> Order:
    """Return an order as its authorizations and the clock make it.

    Args:
        order: as stored.
        authorizations: all that are still there; one that is missing was tidied after its end.
        now: Unix seconds.
    """
    if order.status is not OrderStatus.PENDING:
        return order
    current = [authorization_now(one, now) for one in authorizations]
    failed = [
        one
        for one in current
        if one.status not in {AuthorizationStatus.PENDING, AuthorizationStatus.VALID}
    ]
    if failed:
        return replace(order, status=OrderStatus.INVALID, error=_failure(failed))
    if now >= order.expires_at or len(current) < len(set(order.authorizations)):
        return replace(order, status=OrderStatus.INVALID, error=_expired())
    if all(one.status is AuthorizationStatus.VALID for one in current):
        return replace(order, status=OrderStatus.READY)
    return order


def _failure(failed: Sequence[Authorization]) -> dict[str, Any]:
    """Return why an order failed: its first failed authorization, and all as subproblems."""
    problems = []
    for one in failed:
        error = next((each.error for each in one.challenges if each.error), None)
        if error is None:
            error = problem.document(
                ACMEError("unauthorized", f"the authorization is {one.status.value}")
            )
        problems.append({**error, "identifier": problem.identifier(one.identifier)})
    first = dict(problems[0])
    first.pop("identifier")
    subproblems = [
        {name: value for name, value in one.items() if name != "status"} for one in problems
    ]
    return {**first, "subproblems": subproblems}


def _expired() -> dict[str, Any]:
    return problem.document(ACMEError("malformed", "the order has expired", hint="make a new one"))


def is_processing(authorization: Authorization) -> bool:
    """Whether one of its challenges is being validated."""
    return any(one.status is ChallengeStatus.PROCESSING for one in authorization.challenges)
