"""An HTTP request and response as values, so that no adapter knows the server it runs in."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection.

    Args:
        address: its IP address as text, without the port.
        certificate: DER of the client certificate that TLS verified, or None.
        tls: TLS version as `TLSv1.3`; empty on plain HTTP.
        memo: what a trusted caller in this process says of itself; of a connection, empty.
    """

    address: str
    certificate: bytes | None = None
    tls: str = ""
    memo: dict[str, object] = field(default_factory=dict)

    @property
    def network(self) -> str:
        """Who is counted as one where addresses are limited; see `network_of`."""
        return network_of(self.address)


def network_of(address: str) -> str:
    """Return an IPv4 address as it is, and of an IPv6 address its network of 64 bits.

    One host has all the addresses of such a network to itself (RFC 4291 §2.5.1, RFC 7421).
    """
    if ":" not in address:
        return address
    parsed = ipaddress.IPv6Address(address)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64)) + "/64"


class Request(msgspec.Struct, gc=False):
    """One request, read completely; its limits were enforced while reading.

    Args:
        method: upper case.
        path: percent-decoded once, starts with `/`, without the query.
        query: the raw query string, without `?`.
        headers: names in lower case; a repeated header is joined by `, ` (RFC 9110 §5.3).
        body: complete.
        peer: who sent it.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    peer: Peer


class Response(msgspec.Struct, frozen=True, gc=False):
    """One response, complete; the server adds Content-Length, Date and Connection.

    Args:
        status: HTTP status code.
        body: the octets, which may be empty.
        content_type: empty sends no Content-Type.
        headers: further headers, (name, value); values never contain CR or LF.
    """

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
