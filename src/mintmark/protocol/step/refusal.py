"""Refusals as step clients read them: `{"status", "message"}` with every status from 400 on.

A client that gets anything else shows its user "failed decoding CA error response", so that
also unknown paths and methods are answered in this form.
"""

from __future__ import annotations

from typing import Final

import msgspec

from mintmark.model.errors import Error, Kind

JSON_TYPE: Final = "application/json"
_ENCODER: Final = msgspec.json.Encoder()

STATUSES: Final = {
    Kind.MALFORMED: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 400,
    Kind.REJECTED_IDENTIFIER: 403,
    Kind.BAD_CSR: 400,
    Kind.BAD_PUBLIC_KEY: 403,
    Kind.BAD_PROFILE: 403,
    Kind.BAD_LIFETIME: 403,
    Kind.BAD_TOKEN: 401,
    Kind.TOO_LARGE: 413,
    Kind.RATE_LIMITED: 429,
    Kind.ALREADY_REVOKED: 400,
    Kind.CONFIGURATION: 500,
    Kind.UNAVAILABLE: 503,
    Kind.INTERNAL: 500,
}
_INCOMPLETE: Final = "The request could not be completed"
_SENTENCES: Final = {
    401: "The request lacked necessary authorization to be completed",
    403: "The request was forbidden by the certificate authority",
    404: "The requested resource could not be found",
    501: "The requested method is not implemented by the certificate authority",
}
_DEFECT: Final = (
    "The certificate authority encountered an Internal Server Error. "
    "Please see the certificate authority logs for more info."
)


class StepError(Error):
    """A refusal with the status that step-ca gives it.

    Args:
        kind: as of `Error`.
        detail: as of `Error`.
        status: HTTP status; None takes the kind's.
        hint: as of `Error`.
        allow: methods for the Allow header of a 405.
    """

    def __init__(
        self, kind: Kind, detail: str, *, status: int | None = None, hint: str = "", allow: str = ""
    ) -> None:
        super().__init__(kind, detail, hint=hint)
        self.status: Final = STATUSES[kind] if status is None else status
        self.allow: Final = allow


def status_of(error: Error) -> int:
    """Return the HTTP status of an error."""
    return error.status if isinstance(error, StepError) else STATUSES[error.kind]


def encode(error: Error, instance: str = "") -> bytes:
    """Return the body of a refusal.

    Args:
        error: the refusal.
        instance: id of this occurrence in the log, for what clients are not told.
    """
    status = status_of(error)
    if status == 500:
        message = f"{_DEFECT} ({instance})" if instance else _DEFECT
    else:
        # Clients show nothing but the message, so that the hint has to be in it.
        told = f"{error.detail}; {error.hint}" if error.hint else error.detail
        message = f"{_SENTENCES.get(status, _INCOMPLETE)}: {told}."
    return _ENCODER.encode({"status": status, "message": message})
