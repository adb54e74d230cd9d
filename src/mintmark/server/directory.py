"""An authority's directory: which file is what, and how files change all together or not at all.

    mintmark.yaml            the configuration
    mintmark.db              the store, unless the configuration names another
    root/ intermediate/      cert.pem, key.pem (encrypted), chain.pem
    server/ admin/           the same and fullchain.pem; their keys are not encrypted
    ssh/                     user.pem, host.pem (encrypted) and their .pub; `SSHFiles` says more
    audit/                   key.pem (encrypted), public.pem: signs checkpoints of the audit log
    passphrase               only if mintmark made it up itself

Several files have to appear together. They are built in `.new` and then moved out; a marker
inside says that all of them are there. Whoever comes after an interruption finishes the move
if the marker is there, and throws `.new` away if not.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from mintmark.authority.signer.files import read_secret
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import Generation, SSHCertificateType
from mintmark.server.settings import Settings, load
from mintmark.wire import pem

DIRECTORY_MODE: Final = 0o700
_STAGING: Final = ".new"
_COMPLETE: Final = ".complete"
_LOCK: Final = ".lock"
# What may lie in a directory that becomes an authority: a configuration and a passphrase
# prepared by the operator, and what file systems put into their root.
_PREPARED: Final = frozenset({_LOCK, _STAGING, "mintmark.yaml", "passphrase", "lost+found"})


class State(Enum):
    """How far an authority's directory is."""

    ABSENT = "absent"
    PENDING = "pending"  # waits for the chain of an intermediate made elsewhere
    READY = "ready"


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """A key, its certificate, and the certificates above that, the root left out.

    Args:
        path: the directory that holds them.
    """

    path: Path

    @property
    def certificate(self) -> Path:
        """The certificate alone."""
        return self.path / "cert.pem"

    @property
    def key(self) -> Path:
        """The private key, mode 0600."""
        return self.path / "key.pem"

    @property
    def chain(self) -> Path:
        """The CA certificates above it, nearest first, the root left out."""
        return self.path / "chain.pem"

    @property
    def fullchain(self) -> Path:
        """The certificate and its chain, as a TLS server or client sends them."""
        return self.path / "fullchain.pem"

    @property
    def successor(self) -> Path:
        """Key, certificate and chain that are replacing the others just now, in one file."""
        return self.path / ".successor.pem"

    @property
    def crl(self) -> Path:
        """Its CRL, when its key is elsewhere and signs that there."""
        return self.path / "crl.pem"

    @property
    def csr(self) -> Path:
        """The request for a certificate made elsewhere."""
        return self.path / "csr.pem"

    def certificate_der(self) -> bytes:
        """Return the certificate.

        Raises:
            Error: CONFIGURATION when the file cannot be read or holds none.
        """
        return read_certificates(self.certificate)[0]

    def chain_der(self) -> tuple[bytes, ...]:
        """Return the certificates above it; none if there is no such file."""
        return read_certificates(self.chain) if _has_text(self.chain) else ()


@dataclass(frozen=True, slots=True)
class SSHFiles:
    """The SSH CA keys: for users and for hosts each one that signs, and those of a rollover.

    TYPE is `user` or `host`:

        TYPE.pem, TYPE.pub            signs; encrypted, and its public half for relying parties
        TYPE.next.pem, TYPE.next.pub  trusted, and to sign after the next activation
        TYPE.previous.pub             trusted until it is retired; its private half is gone

    Args:
        path: the directory that holds them.
    """

    path: Path

    def key(self, type_: SSHCertificateType, generation: Generation) -> Path:
        """The private key, mode 0600; the previous one has none."""
        return self.path / f"{_stem(type_, generation)}.pem"

    def public(self, type_: SSHCertificateType, generation: Generation) -> Path:
        """The public key, one line."""
        return self.path / f"{_stem(type_, generation)}.pub"


def _stem(type_: SSHCertificateType, generation: Generation) -> str:
    if generation is Generation.ACTIVE:
        return type_.word
    return f"{type_.word}.{generation.value}"


@dataclass(frozen=True, slots=True)
class Directory:
    """The files of one authority.

    Args:
        path: where they are.
    """

    path: Path

    @property
    def settings_file(self) -> Path:
        """The configuration."""
        return self.path / "mintmark.yaml"

    @property
    def passphrase_file(self) -> Path:
        """The passphrase of the CA keys, if mintmark made it up itself."""
        return self.path / "passphrase"

    @property
    def root(self) -> KeyFiles:
        """The root; its key may be elsewhere."""
        return KeyFiles(self.path / "root")

    @property
    def intermediate(self) -> KeyFiles:
        """The issuer of leaves."""
        return KeyFiles(self.path / "intermediate")

    @property
    def server(self) -> KeyFiles:
        """The server's own TLS key and certificate."""
        return KeyFiles(self.path / "server")

    @property
    def admin(self) -> KeyFiles:
        """The client key and certificate of the command line's administrator."""
        return KeyFiles(self.path / "admin")

    @property
    def ssh(self) -> SSHFiles:
        """The SSH CA keys, if it has any."""
        return SSHFiles(self.path / "ssh")

    @property
    def audit_key(self) -> Path:
        """The Ed25519 key that signs checkpoints, encrypted."""
        return self.path / "audit" / "key.pem"

    @property
    def audit_public(self) -> Path:
        """Its public half."""
        return self.path / "audit" / "public.pem"

    def state(self) -> State:
        """Return how far the authority is; an interrupted change counts as not done."""
        if (self.path / _STAGING / _COMPLETE).exists():
            return State.ABSENT
        if self.intermediate.certificate.exists():
            return State.READY
        return State.PENDING if self.intermediate.csr.exists() else State.ABSENT

    @property
    def is_changing(self) -> bool:
        """Whether somebody changes it now, or was interrupted; `recover` under `lock` tells."""
        return (self.path / _STAGING).exists()

    def require_ready(self) -> None:
        """Refuse unless there is an authority.

        Raises:
            Error: CONFIGURATION with the command that makes or completes one.
        """
        state = self.state()
        if state is State.PENDING:
            raise Error(
                Kind.CONFIGURATION,
                f"the authority in '{self.path}' waits for its intermediate certificate",
                hint=f"have '{self.intermediate.csr}' signed, then: "
                f"mintmark init --dir {self.path} --resume --chain FILE",
            )
        if state is State.ABSENT:
            raise Error(
                Kind.CONFIGURATION,
                f"there is no authority in '{self.path}'",
                hint="make one with mintmark up or mintmark init, or name its directory with --dir",
            )

    def settings(self) -> Settings:
        """Read the configuration.

        Raises:
            Error: CONFIGURATION, as `settings.load`.
        """
        return load(self.settings_file)

    def storage_url(self, settings: Settings) -> str:
        """Return the store's URL with a relative SQLite file made absolute."""
        scheme, _, rest = settings.storage.url.partition(":")
        return f"sqlite:{self.path / rest}" if scheme == "sqlite" else settings.storage.url

    def storage_password(self, settings: Settings) -> str | None:
        """Return the database password from its file, None without one.

        Raises:
            Error: CONFIGURATION when it cannot be read, or others than its owner can.
        """
        if settings.storage.password_file is None:
            return None
        secret = read_secret(self.path / settings.storage.password_file)
        return secret.decode("utf-8", "strict").rstrip("\r\n")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory against others who would change its files.

        Raises:
            Error: CONFIGURATION when it cannot be made or opened, UNAVAILABLE when another
                process changes it now.
        """
        try:
            self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            descriptor = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Error(
                Kind.CONFIGURATION,
                f"cannot write to directory '{self.path}': {error.strerror}",
                hint="look at its owner and mode, or choose another with --dir",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise Error(
                Kind.UNAVAILABLE,
                f"another mintmark is changing '{self.path}' now",
                hint="try again when it is done",
            ) from error
        finally:
            os.close(descriptor)

    def require_empty(self, besides: set[str]) -> None:
        """Refuse a directory with anything in it that a new authority could overwrite.

        Args:
            besides: entries that the operator has prepared.

        Raises:
            Error: CONFIGURATION with the first other entry.
        """
        foreign = sorted({entry.name for entry in self.path.iterdir()} - _PREPARED - besides)
        if foreign:
            raise Error(
                Kind.CONFIGURATION,
                f"'{self.path}' is not empty: it holds '{foreign[0]}'",
                hint="choose a directory that is empty or does not exist yet with --dir",
            )

    @contextmanager
    def change(self) -> Iterator[Directory]:
        """Yield a staging directory whose files replace ours when the block ends well.

        The caller holds the lock.
        """
        self.recover()
        staging = self.path / _STAGING
        staging.mkdir(mode=DIRECTORY_MODE)
        try:
            yield Directory(staging)
        except BaseException:
            shutil.rmtree(staging)
            raise
        _sync(staging)
        (staging / _COMPLETE).touch(mode=0o600)
        _sync(staging)
        self.recover()

    def recover(self) -> None:
        """Finish an interrupted change, or undo it if it had not come far enough."""
        staging = self.path / _STAGING
        if (staging / _COMPLETE).exists():
            for file in _files(staging):
                target = self.path / file.relative_to(staging)
                target.parent.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
                file.replace(target)
            _sync(self.path)
            (staging / _COMPLETE).unlink()
        if staging.exists():
            shutil.rmtree(staging)


def read_certificates(path: Path) -> tuple[bytes, ...]:
    """Return the DER of the certificates in a PEM file, at least one.

    Raises:
        Error: CONFIGURATION when the file cannot be read or holds none.
    """
    try:
        found = pem.decode(pem.CERTIFICATE, path.read_bytes())
    except OSError as error:
        raise Error(
            Kind.CONFIGURATION, f"cannot read certificate file '{path}': {error.strerror}"
        ) from error
    if not found:
        raise Error(Kind.CONFIGURATION, f"file '{path}' holds no certificate in PEM")
    return tuple(found)


def _has_text(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _files(staging: Path) -> list[Path]:
    found = (path for path in sorted(staging.rglob("*")) if path.is_file())
    return [path for path in found if path.name != _COMPLETE]


def _sync(path: Path) -> None:
    """Make the directory's entries, and those of the directories in it, durable."""
    for parent, _, names in os.walk(path):
        for name in (".", *names):
            descriptor = os.open(Path(parent) / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
