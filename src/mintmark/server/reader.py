"""Requests out of octets: llhttp reads, this decides what is worth reading (RFC 9112).

No I/O and no clock: octets go in, complete requests or one refusal come out. A message that
two readers could frame differently is refused and nothing after it is read (RFC 9112 §11.2).
"""

from __future__ import annotations

from typing import Any, Final

import httptools

from mintmark.model.errors import Error, Kind
from mintmark.server.request_head import (
    Head,
    HeadReader,
    Refusal,
    body_too_large,
    header_too_large,
    malformed,
)
from mintmark.server.responses import CLOSE, KEEP_ALIVE, PERSIST
from mintmark.wire.http import Peer, Request

# What is being read; see `RequestReader.phase`.
NOTHING: Final = 0
HEADER: Final = 1
BODY: Final = 2


class RequestReader:
    """Reads the requests of one connection.

    Args:
        heads: reads the heads.
        peer: who sends; every request carries it.
    """

    __slots__ = (
        "_body",
        "_body_bytes",
        "_fields",
        "_head",
        "_heads",
        "_limits",
        "_parser",
        "_peer",
        "_unseen",
        "_upgrade",
        "_url",
        "complete",
        "expects_continue",
        "has_ended",
        "phase",
        "steps",
    )

    def __init__(self, heads: HeadReader, peer: Peer) -> None:
        self._heads = heads
        self._limits = heads.limits
        self._peer = peer
        self._parser: Any = httptools.HttpRequestParser(self)
        self._head: Head | None = None
        self._unseen = 0
        self._upgrade = False
        self.steps = 0
        """Counts changes of `phase`, so that a deadline is set once for each."""
        self.has_ended = False
        """Whether the last request was read, or refused: nothing more is."""
        self.complete: list[tuple[Request, int]] = []
        """Requests read, in order, each with PERSIST, CLOSE or KEEP_ALIVE; taken by the caller."""
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
        raise malformed(f"this is not HTTP/1.1: {error}") from error

    def _read_without_upgrade(self) -> None:
        """Read a head again as if it had not asked for an upgrade (RFC 9110 §7.8).

        llhttp takes what follows such a head for another protocol, even if it is a body.
        """
        head: Any = self._head
        line = f"{head.method} {self._url.decode('ascii')} HTTP/{head.version}"
        fields = (b"%b: %b" % field for field in self._fields if field[0].lower() != b"upgrade")
        octets = b"\r\n".join((line.encode("ascii"), *fields, b"", b""))
        self._upgrade = False
        self._begin()
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(octets)

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
                raise header_too_large(limits)
        elif self._unseen > limits.header_bytes + 8 * limits.body_bytes:
            # A chunk of one octet takes six on the wire: more than that is not a body.
            self.has_ended = True
            raise body_too_large(limits)

    # What llhttp calls.

    def on_url(self, url: bytes) -> None:
        """The request target, or a piece of it: a request has begun."""
        if self.phase is NOTHING:
            if self.has_ended:
                raise malformed("nothing is read after the last request")
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
        head = self._heads.read(
            parser.get_method(), self._url, parser.get_http_version(), self._fields
        )
        self._head = head
        if head.wants_upgrade:
            self._upgrade = parser.should_upgrade()
        self.expects_continue = head.expects_continue
        self.phase = BODY
        self.steps += 1
        self._unseen = -1

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self._body_bytes += len(data)
        if self._body_bytes > self._limits.body_bytes:
            raise body_too_large(self._limits)
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
        head: Any = self._head
        body = self._body
        request = Request(
            head.method,
            head.path,
            head.query,
            head.headers,
            body if isinstance(body, bytes) else bytes(body),
            self._peer,
        )
        if not self._parser.should_keep_alive():
            self.has_ended = True
            self.complete.append((request, CLOSE))
        else:
            self.complete.append((request, KEEP_ALIVE if head.version == "1.0" else PERSIST))
        self._begin()
