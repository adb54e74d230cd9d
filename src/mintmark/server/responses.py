"""Responses as octets: what heads have in common is encoded once a second.

RFC 9110 §6.6.1 wants a Date; it changes once a second, so everything before the last field is
kept until the next one. Nothing here names the server or its version.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import msgspec

from mintmark.model.errors import Error
from mintmark.wire.http import Response
from mintmark.wire.problem import MEDIA_TYPE, problem

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
# field-name, and field-content without leading or trailing blanks (RFC 9110 §5.1, §5.5).
_HEADER: Final = re.compile(
    r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: (?![\t ])[\t\x20-\x7e\x80-\xff]+(?<![\t ])"
).fullmatch
_CONNECTION: Final = (b"", b"Connection: close\r\n", b"Connection: keep-alive\r\n")
_HEADS_KEPT: Final = 256

# What happens to the connection after a response; an index into _CONNECTION.
PERSIST: Final = 0  # HTTP/1.1 needs no word for it (RFC 9112 §9.3)
CLOSE: Final = 1
KEEP_ALIVE: Final = 2  # says so to an HTTP/1.0 client

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Heads:
    """Encodes heads of responses, and remembers them until the date changes."""

    __slots__ = ("_date", "_known")

    def __init__(self, now: float) -> None:
        self._known: dict[tuple[object, ...], bytes] = {}
        self.date(now)

    def date(self, now: float) -> None:
        """Set the Date that responses carry, Unix seconds; call it once a second."""
        self._date = formatdate(int(now), usegmt=True).encode()
        self._known.clear()

    def encode(self, response: Response, connection: int) -> bytes:
        """Return the head of `response`, with the empty line that ends it.

        Args:
            response: what the application answered.
            connection: PERSIST, CLOSE or KEEP_ALIVE.

        Raises:
            ValueError: the status is not a final one that HTTP knows, or a header has octets
                that would break the message (RFC 9110 §5.5).
        """
        headers = response.headers
        # Of most responses, only the last field is their own, as Location or ETag.
        key = (response.status, response.content_type, headers[:-1], connection)
        begin = self._known.get(key)
        if begin is None:
            begin = self._remember(key, response, connection)
        last = _field_line(headers[-1]) if headers else b""
        if response.status == 204:  # no Content-Length (RFC 9110 §8.6)
            return b"%b%b\r\n" % (begin, last)
        return b"%b%bContent-Length: %d\r\n\r\n" % (begin, last, len(response.body))

    def _remember(self, key: tuple[object, ...], response: Response, connection: int) -> bytes:
        """Encode everything before the last field."""
        status_line = _STATUS_LINES.get(response.status)
        if status_line is None or response.status < 200:
            raise ValueError(f"status {response.status} is not a final HTTP status")
        fields = response.headers[:-1]
        if response.content_type:
            fields = (("Content-Type", response.content_type), *fields)
        encoded = b"%bDate: %b\r\n%b%b" % (
            status_line,
            self._date,
            _CONNECTION[connection],
            b"".join(map(_field_line, fields)),
        )
        if len(self._known) >= _HEADS_KEPT:
            self._known.clear()
        self._known[key] = encoded
        return encoded


def _field_line(field: tuple[str, str]) -> bytes:
    name, value = field
    line = f"{name}: {value}"
    if not _HEADER(line):
        raise ValueError(f"header {line!r} cannot be sent")
    return line.encode("latin-1") + b"\r\n"


def refusal(status: int, error: Error, instance: str = "") -> Response:
    """Return a problem document for what the server itself refuses.

    Which protocol was meant is not known yet: the member `message` (RFC 9457 §3.2) is the one
    that clients of the step protocol show.

    Args:
        status: HTTP status, which HTTP itself prescribes for most of these.
        error: the refusal.
        instance: see `problem`.
    """
    headers = () if error.retry_after is None else (("Retry-After", str(error.retry_after)),)
    document = msgspec.json.decode(problem(error, status, instance))
    body = msgspec.json.encode(document | {"message": document["detail"]})
    return Response(status, body, MEDIA_TYPE, headers)
