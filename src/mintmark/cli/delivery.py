"""Files of an issued certificate, each written whole, none over somebody else's.

cert.pem        the certificate
chain.pem       the CA certificates above it, without the root
fullchain.pem   both, in the order in which TLS sends them
privkey.pem     the private key, mode 0600
ca.pem          the trust anchors
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from mintmark.authority.signer.files import write_public, write_secret
from mintmark.model.errors import Error, Kind
from mintmark.server.directory import read_certificates

CERTIFICATE: Final = "cert.pem"
CHAIN: Final = "chain.pem"
FULLCHAIN: Final = "fullchain.pem"
KEY: Final = "privkey.pem"
CA: Final = "ca.pem"


@dataclass(frozen=True, slots=True)
class Delivery:
    """What goes into a certificate's directory.

    Args:
        certificate: PEM.
        chain: PEM of the intermediates.
        anchors: PEM of the trust anchors.
        key: PEM of the private key; None keeps the one that is there.
    """

    certificate: str
    chain: str
    anchors: str
    key: bytes | None = None

    def files(self) -> dict[str, bytes]:
        """Return file names and contents; the key comes first, no certificate waits for it."""
        key = {} if self.key is None else {KEY: self.key}
        return key | {
            CERTIFICATE: self.certificate.encode(),
            CHAIN: self.chain.encode(),
            FULLCHAIN: (self.certificate + self.chain).encode(),
            CA: self.anchors.encode(),
        }


def require_room(out: Path, names: frozenset[str], *, force: bool) -> None:
    """Refuse, before anything is asked for, a place that holds another certificate.

    Args:
        out: the directory.
        names: the names of the certificate to come.
        force: whether to overwrite whatever is there.

    Raises:
        Error: CONFLICT when `out` is a file, or holds a certificate of other names, or a key
            that belongs to no certificate there.
    """
    if out.exists() and not out.is_dir():
        raise Error(Kind.CONFLICT, f"'{out}' is a file", hint="name a directory with --out")
    if force or not out.is_dir():
        return
    hint = "name another directory with --out, or overwrite it with --force"
    if (out / CERTIFICATE).exists():
        found = names_of(x509.load_der_x509_certificate(read_certificates(out / CERTIFICATE)[0]))
        if found != names:
            detail = f"'{out}' holds a certificate for {_listed(found)}, not {_listed(names)}"
            raise Error(Kind.CONFLICT, detail, hint=hint)
    elif (out / KEY).exists():
        raise Error(Kind.CONFLICT, f"'{out / KEY}' is a key without its certificate", hint=hint)


def deliver(out: Path, delivery: Delivery) -> list[Path]:
    """Write a certificate's files and return their paths.

    A directory that is not there yet appears with all files at once; in one that is there,
    each file is replaced by itself.

    Raises:
        Error: CONFIGURATION when the files cannot be written.
    """
    files = delivery.files()
    if out.is_dir():
        _write(out, files)
        return [out / name for name in files]
    staging = out.with_name(f".{out.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir(mode=0o755)
        _write(staging, files)
        staging.rename(out)
    except OSError as error:
        raise Error(
            Kind.CONFIGURATION, f"cannot write directory '{out}': {error.strerror}"
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return [out / name for name in files]


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """Return the subject alternative names of a certificate as text."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(str(name.value) for name in extension.value)


def _write(directory: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (write_secret if name == KEY else write_public)(directory / name, data)


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "no name"
