"""Once: an issuing route acts at most once per Idempotency-Key, and answers a retry the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from mintmark.client.ssh_documents import SSHCertificateRequest
from mintmark.model.act import IdempotencyKey
from mintmark.model.certificate import Certificate, StoredCertificate
from mintmark.model.errors import Error
from mintmark.model.ssh import SSHCertificate
from mintmark.model.status import CertificateKind
from mintmark.protocol.rest import idempotency
from mintmark.protocol.rest.authentication import bearer_token
from mintmark.protocol.rest.presentation import PRIVATE, json_answer
from mintmark.protocol.rest.routes import Call
from mintmark.protocol.rest.ssh_presentation import ssh_document
from mintmark.store.interface import CertificateFilter
from mintmark.wire import json
from mintmark.wire.csr import parse_csr
from mintmark.wire.http import Response

Act = Callable[[IdempotencyKey | None], Awaitable[Response]]
"""Issues, remembers the key in the same commit, and answers."""

_COMPANIONS: Final = 2  # certificates that one act stores behind the first


def once(call: Call, act: Act) -> Awaitable[Response]:
    """Issue, or answer a retry with what the first try issued.

    Raises:
        Error: MALFORMED when the Idempotency-Key is not of its form.
    """
    key = _idempotency_key(call)
    return act(None) if key is None else _once(call, act, key)


async def _once(call: Call, act: Act, key: IdempotencyKey) -> Response:
    """Issue under a key, or answer with what was issued under it.

    Two tries at the same time: the store lets one commit, and the other, whatever it was
    refused for, finds what that one stored.
    """
    if stored := await idempotency.remembered(call.authority, key):
        return await _replay(call, stored)
    try:
        return await act(key)
    except Error:
        if stored := await idempotency.remembered(call.authority, key):
            return await _replay(call, stored)
        raise


async def replay_by_token(call: Call) -> Response | None:
    """Answer a retry whose token was burned by its own first try; None if it is no such retry."""
    token = bearer_token(call.request)
    if token is None:
        return None
    key = idempotency.of_token(call.request, token, call.authority.clock())
    stored = await idempotency.remembered(call.authority, key) if key else None
    return await _replay(call, stored) if stored else None


async def _replay(call: Call, stored: StoredCertificate) -> Response:
    """Return the certificate of the first try."""
    document: object
    if isinstance(stored.certificate, SSHCertificate):
        identity = await _identity(call, stored)
        document = ssh_document(
            stored.certificate,
            call.authority.clock(),
            stored=stored,
            identity=None if identity is None else call.presenter.fullchain(identity),
        )
    else:
        document = call.presenter.issued(
            stored.certificate,
            stored=stored,
            hint="this certificate was issued for an earlier request with the same "
            "Idempotency-Key; a private key made by the server was returned then, and is kept "
            "nowhere",
        )
    return json_answer(200, document, (*PRIVATE, ("Idempotent-Replay", "true")))


async def _identity(call: Call, stored: StoredCertificate) -> Certificate | None:
    """Return the X.509 certificate that the first try stored in one commit with an SSH one.

    What is remembered is the SSH certificate alone; the other stands beside it in the
    inventory, and certifies the key of the CSR that is repeated here.
    """
    if not call.request.body:
        return None
    wish = json.decode(call.request.body, SSHCertificateRequest)
    if wish.identity_csr is None:
        return None
    key = parse_csr(wish.identity_csr.encode()).key
    matching = CertificateFilter(
        now=int(call.authority.clock()),
        service=stored.certificate.service,
        kind=CertificateKind.X509,
    )
    beside = stored.sequence + _COMPANIONS + 1
    found = await call.authority.store.certificates(matching, after=beside, limit=_COMPANIONS)
    return next(
        (one.certificate for one in found if one.certificate.spki_sha256 == key.sha256), None
    )


def _idempotency_key(call: Call) -> IdempotencyKey | None:
    if idempotency.HEADER not in call.request.headers:
        return None
    now = call.authority.clock()
    if (token := bearer_token(call.request)) is not None:
        return idempotency.of_token(call.request, token, now)
    return idempotency.of_service(call.request, call.requester, now)
