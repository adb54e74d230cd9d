"""A key's three files, as OpenSSH names them: NAME, NAME.pub and NAME-cert.pub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from mintmark.authority.signer.file import SigningPrivateKey, parse_private_key
from mintmark.authority.signer.files import read_secret, write_public, write_secret
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHPublicKey
from mintmark.wire.ssh import certificate as certificates
from mintmark.wire.ssh import key as keys
from mintmark.wire.ssh.certificate import Parsed

MAX_LINE: Final = 128 * 1024  # a certificate has 64 kB at the most, and base64 a third more
_PUBLIC: Final = ".pub"
_CERTIFICATE: Final = "-cert.pub"


@dataclass(frozen=True, slots=True)
class SSHFiles:
    """Where a key and its certificate are.

    Args:
        private: the private key; it need not be there.
    """

    private: Path

    @classmethod
    def of_public(cls, path: Path) -> SSHFiles:
        """Return the files beside a public key."""
        return cls(path.with_name(path.name.removesuffix(_PUBLIC)))

    @classmethod
    def of_certificate(cls, path: Path) -> SSHFiles:
        """Return the files beside a certificate.

        Raises:
            Error: CONFIGURATION when its name does not say which key is its own.
        """
        if not path.name.endswith(_CERTIFICATE) or path.name == _CERTIFICATE:
            raise Error(
                Kind.CONFIGURATION,
                f"'{path}' is not named like an SSH certificate",
                hint="name the file that ends in -cert.pub, beside its private key",
            )
        return cls(path.with_name(path.name.removesuffix(_CERTIFICATE)))

    @property
    def public(self) -> Path:
        """The public key."""
        return self.private.with_name(self.private.name + _PUBLIC)

    @property
    def certificate(self) -> Path:
        """The certificate."""
        return self.private.with_name(self.private.name + _CERTIFICATE)

    def require_room(self, *, force: bool) -> None:
        """Refuse a place that holds a key already.

        Raises:
            Error: CONFLICT, unless forced.
        """
        for path in (self.private, self.public):
            if path.exists() and not force:
                raise Error(
                    Kind.CONFLICT,
                    f"'{path}' exists already",
                    hint="certify that key with --public-key, name another file with --out, or "
                    "overwrite it with --force",
                )

    def write_key(self, key: SigningPrivateKey, comment: str) -> list[Path]:
        """Write a key pair and return the files."""
        write_secret(self.private, openssh_private_key(key))
        public = keys.from_public_key(key.public_key(), comment)
        write_public(self.public, f"{keys.line(public)}\n".encode())
        return [self.private, self.public]

    def write_certificate(self, line: str) -> Path:
        """Write a certificate and return its file."""
        write_public(self.certificate, f"{line.strip()}\n".encode())
        return self.certificate


def openssh_private_key(key: SigningPrivateKey) -> bytes:
    """Return a private key in OpenSSH's own format (PROTOCOL.key)."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


def read_private_key(path: Path) -> SigningPrivateKey:
    """Return the private key of a file, in OpenSSH's format or PEM.

    Raises:
        Error: CONFIGURATION when it cannot be used.
    """
    data = read_secret(path)
    if b"OPENSSH PRIVATE KEY" not in data:
        return cast("SigningPrivateKey", parse_private_key(data, None, str(path)))
    try:
        return cast("SigningPrivateKey", serialization.load_ssh_private_key(data, None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Error(
            Kind.CONFIGURATION,
            f"'{path}' holds no private key that can be used here: {error}",
            hint="a key with a passphrase, or on a security key, renews nothing by itself: sign "
            "in again, or have it certified anew",
        ) from error


def read_public_key(path: Path) -> SSHPublicKey:
    """Return the public key of a file.

    Raises:
        Error: CONFIGURATION when the file cannot be read, BAD_PUBLIC_KEY for what it holds.
    """
    return keys.parse_line(_line(path))


def read_certificate(path: Path) -> Parsed:
    """Return the certificate of a file.

    Raises:
        Error: CONFIGURATION when the file cannot be read, MALFORMED for what it holds.
    """
    return certificates.parse_line(_line(path))


def answered_certificate(line: str, key: SSHPublicKey) -> Parsed:
    """Return the certificate that a server answered with, if it is for our key.

    Raises:
        Error: INTERNAL when it is for another one, MALFORMED when it is none.
    """
    parsed = certificates.parse_line(line)
    if parsed.fields.key.blob != key.blob:
        raise Error(
            Kind.INTERNAL,
            f"the server's answer is a certificate for {keys.fingerprint(parsed.fields.key.blob)}"
            f" and not for our key, {keys.fingerprint(key.blob)}",
            hint="nothing was written; who answers there?",
        )
    return parsed


def certificate_id(serial: int) -> str:
    """Return how the API names the certificate of a serial."""
    return f"cert_{serial:016x}"


def _line(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_LINE).decode()
    except OSError as error:
        raise Error(Kind.CONFIGURATION, f"cannot read '{path}': {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Error(
            Kind.CONFIGURATION,
            f"'{path}' is not text",
            hint="name a .pub file",
        ) from error
