"""What one listener takes from the world before it says no (RFC 9112 §2.3, §3, §5.4)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes, counts and times of a listener's connections; times may last two seconds longer.

    Args:
        connections: open at once in one process; one more is closed before it can cost a TLS
            handshake (plain HTTP answers 503).
        connections_per_address: the same for one remote IPv4 address or IPv6 network of 64 bits.
        target_bytes: of the request target; a longer one is answered 414.
        header_bytes: of all header and trailer fields of one request; 431.
        header_count: how many header fields one request has; 431.
        body_bytes: of one request; 413, from Content-Length before a single octet is read.
        pipelined: requests that wait while another one is answered, or that arrive at once;
            the connection is closed after that many.
        handshake_seconds: from accepting a connection to the end of its TLS handshake.
        header_seconds: from the first octet of a request (or of the connection) to the end of
            its header; 408.
        body_seconds: from the end of the header to the end of the body; 408.
        idle_seconds: between two requests; then the connection is closed.
        write_seconds: without any octet of an answer being taken; then it is aborted.
        linger_seconds: after refusing a request that was not read to its end: what still
            arrives is thrown away, so that the refusal is read and not lost in a reset.
    """

    connections: int = 4096
    connections_per_address: int = 1024
    target_bytes: int = 8192
    header_bytes: int = 16 * 1024
    header_count: int = 100
    body_bytes: int = 64 * 1024
    pipelined: int = 256
    handshake_seconds: float = 10
    header_seconds: float = 10
    body_seconds: float = 30
    idle_seconds: float = 75
    write_seconds: float = 30
    linger_seconds: float = 2
