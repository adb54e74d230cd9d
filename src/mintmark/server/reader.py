"""Requests out of octets: llhttp reads, this decides what is worth reading (RFC 9112).

No I/O and no clock: octets go in, complete requests or one refusal come out. A message that
two readers could frame differently is refused and nothing after it is read (RFC 9112 §11.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import httptools

from mintmark.model.errors import Error, Kind
from mintmark.server import target
from mintmark.server.limits import Limits
from mintmark.server.responses import CLOSE, KEEP_ALIVE, PERSIST
from mintmark.wire.http import Peer, Request

# What is being read; see `RequestReader.phase`.
NOTHING: Final = 0
HEADER: Final = 1
BODY: Final = 2

_METHODS: Final = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}
# Where there is a second one of these, two readers could each believe another.
_SINGLE: Final = frozenset(
    ("host", "content-length", "content-type", "authorization", "expect", "idempotency-key")
)


class Refusal(Exception):  # noqa: N818 - an answer on its way out of llhttp
    """The server itself says no to a request, and reads no further.

    Args:
        status: HTTP status.
        error: what is refused.
    """

    def __init__(self, status: int, error: Error) -> None:
        super().__init__(error.detail)
        self.status: Final = status
        self.error: Final = error


def _malformed(detail: str) -> Refusal:
    return Refusal(400, Error(Kind.MALFORMED, detail))


class RequestReader:
    """Reads the requests of one connection.

    Args:
        limits: sizes and counts.
        peer: who sends; every request carries it.
        encoded_slash: see `target.parse`.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_encoded_slash",
        "_fields",
        "_headers",
        "_known",
        "_limits",
        "_method",
        "_parser",
        "_path",
        "_peer",
        "_query",
        "_unseen",
        "_upgrade",
        "_url",
        "_version",
        "complete",
        "expects_continue",
        "has_ended",
        "phase",
        "steps",
    )

    def __init__(self, limits: Limits, peer: Peer, *, encoded_slash: bool) -> None:
        self._limits = limits
        self._peer = peer
        self._encoded_slash = encoded_slash
        self._parser: Any = httptools.HttpRequestParser(self)
        self._method = self._path = self._query = ""
        self._version = ""
        self._unseen = 0
        # What the last request began with, and what was made of it: on a kept connection the
        # next one mostly begins the same.
        self._known: Any = ((b"", b"", "", []), {})
        self._upgrade = False
        self.steps = 0
        """Counts changes of `phase`, so that a deadline is set once for each."""
        self.has_ended = False
        """Whether the last request was read, or refused: nothing more is."""
        self.complete: list[tuple[Request, int]] = []
        """Requests read, in order, each with PERSIST, CLOSE or KEEP_ALIVE; taken by the caller."""
        self._headers: Mapping[str, str] = {}
        self._begin()

    def _begin(self) -> None:
        self.phase = NOTHING
        self.steps += 1
        self._url = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: bytes | bytearray = b""
        self._body_bytes = 0
        self.expects_continue = False

    def feed(self, data: bytes) -> None:
        """Read on.

        Raises:
            Refusal: what the limits or the grammar exclude; `complete` still has the requests
                before it.
        """
        if self.has_ended:
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._feed_on(data, error)
        if self.phase is not NOTHING:
            self._count_unseen(len(data))

    def close(self) -> None:
        """Let go of llhttp, which holds on to this reader: nobody waits for the collector."""
        self._parser = None

    def _feed_on(self, data: bytes, error: Exception) -> None:
        """Go on after llhttp stopped, if it did so for an upgrade."""
        unread = memoryview(data)
        while isinstance(error, httptools.HttpParserUpgrade) and not self.has_ended:
            unread = unread[error.args[0] :]
            try:
                self._read_without_upgrade()
                self._parser.feed_data(unread)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as next_error:
                error = next_error
            else:
                return
        if self.has_ended:
            return  # data after the last request (RFC 9112 §9.6)
        self.has_ended = True
        if isinstance(error.__context__, Refusal):
            raise error.__context__ from None
        raise _malformed(f"this is not HTTP/1.1: {error}") from error

    def _read_without_upgrade(self) -> None:
        """Read a head again as if it had not asked for an upgrade (RFC 9110 §7.8).

        llhttp takes what follows such a head for another protocol, even if it is a body.
        """
        line = f"{self._method} {self._url.decode('ascii')} HTTP/{self._version}"
        fields = (b"%b: %b" % field for field in self._fields if field[0].lower() != b"upgrade")
        head = b"\r\n".join((line.encode("ascii"), *fields, b"", b""))
        self._upgrade = False
        self._begin()
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(head)

    def _count_unseen(self, size: int) -> None:
        """Limit what llhttp keeps or skips without telling: half a field, chunk extensions."""
        if self._unseen < 0:
            self._unseen = 0  # this data began with something else; at most one read's worth
            return
        self._unseen += size
        limits = self._limits
        if self.phase is HEADER:
            if self._unseen > limits.target_bytes + limits.header_bytes:
                self.has_ended = True
                raise _header_too_large(limits)
        elif self._unseen > limits.header_bytes + 8 * limits.body_bytes:
            # A chunk of one octet takes six on the wire: more than that is not a body.
            self.has_ended = True
            raise _body_too_large(limits)

    # What llhttp calls.

    def on_url(self, url: bytes) -> None:
        """The request target, or a piece of it: a request has begun."""
        if self.phase is NOTHING:
            if self.has_ended:
                raise _malformed("nothing is read after the last request")
            self.phase = HEADER
            self.steps += 1
            self._unseen = -1
            self._url = url
        else:
            self._url += url
        if len(self._url) > self._limits.target_bytes:
            detail = f"the request target is longer than {self._limits.target_bytes} octets"
            raise Refusal(414, Error(Kind.TOO_LARGE, detail))

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or a trailer field: that may be discarded (RFC 9110 §6.5.1)."""
        if self.phase is HEADER:
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """The empty line: decide whether the body is worth reading."""
        parser = self._parser
        head = (parser.get_method(), self._url, parser.get_http_version(), self._fields)
        known, made = self._known
        if head != known:
            made = self._head(*head)
            self._known = head, made
        self._method, self._path, self._query, self._version, self._headers = made
        if "upgrade" in self._headers:
            self._upgrade = parser.should_upgrade()
        self.expects_continue = "expect" in self._headers and self._version == "1.1"
        self.phase = BODY
        self.steps += 1
        self._unseen = -1

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(data)
        if self._body_bytes > self._limits.body_bytes:
            raise _body_too_large(self._limits)
        if not self._body:
            self._body = data
            return
        if isinstance(self._body, bytes):
            self._body = bytearray(self._body)
        self._body += data

    def on_message_complete(self) -> None:
        """A whole request."""
        if self._upgrade:
            return  # it is read again, see _without_upgrade
        if len(self.complete) >= self._limits.pipelined:
            self.has_ended = True
            return
        body = self._body
        request = Request(
            self._method,
            self._path,
            self._query,
            self._headers,
            body if isinstance(body, bytes) else bytes(body),
            self._peer,
        )
        if not self._parser.should_keep_alive():
            self.has_ended = True
            self.complete.append((request, CLOSE))
        else:
            self.complete.append((request, KEEP_ALIVE if self._version == "1.0" else PERSIST))
        self._begin()

    # What they decide by.

    def _head(
        self, method: bytes, url: bytes, version: str, fields: list[tuple[bytes, bytes]]
    ) -> tuple[str, str, str, str, Mapping[str, str]]:
        """Check the head of a request; return method, path, query, version and headers."""
        if method not in _METHODS:
            allowed = ", ".join(_METHODS.values())
            raise Refusal(501, Error(Kind.MALFORMED, f"the method is not one of {allowed}"))
        if version not in ("1.1", "1.0"):
            raise Refusal(505, Error(Kind.MALFORMED, f"HTTP/{version} is not spoken here"))
        headers = self._header_fields(fields)
        if version == "1.1" and "host" not in headers:  # RFC 9112 §3.2
            raise _malformed("the request has no Host field")
        if version == "1.0" and "transfer-encoding" in headers:  # RFC 9112 §6.1
            raise _malformed("an HTTP/1.0 request has a Transfer-Encoding")
        try:
            path, query = target.parse(url, encoded_slash=self._encoded_slash)
        except ValueError as error:
            raise _malformed(str(error)) from None
        self._check_body(headers)
        if headers.get("expect", "100-continue").lower() != "100-continue" and version == "1.1":
            # RFC 9110 §10.1.1
            raise Refusal(417, Error(Kind.MALFORMED, "the expectation is not 100-continue"))
        # The same mapping serves many requests, so nobody may write to it.
        return _METHODS[method], path, query, version, MappingProxyType(headers)

    def _header_fields(self, fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
        limits = self._limits
        if len(fields) > limits.header_count:
            detail = f"the request has more than {limits.header_count} header fields"
            raise Refusal(431, Error(Kind.TOO_LARGE, detail))
        if sum(len(name) + len(value) + 4 for name, value in fields) > limits.header_bytes:
            raise _header_too_large(limits)
        headers: dict[str, str] = {}
        for name, value in fields:
            key = name.decode("ascii").lower()
            text = value.decode("latin-1")
            if key in headers:
                if key in _SINGLE:
                    raise _malformed(f"the request has two {key} fields")
                text = f"{headers[key]}, {text}"
            headers[key] = text
        return headers

    def _check_body(self, headers: dict[str, str]) -> None:
        coding = headers.get("transfer-encoding")
        size = headers.get("content-length")
        if coding is not None:
            if size is not None:  # RFC 9112 §6.3
                raise _malformed("the request has both Transfer-Encoding and Content-Length")
            if coding.lower() != "chunked":  # RFC 9112 §6.1
                raise Refusal(501, Error(Kind.MALFORMED, "the transfer coding is not chunked"))
        elif size is not None and int(size) > self._limits.body_bytes:
            raise _body_too_large(self._limits)


def _header_too_large(limits: Limits) -> Refusal:
    detail = f"the request's header fields are larger than {limits.header_bytes} octets"
    return Refusal(431, Error(Kind.TOO_LARGE, detail))


def _body_too_large(limits: Limits) -> Refusal:
    detail = f"the request's body is larger than {limits.body_bytes} octets"
    return Refusal(413, Error(Kind.TOO_LARGE, detail))
