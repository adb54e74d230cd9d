"""The step protocol's server as one object: a request in, a response out.

Its table is the whole protocol on one screen, with who may call what. Every path stands under
`/` and under `/1.0/`. What the table does not list is not there.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from msgspec import structs

from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens import Purpose
from mintmark.model.errors import Error, Kind
from mintmark.protocol.step import (
    documents,
    provisioners,
    revocation,
    signing,
    ssh,
    ssh_config,
    ssh_hosts,
    trust,
)
from mintmark.protocol.step.call import PRIVATE, Access, Call, Headers, authenticate
from mintmark.protocol.step.refusal import JSON_TYPE, StepError, encode, status_of
from mintmark.protocol.step.trust import CRLs
from mintmark.wire import json
from mintmark.wire.http import Request, Response

log = logging.getLogger(__name__)

Handler = Callable[[Call], Awaitable[Response]]
PREFIX: Final = "/1.0/"
# What `step ca admin`, `policy`, `acme eab` and `provisioner webhook` show their users.
_NO_ADMIN_API: Final = (
    "there is no admin API of step-ca: provisioners and their rules are managed with "
    "'mintmark provisioner', external account keys with 'mintmark acme'"
)
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table.

    Args:
        method: GET, which HEAD is answered by too, or POST.
        path: below `/` and `/1.0/`, parameters in braces.
        access: who may call it.
        handler: answers it.
        body: struct of the request body, or None for a route without.
        purpose: what a token has to be for, where one is taken.
    """

    method: str
    path: str
    access: Access
    handler: Handler
    body: type[Any] | None = None
    purpose: Purpose | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.access, Access):
            raise TypeError(f"route {self.method} {self.path} does not say who may call it")
        takes_tokens = self.access in {Access.TOKEN, Access.EITHER}
        if takes_tokens is not (self.purpose is not None):
            raise ValueError(f"route {self.method} {self.path} does not say what tokens are for")


def routes(authority: Authority, crls: CRLs) -> tuple[Route, ...]:
    """Return the table."""
    public, token, either = Access.PUBLIC, Access.TOKEN, Access.EITHER
    hosts = ssh_hosts.Hosts(authority).hosts
    return (
        Route("GET", "health", public, trust.health),
        Route("GET", "version", public, trust.version),
        Route("GET", "root/{sha}", public, trust.root),
        Route("GET", "roots", public, trust.roots),
        Route("GET", "federation", public, trust.roots),
        Route("GET", "roots.pem", public, trust.roots_pem),
        Route("GET", "intermediates", public, trust.intermediates),
        Route("GET", "intermediates.pem", public, trust.intermediates_pem),
        Route("GET", "crl", public, partial(trust.crl, crls=crls)),
        Route("GET", "provisioners", public, provisioners.provisioners),
        Route("GET", "provisioners/{kid}/encrypted-key", public, provisioners.encrypted_key),
        Route("POST", "sign", token, signing.sign, documents.SignRequest, Purpose.SIGN),
        Route("POST", "renew", either, signing.renew, None, Purpose.RENEW),
        Route("POST", "re-sign", either, signing.renew, None, Purpose.RENEW),
        Route("POST", "rekey", Access.CERTIFICATE, signing.rekey, documents.RekeyRequest),
        Route("POST", "revoke", either, revocation.revoke, documents.RevokeRequest, Purpose.REVOKE),
        Route("POST", "ssh/sign", token, ssh.sign, documents.SSHSignRequest, Purpose.SSH_SIGN),
        Route("POST", "sign-ssh", token, ssh.sign, documents.SSHSignRequest, Purpose.SSH_SIGN),
        Route("POST", "ssh/renew", token, ssh.renew, documents.SSHRenewRequest, Purpose.SSH_RENEW),
        Route("POST", "ssh/rekey", token, ssh.rekey, documents.SSHRekeyRequest, Purpose.SSH_REKEY),
        Route(
            "POST",
            "ssh/revoke",
            token,
            revocation.revoke,
            documents.RevokeRequest,
            Purpose.SSH_REVOKE,
        ),
        Route("GET", "ssh/roots", public, ssh_hosts.roots),
        Route("GET", "ssh/federation", public, ssh_hosts.roots),
        Route("POST", "ssh/config", public, ssh_config.config, documents.SSHConfigRequest),
        Route("POST", "ssh/config/{type}", public, ssh_config.config, documents.SSHConfigRequest),
        Route("POST", "ssh/check-host", public, ssh_hosts.check_host, documents.CheckHostRequest),
        Route("GET", "ssh/hosts", public, hosts),
        Route("GET", "ssh/get-hosts", public, hosts),
        Route("POST", "ssh/bastion", public, ssh_hosts.bastion, documents.BastionRequest),
    )


class StepServer:
    """Answers the step protocol's paths, and says of all others that they are not there.

    Args:
        authority: who decides and signs.
        crls: where the newest CRLs are kept.
    """

    def __init__(self, authority: Authority, crls: CRLs) -> None:
        self._authority: Final = authority
        self.routes: Final = routes(authority, crls)
        self._fixed: Final[dict[tuple[str, str], Route]] = {}
        self._patterns: Final[list[tuple[re.Pattern[str], Route]]] = []
        for route in self.routes:
            if "{" in route.path:
                pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(route.path))
                self._patterns.append((re.compile(pattern), route))
            else:
                self._fixed[route.method, route.path] = route

    def handle(self, request: Request) -> Coroutine[Any, Any, Response]:
        """Return the coroutine that answers a request; it raises no `Error`."""
        return self._respond(request)

    async def _respond(self, request: Request) -> Response:
        request_id = _request_id(request)
        try:
            response = await self._call(request)
        except Error as error:
            response = self._refusal(error, error, request_id)
        except Exception as error:  # noqa: BLE001 - a defect is answered like a refusal
            told = Error(Kind.INTERNAL, repr(error))
            response = self._refusal(told, error, request_id)
        if request_id:
            headers = (*response.headers, ("X-Request-Id", request_id))
            return structs.replace(response, headers=headers)
        return response

    async def _call(self, request: Request) -> Response:
        route, arguments = self._route(request)
        if route.method == "POST":
            _refuse_cross_site(request)
        call = Call(self._authority, request, arguments)
        if route.body is not None:
            call.body = json.decode(request.body or b"{}", route.body)
        await authenticate(call, route.access, route.purpose)
        return await route.handler(call)

    def _route(self, request: Request) -> tuple[Route, dict[str, str]]:
        """Return the route of a request and the path's parameters.

        Raises:
            StepError: there is none, or not by this method.
        """
        path = request.path
        path = path.removeprefix(PREFIX if path.startswith(PREFIX) else "/")
        if exact := self._fixed.get((request.method, path)):
            return exact, {}
        found: list[tuple[Route, dict[str, str]]] = [
            (route, {}) for (_, fixed), route in self._fixed.items() if fixed == path
        ]
        found += [
            (route, match.groupdict())
            for pattern, route in self._patterns
            if (match := pattern.fullmatch(path))
        ]
        method = "GET" if request.method == "HEAD" else request.method
        for route, arguments in found:
            if route.method == method:
                return route, arguments
        if found:
            allow = ", ".join(
                "GET, HEAD" if one.method == "GET" else one.method for one, _ in found
            )
            detail = f"method {request.method[:20]!r} is not allowed here (allowed: {allow})"
            raise StepError(Kind.MALFORMED, detail, status=405, allow=allow)
        hint = _NO_ADMIN_API if path.startswith("admin/") else ""
        raise Error(Kind.NOT_FOUND, "there is nothing under this path", hint=hint)

    def _refusal(self, error: Error, cause: BaseException, request_id: str) -> Response:
        """Return a refusal; what a client cannot mend goes to the log, under an id it is told."""
        status, instance = status_of(error), ""
        headers: Headers = PRIVATE
        if status == 500:
            instance = request_id or f"urn:mintmark:request:{self._authority.entropy(8).hex()}"
            log.error("%s: %s", instance, error.detail, exc_info=cause)
        if status in {429, 503}:
            headers = (*headers, ("Retry-After", str(error.retry_after or 1)))
        if isinstance(error, StepError) and error.allow:
            headers = (*headers, ("Allow", error.allow))
        return Response(status, encode(error, instance), JSON_TYPE, headers)


def _request_id(request: Request) -> str:
    """Return the id that the client gave its request, empty for none or one that is no word."""
    for name in ("x-request-id", "x-smallstep-id"):
        value = request.headers.get(name)
        if value and _REQUEST_ID.fullmatch(value):
            return value
    return ""


def _refuse_cross_site(request: Request) -> None:
    """Refuse what a page of another origin made a browser ask for.

    A browser presents a client certificate by itself, so that it is no sign of intent (Fetch
    metadata, https://www.w3.org/TR/fetch-metadata/).

    Raises:
        Error: FORBIDDEN.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in {"same-origin", "none"}:
        raise Error(Kind.FORBIDDEN, "a page of another site may not change anything here")
