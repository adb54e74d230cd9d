"""TLS clients: what is really served, whatever a reload command said."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from tests.interop.authority import Files
from tests.interop.programs import Result, program, run

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


def curl(port: int, name: str, *, ca: Path, client: Files | None) -> Result:
    """Ask the HTTPS server on a port of loopback for / under a name, with curl."""
    shown = ("--cert", client.fullchain, "--key", client.key) if client else ()
    return run(
        program("curl"), "--silent", "--show-error", "--max-time", "10",
        "--connect-to", f"::127.0.0.1:{port}", "--cacert", ca, *shown, f"https://{name}/",
    )  # fmt: skip


@dataclass
class Visitor:
    """A client that comes back with the session of its last visit (RFC 8446 §2.2).

    Args:
        port: of an HTTPS server on loopback.
        client: whose certificate it shows.
        name: the server's.
    """

    port: int
    client: Files
    name: str

    def __post_init__(self) -> None:
        self._context = ssl.create_default_context(cafile=self.client.ca)
        self._context.load_cert_chain(self.client.fullchain, self.client.key)
        self._session: ssl.SSLSession | None = None

    def visit(self) -> str:
        """Ask for / and return the answer; empty when the server hung up."""
        request = f"GET / HTTP/1.1\r\nHost: {self.name}\r\nConnection: close\r\n\r\n"
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as plain:
            try:
                with self._context.wrap_socket(
                    plain, server_hostname=self.name, session=self._session
                ) as connection:
                    connection.sendall(request.encode())
                    answer = b"".join(iter(lambda: connection.recv(4096), b""))
                    self._session = connection.session
            except (ssl.SSLError, ConnectionError):
                return ""
        return answer.decode()
