"""The browser's way back: one request to a listener on loopback (RFC 8252 §7.3).

Any page of any site can send requests to it. What does not carry the `state` of this sign-in is
answered and forgotten, so that none of them can end or take over the sign-in.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from mintmark.client.oidc.metadata import is_loopback
from mintmark.client.oidc.token import same
from mintmark.model.errors import Error, Kind

_READ: Final = 5.0  # seconds that one browser may take for its request
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>mintmark</title></head>
<body><h1>{title}</h1><p>{text}</p></body></html>
"""
_DONE: Final = _PAGE.format(title="Signed in", text="You can close this window.")
_FAILED: Final = _PAGE.format(
    title="Not signed in", text="You can close this window; the terminal says why."
)
_STRAY: Final = _PAGE.format(title="Nothing here", text="This is not the sign-in that is waiting.")


class Loopback:
    """A listener for one sign-in.

    Args:
        listen_address: `127.0.0.1:PORT`, `:PORT`, or empty for a port of the system's choice.
        state: what the right request carries.

    Raises:
        Error: CONFIGURATION for an address that is not loopback, CONFLICT when the port is in
            use.
    """

    def __init__(self, listen_address: str, state: str) -> None:
        host, port = _address(listen_address)
        self._state = state
        self._found: dict[str, str] | None = None
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        kind = type("_Server", (HTTPServer,), {"address_family": family})
        try:
            self._server = kind((host, port), self._handler())
        except OSError as error:
            raise Error(
                Kind.CONFLICT,
                f"cannot listen on {listen_address or host} for the browser: {error.strerror}",
                hint="end the program that has the port, or sign in with --device",
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self._origin = f"{shown}:{self._server.server_port}"

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends the browser to; the same form as that of step's client."""
        return f"http://{self._origin}"

    def wait(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> dict[str, str]:
        """Return the parameters of the request that carries the state.

        Raises:
            Error: UNAUTHENTICATED when none came in time.
        """
        end = clock() + seconds
        while self._found is None and (left := end - clock()) > 0:
            self._server.timeout = left
            self._server.handle_request()
        if self._found is None:
            raise Error(
                Kind.UNAUTHENTICATED,
                f"nobody signed in within {int(seconds)} s",
                hint="try again, or sign in with --device where there is no browser",
            )
        return self._found

    def close(self) -> None:
        """Stop listening."""
        self._server.server_close()

    def __enter__(self) -> Loopback:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        loopback = self

        class Handler(BaseHTTPRequestHandler):
            """Answers one browser's request."""

            timeout = _READ
            server_version = "mintmark"
            sys_version = ""

            def do_GET(self) -> None:
                status, page = loopback._take(self.path, self.headers.get("host", ""))
                body = page.encode()
                self.send_response(status)
                for name, value in _headers(len(body)).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Log nothing: requests carry codes."""

        return Handler

    def _take(self, target: str, host: str) -> tuple[int, str]:
        """Look at a request, and return status and page for it."""
        parts = urlsplit(target)
        pairs = parse_qsl(parts.query, keep_blank_values=True, max_num_fields=50)
        parameters = dict(pairs)
        is_right = (
            parts.path in {"", "/"}
            and host == self._origin
            and len(parameters) == len(pairs)  # RFC 6749 §3.1: no parameter twice
            and same(parameters.get("state"), self._state)
        )
        if not is_right:
            return 404, _STRAY
        self._found = parameters
        return (200, _DONE) if "code" in parameters else (400, _FAILED)


def _headers(size: int) -> dict[str, str]:
    return {
        "content-type": "text/html; charset=utf-8",
        "content-length": str(size),
        "connection": "close",
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    }


def _address(text: str) -> tuple[str, int]:
    """Return host and port of a listen address, loopback only (RFC 8252 §8.3)."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    is_port = not text or (colon and port.isascii() and port.isdigit() and int(port) < 65536)
    if not is_port or not is_loopback(host):
        raise Error(
            Kind.CONFIGURATION,
            f"listen_address {text!r} is no port of loopback",
            hint="write it as 127.0.0.1:10000, or leave it out",
        )
    return "127.0.0.1" if host == "localhost" else host, int(port or 0)
