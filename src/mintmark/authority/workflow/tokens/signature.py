"""The signature of a token, with one refusal for whatever is wrong with it."""

from __future__ import annotations

from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens.claims import forged
from mintmark.model.errors import Error
from mintmark.wire import jwt
from mintmark.wire.jose import JWK
from mintmark.wire.jwt import JWT


async def verify(authority: Authority, token: JWT, key: JWK) -> None:
    """Verify a signature with the one algorithm of its key, beside those that came with it.

    Raises:
        Error: BAD_TOKEN, the same for a wrong key, a wrong algorithm and a wrong signature.
    """
    await authority.stages.read
    try:
        jwt.verify(token, key)
    except Error as error:
        raise forged() from error
