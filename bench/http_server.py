"""The bare server: what HTTP and TLS cost before anything is issued.

Prints requests per second of server CPU for a tiny POST over plain HTTP and over mutual TLS,
on connections that are kept, and for a fresh mutual TLS connection per request. The load
client shares the processors, so the rate per second of *server CPU* is the one to compare.

    python bench/http_server.py [--seconds 3] [--connections 64] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mintmark.server.listener import Endpoint, bind, serve
from mintmark.server.tls import ServerTLS, TLSSettings
from mintmark.wire.http import Request, Response

BODY = json.dumps({"csr": "x" * 440}).encode()
REQUEST = (
    b"POST /api/v1/certificates/request HTTP/1.1\r\nHost: localhost:8443\r\n"
    b"Accept: */*\r\nUser-Agent: bench\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
) + BODY


def certify(directory: Path) -> bytes:
    """Write a server's and a client's certificate and keys; return their root's DER."""
    now = datetime.now(UTC)
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench root")])
    key_id = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())

    def builder(name: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(root_name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
        )

    usage = x509.KeyUsage(*(position in (5, 6) for position in range(9)))
    root = (
        builder(root_name, root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(key_id, critical=False)
        .sign(root_key, hashes.SHA256())
    )
    for role, purpose in (
        ("server", ExtendedKeyUsageOID.SERVER_AUTH),
        ("client", ExtendedKeyUsageOID.CLIENT_AUTH),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, role)])
        aki = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id)
        certificate = (
            builder(name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(aki, critical=False)
            .sign(root_key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        (directory / f"{role}.pem").write_bytes(certificate.public_bytes(pem))
        (directory / f"{role}-key.pem").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    return root.public_bytes(serialization.Encoding.DER)


def start(directory: Path, root: bytes, *, with_tls: bool) -> tuple[int, int]:
    """Start the server in a process of its own; return its id and its port."""
    sockets = bind("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    listening, listens = os.pipe()
    child = os.fork()
    if child:
        sockets[0].close()
        os.close(listens)
        os.read(listening, 1)
        os.close(listening)
        return child, port
    settings = TLSSettings(directory / "server.pem", directory / "server-key.pem", (root,))

    def app(request: Request) -> Response:
        if request.path == "/cpu":
            return Response(200, str(time.process_time()).encode())
        return Response(200, b'{"ok":true}', "application/json")

    async def run() -> None:
        stopping = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
        tls = ServerTLS(settings) if with_tls else None
        await serve(
            [Endpoint(sockets, app, tls)],
            time.time,
            stopping,
            grace_seconds=1,
            ready=lambda: os.close(listens),
        )

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    os._exit(0)


class Client:
    """Sends requests, counts answers."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self.port = port
        self.context = context
        self.answers = 0

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open one connection."""
        host = "localhost" if self.context else None
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context, server_hostname=host
        )

    async def cpu_seconds(self) -> float:
        """Ask the server for the processor time it used."""
        reader, writer = await self.open()
        writer.write(b"GET /cpu HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return float(answer.rpartition(b"\r\n")[2])

    async def keep(self, end: float) -> None:
        """Send requests one after another on one connection."""
        done = asyncio.get_running_loop().create_future()
        client = self

        class Load(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                # uvloop's transports only behave like asyncio's
                self.transport = cast("asyncio.Transport", transport)
                self.transport.write(REQUEST)

            def data_received(self, data: bytes) -> None:
                assert data.startswith(b"HTTP/1.1 200 "), data[:80]
                client.answers += 1
                if time.monotonic() < end:
                    self.transport.write(REQUEST)
                elif not done.done():
                    done.set_result(None)

        host = "localhost" if self.context else None
        transport, _ = await asyncio.get_running_loop().create_connection(
            Load, "127.0.0.1", self.port, ssl=self.context, server_hostname=host
        )
        await done
        transport.close()

    async def renew(self, end: float) -> None:
        """Send each request on a connection of its own."""
        while time.monotonic() < end:
            reader, writer = await self.open()
            writer.write(REQUEST)
            assert (await reader.read(4096)).startswith(b"HTTP/1.1 200 ")
            self.answers += 1
            writer.transport.abort()

    async def measure(
        self, load: Callable[[float], Awaitable[None]], seconds: float, connections: int
    ) -> dict[str, float]:
        """Put the load on, and return what came of it."""
        await load(time.monotonic() + 0.3)
        self.answers = 0
        cpu, began = await self.cpu_seconds(), time.monotonic()
        await asyncio.gather(*(load(began + seconds) for _ in range(connections)))
        elapsed = time.monotonic() - began
        cpu = await self.cpu_seconds() - cpu
        return {
            "per_second": self.answers / elapsed,
            "per_cpu_second": self.answers / cpu,
            "cpu_microseconds": cpu / self.answers * 1e6,
        }


def client_context(directory: Path, root: bytes) -> ssl.SSLContext:
    """Return a client's TLS context that shows its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=root)
    context.load_cert_chain(directory / "client.pem", directory / "client-key.pem")
    return context


def main() -> int:
    """Measure, print, and write JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        root = certify(directory)
        for label, with_tls, fresh in (
            ("HTTP, kept", False, False),
            ("mutual TLS, kept", True, False),
            ("mutual TLS, fresh", True, True),
        ):
            child, port = start(directory, root, with_tls=with_tls)
            client = Client(port, client_context(directory, root) if with_tls else None)
            load = client.renew if fresh else client.keep
            count = min(options.connections, 16) if fresh else options.connections
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                results[label] = runner.run(client.measure(load, options.seconds, count))
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
    print(f"{ssl.OPENSSL_VERSION}, CPython {sys.version.split()[0]}")
    print(f"{'':20}{'per second':>14}{'per CPU second':>16}{'CPU µs each':>14}")
    for label, result in results.items():
        print(
            f"{label:20}{result['per_second']:14,.0f}{result['per_cpu_second']:16,.0f}"
            f"{result['cpu_microseconds']:14.1f}"
        )
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
