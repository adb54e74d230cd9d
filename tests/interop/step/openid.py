"""A small OpenID provider on loopback: everybody who asks is signed in at once.

Authorization code with PKCE (RFC 7636); what it says of the person is what a test sets.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mintmark.wire import jose, jwt, pem
from tests import pki

CLIENT_ID, CLIENT_SECRET = "step", "public-by-protocol"
ALICE = {
    "sub": "alice-at-the-provider",
    "email": "alice@example.internal",
    "email_verified": True,
    "groups": ["operators"],
}


class Provider(ThreadingHTTPServer):
    """The provider.

    Attributes:
        root: PEM of the root of its certificate, which belongs to nobody else.
        person: claims of whoever signs in next.
    """

    daemon_threads = True

    def __init__(self, port: int, path: Path) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.issuer = f"https://localhost:{port}"
        self.root = path / "root.pem"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(path, self.root))
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.person: dict[str, Any] = dict(ALICE)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._asked: dict[str, dict[str, str]] = {}

    def metadata(self) -> dict[str, Any]:
        """Return the discovery document."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def keys(self) -> dict[str, Any]:
        """Return its JWK set."""
        return {"keys": [jose.jwk_of(self._key.public_key()).document()]}

    def authorize(self, asked: dict[str, str]) -> str:
        """Return where the browser goes on with a code."""
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self._asked[code] = asked
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"

    def redeem(self, sent: dict[str, str]) -> dict[str, Any]:
        """Return the tokens for a code."""
        asked = self._asked.pop(sent["code"])
        digest = hashlib.sha256(sent["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        assert challenge == asked["code_challenge"]
        token = self.id_token(nonce=asked["nonce"])
        return {"access_token": "x", "token_type": "Bearer", "expires_in": 300, "id_token": token}

    def id_token(self, **more: Any) -> str:
        """Return an ID token of the person."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300}
        kid = jose.jwk_of(self._key.public_key()).key_id
        return jwt.sign({"kid": kid, "typ": "JWT"}, claims | self.person | more, self._key)


class _Handler(BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        match url.path:
            case "/.well-known/openid-configuration":
                self._answer(self.server.metadata())
            case "/keys":
                self._answer(self.server.keys())
            case "/auth":
                self.send_response(302)
                self.send_header("Location", self.server.authorize(dict(parse_qsl(url.query))))
                self.send_header("Content-Length", "0")
                self.end_headers()
            case _:
                self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._answer(self.server.redeem(dict(parse_qsl(body))))

    def _answer(self, document: object) -> None:
        octets = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
        """Say nothing."""


def _certificate(path: Path, root: Path) -> Path:
    """Write a certificate for localhost with its key, and its root; `step` wants https."""
    hierarchy = pki.pki(now=int(time.time()) - 3600, number=7)
    leaf = pki.leaf(hierarchy.issuing, "localhost", not_before=int(time.time()) - 60)
    key = pki.private_key(number=100).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    file = path / "server.pem"
    file.write_bytes(key + pem.certificates((leaf.der, hierarchy.issuer.der)))
    root.write_bytes(pem.certificate(hierarchy.root_der))
    return file


@contextlib.contextmanager
def serving(port: int, path: Path) -> Iterator[Provider]:
    """Serve a provider for the length of a block.

    Args:
        port: of loopback.
        path: a directory for its certificate.
    """
    with Provider(port, path) as provider:
        thread = threading.Thread(target=provider.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield provider
        finally:
            provider.shutdown()
            thread.join()
