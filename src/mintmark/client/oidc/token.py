"""The token endpoint: what is sent there, and what its ID token has to be (RFC 6749 §3.2)."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mintmark.client.oidc.metadata import Metadata, decode, discovery_url, parse, wrong
from mintmark.client.oidc.reach import Answer, Reach
from mintmark.client.ssh_documents import SignInProvider
from mintmark.model.errors import Error, Kind
from mintmark.wire import jwt


def discover(provider: SignInProvider, reach: Reach | None = None) -> Metadata:
    """Return what a provider says of itself.

    Raises:
        Error: UNAVAILABLE when it cannot be reached, CONFIGURATION for a URL that is no https.
    """
    endpoint = provider.configuration_endpoint
    answer = (reach or Reach()).get(discovery_url(endpoint))
    if answer.status != 200:
        raise wrong(f"its discovery document comes with status {answer.status}")
    return parse(answer.body, endpoint)


def send(
    reach: Reach,
    metadata: Metadata,
    provider: SignInProvider,
    url: str,
    form: Mapping[str, str],
) -> tuple[Answer, dict[str, Any]]:
    """Send a form as this client, and return the answer with the JSON in it.

    A public client says its name in the form; one with a secret authenticates the way that the
    provider asks for (RFC 6749 §2.3.1).

    Raises:
        Error: UNAVAILABLE.
    """
    form = dict(form)
    basic = None
    if provider.client_secret and metadata.basic:
        basic = (quote(provider.client_id, safe=""), quote(provider.client_secret, safe=""))
    else:
        form["client_id"] = provider.client_id
        if provider.client_secret:
            form["client_secret"] = provider.client_secret
    answer = reach.post(url, form, basic)
    return answer, decode(answer.body, "answer")


def id_token(
    metadata: Metadata, provider: SignInProvider, members: Mapping[str, Any], nonce: str
) -> str:
    """Return the ID token of a token response, if it is ours.

    It came straight from the provider over TLS (Core §3.1.3.7, step 6); who uses it in the end
    verifies its signature.

    Args:
        metadata: the provider's.
        provider: the client at it.
        members: of the token response.
        nonce: that the sign-in began with; empty where a flow has none.

    Raises:
        Error: UNAVAILABLE when there is none or it is another's.
    """
    text = members.get("id_token")
    if not isinstance(text, str):
        raise wrong("it gives no ID token; is 'openid' among the scopes?")
    try:
        claims = jwt.parse(text).claims
    except Error as error:
        raise wrong(f"its ID token cannot be read: {error.detail}") from error
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("iss") != metadata.issuer or provider.client_id not in audiences:
        raise wrong("its ID token is another provider's, or for another client")
    if nonce and not same(claims.get("nonce"), nonce):
        raise wrong("its ID token is not of this sign-in ('nonce')")
    return text


def same(given: object, expected: str) -> bool:
    """Whether a value from outside is the expected secret, compared in constant time."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())


def refusal(members: Mapping[str, Any]) -> Error:
    """Return an error response of a provider (RFC 6749 §5.2) as our own."""
    error = printable(members.get("error"), "an unknown error")
    why = printable(members.get("error_description"), "")
    return Error(
        Kind.UNAUTHENTICATED,
        f"the OpenID provider refuses to sign in: {error}{': ' if why else ''}{why}",
        hint="sign in again; the provider's administrator can say more",
    )


def printable(value: object, default: str) -> str:
    """Return a text of a provider as it can stand on a terminal."""
    if not isinstance(value, str) or not value:
        return default
    return "".join(one if one.isprintable() else "?" for one in value[:200])
