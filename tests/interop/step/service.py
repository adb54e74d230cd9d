"""An authority served for step clients, and a host on which `step` is typed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from mintmark.wire import jose, jwe
from tests.interop.authority import Authority
from tests.interop.programs import Result, environment, program, run

PASSWORD = "correct horse battery staple"


def jwk_entry(name: str, password: str = PASSWORD) -> dict[str, object]:
    """Return a JWK provisioner for the configuration, its private half under a password."""
    private = jose.new_jwk()
    members = json.loads(private)
    del members["d"]
    encrypted = jwe.encrypt_key(private, password.encode(), os.urandom)
    return {"name": name, "type": "jwk", "key": members, "encrypted_key": encrypted}


def names(certificate: x509.Certificate) -> set[str]:
    """Return the subject alternative names of a certificate."""
    kind = x509.SubjectAlternativeName
    return {str(one.value) for one in certificate.extensions.get_extension_for_class(kind).value}


@dataclass(frozen=True)
class Service:
    """A served authority.

    Args:
        authority: the authority.
        http_port: where it looks for http-01 in place of 80.
    """

    authority: Authority
    http_port: int

    @property
    def url(self) -> str:
        """What `--ca-url` is given."""
        return f"https://localhost:{self.authority.https_port}"

    @cached_property
    def fingerprint(self) -> str:
        """What `--fingerprint` is given."""
        root = x509.load_pem_x509_certificate(self.authority.root.read_bytes())
        return root.fingerprint(SHA256()).hex()


class Host:
    """A host with a `step` of its own: its configuration, its home, nothing of ours.

    Args:
        path: an empty directory.
        service: whom its commands ask.
    """

    def __init__(self, path: Path, service: Service) -> None:
        self.home = path / "home"
        self.home.mkdir()
        self.step_path = path / "step"
        self.service = service
        self.password = self.home / "password"
        self.password.write_text(PASSWORD)
        self.variables = {"STEPPATH": str(self.step_path), "HOME": str(self.home)}

    @property
    def environment(self) -> dict[str, str]:
        """What its programs see: nothing of ours."""
        found = environment().items()
        return {
            name: value for name, value in found if not name.startswith(("STEP", "SSH_"))
        } | self.variables

    def step(self, *arguments: str | Path, seconds: float = 30) -> Result:
        """Type a command of `step`."""
        here = {"cwd": self.home, "env": self.environment}
        return run(program("step"), *arguments, seconds=seconds, **here)

    def bootstrap(self) -> Host:
        """Trust the authority by the fingerprint of its root."""
        self.step(
            "ca", "bootstrap", "--ca-url", self.service.url,
            "--fingerprint", self.service.fingerprint,
        ).succeeded()  # fmt: skip
        return self

    def by_password(self, provisioner: str = "admin") -> tuple[str | Path, ...]:
        """Return the options that name a JWK provisioner and its password."""
        return "--provisioner", provisioner, "--provisioner-password-file", self.password

    def token(self, subject: str, *more: str | Path) -> str:
        """Return a one-time token by the provisioner `admin`."""
        told = self.step("ca", "token", subject, *more, *self.by_password()).succeeded()
        return told.split()[-1]

    def file(self, name: str) -> Path:
        """Return a file in its home."""
        return self.home / name

    def certificate(self, name: str = "web") -> x509.Certificate:
        """Return the leaf of a file that step wrote."""
        return x509.load_pem_x509_certificates(self.file(f"{name}.crt").read_bytes())[0]

    def obtain(self, subject: str = "web.example.internal", *more: str) -> x509.Certificate:
        """Get a certificate as `web.crt` and `web.key` by the provisioner `admin`."""
        self.step(
            "ca", "certificate", subject, "web.crt", "web.key", "--force", *more,
            *self.by_password(),
        ).succeeded()  # fmt: skip
        return self.certificate()

    def verify(self, name: str = "web") -> None:
        """Assert that OpenSSL follows a file that step wrote to the root."""
        file = self.file(f"{name}.crt")
        run(
            program("openssl"), "verify", "-x509_strict", "-CAfile", self.service.authority.root,
            "-untrusted", file, file,
        ).succeeded()  # fmt: skip


@dataclass
class Agent:
    """A running ssh-agent."""

    path: Path

    def listed(self) -> str:
        """Return what it holds."""
        asked = {**os.environ, "SSH_AUTH_SOCK": str(self.path)}
        return run(program("ssh-add"), "-L", env=asked).text
