"""The REST API as one object: a request in, a response out.

Every call takes the same steps in the same order: find the route, refuse what another web site
made a browser send, authenticate, authorize, decode, act. Whatever is refused on the way
becomes a problem document (RFC 9457).
"""

from __future__ import annotations

import logging
from typing import Any

from mintmark.authority.workflow.authority import Authority
from mintmark.model.errors import Error, Kind
from mintmark.protocol.rest.authentication import authenticate, authorize
from mintmark.protocol.rest.keys import KeyMaker
from mintmark.protocol.rest.parameters import decode_query
from mintmark.protocol.rest.presentation import PRIVATE, Headers, Presenter
from mintmark.protocol.rest.replay import replay_by_token
from mintmark.protocol.rest.routes import (
    Access,
    Call,
    MethodNotAllowedError,
    ProvisionerCodec,
    Route,
    RouteTable,
)
from mintmark.protocol.rest.table import ROUTES
from mintmark.wire import json, problem
from mintmark.wire.http import Request, Response

log = logging.getLogger(__name__)
_CHALLENGE = ("WWW-Authenticate", 'Bearer realm="mintmark"')  # RFC 6750 §3


class RestAPI:
    """Answers every path under /api/v1.

    Args:
        authority: who decides and signs.
        codec: reads and writes provisioners as documents.
    """

    def __init__(self, authority: Authority, codec: ProvisionerCodec) -> None:
        self._authority = authority
        self._codec = codec
        self._presenter = Presenter(authority)
        self._keys = KeyMaker()
        self._table = RouteTable(ROUTES)

    async def handle(self, request: Request) -> Response:
        """Return the answer to a request; this raises no `Error`."""
        try:
            route, arguments = self._table.match(request.method, request.path)
            call = Call(
                self._authority, self._presenter, self._keys, self._codec, request, arguments
            )
            if route.access is not Access.PUBLIC:
                # 1. Nobody's browser acts for another web site.
                refuse_cross_site(route, request)
                # 2. Who asks, and may they call this at all?
                try:
                    call.caller, call.proof = await authenticate(self._authority, route, request)
                except Error as error:
                    if error.kind is Kind.BAD_TOKEN and (replayed := await replay_by_token(call)):
                        return replayed
                    raise
                authorize(route, call.caller)
            # 3. What is asked, in the form of the table's row.
            call.query = decode_query(request.query, route.query)
            call.body = decode_body(route, request)
            # 4. Act.
            return await route.handler(call)
        except Error as error:
            return self._refusal(error)

    def _refusal(self, error: Error) -> Response:
        """Return an error as a problem document, with the headers its status asks for.

        What a requester cannot mend goes to the log, under an id that the answer names.
        """
        status = _status(error)
        instance = ""
        if status == 500:
            instance = f"urn:mintmark:request:{self._authority.entropy(8).hex()}"
            log.error("%s: %s", instance, error.detail, exc_info=error)
        body = problem.problem(error, status, instance)
        return Response(status, body, problem.MEDIA_TYPE, (*PRIVATE, *_headers(error, status)))


def refuse_cross_site(route: Route, request: Request) -> None:
    """Refuse a change that a page of another origin made a browser ask for.

    A browser presents a client certificate by itself, so that it is no sign of intent (Fetch
    metadata, https://www.w3.org/TR/fetch-metadata/).

    Raises:
        Error: FORBIDDEN.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and route.method != "GET" and site not in {"same-origin", "none"}:
        raise Error(
            Kind.FORBIDDEN,
            f"a page of another site ({site}) may not change anything here",
            hint="call the API from a program, or from a page of this server",
        )


def decode_body(route: Route, request: Request) -> Any:
    """Return the body as the route's struct, None for a route without one.

    Raises:
        Error: MALFORMED or TOO_LARGE.
    """
    if route.body is None:
        return None
    if not request.body and not route.body_required:
        return route.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaTypeError(media_type)
    return json.decode(request.body, route.body)


class UnsupportedMediaTypeError(Error):
    """The body is not announced as JSON (RFC 9110 §15.5.16)."""

    def __init__(self, media_type: str) -> None:
        super().__init__(
            Kind.MALFORMED,
            f"a body of type {media_type[:64]!r} is not read here",
            hint="send 'Content-Type: application/json'",
        )


def _status(error: Error) -> int:
    if isinstance(error, MethodNotAllowedError):
        return 405
    return 415 if isinstance(error, UnsupportedMediaTypeError) else problem.KIND_STATUS[error.kind]


def _headers(error: Error, status: int) -> Headers:
    if isinstance(error, MethodNotAllowedError):
        return (("Allow", error.allow),)
    if status == 401:
        return (_CHALLENGE,)
    if status in {429, 503}:
        return (("Retry-After", str(error.retry_after or 1)),)
    return ()
