"""Which certificate is meant: an id, a service, a file, or a directory that we wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mintmark.cli.delivery import CERTIFICATE
from mintmark.model.errors import Error, Kind
from mintmark.server.directory import read_certificates
from mintmark.wire.certificate import serial_of


@dataclass(frozen=True, slots=True)
class Target:
    """A certificate that somebody named.

    Args:
        id: for the API: certificate id or service id.
        directory: where its files are, if it was named by them.
    """

    id: str
    directory: Path | None = None


def find_target(text: str) -> Target:
    """Return the certificate that `text` names: a file or directory if there is one.

    Raises:
        Error: CONFIGURATION when the file holds no certificate.
    """
    path = Path(text)
    if path.is_dir():
        return Target(_id(path / CERTIFICATE), path)
    if path.is_file():
        return Target(_id(path))
    if "/" in text:
        raise Error(Kind.NOT_FOUND, f"there is no file or directory '{text}'")
    return Target(text)


def load_certificate(path: Path) -> x509.Certificate:
    """Return the first certificate of a file, PEM or DER.

    Raises:
        Error: CONFIGURATION when it holds none.
    """
    try:
        data = path.read_bytes()
        if data[:1] == b"\x30":
            return x509.load_der_x509_certificate(data)
        return x509.load_der_x509_certificate(read_certificates(path)[0])
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a certificate"
        raise Error(Kind.CONFIGURATION, f"cannot read '{path}': {reason}") from error


def _id(path: Path) -> str:
    certificate = load_certificate(path)
    serial = serial_of(certificate.public_bytes(serialization.Encoding.DER))
    return f"cert_{serial.hex()}"
