"""From the text of a token to the requester that it speaks for, in four steps."""

from __future__ import annotations

from typing import Final

from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens import jwk, oidc, possession, sshpop, x5c
from mintmark.authority.workflow.tokens.claims import forged, refused
from mintmark.authority.workflow.tokens.purpose import Purpose, Verified
from mintmark.model.access import Credential, Requester
from mintmark.model.errors import Error
from mintmark.wire import jwt
from mintmark.wire.jwt import JWT

_CERTIFIED: Final = (possession.HEADER, sshpop.HEADER, x5c.HEADER)


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
            cannot be asked, FORBIDDEN when it is good and still gives nothing,
            REJECTED_IDENTIFIER for what is no name in it, NOT_FOUND when it revokes what is
            not on record.
    """
    # 1. Read it; nothing in it is true yet.
    token = _read(text)

    # 2. The provisioner that it names, or the certificate that it carries, says whose key
    #    verifies it; then its claims are looked at.
    verified = await _verify(authority, token, purpose, address)

    # 3. A token that was used is refused here already; two at the same time meet in the commit
    #    of their acts, which lets one of them through.
    burns = verified.requester.burns
    if burns is None or await authority.store.token_used(burns.sha256):
        raise refused("the token is used up already")

    # 4. Nothing is burned before this: a forged token cannot use up a true one's `jti`.
    return verified


def for_identity(verified: Verified) -> Requester:
    """Return who asks for a client certificate of X.509 beside one of SSH.

    Few do: the names of a JWK provisioner's token for SSH are read for them alone.
    """
    if verified.requester.credential is Credential.JWK:
        return jwk.with_names(verified)
    return verified.requester


def _read(text: str) -> JWT:
    try:
        return jwt.parse(text)
    except Error as error:
        raise forged() from error


async def _verify(authority: Authority, token: JWT, purpose: Purpose, address: str) -> Verified:
    """Verify a token the one way that its header allows."""
    headers = [name for name in _CERTIFIED if name in token.header]
    if len(headers) > 1:
        raise forged()
    header = headers[0] if headers else ""
    if header == possession.HEADER:
        return await possession.verify(authority, token, purpose, address)
    if header == sshpop.HEADER and (holders := sshpop.find(authority, token)):
        return await sshpop.verify(authority, holders, token, purpose, address)
    if header == x5c.HEADER and (certified := x5c.find(authority, token)):
        return await x5c.verify(authority, certified, token, purpose, address)
    if not header and (keyed := jwk.find(authority, token)):
        return await jwk.verify(authority, keyed, token, purpose, address)
    if not header and (people := oidc.find(authority, token)):
        return await oidc.verify(authority, people, token, purpose, address)
    raise forged()
