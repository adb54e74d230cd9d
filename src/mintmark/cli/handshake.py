"""A TLS handshake made only to see what a server shows; nothing of it is trusted here."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mintmark.model.errors import Error, Kind

TIMEOUT: Final = 5.0  # seconds
_SSL_REQUEST: Final = bytes((0, 0, 0, 8, 4, 210, 22, 47))  # PostgreSQL's protocol, §55.2.10


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a server showed.

    Args:
        version: as `TLSv1.3`.
        cipher: its name.
        chain: DER certificates as sent, leaf first.
    """

    version: str
    cipher: str
    chain: tuple[bytes, ...]


def connect(
    host: str,
    port: int,
    starttls: str | None,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
) -> Handshake:
    """Shake hands with a server and return what it showed.

    Args:
        host: DNS name or IP address; also the name asked for (RFC 6066 §3).
        port: TCP port.
        starttls: `postgresql` when TLS begins inside that protocol.
        certificate: client certificate with its chain, if the server wants one.
        key: its key.

    Raises:
        Error: UNAVAILABLE when there is no server or no TLS.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # what is shown is verified afterwards, in words
    try:
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        with socket.create_connection((host, port), timeout=TIMEOUT) as plain:
            if starttls == "postgresql":
                _ask_postgresql(plain)
            with context.wrap_socket(plain, server_hostname=host) as secure:
                cipher = secure.cipher()
                return Handshake(
                    secure.version() or "", cipher[0] if cipher else "", _chain(secure)
                )
    except OSError as error:  # an ssl.SSLError is one
        reason = getattr(error, "reason", None) or error.strerror or str(error)
        raise Error(
            Kind.UNAVAILABLE,
            f"no TLS with {host}:{port}: {reason.lower().replace('_', ' ')}",
            hint="is it the TLS port? a server that asks for a client certificate before it "
            "shows its own needs --cert and --key",
        ) from error


def _ask_postgresql(plain: socket.socket) -> None:
    plain.sendall(_SSL_REQUEST)
    if plain.recv(1) != b"S":
        raise OSError("this PostgreSQL server does not offer TLS")


def _chain(secure: ssl.SSLSocket) -> tuple[bytes, ...]:
    """Return what was sent; before Python 3.13 only the inner object tells more than the leaf."""
    if hasattr(secure, "get_unverified_chain"):
        return tuple(secure.get_unverified_chain())
    inner: Any = secure._sslobj  # type: ignore[attr-defined] # noqa: SLF001 - see docstring
    encoding = 2  # _ssl.ENCODING_DER
    return tuple(one.public_bytes(encoding) for one in inner.get_unverified_chain())
