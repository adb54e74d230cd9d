"""A TLS client of our own: what is really served, whatever a reload command said."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from cryptography import x509

from tests.interop.authority import Files

_SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # PostgreSQL's protocol, before TLS


def served_serial(
    port: int, client: Files | None, *, name: str, ca: Path | None = None, postgresql: bool = False
) -> int:
    """Return the serial of the certificate that a server on loopback shows.

    Raises:
        ssl.SSLError: the server's certificate or its name is not accepted.
    """
    context = ssl.create_default_context(cafile=ca or (client.ca if client else None))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if client is not None:
        context.load_cert_chain(client.fullchain, client.key)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        if postgresql:
            plain.sendall(_SSL_REQUEST)
            assert plain.recv(1) == b"S"
        with context.wrap_socket(plain, server_hostname=name) as connection:
            der = connection.getpeercert(binary_form=True)
    assert der is not None
    return x509.load_der_x509_certificate(der).serial_number
