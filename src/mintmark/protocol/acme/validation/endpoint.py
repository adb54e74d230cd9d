"""Addresses and ports: as the configuration writes them, and as sentences tell of them."""

from __future__ import annotations

import errno
import ipaddress
from typing import Final

from mintmark.model.errors import Error, Kind
from mintmark.protocol.acme.validation.settings import ValidationSettings

_REASONS: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset",
    errno.ENETUNREACH: "network unreachable",
    errno.EHOSTUNREACH: "no route to host",
    errno.EADDRNOTAVAIL: "address not available here",
    errno.ETIMEDOUT: "connection timed out",
    errno.EPIPE: "connection closed",
    errno.ECONNABORTED: "connection closed",
}


def sources(settings: ValidationSettings) -> dict[bool, str]:
    """Return the source addresses, by whether they are IPv6.

    Raises:
        Error: CONFIGURATION when one is no address, or a family has two.
    """
    found: dict[bool, str] = {}
    for text in settings.source_addresses:
        if not is_address(text):
            raise _misconfigured(f"source address '{text}' is no IP address", "10.0.0.7")
        version_6 = ":" in text
        if version_6 in found:
            raise _misconfigured(
                f"source addresses '{found[version_6]}' and '{text}' are of one family",
                "one IPv4 and one IPv6 address at most",
            )
        found[version_6] = text
    return found


def parse_endpoint(text: str, port: int) -> tuple[str, int]:
    """Return address and port of `10.0.0.53`, `10.0.0.53:5353`, `::1` or `[::1]:5353`.

    Raises:
        Error: CONFIGURATION when it is none of these.
    """
    host = text
    if text.startswith("[") or text.count(":") == 1:
        host, _, number = (text if not text.endswith("]") else f"{text}:{port}").rpartition(":")
        port = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0
        host = host.removeprefix("[").removesuffix("]")
    if not is_address(host) or not 0 < port < 65536:
        raise _misconfigured(
            f"resolver '{text}' is no IP address with or without a port",
            "10.0.0.53, 10.0.0.53:5353 or [2001:db8::53]:5353",
        )
    return str(ipaddress.ip_address(host)), port


def _misconfigured(detail: str, accepted: str) -> Error:
    return Error(Kind.CONFIGURATION, detail, hint=f"write {accepted}")


def is_address(text: str) -> bool:
    """Whether text is an IP address that means the same on every host: without a zone."""
    try:
        return getattr(ipaddress.ip_address(text), "scope_id", None) is None
    except ValueError:
        return False


def endpoint(address: str, port: int, *, default: int) -> str:
    """Return address and port for a sentence, the usual port left out."""
    if port == default:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def why(error: OSError) -> str:
    """Return what an error of the network means, in words."""
    if error.errno in _REASONS:
        return _REASONS[error.errno]
    if isinstance(error, ConnectionError) and error.errno is None:  # the event loop's own
        return "connection closed"
    return (error.strerror or str(error) or type(error).__name__).lower()
