"""Section `server`: where the server listens, how clients name it, what one of them can take."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from mintmark.model.errors import Error
from mintmark.model.identifiers import IdentifierType
from mintmark.model.time import HOUR
from mintmark.server.sections import Section, key, span, wrong
from mintmark.server.settings.values import Count, Line, Port, Some
from mintmark.wire import identifiers

Patience = Annotated[int, span(1, HOUR)]


class ConnectionLimits(Section, frozen=True, kw_only=True):
    """What one client can take of the server."""

    header_bytes: Annotated[
        Annotated[int, Meta(ge=1024, le=1_048_576)],
        key("Octets of a request line with its headers.", "memory of every connection"),
    ] = 16_384
    body_bytes: Annotated[
        Annotated[int, Meta(ge=4096, le=16_777_216)],
        key("Octets of a request body.", "memory of every request"),
    ] = 65_536
    connections: Annotated[Count, key("Open connections of a process.", "memory")] = 4096
    connections_per_address: Annotated[
        Count,
        key(
            "Open connections of one client: an IPv4 address, or an IPv6 network of 64 bits.",
            "one client can starve others",
        ),
    ] = 1024
    header_timeout: Annotated[
        Patience, key("A request's headers arrive within this.", "slow clients hold connections")
    ] = 10
    body_timeout: Annotated[
        Patience, key("A request's body arrives within this.", "slow clients hold connections")
    ] = 30
    idle_timeout: Annotated[
        Patience,
        key(
            "A connection without a request is closed after this.", "idle clients hold connections"
        ),
    ] = 75


class Server(Section, frozen=True, kw_only=True):
    """Where the server listens, and how clients name it."""

    listen: Annotated[
        Some,
        key("Addresses to listen on; 0.0.0.0 and '::' mean all.", "more networks reach the server"),
    ] = ("127.0.0.1",)
    https_port: Annotated[Port, key("Port of the API, TLS.", "denial of service")] = 8443
    http_port: Annotated[
        Port,
        key(
            "Port of CRL, OCSP, issuer certificates and health: plain HTTP, signed content.",
            "denial of service",
        ),
    ] = 8080
    names: Annotated[
        Some,
        key(
            "DNS names and addresses in the server's own certificate.",
            "a server certificate for other names",
        ),
    ] = ("localhost", "127.0.0.1", "::1")
    public_http_url: Annotated[
        Line | None,
        key(
            "URL under which everybody reaches http_port; certificates carry it. "
            "null: http:// with the first DNS name above and http_port.",
            "keeps clients from revocation data, which it cannot forge",
        ),
    ] = None
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=256)],
        key("Server processes: one for each processor core it may use.", "memory"),
    ] = 1
    limits: ConnectionLimits = ConnectionLimits()


def public_http_url(server: Server) -> str:
    """Return the URL, without a slash at its end, that certificates point to."""
    if server.public_http_url is not None:
        return server.public_http_url.rstrip("/")
    names = server.names
    first = next((name for name in names if not _is_address(name)), names[0])
    host = f"[{first}]" if ":" in first else first
    return f"http://{host}:{server.http_port}"


def problems(server: Server) -> Iterator[Error]:
    """Yield what is wrong although each key by itself is of its form."""
    for number, address in enumerate(server.listen):
        if not _is_address(address):
            yield wrong(f"'server.listen[{number}]' is '{address}'; it has to be an IP address")
    if server.https_port == server.http_port:
        yield wrong(f"'server.https_port' and 'server.http_port' are both {server.http_port}")
    for number, name in enumerate(server.names):
        # Parsing the first DNS name loads the list of public suffixes, 0.1 s; the defaults
        # need no look at it.
        if name == "localhost" or _is_address(name):
            continue
        try:
            found = identifiers.parse_any(name)
        except Error as error:
            yield wrong(f"'server.names[{number}]': {error.detail}")
            continue
        if found.type not in (IdentifierType.DNS, IdentifierType.IP):
            yield wrong(f"'server.names[{number}]' is '{name}'; it has to be a DNS name or address")
    if server.public_http_url is not None and not _is_plain_http(server.public_http_url):
        yield wrong(
            f"'server.public_http_url' is '{server.public_http_url}'; it has to be a URL of "
            "scheme http with a host and no query (RFC 5280 §8: https would loop)"
        )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_plain_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        fine = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    visible = url.isascii() and url.isprintable() and " " not in url
    return fine and visible and not (parts.query or parts.fragment or parts.username)
