"""RFC 8555 §7.1.6: the state machines, exhaustively."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mintmark.model import acme
from mintmark.model.acme import (
    Account,
    AccountStatus,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Order,
    OrderStatus,
)
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.provisioner import ChallengeType
from mintmark.protocol.acme.states import authorization_now, move, order_now

NAME = Identifier(IdentifierType.DNS, "a.example")
CHALLENGE = Challenge(ChallengeType.HTTP_01, "token")
AUTHORIZATION = Authorization(
    "z1", "a1", NAME, False, AuthorizationStatus.PENDING, 100, (CHALLENGE,)
)
ORDER = Order(
    "o1", "a1", "acme", OrderStatus.PENDING, (NAME,), ("z1",), "server", None, None, None, 100
)
ACCOUNT = Account("a1", "acme", b"{}", bytes(32), AccountStatus.VALID, (), True, None, 0)

# Written down once more, from the RFC's figures, so that the tables cannot change unnoticed.
ALLOWED = {
    ("account", "valid", "deactivated"),
    ("account", "valid", "revoked"),
    ("order", "pending", "ready"),
    ("order", "pending", "invalid"),
    ("order", "ready", "processing"),
    ("order", "ready", "valid"),
    ("order", "ready", "invalid"),
    ("order", "processing", "valid"),
    ("order", "processing", "invalid"),
    ("authorization", "pending", "valid"),
    ("authorization", "pending", "invalid"),
    ("authorization", "pending", "deactivated"),
    ("authorization", "pending", "expired"),
    ("authorization", "valid", "deactivated"),
    ("authorization", "valid", "expired"),
    ("authorization", "valid", "revoked"),
    ("challenge", "pending", "processing"),
    ("challenge", "pending", "valid"),
    ("challenge", "pending", "invalid"),
    ("challenge", "processing", "valid"),
    ("challenge", "processing", "invalid"),
}
THINGS = {
    "account": (ACCOUNT, AccountStatus),
    "order": (ORDER, OrderStatus),
    "authorization": (AUTHORIZATION, AuthorizationStatus),
    "challenge": (CHALLENGE, ChallengeStatus),
}


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        pytest.param(kind, before, after, id=f"{kind} {before.value} {after.value}")
        for kind, (_, statuses) in THINGS.items()
        for before in statuses
        for after in statuses
    ],
)
def test_exactly_the_rfcs_transitions_are_possible(kind, before, after):
    thing = replace(THINGS[kind][0], status=before)

    if (kind, before.value, after.value) in ALLOWED:
        assert move(thing, after).status is after
        return
    with pytest.raises(Error) as refused:
        move(thing, after)
    assert refused.value.kind is Kind.CONFLICT


def test_every_status_has_a_row_in_its_table():
    for table, statuses in (
        (acme.ACCOUNT_TRANSITIONS, AccountStatus),
        (acme.ORDER_TRANSITIONS, OrderStatus),
        (acme.AUTHORIZATION_TRANSITIONS, AuthorizationStatus),
        (acme.CHALLENGE_TRANSITIONS, ChallengeStatus),
    ):
        assert set(table) == set(statuses)


def test_a_move_is_the_next_version():
    assert move(ACCOUNT, AccountStatus.DEACTIVATED).version == 2


@pytest.mark.parametrize("status", AuthorizationStatus)
def test_order_is_what_its_authorizations_are(status):
    expected = {
        AuthorizationStatus.PENDING: OrderStatus.PENDING,
        AuthorizationStatus.VALID: OrderStatus.READY,
    }.get(status, OrderStatus.INVALID)

    found = order_now(ORDER, [replace(AUTHORIZATION, status=status)], 50)

    assert found.status is expected
    assert (found.error is not None) == (expected is OrderStatus.INVALID)


@pytest.mark.parametrize("status", [OrderStatus.VALID, OrderStatus.INVALID, OrderStatus.PROCESSING])
def test_stored_end_of_an_order_is_not_changed_by_anything(status):
    order = replace(ORDER, status=status)

    assert order_now(order, [], 1000) is order


def test_order_whose_authorizations_are_gone_or_over_is_invalid():
    assert order_now(ORDER, [], 50).status is OrderStatus.INVALID
    assert order_now(ORDER, [AUTHORIZATION], 100).status is OrderStatus.INVALID
    lasting = replace(AUTHORIZATION, expires_at=1000)
    assert order_now(ORDER, [lasting], 99).status is OrderStatus.PENDING
    assert order_now(ORDER, [lasting], 100).status is OrderStatus.INVALID


@pytest.mark.parametrize("status", AuthorizationStatus)
def test_only_what_is_open_expires(status):
    found = authorization_now(replace(AUTHORIZATION, status=status), 100)

    is_open = status in {AuthorizationStatus.PENDING, AuthorizationStatus.VALID}
    assert found.status is (AuthorizationStatus.EXPIRED if is_open else status)
