"""Request, renew, rekey: the routes that issue, each at most once per Idempotency-Key."""

from __future__ import annotations

from collections.abc import Awaitable

from mintmark.authority.policy.approve import BUILT_IN_NAMES
from mintmark.authority.policy.whitelist import service_id
from mintmark.authority.workflow.issue import issue
from mintmark.authority.workflow.renew import rekey, renew
from mintmark.client.documents import (
    CertificateRequest,
    KeyWish,
    RekeyRequest,
    RenewalRequest,
)
from mintmark.model.access import Requester
from mintmark.model.act import IdempotencyKey
from mintmark.model.certificate import Certificate, StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.profile import PEER
from mintmark.model.request import IssuanceRequest
from mintmark.model.time import DAY, parse_duration
from mintmark.protocol.rest.keys import WishedKey, wished_key
from mintmark.protocol.rest.parameters import find_x509
from mintmark.protocol.rest.presentation import PRIVATE, json_answer
from mintmark.protocol.rest.replay import once
from mintmark.protocol.rest.routes import Call
from mintmark.wire.http import Response
from mintmark.wire.identifiers import collect, parse, parse_any

_HOST_NAMES = (IdentifierType.DNS, IdentifierType.IP)


def request_certificate(call: Call) -> Awaitable[Response]:
    """Issue the certificate that was asked for."""
    wish: CertificateRequest = call.body

    async def act(key: IdempotencyKey | None) -> Response:
        await call.authority.stages.read
        wished = await wished_key(wish, call.keys, call.authority.stages)
        request = issuance_request(call.requester, wish, wished)
        certificate = await issue(call.authority, call.requester, request, idempotency=key)
        return _issued(call, certificate, wished.private_key)

    return once(call, act)


def renew_certificate(call: Call) -> Awaitable[Response]:
    """Issue a successor with the same key."""
    wish: RenewalRequest = call.body

    async def act(key: IdempotencyKey | None) -> Response:
        stored = await find_x509(call, call.arguments["id"])
        certificate = await renew(
            call.authority, call.requester, stored, lifetime=lifetime_of(wish), idempotency=key
        )
        return _issued(call, certificate)

    return once(call, act)


def rekey_certificate(call: Call) -> Awaitable[Response]:
    """Issue a successor with a new key."""
    wish: RekeyRequest = call.body

    async def act(key: IdempotencyKey | None) -> Response:
        stored = await find_x509(call, call.arguments["id"])
        wished = await wished_key(wish, call.keys, call.authority.stages)
        _refuse_other_names(wished, stored)
        certificate = await rekey(
            call.authority,
            call.requester,
            stored,
            wished.key,
            lifetime=lifetime_of(wish),
            idempotency=key,
        )
        return _issued(call, certificate, wished.private_key)

    return once(call, act)


def _issued(call: Call, certificate: Certificate, private_key: str | None = None) -> Response:
    document = call.presenter.issued(certificate, private_key=private_key)
    location = ("Location", f"/api/v1/certificates/{document.certificate_id}")
    return json_answer(201, document, (*PRIVATE, location))


# --- from document to IssuanceRequest ----------------------------------------------------------


def issuance_request(
    requester: Requester, wish: CertificateRequest, wished: WishedKey
) -> IssuanceRequest:
    """Return what is asked for, every default filled in.

    The names asked for are those of the CSR, the `san_*` fields and the common name, together.

    Raises:
        Error: MALFORMED, or REJECTED_IDENTIFIER for a name that is none.
    """
    service = requester.service
    if wish.service_name is not None and wish.service_name != service:
        service = service_id(wish.service_name)
    # Canonical texts of two types are never equal, so that the text alone tells repetitions.
    names = {name.value: name for name in (*wished.identifiers, *_names(wish))}
    common_name = wish.common_name or wished.common_name
    if common_name and common_name not in names:  # among them it is canonical already
        common_name = _add_common_name(names, common_name)
    return IssuanceRequest(
        service=service,
        profile=wish.profile or _default_profile(requester),
        key=wished.key,
        identifiers=tuple(names.values()),
        common_name=common_name,
        lifetime=lifetime_of(wish),
        metadata=wish.metadata or None,
    )


def _names(wish: CertificateRequest) -> tuple[Identifier, ...]:
    """Return the names of the `san_*` fields; all that are refused are refused together."""
    if not (wish.san_dns or wish.san_ip or wish.san_email or wish.san_uri):
        return ()
    texts = [
        *((IdentifierType.DNS, text) for text in wish.san_dns),
        *((IdentifierType.IP, text) for text in wish.san_ip),
        *((IdentifierType.EMAIL, text) for text in wish.san_email),
        *((IdentifierType.URI, text) for text in wish.san_uri),
    ]
    return collect(parse, texts)


def _add_common_name(names: dict[str, Identifier], common_name: str) -> str:
    """Add the common name if it is a DNS name or IP address; return it, canonical if it can be.

    Another text can still be one of the names asked for, as an e-mail address; policy refuses
    what is not.
    """
    try:
        identifier = parse_any(common_name)
    except Error:
        return common_name
    if identifier.type in _HOST_NAMES:
        names.setdefault(identifier.value, identifier)
    return identifier.value


def _default_profile(requester: Requester) -> str:
    """Return `peer` (services are both ends of mutual TLS), or the first that is open."""
    allowed = requester.profiles or requester.rule.profiles or BUILT_IN_NAMES
    return PEER.name if PEER.name in allowed else allowed[0]


def lifetime_of(wish: KeyWish | RenewalRequest) -> int | None:
    """Return the lifetime asked for in seconds, None for the default.

    Raises:
        Error: MALFORMED when it is given twice or is no duration.
    """
    if wish.lifetime is None:
        return None if wish.validity_days is None else wish.validity_days * DAY
    if wish.validity_days is not None:
        raise Error(
            Kind.MALFORMED,
            f"lifetime '{wish.lifetime}' and validity_days {wish.validity_days} are both given",
            hint="give one of them",
        )
    return parse_duration(wish.lifetime)


def _refuse_other_names(wished: WishedKey, stored: StoredCertificate) -> None:
    """A rekey keeps the names; a CSR that asks for others did not mean a rekey."""
    for identifier in wished.identifiers:
        if identifier not in stored.certificate.identifiers:
            raise Error(
                Kind.REJECTED_IDENTIFIER,
                f"the CSR asks for name {identifier.value!r}, which certificate "
                f"{stored.certificate.id} does not carry",
                hint="a rekey keeps the names: leave them out, or request a new certificate",
            )
