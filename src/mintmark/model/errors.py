"""What can be refused or go wrong, as one class and one table of kinds.

Every refusal in mintmark is an `Error` with a `Kind`; each adapter owns one table from kind to
its own vocabulary (HTTP status, CLI exit code). The kinds by family, that is by who can mend it:

requester
    malformed            the request cannot be read, or a value in it is not of its form
    unauthenticated      no certificate or token, or one that is not ours or not valid now
    forbidden            who asks is known, and may not
    not_found            no such object, or none that the requester may see
    conflict             the object is in a state that excludes this act
    rejected_identifier  a name that may not be in a certificate, or not in this requester's
    bad_csr              the PKCS #10 request is not acceptable
    bad_public_key       the public key is weak, unknown, blocked or one of our own
    bad_profile          no such profile, or the profile excludes what was asked
    bad_lifetime         the validity asked for is outside what is possible
    bad_token            the one-time token is unknown, used, expired or for something else
    too_large            a body, header, list or number over its limit
    rate_limited         too many acts in too short a time
    already_revoked      the certificate is revoked already
operator
    configuration        a setting or file that the operator has to change
    unavailable          storage, disk or clock that does not work now, and may work later
ours
    internal             a defect in mintmark; the requester sees a request id and nothing else
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Family(Enum):
    """Who can mend it."""

    REQUESTER = "requester"
    OPERATOR = "operator"
    OURS = "ours"


class Kind(Enum):
    """The kinds of refusal; the module's docstring says what each means."""

    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    CONFLICT = "conflict"
    REJECTED_IDENTIFIER = "rejected-identifier"
    BAD_CSR = "bad-csr"
    BAD_PUBLIC_KEY = "bad-public-key"
    BAD_PROFILE = "bad-profile"
    BAD_LIFETIME = "bad-lifetime"
    BAD_TOKEN = "bad-token"  # noqa: S105 - the name of a kind
    TOO_LARGE = "too-large"
    RATE_LIMITED = "rate-limited"
    ALREADY_REVOKED = "already-revoked"
    CONFIGURATION = "configuration"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"

    @property
    def family(self) -> Family:
        """Who can mend it."""
        if self in (Kind.CONFIGURATION, Kind.UNAVAILABLE):
            return Family.OPERATOR
        return Family.OURS if self is Kind.INTERNAL else Family.REQUESTER


class Error(Exception):
    """A refusal: what was refused, the value and the limit, and what to do next.

    Args:
        kind: which refusal, from the table above.
        detail: one sentence for the requester, lower case, no full stop; never a secret.
        hint: the next thing to try; empty if the sentence says it already.
        retry_after: whole seconds until the same request may succeed, if that is known.
        subproblems: refusals of single names, when several were asked for at once.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        hint: str = "",
        retry_after: int | None = None,
        subproblems: tuple[Error, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.kind: Final = kind
        self.detail: Final = detail
        self.hint: Final = hint
        self.retry_after: Final = retry_after
        self.subproblems: Final = subproblems
