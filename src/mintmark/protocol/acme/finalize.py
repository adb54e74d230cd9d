"""Finalize: a ready order and a CSR become a certificate (RFC 8555 §7.4).

Order and certificate are one commit, so of two finalizations at once one wins; the other finds
the order valid. The order is READY until then: nothing is stored that a crash could leave
half done.
"""

from __future__ import annotations

from mintmark.authority.workflow.issue import issue
from mintmark.model.acme import Change, Order, OrderStatus
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.request import IssuanceRequest
from mintmark.protocol.acme import policy
from mintmark.protocol.acme.order import document, own_order
from mintmark.protocol.acme.problem import ACMEError
from mintmark.protocol.acme.request import Call, Payload
from mintmark.protocol.acme.states import move
from mintmark.wire import jose
from mintmark.wire.csr import CSR, MAX_COMMON_NAME, parse_csr
from mintmark.wire.http import Response
from mintmark.wire.identifiers import parse_any


class Finalization(Payload):
    """The payload: a CSR, DER in base64url."""

    csr: str


async def finalize(call: Call) -> Response:
    """Issue the certificate of an order, once."""
    # 1. The order is ready.
    found, _ = await own_order(call, call.arguments["id"])
    if found.status is not OrderStatus.READY:
        raise ACMEError(
            "orderNotReady",
            f"the order is {found.status.value}, only a ready one can be finalized",
            hint="meet a challenge of each of its authorizations first"
            if found.status is OrderStatus.PENDING
            else "make a new order",
        )

    # 2. The rules that it was made under may have been narrowed since.
    policy.check_identifiers(call, found.identifiers, found.profile)

    # 3. The CSR asks for exactly its identifiers, with a key of its own.
    csr = _csr(call, found)

    # 4. Issue; order and certificate become durable together.
    order = await _issue(call, found, csr)
    return call.answer(document(call, order), headers=(("Location", call.links.order(order.id)),))


async def _issue(call: Call, ready: Order, csr: CSR) -> Order:
    settings = call.provisioner.settings
    requester = call.provisioner.requester(
        call.account.id, ready.identifiers, call.request.peer.address
    )
    request = IssuanceRequest(
        service=requester.service,
        profile=ready.profile,
        key=csr.key,
        identifiers=ready.identifiers,
        common_name=_common_name(csr),
        lifetime=settings.lifetime if ready.not_after is None else None,
        replaces=ready.replaces,
        not_before=ready.not_before,
        not_after=ready.not_after,
    )
    completed: list[Order] = []

    def complete(certificate: Certificate) -> tuple[Change, ...]:
        completed.append(move(ready, OrderStatus.VALID, certificate=certificate.serial))
        return tuple(completed)

    try:
        await issue(call.authority, requester, request, changes=complete)
    except Error as error:
        if error.kind is Kind.CONFLICT:
            return await _finalized_elsewhere(call, ready, csr)
        if error.kind is Kind.BAD_PUBLIC_KEY:  # in ACME's words that is about account keys
            raise _bad_csr(error.detail, error.hint) from error
        raise
    return completed[0]


async def _finalized_elsewhere(call: Call, ready: Order, csr: CSR) -> Order:
    """Return the order that a request at the same time completed with the same key."""
    store = call.authority.store
    order, _ = await own_order(call, ready.id)
    stored = None if order.certificate is None else await store.certificate(order.certificate)
    if stored is None or stored.certificate.spki_sha256 != csr.key.sha256:
        raise ACMEError(
            "orderNotReady",
            f"the order is {order.status.value}: another request has finalized it",
            hint="make a new order",
        )
    return order


def _csr(call: Call, order: Order) -> CSR:
    """Return the CSR, if it may complete the order.

    Raises:
        ACMEError: badCSR.
    """
    try:
        csr = parse_csr(jose.decode(call.payload(Finalization).csr, "csr"))
        names = set(csr.identifiers)
        if csr.common_name:
            names.add(parse_any(csr.common_name))
    except Error as error:
        if error.kind in {Kind.BAD_PUBLIC_KEY, Kind.REJECTED_IDENTIFIER}:
            raise _bad_csr(error.detail, error.hint) from error
        raise
    if csr.key.spki == call.signed[1].spki:
        raise _bad_csr(
            "the CSR's key is the account key", "make a key for the certificate (RFC 8555 §11.1)"
        )
    if names != set(order.identifiers):
        raise _bad_csr(_difference(names, set(order.identifiers)), "make the CSR for these alone")
    return csr


def _difference(names: set[Identifier], ordered: set[Identifier]) -> str:
    extra, missing = names - ordered, ordered - names
    parts = [
        f"{what} {', '.join(sorted(repr(str(one)) for one in some)[:5])}"
        for what, some in (("asks for", extra), ("lacks", missing))
        if some
    ]
    return f"the CSR {' and '.join(parts)}, unlike the order"


def _common_name(csr: CSR) -> str:
    if not csr.common_name:
        return ""
    name = str(parse_any(csr.common_name))
    return name if len(name) <= MAX_COMMON_NAME else ""


def _bad_csr(detail: str, hint: str) -> ACMEError:
    return ACMEError("badCSR", detail, hint=hint)
