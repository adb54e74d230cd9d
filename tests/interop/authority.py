"""A mintmark authority as its users meet it: the command, its directory and its ports."""

from __future__ import annotations

import contextlib
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from tests.interop.programs import (
    Daemon,
    Result,
    environment,
    free_port,
    program,
    run,
    running,
    until,
)

MINTMARK = Path(sys.executable).with_name("mintmark")
_PASSPHRASE = "correct horse battery staple"
_END = b"-----END X509 CRL-----\n"
# A client that has no proxy and reads no environment.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Files:
    """The files of an issued certificate.

    Args:
        path: the directory that holds them.
    """

    path: Path

    @property
    def fullchain(self) -> Path:
        return self.path / "fullchain.pem"

    @property
    def key(self) -> Path:
        return self.path / "privkey.pem"

    @property
    def ca(self) -> Path:
        return self.path / "ca.pem"

    @property
    def leaf(self) -> Path:
        return self.path / "cert.pem"

    @property
    def chain(self) -> Path:
        return self.path / "chain.pem"

    @property
    def certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.leaf.read_bytes())

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    def copy(self, to: Path) -> Files:
        """Copy them to where a server reads them, and return the copy."""
        shutil.copytree(self.path, to, dirs_exist_ok=True)
        return Files(to)


@dataclass
class Authority:
    """An authority's directory and the ports it is served on.

    Args:
        directory: its `--dir`.
        https_port: of the API.
        http_port: of CRL and OCSP.
    """

    directory: Path
    https_port: int
    http_port: int

    @classmethod
    def create(cls, path: Path, *, late_by: str = "", settings: str = "") -> Authority:
        """Make an authority with the real command.

        Args:
            path: holds everything that belongs to it.
            late_by: how late its clock is, as `3d`.
            settings: more of its mintmark.yaml, beside the section `server`.
        """
        made = cls(path / "mintmark", free_port(), free_port())
        made.directory.mkdir(parents=True)
        made.home.mkdir()
        made.passphrase.write_text(_PASSPHRASE + "\n")
        made.passphrase.chmod(0o600)
        (made.directory / "mintmark.yaml").write_text(
            f"server: {{https_port: {made.https_port}, http_port: {made.http_port}}}\n{settings}"
        )
        made.mintmark("init", "--passphrase-file", made.passphrase, late_by=late_by).succeeded()
        return made

    @property
    def home(self) -> Path:
        """Where its commands are typed."""
        return self.directory.parent / "home"

    @property
    def passphrase(self) -> Path:
        """The file with the passphrase of its CA keys."""
        return self.directory.parent / "passphrase"

    @property
    def root(self) -> Path:
        """Its trust anchor."""
        return self.directory / "root" / "cert.pem"

    @property
    def intermediate(self) -> Path:
        """The issuer of leaves."""
        return self.directory / "intermediate" / "cert.pem"

    @property
    def api(self) -> str:
        """URL of its API."""
        return f"https://localhost:{self.https_port}/api/v1"

    @property
    def http(self) -> str:
        """URL of its plain port."""
        return f"http://127.0.0.1:{self.http_port}"

    def mintmark(self, *arguments: str | Path, late_by: str = "") -> Result:
        """Type a command."""
        late = (program("faketime"), "-f", f"-{late_by}") if late_by else ()
        variables = {**self.here(), "DONT_FAKE_MONOTONIC": "1"}
        return run(*late, MINTMARK, *arguments, cwd=self.home, env=environment(**variables))

    def issue(
        self,
        name: str,
        *more: str,
        profile: str,
        lifetime: str = "30d",
        late_by: str = "",
        offline: bool = False,
    ) -> Files:
        """Issue a certificate with the real command; late ones without the server."""
        path = self.home / name
        local = ("--offline", "--passphrase-file", self.passphrase) if late_by or offline else ()
        self.mintmark(
            "issue", name, *more, "--profile", profile, "--lifetime", lifetime, "--out", path,
            *local, late_by=late_by,
        ).succeeded()  # fmt: skip
        return Files(path)

    def revoke(self, files: Files, reason: str = "key-compromise") -> None:
        """Revoke a certificate, and wait until the CRL has it."""
        self.mintmark("revoke", files.path, "--reason", reason).succeeded()

        def listed() -> bool:
            serial = files.serial
            return any(crl.get_revoked_certificate_by_serial_number(serial) for crl in self.crls())

        until(listed, "the CRL lists the revoked serial", 60)

    def here(self) -> dict[str, str]:
        """Return the variables with which commands reach this authority."""
        return {"MINTMARK_DIR": str(self.directory)}

    def crl_pem(self) -> bytes:
        """Return the CRLs of all its issuers, from the plain port."""
        return self.fetch("/crl/all.pem")

    def crls(self) -> list[x509.CertificateRevocationList]:
        """Return the same, parsed."""
        parts = self.crl_pem().split(_END)[:-1]
        return [x509.load_pem_x509_crl(part + _END) for part in parts]

    def fetch(self, path: str) -> bytes:
        """Return what its plain port answers."""
        with _OPENER.open(self.http + path, timeout=10) as answer:
            return bytes(answer.read())

    @contextlib.contextmanager
    def serving(self) -> Iterator[Daemon]:
        """Serve it for the length of a block."""
        log = self.directory.parent / "served.log"
        command = (str(MINTMARK), "up", "--passphrase-file", str(self.passphrase))
        options = {"env": environment(**self.here()), "cwd": self.home}
        daemon = Daemon(command, log, options)
        with running(daemon, lambda: "try next" in daemon.said()):
            yield daemon
