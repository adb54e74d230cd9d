"""Idempotency keys: a retry of an issuing request gets the certificate of the first try.

The key a client sends is bound to its credential, so that nobody meets another's keys: to the
service for a client certificate, to the token for a token. Because of the latter a retry is
answered even after the first try burned its token: who knows token and key is who sent both.

What is remembered is the certificate, never a private key, and the SHA-256 of method, path and
body, so that the same key under another request is refused.
"""

from __future__ import annotations

import hashlib
import re

from mintmark.authority.workflow.authority import Authority
from mintmark.model.access import Requester
from mintmark.model.act import IdempotencyKey
from mintmark.model.certificate import StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.time import DAY
from mintmark.wire.http import Request

HEADER = "idempotency-key"
KEPT = DAY  # seconds
_FORM = re.compile(r"[\x21-\x7e]{1,255}")


def of_service(request: Request, requester: Requester, now: float) -> IdempotencyKey | None:
    """Return the key of a request made as a service, None without the header.

    Raises:
        Error: MALFORMED when the header is not of its form.
    """
    return _key(request, b"service\0" + requester.service.encode(), now)


def of_token(request: Request, token: str, now: float) -> IdempotencyKey | None:
    """Return the key of a request made with a token, None without the header.

    Raises:
        Error: MALFORMED when the header is not of its form.
    """
    digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
    return _key(request, b"token\0" + digest, now)


def _key(request: Request, holder: bytes, now: float) -> IdempotencyKey | None:
    value = request.headers.get(HEADER)
    if value is None:
        return None
    if not _FORM.fullmatch(value):
        raise Error(
            Kind.MALFORMED,
            "the Idempotency-Key is not of its form",
            hint="use 1 to 255 visible ASCII characters, a new random value for every request",
        )
    asked = f"{request.method} {request.path}\n".encode("utf-8", "surrogateescape")
    return IdempotencyKey(
        key_sha256=hashlib.sha256(holder + b"\0" + value.encode()).digest(),
        request_sha256=hashlib.sha256(asked + request.body).digest(),
        expires_at=int(now) + KEPT,
    )


async def remembered(authority: Authority, key: IdempotencyKey) -> StoredCertificate | None:
    """Return the certificate that was issued under the key, None if there is none.

    Raises:
        Error: CONFLICT when the key was used for another request.
    """
    answer = await authority.store.idempotent(key.key_sha256)
    if answer is None:
        return None
    if answer.request_sha256 != key.request_sha256:
        raise Error(
            Kind.CONFLICT,
            "the Idempotency-Key was used for another request",
            hint="use a new key for every request, and the same only to repeat it unchanged",
        )
    return await authority.store.certificate(answer.serial)
