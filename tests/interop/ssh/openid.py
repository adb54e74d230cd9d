"""The OpenID provider of the tests with the device flow beside (RFC 8628)."""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.interop.step.openid import Provider, _Handler

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


class DeviceProvider(Provider):
    """A provider where whoever opens the page of a code has signed in."""

    def __init__(self, port: int, path: Path) -> None:
        super().__init__(port, path)
        self.RequestHandlerClass = _DeviceHandler
        self._signed_in: dict[str, bool] = {}

    def metadata(self) -> dict[str, Any]:
        """Return the discovery document."""
        more = {"device_authorization_endpoint": f"{self.issuer}/device"}
        return super().metadata() | more

    def device(self) -> dict[str, Any]:
        """Begin a sign-in on another device."""
        code = secrets.token_urlsafe(8)
        self._signed_in[code] = False
        return {
            "device_code": code,
            "user_code": code.upper(),
            "verification_uri": f"{self.issuer}/activate",
            "verification_uri_complete": f"{self.issuer}/activate?code={code}",
            "expires_in": 60,
            "interval": 1,
        }

    def activate(self, code: str) -> None:
        """Let the person be signed in."""
        assert code in self._signed_in
        self._signed_in[code] = True

    def poll(self, code: str) -> tuple[int, dict[str, Any]]:
        """Return status and answer for a device that asks."""
        if not self._signed_in[code]:
            return 400, {"error": "authorization_pending"}
        del self._signed_in[code]
        token = self.id_token()
        return 200, {"access_token": "x", "token_type": "Bearer", "id_token": token}


class _DeviceHandler(_Handler):
    server: DeviceProvider

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        url = urlsplit(self.path)
        if url.path != "/activate":
            super().do_GET()
            return
        self.server.activate(dict(parse_qsl(url.query))["code"])
        self._answer({})

    def do_POST(self) -> None:  # noqa: N802 - as above
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        sent = dict(parse_qsl(body))
        if urlsplit(self.path).path == "/device":
            self._answer(self.server.device())
        elif sent["grant_type"] == DEVICE_GRANT:
            status, answer = self.server.poll(sent["device_code"])
            self._answer(answer, status)
        else:
            self._answer(self.server.redeem(sent))

    def _answer(self, document: object, status: int = 200) -> None:
        if status == 200:
            super()._answer(document)
            return
        octets = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(octets)))
        self.end_headers()
        self.wfile.write(octets)


@contextlib.contextmanager
def serving(port: int, path: Path) -> Iterator[DeviceProvider]:
    """Serve a provider for the length of a block."""
    with DeviceProvider(port, path) as provider:
        thread = threading.Thread(target=provider.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield provider
        finally:
            provider.shutdown()
            thread.join()
