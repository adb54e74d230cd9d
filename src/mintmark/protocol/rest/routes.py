"""The shape of a route, and the table that finds one.

Design rule 5: every route states who may call it; one that does not cannot be constructed, and
what the table does not list is not there.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from mintmark.authority.policy.approve import Policy
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens import Purpose, Verified
from mintmark.model.access import Operation, Requester
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import AnyProvisioner
from mintmark.protocol.rest.keys import KeyMaker
from mintmark.protocol.rest.presentation import Presenter
from mintmark.wire.http import Request, Response

BASE = "/api/v1"


class Access(Enum):
    """Who may call a route, beside the operation that the whitelist has to allow."""

    PUBLIC = "public"
    AUTHENTICATED = "authenticated"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Proof:
    """A provisioner's token that was presented for this call, verified.

    Args:
        purpose: the act that its audience names.
        token: what it says.
    """

    purpose: Purpose
    token: Verified


class ProvisionerCodec(Protocol):
    """Provisioners as documents; the configuration, which no protocol knows, has their form."""

    def parse(self, document: Mapping[str, Any], policy: Policy) -> AnyProvisioner:
        """Return the provisioner that a document says.

        Args:
            document: an entry of the configuration's `provisioners`, as JSON.
            policy: has the profiles that it may refer to.

        Raises:
            Error: MALFORMED, with the key's path and what it has to be.
        """

    def render(self, provisioner: AnyProvisioner) -> dict[str, Any]:
        """Return the document that says a provisioner, without what is the default."""


@dataclass(slots=True)
class Call:
    """One call of a route: who asks for what, checked as far as the route's table row says.

    Args:
        authority: who answers.
        presenter: writes certificates as documents.
        keys: makes keys for requests without a CSR.
        codec: reads and writes provisioners as documents.
        request: the HTTP request.
        arguments: the parameters of the path.
        caller: the authenticated requester; None on public routes.
        proof: the provisioner's token by which it was; None for all other credentials.
        body: the decoded body, of the route's `body` type.
        query: the decoded query, of the route's `query` type.
    """

    authority: Authority
    presenter: Presenter
    keys: KeyMaker
    codec: ProvisionerCodec
    request: Request
    arguments: Mapping[str, str]
    caller: Requester | None = None
    proof: Proof | None = None
    body: Any = None
    query: Any = None

    @property
    def requester(self) -> Requester:
        """Who asks.

        Raises:
            RuntimeError: on a public route, where nobody was authenticated.
        """
        if self.caller is None:
            raise RuntimeError("a public route has no requester")
        return self.caller


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table.

    Args:
        method: GET, POST or DELETE.
        path: below `/api/v1`, parameters in braces.
        name: `operationId` in the OpenAPI description.
        summary: one sentence for the OpenAPI description.
        access: who may call it.
        handler: answers it.
        operation: what the whitelist must allow the requester; None asks for any entry that
            allows something at all.
        tokens: whether a one-time token is a credential here.
        purposes: acts, for one of which a provisioner's token is a credential here.
        idempotent: whether it honors `Idempotency-Key`.
        body: struct of the request body, or None for a route without.
        body_required: whether an empty body is refused.
        query: struct of the query parameters, or None for a route without.
        status: of a success.
        answer: struct of the answer, or None when it is not JSON.
        media: media types of an answer that is not JSON.
    """

    method: str
    path: str
    name: str
    summary: str
    access: Access
    handler: Handler
    operation: Operation | None = None
    tokens: bool = False
    purposes: tuple[Purpose, ...] = ()
    idempotent: bool = False
    body: type[Any] | None = None
    body_required: bool = True
    query: type[Any] | None = None
    status: int = 200
    answer: type[Any] | None = None
    media: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.access, Access):
            raise TypeError(f"route {self.method} {self.path} does not say who may call it")
        if self.access is Access.PUBLIC and (self.operation or self.tokens or self.purposes):
            raise ValueError(f"public route {self.method} {self.path} asks for a credential")

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path's parameters, in order."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))


@dataclass(frozen=True, slots=True)
class Resource:
    """What stands under one path.

    Args:
        pattern: matches its path and names its parameters.
        routes: by method.
    """

    pattern: re.Pattern[str]
    routes: dict[str, Route] = field(default_factory=dict)

    @property
    def allow(self) -> str:
        """The value of the Allow header (RFC 9110 §10.2.1)."""
        methods = sorted(self.routes)
        return ", ".join([*methods, "HEAD"] if "GET" in self.routes else methods)


class RouteTable:
    """Finds the route of a request.

    Args:
        routes: the rows; a method and path may stand there once.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._fixed: dict[str, Resource] = {}
        self._patterns: dict[str, Resource] = {}
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        path = BASE + route.path
        kind = self._patterns if route.parameters else self._fixed
        pattern = re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path)))
        resource = kind.setdefault(path, Resource(pattern))
        if route.method in resource.routes:
            raise ValueError(f"two routes for {route.method} {route.path}")
        resource.routes[route.method] = route

    def match(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """Return the route and the path's arguments.

        Raises:
            Error: NOT_FOUND for a path that is not listed.
            MethodNotAllowedError: the path is listed, the method is not.
        """
        resource, arguments = self._resource(path)
        route = resource.routes.get("GET" if method == "HEAD" else method)
        if route is None:
            raise MethodNotAllowedError(method, resource.allow)
        return route, arguments

    def _resource(self, path: str) -> tuple[Resource, Mapping[str, str]]:
        if found := self._fixed.get(path):
            return found, {}
        for resource in self._patterns.values():
            if match := resource.pattern.fullmatch(path):
                return resource, match.groupdict()
        raise Error(
            Kind.NOT_FOUND,
            "there is nothing under this path",
            hint=f"the API is described at {BASE}/openapi.json",
        )


class MethodNotAllowedError(Error):
    """The path exists and has no such method (RFC 9110 §15.5.6).

    Args:
        method: that was asked for.
        allow: the methods that are there, as the Allow header lists them.
    """

    def __init__(self, method: str, allow: str) -> None:
        super().__init__(
            Kind.MALFORMED, f"method {method!r} is not allowed here", hint=f"allowed: {allow}"
        )
        self.allow = allow
