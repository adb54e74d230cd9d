"""Signing in with a browser: the authorization code flow with PKCE (RFC 8252, RFC 7636).

The code comes back over loopback, where other programs and pages can listen and talk; PKCE makes
a stolen code worthless, `state` and `nonce` bind it to this sign-in, and `iss` (RFC 9207) to the
provider that was asked.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode, urlsplit

from mintmark.client.oidc.loopback import Loopback
from mintmark.client.oidc.metadata import Metadata, wrong
from mintmark.client.oidc.reach import Reach
from mintmark.client.oidc.token import discover, id_token, refusal, same, send
from mintmark.client.ssh_documents import SignInProvider
from mintmark.wire.jose import encode

PATIENCE: Final = 300.0  # seconds that a person may take


def authorization_code(
    provider: SignInProvider,
    open_browser: Callable[[str], object],
    *,
    reach: Reach | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
    patience: float = PATIENCE,
) -> str:
    """Have a person sign in with a browser, and return the ID token.

    Args:
        provider: where, and as which client.
        open_browser: shows a URL to the person.
        reach: how the provider is reached.
        entropy: `n -> n` random octets.
        patience: seconds to wait for the person.

    Raises:
        Error: UNAUTHENTICATED when the person or the provider refuses, or nobody came;
            UNAVAILABLE when the provider cannot be reached or answers wrongly; CONFIGURATION.
    """
    reach = reach or Reach()
    metadata = discover(provider, reach)
    if not metadata.authorization_endpoint or not metadata.token_endpoint:
        raise wrong("it offers no sign-in with a browser")
    state, nonce, verifier = (encode(entropy(32)) for _ in range(3))
    with Loopback(provider.listen_address, state) as loopback:
        redirect_uri = loopback.redirect_uri
        query = {
            "response_type": "code",
            "client_id": provider.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(provider.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": encode(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        open_browser(_with_query(metadata.authorization_endpoint, query))
        returned = loopback.wait(patience)
    _check_issuer(metadata, returned.get("iss"))
    if "code" not in returned:
        raise refusal(returned)
    form = {
        "grant_type": "authorization_code",
        "code": returned["code"],
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }
    answer, members = send(reach, metadata, provider, metadata.token_endpoint, form)
    if answer.status != 200:
        raise refusal(members)
    return id_token(metadata, provider, members, nonce)


def _with_query(url: str, query: dict[str, str]) -> str:
    """Return a URL with further parameters; the endpoint may have some (RFC 6749 §3.1)."""
    return f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(query)}"


def _check_issuer(metadata: Metadata, issuer: str | None) -> None:
    """Refuse a code of another provider than the one that was asked (RFC 9207 §2.4)."""
    if issuer is None and not metadata.names_itself:
        return
    if not same(issuer, metadata.issuer):
        raise wrong("the browser came back from another provider ('iss')")
