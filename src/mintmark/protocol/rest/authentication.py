"""Who asks: a client certificate of our own, or a token, and nothing else.

A token is a one-time token of an admin, or a JWT that a provisioner vouches for. Each route says
which it takes; a JWT is verified for the acts that the route's row names and for no other.

The record of a certificate is looked up once (`workflow.presented`); whether it is still valid
and not revoked, and what the whitelist says of its service, is asked at every request, so that
a revocation locks out at the next request and not at the next connection.
"""

from __future__ import annotations

from mintmark.authority.workflow.authenticate import requester_presenting
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.enroll import requester_from_token
from mintmark.authority.workflow.tokens import requester_from_jwt
from mintmark.model.access import Credential, Operation, Requester
from mintmark.model.errors import Error, Kind
from mintmark.protocol.rest.routes import Access, Proof, Route
from mintmark.wire.http import Request

# Where a trusted caller in this process leaves its requester; connections start out empty.
LOCAL = "requester"
_SCHEME = "bearer "


async def authenticate(
    authority: Authority, route: Route, request: Request
) -> tuple[Requester, Proof | None]:
    """Return who asks, and the provisioner's token by which that is known.

    A token in the request stands before the certificate of the connection: a service whose
    certificate was revoked enrols again with both.

    Raises:
        Error: UNAUTHENTICATED, or BAD_TOKEN; UNAVAILABLE or FORBIDDEN from a provisioner.
    """
    peer = request.peer
    local = peer.memo.get(LOCAL)
    if isinstance(local, Requester) and local.credential is Credential.LOCAL:
        return local, None
    if (text := bearer_token(request)) is not None:
        return await _by_token(authority, route, text, peer.address)
    if peer.certificate is None:
        raise Error(
            Kind.UNAUTHENTICATED,
            "no client certificate was presented",
            hint=f"present {_ways(route)} of this authority",
        )
    return await requester_presenting(authority, peer.certificate, peer.address), None


async def _by_token(
    authority: Authority, route: Route, text: str, address: str
) -> tuple[Requester, Proof | None]:
    """Return who a token speaks for; its form says which kind it is.

    Raises:
        Error: UNAUTHENTICATED where no token of the kind is a credential, else as the kind says.
    """
    if text.count(".") == 2:  # RFC 7515 §7.1; one-time tokens have no dot
        if route.purposes:
            proof = await _proof(authority, route, text, address)
            return proof.token.requester, proof
    elif route.tokens:
        return await requester_from_token(authority, text, address), None
    raise Error(
        Kind.UNAUTHENTICATED,
        "a token of this kind is no credential for this route",
        hint=f"present {_ways(route)}",
    )


async def _proof(authority: Authority, route: Route, text: str, address: str) -> Proof:
    """Return a JWT as proof for the first of the route's purposes that it is good for.

    Raises:
        Error: what the first one was refused for.
    """
    refusal: Error | None = None
    for purpose in route.purposes:
        try:
            return Proof(purpose, await requester_from_jwt(authority, text, purpose, address))
        except Error as error:
            refusal = refusal or error
            if error.kind is not Kind.BAD_TOKEN:
                break
    assert refusal is not None  # noqa: S101 - a purpose was tried
    raise refusal


def _ways(route: Route) -> str:
    """Return the credentials that a route takes, in words."""
    ways = [
        "a client certificate",
        *(["a one-time token"] if route.tokens else []),
        *(["a token of a provisioner"] if route.purposes else []),
    ]
    return " or ".join(ways)


def bearer_token(request: Request) -> str | None:
    """Return the token of the Authorization header (RFC 6750 §2.1), None without the header.

    Raises:
        Error: UNAUTHENTICATED for another scheme.
    """
    value = request.headers.get("authorization")
    if value is None:
        return None
    if value[: len(_SCHEME)].lower() != _SCHEME:
        raise Error(
            Kind.UNAUTHENTICATED,
            "the Authorization header is not of the scheme 'Bearer'",
            hint="send 'Authorization: Bearer' and a token, or present a client certificate",
        )
    return value[len(_SCHEME) :].strip(" ")


def authorize(route: Route, requester: Requester) -> None:
    """Check that the requester may call the route at all; objects are checked by themselves.

    Raises:
        Error: FORBIDDEN.
    """
    if route.access is Access.ADMIN and not requester.is_admin:
        raise _forbidden(requester, Operation.ADMIN)
    if route.operation is not None and not requester.may(route.operation):
        raise _forbidden(requester, route.operation)
    if not requester.rule.operations:
        raise Error(
            Kind.FORBIDDEN,
            f"service {requester.service!r} is not in the whitelist",
            hint="an admin adds it to 'whitelist' in the configuration",
        )


def _forbidden(requester: Requester, operation: Operation) -> Error:
    return Error(
        Kind.FORBIDDEN,
        f"service {requester.service!r} may not {operation.value}",
        hint=f"an admin adds {operation.value!r} to its allowed_operations in the whitelist",
    )
