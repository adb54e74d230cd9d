"""The ACME server as one object: a request in, a response out.

Its table of resources reads like RFC 8555 §7. Every answer to a signed request carries a fresh
nonce, also a refusal (§6.5), and every answer says where the directory is (§7.1).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from mintmark.authority.policy.provisioners import ACME
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.secrets import derive
from mintmark.model.errors import Error, Family, Kind
from mintmark.protocol.acme import (
    account,
    authorization,
    certificate,
    challenge,
    directory,
    finalize,
    key_change,
    order,
    problem,
    renewal_info,
    revocation,
)
from mintmark.protocol.acme.background import Validations
from mintmark.protocol.acme.links import Links, origin
from mintmark.protocol.acme.nonce import Nonces
from mintmark.protocol.acme.problem import ACMEError
from mintmark.protocol.acme.request import Access, Call, authenticate
from mintmark.wire.http import Request, Response

log = logging.getLogger(__name__)

Handler = Callable[[Call], Awaitable[Response]]
_ID: Final = r"[a-z0-9]{10,64}"
_READS: Final = ("GET", "HEAD")
_SIGNED: Final = ("POST",)


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table.

    Args:
        path: below `/acme/{name}/`, a regular expression.
        access: who may call it.
        handler: answers it.
        methods: HTTP methods.
    """

    path: re.Pattern[str]
    access: Access
    handler: Handler
    methods: tuple[str, ...]


def routes(validations: Validations) -> tuple[Route, ...]:
    """Return the table of resources, in the order of RFC 8555 §7."""
    table: tuple[tuple[str, Access, Handler], ...] = (
        ("directory", Access.PUBLIC, directory.directory),
        ("new-nonce", Access.PUBLIC, directory.new_nonce),
        ("new-account", Access.NEW_KEY, account.new_account),
        (rf"account/(?P<id>{_ID})", Access.ACCOUNT, account.account),
        (rf"account/(?P<id>{_ID})/orders", Access.ACCOUNT, account.orders),
        ("key-change", Access.ACCOUNT, key_change.key_change),
        ("new-order", Access.ACCOUNT, order.new_order),
        (rf"order/(?P<id>{_ID})", Access.ACCOUNT, order.order),
        (rf"order/(?P<id>{_ID})/finalize", Access.ACCOUNT, finalize.finalize),
        (
            r"certificate/(?P<serial>(?:[0-9a-f]{2}){1,20})(?:/(?P<chain>[0-9]))?",
            Access.ACCOUNT,
            certificate.certificate,
        ),
        ("new-authz", Access.ACCOUNT, authorization.new_authorization),
        (rf"authorization/(?P<id>{_ID})", Access.ACCOUNT, authorization.authorization),
        (
            rf"challenge/(?P<id>{_ID})/(?P<type>[a-z0-9-]{{1,32}})",
            Access.ACCOUNT,
            partial(challenge.challenge, validations=validations),
        ),
        ("revoke-cert", Access.EITHER, revocation.revoke_certificate),
        (r"renewal-info/(?P<id>[A-Za-z0-9_.-]{1,128})", Access.PUBLIC, renewal_info.renewal_info),
        (r"explanation/(?P<id>[A-Za-z0-9_.-]{1,128})", Access.PUBLIC, renewal_info.explanation),
    )
    return tuple(
        Route(re.compile(path), access, handler, _READS if access is Access.PUBLIC else _SIGNED)
        for path, access, handler in table
    )


class ACMEServer:
    """Answers every path under /acme/.

    Args:
        authority: who decides and signs; its policy names the provisioners.
        validations: of this process.
        issuer_domain_names: by which dns-persist-01 records name this authority.
    """

    def __init__(
        self,
        authority: Authority,
        validations: Validations,
        issuer_domain_names: tuple[str, ...] = (),
    ) -> None:
        self._authority: Final = authority
        self._issuer_domain_names: Final = issuer_domain_names
        self._routes: Final = routes(validations)
        self._nonces: Final = Nonces(
            derive(authority, "acme nonces"),
            derive(authority, "acme object names"),
            authority.clock,
            authority.entropy,
        )

    def handle(self, request: Request) -> Coroutine[Any, Any, Response]:
        """Return the coroutine that answers a request; it raises no `Error`."""
        return self._respond(request)

    async def _respond(self, request: Request) -> Response:
        links = None
        try:
            provisioner, path = self._provisioner(request)
            links = Links(origin(request), provisioner.name)
            response = await self._call(provisioner, links, path, request)
        except Error as error:
            response = self._refusal(error)
        except Exception as error:  # noqa: BLE001 - a defect is answered like a refusal
            response = self._refusal(Error(Kind.INTERNAL, repr(error)), error)
        return self._with_headers(response, links, request)

    async def _call(self, provisioner: ACME, links: Links, path: str, request: Request) -> Response:
        route, arguments = self._route(path, request.method)
        url = links(path) + (f"?{request.query}" if request.query else "")
        call = Call(
            self._authority,
            provisioner,
            links,
            self._nonces,
            request,
            arguments,
            url,
            self._issuer_domain_names,
        )
        if route.access is not Access.PUBLIC:
            await authenticate(call, route.access)
        return await route.handler(call)

    def _provisioner(self, request: Request) -> tuple[ACME, str]:
        """Return whose server a path belongs to, and the rest of the path."""
        _, _, name, path = [*request.path.split("/", 3), "", "", ""][:4]
        found = self._authority.policy.provisioner(name, ACME)
        if found is None:
            raise Error(Kind.NOT_FOUND, "there is no ACME provisioner of this name")
        return found, path

    def _route(self, path: str, method: str) -> tuple[Route, dict[str, str]]:
        for route in self._routes:
            if match := route.path.fullmatch(path):
                if method not in route.methods:
                    allowed = ", ".join(route.methods)
                    raise ACMEError(
                        "malformed",
                        f"method {method!r} is not allowed here (allowed: {allowed})",
                        hint="resources are read by a signed POST with an empty payload "
                        "(RFC 8555 §6.3)"
                        if route.methods is _SIGNED
                        else "",
                        status=405,
                        headers=(("Allow", allowed),),
                    )
                return route, match.groupdict()
        raise Error(Kind.NOT_FOUND, "there is nothing under this path", hint="read the directory")

    def _refusal(self, error: Error, cause: BaseException | None = None) -> Response:
        """Return a problem document; what a client cannot mend goes to the log.

        What passes by itself does not: anyone could fill the log while it lasts.
        """
        instance, status = "", problem.status_of(error)
        if error.kind.family is not Family.REQUESTER and error.kind is not Kind.UNAVAILABLE:
            instance = f"urn:mintmark:request:{self._authority.entropy(8).hex()}"
            log.error("%s: %s", instance, error.detail, exc_info=cause or error)
        headers = error.headers if isinstance(error, ACMEError) else ()
        if status in {429, 503}:
            headers = (*headers, ("Retry-After", str(error.retry_after or 1)))
        return Response(status, problem.encode(error, instance), problem.MEDIA_TYPE, headers)

    def _with_headers(self, response: Response, links: Links | None, request: Request) -> Response:
        headers = list(response.headers)
        if links is not None:
            headers.append(links.index)
        if request.method == "POST" or request.path.endswith("/new-nonce"):
            headers.append(("Replay-Nonce", self._nonces.make()))
            if ("Cache-Control", "no-store") not in headers:
                headers.append(("Cache-Control", "no-store"))
        return Response(response.status, response.body, response.content_type, tuple(headers))
