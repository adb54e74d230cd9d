"""Real servers to be hurt: started by the command, killed by signal, asked over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mintmark.server.compose import open_store
from mintmark.server.directory import Directory
from mintmark.store import leaf as leaves
from mintmark.store.interface import Store
from tests.interop.authority import MINTMARK, Authority, Files
from tests.interop.programs import Daemon, environment, until

T = TypeVar("T")
STORM = "storm"
SETTINGS = """
whitelist:
  services:
    - service_id: storm
      names: ['*.storm.internal']
      certificates_per_hour: 0
"""
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Answer:
    """What a server answered.

    Args:
        status: HTTP status.
        headers: with names in lower case.
        body: octets.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """An authority and the server on it, if it runs.

    Args:
        authority: its files and ports.
        workers: how many processes serve.
        files: certificate and key of the service `storm`.
    """

    authority: Authority
    workers: int
    files: Files

    def __post_init__(self) -> None:
        self.log = self.authority.home.parent / "served.log"
        command = (
            str(MINTMARK), "serve", "--workers", str(self.workers),
            "--passphrase-file", str(self.authority.passphrase),
        )  # fmt: skip
        options = {"env": environment(**self.authority.here()), "cwd": self.authority.home}
        self.daemon = Daemon(command, self.log, options)

    @property
    def directory(self) -> Directory:
        return Directory(self.authority.directory)

    @property
    def pid(self) -> int:
        return self.daemon.process.pid

    def start(self) -> None:
        """Start it and wait until every worker of it answers."""
        self.daemon.start(lambda: self.is_healthy() and self.listening() == self.workers)

    def listening(self) -> int:
        """Return how many sockets accept connections on its plain port."""
        here = f":{self.authority.http_port:04X} 00000000:0000 0A "
        return Path("/proc/net/tcp").read_text().count(here)

    def kill(self) -> None:
        """End every process of it at once, as a power cut would."""
        os.killpg(self.pid, signal.SIGKILL)
        self.daemon.process.wait()

    def stop(self) -> None:
        """End it as an operator does, whatever it does just then."""
        self.daemon.stop()

    def is_healthy(self) -> bool:
        """Whether it says that it can do its work."""
        return self.health().status == 200

    def health(self) -> Answer:
        """Ask how it is; status 0 when nobody answers."""
        try:
            return self.plain("/health")
        except (OSError, http.client.HTTPException):
            return Answer(0, {}, b"")

    def plain(self, path: str, body: bytes | None = None, seconds: float = 20) -> Answer:
        """Ask the plain port."""
        kind = {"Content-Type": "application/ocsp-request"}
        request = urllib.request.Request(self.authority.http + path, body, kind)
        try:
            with _OPENER.open(request, timeout=seconds) as answer:
                return _answer(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return _answer(refusal)

    def api(self, path: str) -> Answer:
        """Ask a public route of the API."""
        with self.connect() as client:
            return client.ask("GET", path)

    def ocsp_response(self, files: Files) -> ocsp.OCSPResponse:
        """Ask the responder about a certificate."""
        issuer = x509.load_pem_x509_certificate(self.authority.intermediate.read_bytes())
        asked = ocsp.OCSPRequestBuilder().add_certificate(
            files.certificate, issuer, hashes.SHA256()
        )
        answer = self.plain("/ocsp", asked.build().public_bytes(Encoding.DER))
        return ocsp.load_der_ocsp_response(answer.body)

    def ocsp(self, files: Files) -> str:
        """Ask the responder about a certificate, and return its word."""
        response = self.ocsp_response(files)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return response.response_status.name.lower()
        return response.certificate_status.name.lower()

    def context(self, files: Files | None = None) -> ssl.SSLContext:
        """Return how a client with these files speaks TLS; without files it is anonymous."""
        context = ssl.create_default_context(cafile=str(self.authority.root))
        if files is not None:
            context.load_cert_chain(files.fullchain, files.key)
        return context

    def connect(self, files: Files | None = None, seconds: float = 30) -> Client:
        """Return a client that keeps its connection."""
        return Client(self.authority.https_port, self.context(files), seconds)

    def raw(self, octets: bytes, files: Files | None = None, *, seconds: float = 20) -> bytes:
        """Send octets over TLS, and return everything that comes until the server closes."""
        with self.connect(files, seconds) as client:
            sock = client.socket
            sock.sendall(octets)
            return drained(sock)

    def limit(self, limits: str) -> None:
        """Set limits of its connections, before it starts."""
        file = self.directory.settings_file
        text = file.read_text()
        assert "server: {" in text
        file.write_text(text.replace("server: {", f"server: {{limits: {{{limits}}}, ", 1))

    def mintmark(self, *arguments: str | Path) -> str:
        """Type a command that has to succeed, and return what it said."""
        return self.authority.mintmark(*arguments).succeeded()

    def says(self, words: str, count: int, seconds: float = 20) -> None:
        """Wait until its log has some words so often."""
        end = time.monotonic() + seconds
        while (log := self.log.read_text()).count(words) < count:
            assert time.monotonic() < end, log[-3000:]
            time.sleep(0.02)

    def children(self) -> set[int]:
        """Return the worker processes."""
        text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return {int(each) for each in text.split()}

    def processes(self) -> set[int]:
        """Return every process of it."""
        return {self.pid, *self.children()}

    def with_store(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """Look into its database, beside the server."""

        async def look() -> T:
            store = open_store(self.directory, self.directory.settings(), time.time)
            await store.open()
            try:
                return await work(store)
            finally:
                await store.close()

        return asyncio.run(look())

    def certificates(self) -> dict[str, str]:
        """Return the SHA-256 of every certificate in the database, by serial."""
        return {serial: digest for serial, digest, _ in self.with_store(_certificates)}

    def recorded(self) -> list[tuple[str, str]]:
        """Return serial and SHA-256 of every certificate in the audit log, in its order."""
        return self.with_store(_recorded)

    def prove(self) -> None:
        """Have the database and the audit log proven by the commands for that."""
        assert "is whole" in self.mintmark("audit", "verify")
        assert "is fine" in self.mintmark("db", "check")


class Client:
    """One client with one connection that it keeps.

    Args:
        port: of the server's API.
        context: see `Server.context`.
        seconds: how long it waits.
    """

    def __init__(self, port: int, context: ssl.SSLContext, seconds: float = 30) -> None:
        self._connection = http.client.HTTPSConnection(
            "localhost", port, timeout=seconds, context=context
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def socket(self) -> ssl.SSLSocket:
        """The connection, open."""
        if self._connection.sock is None:
            self._connection.connect()
        sock = self._connection.sock
        assert isinstance(sock, ssl.SSLSocket)
        return sock

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Ask; a body that is not octets goes as JSON."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            self._connection.request(method, f"/api/v1{path}", body, sent)
            with self._connection.getresponse() as answer:
                return _answer(answer)
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise

    def issue(self, name: str, **fields: object) -> Answer:
        """Ask for a certificate whose key the server makes."""
        return self.ask("POST", "/certificates/request", {"san_dns": [name], **fields})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def drained(sock: socket.socket) -> bytes:
    """Return everything that arrives until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while part := sock.recv(65536):
            parts.append(part)
    return b"".join(parts)


def _answer(answer: Any) -> Answer:
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Answer(answer.status, headers, answer.read())


async def _certificates(store: Store) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] = []
    after = 0
    while page := await store.certificate_digests(after=after, limit=5000):
        found += [(serial.hex(), digest.hex(), sequence) for sequence, serial, digest in page]
        after = page[-1][0]
    return found


async def _recorded(store: Store) -> list[tuple[str, str]]:
    from base64 import b64decode

    records = [leaves.decode(record.leaf) async for record in store.all_audit()]
    return [
        (leaf.certificate, b64decode(leaf.certificate_sha256).hex())
        for leaf in records
        if leaf.certificate_sha256
    ]


def make(place: Path, *, workers: int = 1, settings: str = SETTINGS, late_by: str = "") -> Server:
    """Make an authority with a service `storm`; it is not served yet."""
    authority = Authority.create(place, settings=settings, late_by=late_by)
    files = authority.issue(STORM, profile="client", late_by=late_by, offline=True)
    return Server(authority, workers, files)


@contextlib.contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve it for the length of a block."""
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def storming(server: Server, customers: int = 4, seed: int = 0) -> Iterator[Path]:
    """Have certificates issued by another process for the length of a block; yield its journal.

    When the block ends, what was begun is brought to its end.
    """
    journal = server.authority.home / f"journal-{seed}"
    journal.touch()
    plan = {
        "port": server.authority.https_port,
        "root": str(server.authority.root),
        "certificate": str(server.files.fullchain),
        "key": str(server.files.key),
        "journal": str(journal),
        "customers": customers,
        "seed": seed,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.endurance.storm", json.dumps(plan)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=environment(),
        text=True,
    )
    try:
        yield journal
        _, said = process.communicate("stop\n", timeout=30)
        assert (process.returncode, said) == (0, "")
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def grows(journal: Path, by: int = 1) -> Callable[[], bool]:
    """Return whether a journal has grown, asked again and again."""
    size = len(journal.read_bytes().splitlines())
    return lambda: len(journal.read_bytes().splitlines()) >= size + by


def wait(condition: Callable[[], object], what: str, seconds: float = 20) -> Any:
    """Wait for a condition; see `until`."""
    return until(condition, what, seconds)
