"""Orders: asked for and read (RFC 8555 §7.1.3, §7.4).

Profiles are those of draft-ietf-acme-profiles, `replaces` is that of RFC 9773 §5.
"""

from __future__ import annotations

from typing import Any

from mintmark.model.acme import Authorization, Order, OrderStatus
from mintmark.model.act import RateClaim
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.time import timestamp
from mintmark.protocol.acme import policy, problem, renewal_info
from mintmark.protocol.acme.authorization import (
    RENEWAL,
    RETRY_AFTER,
    authorize,
    commit_new,
    orders_claim,
)
from mintmark.protocol.acme.problem import ACMEError
from mintmark.protocol.acme.request import Call, Payload
from mintmark.protocol.acme.states import is_processing, order_now
from mintmark.wire.http import Response

RENEWALS_PER_HOUR = 60  # of one certificate: many more than any client's retries


class NewOrder(Payload):
    """The payload of new-order."""

    identifiers: tuple[policy.GivenIdentifier, ...]
    not_before: str | None = None
    not_after: str | None = None
    profile: str | None = None
    replaces: str | None = None


async def new_order(call: Call) -> Response:
    """Make an order: policy first, then authorizations, then one commit."""
    wish = call.payload(NewOrder)
    settings = call.provisioner.settings

    # 1. What policy would refuse later is refused now.
    identifiers = policy.identifiers(call, wish.identifiers)
    profile = settings.profiles[0] if wish.profile is None else wish.profile
    policy.check_identifiers(call, identifiers, profile)
    not_before = policy.moment(wish.not_before, "notBefore")
    not_after = policy.moment(wish.not_after, "notAfter")
    policy.check_validity(call, profile, not_before, not_after)
    await policy.check_pauses(call, identifiers)

    # 2. A renewal says what it replaces, and does not count as an order.
    replaces = None
    if wish.replaces is not None:
        replaces = await _replaced(call, wish.replaces, identifiers)

    # 3. One authorization for each identifier, a valid one again where there is one.
    authorizations, new = await authorize(call, identifiers)

    order = Order(
        id=call.nonces.name(call.nonce, "order"),
        account=call.account.id,
        provisioner=call.provisioner.name,
        status=OrderStatus.PENDING,
        identifiers=identifiers,
        authorizations=tuple(one.id for one in authorizations),
        profile=profile,
        not_before=not_before,
        not_after=not_after,
        replaces=replaces,
        expires_at=call.now + settings.order_lifetime,
    )
    await commit_new(call, (order, *new), _claim(call, replaces))
    now = order_now(order, authorizations, call.authority.clock())
    return call.answer(document(call, now), 201, (("Location", call.links.order(order.id)),))


async def order(call: Call) -> Response:
    """Return an order (§7.4)."""
    found, authorizations = await own_order(call, call.arguments["id"])
    waiting = found.status is OrderStatus.PENDING and any(map(is_processing, authorizations))
    return call.answer(document(call, found), headers=(RETRY_AFTER,) if waiting else ())


async def own_order(call: Call, id: str) -> tuple[Order, list[Authorization]]:  # noqa: A002 - its name
    """Return an order of the account as it is now, and its authorizations while it is pending.

    Raises:
        Error: NOT_FOUND, also for one of another account.
    """
    store = call.authority.store
    found = await store.order(id)
    if found is None or found.account != call.account.id:
        raise call.not_found("order")
    if found.status is not OrderStatus.PENDING:
        return found, []
    authorizations = await store.authorizations(found.authorizations)
    return order_now(found, authorizations, call.authority.clock()), authorizations


def document(call: Call, order: Order) -> dict[str, Any]:
    """Return an order as clients see it."""
    links = call.links
    members: dict[str, Any] = {
        "status": order.status.value,
        "expires": timestamp(order.expires_at),
        "identifiers": [problem.identifier(one) for one in order.identifiers],
        "profile": order.profile,
        "authorizations": [links.authorization(one) for one in order.authorizations],
        "finalize": links.finalize(order.id),
    }
    if order.not_before is not None:
        members["notBefore"] = timestamp(order.not_before)
    if order.not_after is not None:
        members["notAfter"] = timestamp(order.not_after)
    if order.replaces is not None:
        members["replaces"] = renewal_info.certificate_id(call.authority, order.replaces)
    if order.error is not None:
        members["error"] = order.error
    if order.certificate is not None:
        members["certificate"] = links.certificate(order.certificate)
    return members


async def _replaced(call: Call, certid: str, identifiers: tuple[Identifier, ...]) -> bytes:
    """Return the serial of the certificate that an order replaces (RFC 9773 §5)."""
    stored = await renewal_info.find(call, certid)
    certificate = stored.certificate
    if certificate.service != call.provisioner.service(call.account.id):
        raise ACMEError("unauthorized", "'replaces' names a certificate of another account")
    if not set(identifiers) & set(certificate.identifiers):
        raise Error(
            Kind.MALFORMED,
            "'replaces' names a certificate that shares no identifier with the order",
            hint="leave 'replaces' out",
        )
    if stored.replaced_by is not None:
        raise ACMEError(
            "alreadyReplaced",
            "the certificate that 'replaces' names has a successor already",
            hint="leave 'replaces' out",
        )
    return certificate.serial


def _claim(call: Call, replaces: bytes | None) -> RateClaim:
    """Return the limit of an order; a renewal has its own (RFC 9773 §5), which nobody meets."""
    if replaces is None:
        return orders_claim(call)
    return RateClaim(f"{RENEWAL}{replaces.hex()}", RENEWALS_PER_HOUR)
