"""Request, renew, rekey: the routes that issue, each at most once per Idempotency-Key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

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
from mintmark.protocol.rest import idempotency
from mintmark.protocol.rest.authentication import bearer_token
from mintmark.protocol.rest.keys import WishedKey, wished_key
from mintmark.protocol.rest.parameters import find_certificate
from mintmark.protocol.rest.presentation import PRIVATE, json_answer
from mintmark.protocol.rest.routes import Call
from mintmark.wire.http import Response
from mintmark.wire.identifiers import collect, parse, parse_any

# What a certificate was issued for, and the private key if the server made it.
Issued = tuple[Certificate, str | None]
_HOST_NAMES = (IdentifierType.DNS, IdentifierType.IP)
Act = Callable[[IdempotencyKey | None], Awaitable[Issued]]


async def request_certificate(call: Call) -> Response:
    """Issue the certificate that was asked for."""
    wish: CertificateRequest = call.body

    async def act(key: IdempotencyKey | None) -> Issued:
        wished = await wished_key(wish, call.keys)
        request = issuance_request(call.requester, wish, wished)
        certificate = await issue(call.authority, call.requester, request, idempotency=key)
        return certificate, wished.private_key

    return await once(call, act)


async def renew_certificate(call: Call) -> Response:
    """Issue a successor with the same key."""
    wish: RenewalRequest = call.body

    async def act(key: IdempotencyKey | None) -> Issued:
        stored = await find_certificate(call, call.arguments["id"])
        certificate = await renew(
            call.authority, call.requester, stored, lifetime=lifetime_of(wish), idempotency=key
        )
        return certificate, None

    return await once(call, act)


async def rekey_certificate(call: Call) -> Response:
    """Issue a successor with a new key."""
    wish: RekeyRequest = call.body

    async def act(key: IdempotencyKey | None) -> Issued:
        stored = await find_certificate(call, call.arguments["id"])
        wished = await wished_key(wish, call.keys)
        _refuse_other_names(wished, stored)
        certificate = await rekey(
            call.authority,
            call.requester,
            stored,
            wished.key,
            lifetime=lifetime_of(wish),
            idempotency=key,
        )
        return certificate, wished.private_key

    return await once(call, act)


async def once(call: Call, act: Act) -> Response:
    """Issue, or answer a retry with what the first try issued.

    Two tries at the same time: the store lets one commit, and the other, whatever it was
    refused for, finds what that one stored.
    """
    key = _idempotency_key(call)
    if key is None:
        return _issued(call, *await act(None))
    if stored := await idempotency.remembered(call.authority, key):
        return replay(call, stored)
    try:
        issued = await act(key)
    except Error:
        if stored := await idempotency.remembered(call.authority, key):
            return replay(call, stored)
        raise
    return _issued(call, *issued)


async def replay_by_token(call: Call) -> Response | None:
    """Answer a retry whose token was burned by its own first try; None if it is no such retry."""
    token = bearer_token(call.request)
    if token is None:
        return None
    key = idempotency.of_token(call.request, token, call.authority.clock())
    stored = await idempotency.remembered(call.authority, key) if key else None
    return replay(call, stored) if stored else None


def replay(call: Call, stored: StoredCertificate) -> Response:
    """Return the certificate of the first try."""
    document = call.presenter.issued(
        stored.certificate,
        stored=stored,
        hint="this certificate was issued for an earlier request with the same Idempotency-Key; "
        "a private key made by the server was returned then, and is kept nowhere",
    )
    return json_answer(200, document, (*PRIVATE, ("Idempotent-Replay", "true")))


def _idempotency_key(call: Call) -> IdempotencyKey | None:
    if idempotency.HEADER not in call.request.headers:
        return None
    now = call.authority.clock()
    if (token := bearer_token(call.request)) is not None:
        return idempotency.of_token(call.request, token, now)
    return idempotency.of_service(call.request, call.requester, now)


def _issued(call: Call, certificate: Certificate, private_key: str | None) -> Response:
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
    common_name = _identifier_of(wish.common_name or wished.common_name)
    # Canonical texts of two types are never equal, so that the text alone tells repetitions.
    names = {name.value: name for name in (*wished.identifiers, *_names(wish))}
    if isinstance(common_name, Identifier):
        names.setdefault(common_name.value, common_name)
    return IssuanceRequest(
        service=service,
        profile=wish.profile or _default_profile(requester),
        key=wished.key,
        identifiers=tuple(names.values()),
        common_name=str(common_name),
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


def _identifier_of(common_name: str) -> Identifier | str:
    """Return the common name as a DNS name or IP address if it is one, else as it is.

    Another text can still be one of the names asked for, as an e-mail address; policy refuses
    what is not.
    """
    if not common_name:
        return ""
    try:
        identifier = parse_any(common_name)
    except Error:
        return common_name
    return identifier if identifier.type in _HOST_NAMES else identifier.value


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
