"""http-01: a file on the web server of the name (RFC 8555 §8.3, RFC 8738 §4 for addresses).

What comes back is compared and never repeated to the client: a redirect can lead the request to
a server that only the authority reaches, and its answer is nobody's business.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import ssl
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import SplitResult, urljoin, urlsplit

import httptools

import mintmark
from mintmark.protocol.acme.validation.endpoint import why
from mintmark.protocol.acme.validation.outcome import Attempt, ChallengeError, Validated, shown
from mintmark.protocol.acme.validation.reach import Reach, ip_literal, tls_reason
from mintmark.protocol.acme.validation.settings import ValidationSettings

PATH: Final = "/.well-known/acme-challenge/"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_LOCATION: Final = 2048  # octets
_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?\.?", re.ASCII)
_TARGET: Final = re.compile(r"[!-~]*", re.ASCII)  # a request target has no white space
_WHITE_SPACE: Final = b" \t\r\n\v\f"


@dataclass(frozen=True, slots=True)
class Target:
    """A URL to fetch, taken apart.

    Args:
        https: whether TLS is spoken.
        host: lower case name, or an address without brackets.
        port: where.
        path: with its query, as sent.
    """

    https: bool
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.https else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{'https' if self.https else 'http'}://{self.authority}{self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP response, as much of it as matters."""

    status: int
    location: str | None
    media_type: str
    body: bytes


async def validate(attempt: Attempt, reach: Reach, tls: ssl.SSLContext) -> Validated:
    """Fetch the key authorization, following redirects.

    Raises:
        ChallengeError: it is not there.
    """
    settings = reach.settings
    target = Target(False, attempt.identifier.value, settings.http_port, PATH + attempt.token)
    visited: list[Target] = []
    while True:
        answer, place = await _fetch(target, attempt, reach, tls)
        visited.append(target)
        where = _where(visited, place)
        if answer.status not in _REDIRECTS:
            return _compare(answer, attempt, where)
        if len(visited) > settings.redirects:
            raise ChallengeError("connection", f"{where}: more than {settings.redirects} redirects")
        target = follow(target, answer.location, where, settings)
        if target in visited:
            raise ChallengeError("connection", f"{where}: a redirect loop, back to {target}")


def _where(visited: list[Target], place: str) -> str:
    """Return what was fetched where, for a sentence."""
    where = f"{visited[-1]} on {place}"
    return f"{where} (redirected from {visited[0]})" if len(visited) > 1 else where


def _compare(answer: Answer, attempt: Attempt, where: str) -> Validated:
    """Accept the key authorization, white space after it ignored (§8.3)."""
    if answer.status != 200:
        raise ChallengeError(
            "incorrectResponse",
            f"{where}: the server answered {answer.status} and not 200 with the key "
            "authorization; does it serve the challenge directory for this name?",
        )
    body = answer.body.rstrip(_WHITE_SPACE)
    if hmac.compare_digest(body, attempt.key_authorization.encode("ascii")):
        return Validated(where)
    raise ChallengeError(
        "incorrectResponse",
        f"{where}: the answer is not the key authorization but {_kind(body, answer, attempt)}",
    )


def _kind(body: bytes, answer: Answer, attempt: Attempt) -> str:
    """Say what a wrong answer is, without repeating it."""
    if not body:
        return "empty"
    if body.startswith(attempt.token.encode("ascii") + b"."):
        return "one for this token with another thumbprint: another account's key made it"
    if body.startswith(b"<") or answer.media_type == "text/html":
        return f"an HTML page of {len(body)} octets"
    return f"something else, of {len(body)} octets"


def follow(base: Target, location: str | None, where: str, settings: ValidationSettings) -> Target:
    """Return where a redirect leads, if it may be followed.

    Raises:
        ChallengeError: connection, for anything but http and https on their ports.
    """
    if not location:
        raise ChallengeError("connection", f"{where}: a redirect without a Location header")
    if len(location) > _MAX_LOCATION or not _TARGET.fullmatch(location):
        raise ChallengeError(
            "connection",
            f"{where}: a redirect to {shown(location)}, which is no URL of at most "
            f"{_MAX_LOCATION} printable ASCII characters",
        )
    try:
        parts = urlsplit(urljoin(str(base), location))
        port = parts.port
    except ValueError as error:
        raise ChallengeError(
            "connection", f"{where}: a redirect to {shown(location)}: {error}"
        ) from None
    if parts.scheme not in {"http", "https"}:
        raise _unfollowed(where, location, "only http and https are followed")
    https = parts.scheme == "https"
    if port is None:
        port = settings.https_port if https else settings.http_port
    allowed = sorted({80, 443, settings.http_port, settings.https_port})
    if port not in allowed:
        raise _unfollowed(where, location, f"only ports {_either(allowed)} are followed")
    return Target(https, _host(parts, location, where, settings), port, _path(parts))


def _host(parts: SplitResult, location: str, where: str, settings: ValidationSettings) -> str:
    if "@" in parts.netloc:
        raise _unfollowed(where, location, "it has user information")
    host = parts.hostname or ""
    literal = ip_literal(host)
    if literal is None:
        if "[" in parts.netloc or not _HOST.fullmatch(host):
            raise _unfollowed(where, location, "it names no host")
        return host.removesuffix(".")
    if not settings.allow_private:
        raise _unfollowed(where, location, "an address in place of a name is not followed")
    return literal


def _path(parts: SplitResult) -> str:
    path = parts.path or "/"
    return f"{path}?{parts.query}" if parts.query else path


def _unfollowed(where: str, location: str, rule: str) -> ChallengeError:
    return ChallengeError("connection", f"{where}: a redirect to {shown(location)}: {rule}")


def _either(ports: list[int]) -> str:
    return " and ".join((", ".join(map(str, ports[:-1])), str(ports[-1])))


async def _fetch(
    target: Target, attempt: Attempt, reach: Reach, tls: ssl.SSLContext
) -> tuple[Answer, str]:
    """Send one GET and read its answer; the address it came from is returned with it."""
    addresses = await reach.addresses(target.host, attempt)
    transport, reader, place = await reach.connect(
        lambda: _Reader(target, reach.settings),
        addresses,
        target.port,
        str(target),
        attempt,
        (tls, target.host) if target.https else None,
    )
    attempt.at("connection", f"reading the answer of {target} on {place}")
    try:
        return await reader.answer, place
    except ChallengeError as error:
        detail = f"{target} on {place}: {error.failed.detail}"
        raise ChallengeError(error.failed.kind, detail) from None
    finally:
        transport.abort()


class _Reader(asyncio.Protocol):
    """Sends the request as soon as it is connected, and reads one response within limits."""

    def __init__(self, target: Target, settings: ValidationSettings) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._target = target
        self._settings = settings
        self._parser = httptools.HttpResponseParser(self)
        self._header_bytes = 0
        self._headers: dict[bytes, bytes] = {}
        self._body = bytearray()
        self._in_body = False

    # What the transport tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(
            f"GET {self._target.path} HTTP/1.1\r\nHost: {self._target.authority}\r\n"
            f"User-Agent: mintmark/{mintmark.__version__}\r\nAccept: */*\r\n"
            "Accept-Encoding: identity\r\nConnection: close\r\n\r\n".encode("ascii")
        )

    def data_received(self, data: bytes) -> None:
        if self.answer.done():
            return
        if not self._in_body:
            self._header_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the server changed to another protocol (101)")
        except httptools.HttpParserError:
            self._fail("what came back is not HTTP/1.1")
        if not self._in_body and self._header_bytes > self._settings.header_bytes:
            self._fail(f"the header has more than {self._settings.header_bytes} octets")

    def eof_received(self) -> None:
        self._ended()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._ended()
        elif isinstance(exc, ssl.SSLError):
            self._fail(f"TLS failed: {tls_reason(exc)}", "tls")
        else:
            reason = why(exc) if isinstance(exc, OSError) else str(exc)
            self._fail(f"{reason} before the answer was complete")

    # What the parser tells.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._headers.clear()  # informational; the answer comes after it (RFC 9110 §15.2)
            return
        self._in_body = True
        if status != 200:
            self._done()

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > self._settings.body_bytes:
            self._fail(f"the answer has more than {self._settings.body_bytes} octets")

    def on_message_complete(self) -> None:
        if self._in_body:
            self._done()

    def _ended(self) -> None:
        """Take the end of the connection for the end of the answer where it is (RFC 9112 §6.3)."""
        framed = b"content-length" in self._headers or b"transfer-encoding" in self._headers
        if self._in_body and not framed:
            self._done()
        else:
            self._fail("the connection was closed before the answer was complete")

    def _done(self) -> None:
        if not self.answer.done():
            headers = self._headers
            location = headers.get(b"location")
            self.answer.set_result(
                Answer(
                    self._parser.get_status_code(),
                    None if location is None else location.decode("latin-1"),
                    headers.get(b"content-type", b"").partition(b";")[0].decode("latin-1").lower(),
                    bytes(self._body),
                )
            )

    def _fail(self, detail: str, kind: str = "connection") -> None:
        if not self.answer.done():
            self.answer.set_exception(ChallengeError(kind, detail))
