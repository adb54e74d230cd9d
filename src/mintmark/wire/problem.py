"""Problem documents (RFC 9457): what an HTTP client is told when something is refused.

The one table from kind to HTTP status stands here. What is our defect, or a setting only the
operator can mend, is told to a client by its request id and nothing else.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from mintmark.model.errors import Error, Kind

MEDIA_TYPE: Final = "application/problem+json"

KIND_STATUS: Final = {
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.REJECTED_IDENTIFIER: 422,
    Kind.BAD_CSR: 422,
    Kind.BAD_PUBLIC_KEY: 422,
    Kind.BAD_PROFILE: 422,
    Kind.BAD_LIFETIME: 422,
    Kind.BAD_TOKEN: 401,
    Kind.TOO_LARGE: 413,
    Kind.RATE_LIMITED: 429,
    Kind.ALREADY_REVOKED: 409,
    Kind.CONFIGURATION: 500,
    Kind.UNAVAILABLE: 503,
    Kind.INTERNAL: 500,
}
# RFC 9457 §3.1.3: the title says what kind it is and does not change from one occurrence to
# the next.
KIND_TITLE: Final = {
    Kind.MALFORMED: "Request cannot be read",
    Kind.UNAUTHENTICATED: "Authentication required",
    Kind.FORBIDDEN: "Not allowed",
    Kind.NOT_FOUND: "Not found",
    Kind.CONFLICT: "Conflict with the present state",
    Kind.REJECTED_IDENTIFIER: "Name not accepted",
    Kind.BAD_CSR: "CSR not accepted",
    Kind.BAD_PUBLIC_KEY: "Public key not accepted",
    Kind.BAD_PROFILE: "Profile not possible",
    Kind.BAD_LIFETIME: "Lifetime not possible",
    Kind.BAD_TOKEN: "Token not valid",
    Kind.TOO_LARGE: "Over a limit",
    Kind.RATE_LIMITED: "Too many requests",
    Kind.ALREADY_REVOKED: "Revoked already",
    Kind.CONFIGURATION: "Internal error",
    Kind.UNAVAILABLE: "Not available now",
    Kind.INTERNAL: "Internal error",
}
_WITHHELD: Final = frozenset({Kind.CONFIGURATION, Kind.INTERNAL})
_ENCODER: Final = msgspec.json.Encoder()


def problem(error: Error, status: int | None = None, instance: str = "") -> bytes:
    """Return the problem document of a refusal, JSON.

    Args:
        error: the refusal.
        status: HTTP status it is sent with; None takes the one of `KIND_STATUS`.
        instance: URI reference of this occurrence (RFC 9457 §3.1.5), made of the request id;
            empty leaves it out.
    """
    document = _members(error)
    document["status"] = KIND_STATUS[error.kind] if status is None else status
    if error.kind in _WITHHELD:
        document["type"] = type_of(Kind.INTERNAL)
        document["detail"] = "the server cannot answer this request"
        document["hint"] = (
            f"the operator finds the reason in the log under {instance}"
            if instance
            else "the operator finds the reason in the log"
        )
        document.pop("subproblems", None)
    if instance:
        document["instance"] = instance
    if error.retry_after is not None:
        document["retry_after"] = error.retry_after
    return _ENCODER.encode(document)


def type_of(kind: Kind) -> str:
    """Return the problem type URI of a kind (RFC 9457 §3.1.1)."""
    return f"urn:mintmark:error:{kind.value}"


def _members(error: Error) -> dict[str, Any]:
    """Return type, title, detail, hint and subproblems (in the form of RFC 8555 §6.7.1)."""
    members: dict[str, Any] = {
        "type": type_of(error.kind),
        "title": KIND_TITLE[error.kind],
        "detail": error.detail,
    }
    if error.hint:
        members["hint"] = error.hint
    if error.subproblems:
        members["subproblems"] = [_members(sub) for sub in error.subproblems]
    return members
