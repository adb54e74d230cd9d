"""OCSP over HTTP: POST and GET (RFC 6960 appendix A.1), cacheable as RFC 9919 §6 wants it.

* `POST /ocsp`: the body is an OCSPRequest, application/ocsp-request.
* `GET /ocsp/BASE64`: the same in the path, percent-encoded.
"""

from __future__ import annotations

import asyncio
import hashlib
from email.utils import formatdate
from typing import Final

from mintmark.model.errors import Error
from mintmark.publication.ocsp import MALFORMED, OCSPAnswer, Responder
from mintmark.wire import ocsp
from mintmark.wire.http import Request, Response

PATHS: Final = frozenset({"/ocsp", "/ocsp/"})
BEFORE_BASE64: Final = "/ocsp/"
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

    def handle(self, request: Request) -> Response | asyncio.Future[Response]:
        """Answer one HTTP request."""
        path = request.path
        method = request.method
        if method == "POST" and path in PATHS:
            return self._responder.answer(request.body, _posted)
        if method in {"GET", "HEAD"} and path.startswith(BEFORE_BASE64):
            return self._get(path.removeprefix(BEFORE_BASE64))
        if path in PATHS:
            return Response(405, headers=(("Allow", "GET, POST"),))
        return Response(404, b"not found\n", "text/plain; charset=utf-8")

    def _get(self, text: str) -> Response | asyncio.Future[Response]:
        try:
            return self._responder.answer(ocsp.decode_path(text), _got)
        except Error:  # not even Base64
            return _got(MALFORMED)


def _posted(answer: OCSPAnswer) -> Response:
    if answer.posted is None:
        answer.posted = Response(200, answer.der, CONTENT_TYPE)
    return answer.posted


def _got(answer: OCSPAnswer) -> Response:
    if answer.got is None:
        headers = _cache_headers(answer) if answer.cacheable else NOT_CACHEABLE
        answer.got = Response(200, answer.der, CONTENT_TYPE, headers)
    return answer.got


NOT_CACHEABLE: Final = (("Cache-Control", "no-store"),)


def _cache_headers(answer: OCSPAnswer) -> tuple[tuple[str, str], ...]:
    return (
        ("Last-Modified", formatdate(answer.this_update, usegmt=True)),
        ("Expires", formatdate(answer.next_update, usegmt=True)),
        ("ETag", f'"{hashlib.sha256(answer.der).hexdigest()[:32]}"'),
        ("Cache-Control", f"max-age={MAX_AGE}, public, no-transform, must-revalidate"),
    )
