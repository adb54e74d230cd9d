"""OCSP over HTTP: POST and GET (RFC 6960 appendix A.1), cacheable as RFC 9919 §6 wants it.

* `POST /ocsp`: the body is an OCSPRequest, application/ocsp-request.
* `GET /ocsp/BASE64`: the same in the path, percent-encoded.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Coroutine
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Final

from mintmark.model.errors import Error, Kind
from mintmark.publication.ocsp import OCSPAnswer, Responder
from mintmark.wire import ocsp
from mintmark.wire.http import Request, Response

log = logging.getLogger(__name__)

PATH: Final = "/ocsp"
CONTENT_TYPE: Final = "application/ocsp-response"
# Seconds that HTTP caches may keep a response. nextUpdate allows hours, but then a cache would
# hide a revocation for hours; RFC 9919 §6 leaves the responder any time before nextUpdate.
MAX_AGE: Final = 60


class OCSPEndpoint:
    """Answers `/ocsp`.

    Args:
        responder: knows and signs.
    """

    def __init__(self, responder: Responder) -> None:
        self._responder = responder

    def handle(self, request: Request) -> Response | Coroutine[Any, Any, Response]:
        """Answer one HTTP request."""
        path = request.path
        if request.method == "POST" and path in {PATH, PATH + "/"}:
            return self._post(request.body)
        if request.method in {"GET", "HEAD"} and path.startswith(PATH + "/"):
            return self._get(path[len(PATH) + 1 :])
        if path in {PATH, PATH + "/"}:
            return Response(405, headers=(("Allow", "GET, POST"),))
        return Response(404, b"not found\n", "text/plain; charset=utf-8")

    async def _post(self, body: bytes) -> Response:
        return Response(200, (await self._answer(body)).der, CONTENT_TYPE)

    async def _get(self, text: str) -> Response:
        try:
            answer = await self._answer(ocsp.decode_path(text))
        except Error:  # not even Base64
            answer = MALFORMED
        if not answer.cacheable:
            return Response(200, answer.der, CONTENT_TYPE, NOT_CACHEABLE)
        return Response(200, answer.der, CONTENT_TYPE, _cache_headers(answer))

    async def _answer(self, request_der: bytes) -> OCSPAnswer:
        """Return the responder's answer; its refusals have words of their own in OCSP."""
        try:
            return await self._responder.answer(request_der)
        except Error as error:
            if error.kind is Kind.INTERNAL:
                log.exception("no OCSP response could be made")
            return REFUSALS.get(error.kind, MALFORMED)


def _error(status: ocsp.ResponseStatus) -> OCSPAnswer:
    return OCSPAnswer(ocsp.error_response(status))


MALFORMED: Final = _error(ocsp.ResponseStatus.MALFORMED_REQUEST)
REFUSALS: Final = {
    Kind.UNAVAILABLE: _error(ocsp.ResponseStatus.TRY_LATER),
    Kind.INTERNAL: _error(ocsp.ResponseStatus.INTERNAL_ERROR),
}
NOT_CACHEABLE: Final = (("Cache-Control", "no-store"),)


@lru_cache(maxsize=10_000)
def _cache_headers(answer: OCSPAnswer) -> tuple[tuple[str, str], ...]:
    return (
        ("Last-Modified", formatdate(answer.this_update, usegmt=True)),
        ("Expires", formatdate(answer.next_update, usegmt=True)),
        ("ETag", f'"{hashlib.sha256(answer.der).hexdigest()[:32]}"'),
        ("Cache-Control", f"max-age={MAX_AGE}, public, no-transform, must-revalidate"),
    )
