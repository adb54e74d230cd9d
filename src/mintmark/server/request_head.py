"""The head of a request: what a request line and its fields mean, and whether to read on.

Clients send the same head again and again, on one connection and on the next one, so what was
made of the last few is shared by all connections of a listener. Only fields that say nothing of
who asks are remembered: no token outlives its request here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

from mintmark.model.errors import Error, Kind
from mintmark.server import target
from mintmark.server.limits import Limits

_METHODS: Final = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
}
# Where there is a second one of these, two readers could each believe another.
_SINGLE: Final = frozenset(
    ("host", "content-length", "content-type", "authorization", "expect", "idempotency-key")
)
# Heads with other fields are read anew each time, and so is one with a query.
_REMEMBERED: Final = frozenset(
    (
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "transfer-encoding",
        "user-agent",
    )
)
_REMEMBERED_BYTES: Final = 512
_HEADS_KEPT: Final = 512


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


class Head(msgspec.Struct, frozen=True, gc=False):
    """The head of a request that is worth reading.

    Args:
        method: as in `Request`.
        path: as in `Request`.
        query: as in `Request`.
        headers: as in `Request`; many requests share it, so nobody may write to it.
        version: of HTTP, `1.1` or `1.0`.
        expects_continue: whether the client waits for a word before it sends the body.
        wants_upgrade: whether it names another protocol.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    version: str
    expects_continue: bool
    wants_upgrade: bool


class HeadReader:
    """Reads the heads of all requests of a listener.

    Args:
        limits: sizes and counts.
        encoded_slash: see `target.parse`.
    """

    __slots__ = ("_encoded_slash", "_known", "limits")

    def __init__(self, limits: Limits, *, encoded_slash: bool) -> None:
        self.limits: Final = limits
        self._encoded_slash = encoded_slash
        self._known: dict[tuple[object, ...], Head] = {}

    def __len__(self) -> int:
        return len(self._known)

    def read(
        self, method: bytes, url: bytes, version: str, fields: list[tuple[bytes, bytes]]
    ) -> Head:
        """Return the head that these octets are.

        Raises:
            Refusal: what the limits or the grammar exclude.
        """
        key = (method, url, version, *fields)
        head = self._known.get(key)
        if head is not None:
            return head
        head = self._head(method, url, version, fields)
        size = len(url) + sum(len(name) + len(value) for name, value in fields)
        if size <= _REMEMBERED_BYTES and not head.query and _REMEMBERED.issuperset(head.headers):
            if len(self._known) >= _HEADS_KEPT:
                self._known.clear()
            self._known[key] = head
        return head

    def _head(
        self, method: bytes, url: bytes, version: str, fields: list[tuple[bytes, bytes]]
    ) -> Head:
        if method not in _METHODS:
            allowed = ", ".join(_METHODS.values())
            raise Refusal(501, Error(Kind.MALFORMED, f"the method is not one of {allowed}"))
        if version not in ("1.1", "1.0"):
            raise Refusal(505, Error(Kind.MALFORMED, f"HTTP/{version} is not spoken here"))
        headers = self._headers(fields)
        if version == "1.1" and "host" not in headers:  # RFC 9112 §3.2
            raise malformed("the request has no Host field")
        if version == "1.0" and "transfer-encoding" in headers:  # RFC 9112 §6.1
            raise malformed("an HTTP/1.0 request has a Transfer-Encoding")
        try:
            path, query = target.parse(url, encoded_slash=self._encoded_slash)
        except ValueError as error:
            raise malformed(str(error)) from None
        self._check_body(headers)
        if headers.get("expect", "100-continue").lower() != "100-continue" and version == "1.1":
            # RFC 9110 §10.1.1
            raise Refusal(417, Error(Kind.MALFORMED, "the expectation is not 100-continue"))
        return Head(
            _METHODS[method],
            path,
            query,
            MappingProxyType(headers),
            version,
            expects_continue="expect" in headers and version == "1.1",
            wants_upgrade="upgrade" in headers,
        )

    def _headers(self, fields: list[tuple[bytes, bytes]]) -> dict[str, str]:
        limits = self.limits
        if len(fields) > limits.header_count:
            detail = f"the request has more than {limits.header_count} header fields"
            raise Refusal(431, Error(Kind.TOO_LARGE, detail))
        if sum(len(name) + len(value) + 4 for name, value in fields) > limits.header_bytes:
            raise header_too_large(limits)
        headers: dict[str, str] = {}
        for name, value in fields:
            key = name.decode("ascii").lower()
            text = value.decode("latin-1")
            if key in headers:
                if key in _SINGLE:
                    raise malformed(f"the request has two {key} fields")
                text = f"{headers[key]}, {text}"
            headers[key] = text
        return headers

    def _check_body(self, headers: dict[str, str]) -> None:
        """Decide whether the body is worth reading."""
        coding = headers.get("transfer-encoding")
        size = headers.get("content-length")
        if coding is not None:
            if size is not None:  # RFC 9112 §6.3
                raise malformed("the request has both Transfer-Encoding and Content-Length")
            if coding.lower() != "chunked":  # RFC 9112 §6.1
                raise Refusal(501, Error(Kind.MALFORMED, "the transfer coding is not chunked"))
        elif size is not None and int(size) > self.limits.body_bytes:
            raise body_too_large(self.limits)


def malformed(detail: str) -> Refusal:
    """Return the refusal of what is no HTTP, or of what two readers could read in two ways."""
    return Refusal(400, Error(Kind.MALFORMED, detail))


def header_too_large(limits: Limits) -> Refusal:
    """Return the refusal of a head that is too large."""
    detail = f"the request's header fields are larger than {limits.header_bytes} octets"
    return Refusal(431, Error(Kind.TOO_LARGE, detail))


def body_too_large(limits: Limits) -> Refusal:
    """Return the refusal of a body that is too large."""
    detail = f"the request's body is larger than {limits.body_bytes} octets"
    return Refusal(413, Error(Kind.TOO_LARGE, detail))
