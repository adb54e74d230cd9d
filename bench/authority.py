"""A throw-away authority in a directory, and the real server on it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bench.requests import DOMAIN
from mintmark.authority.issuance.hierarchy import Subject
from mintmark.authority.signer.files import write_secret
from mintmark.authority.signer.pkcs8 import plain_pkcs8
from mintmark.model.access import Operation
from mintmark.model.keys import KeyType
from mintmark.server.ceremony import Plan, create
from mintmark.server.directory import Directory
from mintmark.server.local import local_transport
from mintmark.server.settings import (
    ADMIN,
    ConnectionLimits,
    Limits,
    Server,
    ServiceEntry,
    Settings,
    Storage,
    Whitelist,
)
from mintmark.server.settings.provisioner import DEFAULT, ProvisionerEntry
from mintmark.wire import pem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE = "bench"
_PASSPHRASE = b"correct horse battery staple"
_BENCH = ServiceEntry(
    service_id=SERVICE,
    names=(f"*.{DOMAIN}", f"*.*.{DOMAIN}"),
    allowed_operations=(
        Operation.REQUEST,
        Operation.RENEW,
        Operation.REVOKE,
        Operation.DOWNLOAD,
    ),
    certificates_per_hour=0,
)
START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class BenchAuthority:
    """A made authority.

    Args:
        path: its directory.
        settings: its configuration.
        certificate: path of the certificate of the service that asks, and its intermediate.
        leaf: path of the certificate alone.
        key: path of its key.
    """

    path: Path
    settings: Settings
    certificate: Path
    leaf: Path
    key: Path

    @property
    def directory(self) -> Directory:
        """Its directory, with the names of its files."""
        return Directory(self.path)

    @property
    def passphrase(self) -> bytes:
        """Of its keys."""
        return _PASSPHRASE

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.path / "mintmark.db"


@dataclass(frozen=True, slots=True)
class Running:
    """A running server.

    Args:
        pid: of its first process.
        https: port of the API.
        http: port of OCSP and CRLs.
        start_seconds: from the command to the first answer.
    """

    pid: int
    https: int
    http: int
    start_seconds: float


def settings(
    *,
    workers: int = 1,
    storage_url: str | None = None,
    provisioners: tuple[ProvisionerEntry, ...] = DEFAULT,
) -> Settings:
    """Return a configuration without rate limits; everything else is the default."""
    https_port, http_port = free_port(), free_port()
    return Settings(
        server=Server(
            https_port=https_port,
            http_port=http_port,
            workers=workers,
            limits=ConnectionLimits(connections_per_address=4096),
        ),
        storage=Storage() if storage_url is None else Storage(url=storage_url),
        whitelist=Whitelist(services=(ADMIN, _BENCH)),
        limits=Limits(certificates_per_hour=None, total_certificates_per_hour=None),
        provisioners=provisioners,
    )


def make(
    path: Path, configuration: Settings, ssh_key_type: KeyType = KeyType.ED25519
) -> BenchAuthority:
    """Make an authority, and a certificate for the service that will ask."""
    path.mkdir(parents=True)
    directory = Directory(path)
    write_secret(path / "passphrase", _PASSPHRASE)
    root, intermediate = Subject("Bench Root"), Subject("Bench Intermediate")
    plan = Plan(configuration, root, intermediate, ssh_key_type=ssh_key_type)
    asyncio.run(create(directory, plan, _PASSPHRASE, clock=time.time, entropy=os.urandom))
    files = path.parent / f"{path.name}-client"
    files.mkdir()
    authority = BenchAuthority(
        path, configuration, files / "fullchain.pem", files / "cert.pem", files / "key.pem"
    )
    _enroll(authority)
    return authority


def _enroll(authority: BenchAuthority) -> None:
    """Have a certificate issued for the service, by the local administrator."""
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, hashes.SHA256())
    transport = local_transport(authority.directory, authority.settings, _PASSPHRASE)
    try:
        answer = transport.request(
            "POST",
            "/api/v1/certificates/request",
            {
                "service_name": SERVICE,
                "san_dns": [f"client.{DOMAIN}"],
                "csr": csr.public_bytes(Encoding.PEM).decode(),
            },
        )
    finally:
        transport.close()
    if answer.status != 201:
        raise RuntimeError(f"the client's certificate was refused: {answer.body.decode()}")
    document = json.loads(answer.body)
    authority.certificate.write_text(document["certificate"] + document["chain"])
    authority.leaf.write_text(document["certificate"])
    write_secret(authority.key, pem.encode("PRIVATE KEY", plain_pkcs8(key)))


def environment() -> dict[str, str]:
    """Return the environment for processes of ours: nobody's proxies, one hash seed."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return {**kept, "PYTHONHASHSEED": "0"}


@contextmanager
def serving(authority: BenchAuthority) -> Iterator[Running]:
    """Serve an authority with the command that a user types."""
    server = authority.settings.server
    log = authority.path.parent / f"{authority.path.name}.log"
    command = [sys.executable, "-m", "mintmark", "--dir", str(authority.path), "serve"]
    health = f"http://127.0.0.1:{server.http_port}/health"
    with run_server(command, environment(), log, health) as (pid, took):
        yield Running(pid, server.https_port, server.http_port, took)


@contextmanager
def run_server(
    command: list[str], environment: dict[str, str], log: Path, health: str
) -> Iterator[tuple[int, float]]:
    """Run a server, and end it; give its process id and the seconds to its first answer.

    Args:
        command: what to run.
        environment: of the process.
        log: file for what it says.
        health: URL that answers when it serves, by whatever certificate.
    """
    with log.open("ab") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment
        )
        try:
            _wait(process, health, log)
            yield process.pid, time.perf_counter() - start
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Wait for the first answer; whose certificate it comes with does not matter here."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with opener.open(url, timeout=5):
                return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"the server does not answer:\n{log.read_text()[-2000:]}")


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
