"""One call of a route: what it is made of, and who makes it.

Design rule 5: every route states who may call it, and is called only when that was checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

import msgspec

from mintmark.authority.workflow.authenticate import requester_from_certificate
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.revoke import revoked_already
from mintmark.authority.workflow.tokens import Purpose, Verified, requester_from_jwt
from mintmark.model.access import Requester
from mintmark.model.certificate import StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.protocol.step.refusal import JSON_TYPE
from mintmark.wire.certificate import serial_of
from mintmark.wire.http import Request, Response

Headers = tuple[tuple[str, str], ...]
PRIVATE: Final[Headers] = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
_ENCODER: Final = msgspec.json.Encoder()
_BEARER: Final = "bearer "


class Access(Enum):
    """Who may call a route."""

    PUBLIC = "public"
    TOKEN = "token"  # noqa: S105 - a kind of credential, not one
    CERTIFICATE = "certificate"
    EITHER = "either"


@dataclass(slots=True)
class Call:
    """One call of a route, checked as far as its row of the table says.

    Args:
        authority: who answers.
        request: the HTTP request.
        arguments: the parameters of the path.
        body: the decoded body, of the route's `body` type.
        caller: who asks; None on public routes.
        verified: the token that was presented; None where a certificate was.
        stored: the client certificate that was presented; None where a token was.
    """

    authority: Authority
    request: Request
    arguments: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    caller: Requester | None = None
    verified: Verified | None = None
    stored: StoredCertificate | None = None

    @property
    def requester(self) -> Requester:
        """Who asks.

        Raises:
            RuntimeError: on a public route, where nobody was authenticated.
        """
        if self.caller is None:
            raise RuntimeError("a public route has no requester")
        return self.caller

    @property
    def token(self) -> Verified:
        """The token that was presented.

        Raises:
            RuntimeError: where none has to be.
        """
        if self.verified is None:
            raise RuntimeError("this call has no token")
        return self.verified


async def authenticate(call: Call, access: Access, purpose: Purpose | None) -> None:
    """Find out who calls, or refuse.

    Args:
        call: what is completed.
        access: who may call the route.
        purpose: what a token has to be for; None where none is taken.

    Raises:
        Error: MALFORMED without a credential, BAD_TOKEN, UNAUTHENTICATED, ALREADY_REVOKED for
            one that revokes itself again, and what else `requester_from_jwt` says.
    """
    if access is Access.PUBLIC:
        return
    text = None if purpose is None else _token(call)
    if text is not None and purpose is not None:
        address = call.request.peer.address
        call.verified = await requester_from_jwt(call.authority, text, purpose, address)
        call.caller = call.verified.requester
    elif access is Access.TOKEN:
        raise Error(Kind.MALFORMED, "missing ott")
    else:
        await _certified(call, purpose)


def _token(call: Call) -> str | None:
    """Return the token of the body; where there is no body, the one of the Authorization header.

    A client certificate goes before the header, which may be for somebody in between.
    """
    if call.body is not None:
        return str(text) if (text := getattr(call.body, "ott", None)) else None
    header = call.request.headers.get("authorization", "")
    if call.request.peer.certificate is None and header[: len(_BEARER)].lower() == _BEARER:
        return header[len(_BEARER) :].strip(" ") or None
    return None


async def _certified(call: Call, purpose: Purpose | None) -> None:
    der = call.request.peer.certificate
    if der is None:
        raise Error(Kind.MALFORMED, "missing client certificate")
    address = call.request.peer.address
    try:
        call.caller, call.stored = await requester_from_certificate(call.authority, der, address)
    except Error:
        if purpose is Purpose.REVOKE:
            await _check_not_revoked(call.authority, der)
        raise


async def _check_not_revoked(authority: Authority, der: bytes) -> None:
    """Tell the holder of a certificate who revokes it that this was done already.

    Raises:
        Error: ALREADY_REVOKED.
    """
    stored = await authority.store.certificate(serial_of(der))
    if stored is not None and stored.certificate.der == der and stored.revocation is not None:
        raise revoked_already(int.from_bytes(stored.certificate.serial))


def answer(status: int, document: object) -> Response:
    """Return a document as a JSON response."""
    return Response(status, _ENCODER.encode(document), JSON_TYPE, PRIVATE)
