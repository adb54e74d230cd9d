"""ACME's problem documents (RFC 8555 §6.7): the one table from our errors to its types.

What only an operator can mend, or is our defect, is told to a client by an id in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier

MEDIA_TYPE: Final = "application/problem+json"
_URN: Final = "urn:ietf:params:acme:error:"
_ENCODER: Final = msgspec.json.Encoder()

# The registry (RFC 8555 §9.7.3, RFC 9773 §7.4, draft-ietf-acme-profiles), with the HTTP status
# that each is sent with unless a clause says otherwise.
TYPES: Final = {
    "accountDoesNotExist": 400,
    "alreadyReplaced": 409,
    "alreadyRevoked": 400,
    "badCSR": 400,
    "badNonce": 400,
    "badPublicKey": 400,
    "badRevocationReason": 400,
    "badSignatureAlgorithm": 400,
    "caa": 403,
    "compound": 400,
    "connection": 400,
    "dns": 400,
    "externalAccountRequired": 403,
    "incorrectResponse": 403,
    "invalidContact": 400,
    "invalidProfile": 400,
    "malformed": 400,
    "orderNotReady": 403,
    "rateLimited": 429,
    "rejectedIdentifier": 403,
    "serverInternal": 500,
    "tls": 400,
    "unauthorized": 403,
    "unsupportedContact": 400,
    "unsupportedIdentifier": 400,
    "userActionRequired": 403,
}
KINDS: Final = {
    Kind.MALFORMED: ("malformed", 400),
    Kind.UNAUTHENTICATED: ("unauthorized", 401),
    Kind.FORBIDDEN: ("unauthorized", 403),
    Kind.NOT_FOUND: ("malformed", 404),
    Kind.CONFLICT: ("malformed", 409),
    Kind.REJECTED_IDENTIFIER: ("rejectedIdentifier", 403),
    Kind.BAD_CSR: ("badCSR", 400),
    Kind.BAD_PUBLIC_KEY: ("badPublicKey", 400),
    Kind.BAD_PROFILE: ("invalidProfile", 400),
    Kind.BAD_LIFETIME: ("malformed", 400),
    Kind.BAD_TOKEN: ("unauthorized", 403),
    Kind.TOO_LARGE: ("malformed", 413),
    Kind.RATE_LIMITED: ("rateLimited", 429),
    Kind.ALREADY_REVOKED: ("alreadyRevoked", 400),
    Kind.CONFIGURATION: ("serverInternal", 500),
    Kind.UNAVAILABLE: ("serverInternal", 503),
    Kind.INTERNAL: ("serverInternal", 500),
}


class ACMEError(Error):
    """A refusal in ACME's own words.

    Args:
        type: of `TYPES`.
        detail: as of `Error`.
        hint: as of `Error`.
        status: HTTP status; None takes the type's.
        retry_after: as of `Error`.
        identifier: which one it is about, in a subproblem (RFC 8555 §6.7.1).
        subproblems: one for each identifier that was refused.
        algorithms: those that are accepted, with badSignatureAlgorithm (§6.2).
        headers: further headers of the answer.
    """

    def __init__(  # noqa: PLR0913 - a problem document has these members
        self,
        type: str,  # noqa: A002 - RFC 9457's word
        detail: str,
        *,
        hint: str = "",
        status: int | None = None,
        retry_after: int | None = None,
        identifier: Identifier | None = None,
        subproblems: tuple[Error, ...] = (),
        algorithms: Sequence[str] = (),
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(
            _kind(type), detail, hint=hint, retry_after=retry_after, subproblems=subproblems
        )
        self.type: Final = type
        self.status: Final = TYPES[type] if status is None else status
        self.identifier: Final = identifier
        self.algorithms: Final = algorithms
        self.headers: Final = headers


def about(identifier: Identifier, error: Error) -> ACMEError:
    """Return a refusal as a subproblem about one identifier."""
    return ACMEError(
        type_of(error),
        error.detail,
        hint=error.hint,
        identifier=identifier,
        status=status_of(error),
    )


def together(refusals: Sequence[ACMEError]) -> ACMEError:
    """Return refusals of identifiers as one problem (RFC 8555 §6.7.1), at least one."""
    first = refusals[0]
    if len(refusals) == 1:
        return ACMEError(first.type, first.detail, hint=first.hint, subproblems=(first,))
    same = all(one.type == first.type for one in refusals)
    return ACMEError(
        first.type if same else "compound",
        f"{len(refusals)} identifiers are refused, the first: {first.detail}",
        hint=first.hint,
        subproblems=tuple(refusals),
    )


def limited(error: Error, what: str) -> ACMEError:
    """Return a refusal of the store's rate limits in words that fit its object."""
    return ACMEError(
        "rateLimited",
        what,
        hint=f"try again in {error.retry_after} s",
        retry_after=error.retry_after,
    )


def type_of(error: Error) -> str:
    """Return ACME's word for an error."""
    return error.type if isinstance(error, ACMEError) else KINDS[error.kind][0]


def status_of(error: Error) -> int:
    """Return the HTTP status of an error."""
    return error.status if isinstance(error, ACMEError) else KINDS[error.kind][1]


def document(error: Error, instance: str = "") -> dict[str, Any]:
    """Return the members of a problem document.

    Args:
        error: the refusal.
        instance: URI of this occurrence in the log, for what clients are not told.
    """
    word = type_of(error)
    members: dict[str, Any] = {"type": _URN + word, "detail": _detail(error)}
    if word == "serverInternal" and error.kind is not Kind.UNAVAILABLE:
        members["detail"] = "the server cannot answer this request; the reason is in its log"
    members["status"] = status_of(error)
    if instance:
        members["instance"] = instance
    if isinstance(error, ACMEError):
        if error.algorithms:
            members["algorithms"] = list(error.algorithms)
        if error.identifier is not None:
            members["identifier"] = identifier(error.identifier)
    if error.subproblems:
        members["subproblems"] = [_subproblem(one) for one in error.subproblems]
    return members


def encode(error: Error, instance: str = "") -> bytes:
    """Return a problem document, JSON."""
    return _ENCODER.encode(document(error, instance))


def identifier(value: Identifier) -> dict[str, str]:
    """Return an identifier as ACME writes it (RFC 8555 §9.7.7, RFC 8738 §3)."""
    return {"type": value.type.value, "value": value.value}


def _detail(error: Error) -> str:
    """Return the sentence with its hint: ACME clients show nothing but the detail."""
    return f"{error.detail}; {error.hint}" if error.hint else error.detail


def _subproblem(error: Error) -> dict[str, Any]:
    members = document(error)
    members.pop("status")
    return members


def _kind(word: str) -> Kind:
    """Return the kind of an ACME type, for logs and adapters that know no ACME."""
    return _KIND_OF.get(word, Kind.MALFORMED)


_KIND_OF: Final = {
    "alreadyRevoked": Kind.ALREADY_REVOKED,
    "alreadyReplaced": Kind.CONFLICT,
    "badCSR": Kind.BAD_CSR,
    "badPublicKey": Kind.BAD_PUBLIC_KEY,
    "invalidProfile": Kind.BAD_PROFILE,
    "orderNotReady": Kind.FORBIDDEN,
    "rateLimited": Kind.RATE_LIMITED,
    "rejectedIdentifier": Kind.REJECTED_IDENTIFIER,
    "serverInternal": Kind.INTERNAL,
    "unauthorized": Kind.FORBIDDEN,
    "unsupportedIdentifier": Kind.REJECTED_IDENTIFIER,
}
