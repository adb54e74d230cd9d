"""ssh-agent, as its protocol has it (draft-ietf-sshm-ssh-agent): keys in, keys out.

A key that is handed over this way was in no file on its way.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mintmark.model.errors import Error, Kind
from mintmark.wire.ssh.encoding import Reader, mpint, string, uint32

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

VARIABLE: Final = "SSH_AUTH_SOCK"
TIMEOUT: Final = 30.0  # seconds; some agents ask their owner
MAX_ANSWER: Final = 1 << 20  # octets; OpenSSH's agent sends 256 kB at the most
MAX_LIFETIME: Final = (1 << 32) - 1

_SUCCESS: Final = 6
_REQUEST_IDENTITIES: Final = 11
_IDENTITIES_ANSWER: Final = 12
_REMOVE_IDENTITY: Final = 18
_ADD_ID_CONSTRAINED: Final = 25
_CONSTRAIN_LIFETIME: Final = 1


@dataclass(frozen=True, slots=True)
class Held:
    """Something that an agent holds.

    Args:
        blob: a public key, or a certificate.
        comment: as it was given with it.
    """

    blob: bytes
    comment: str


class SSHAgent:
    """The agent of whoever runs this program.

    Args:
        connection: to its socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    @classmethod
    def connect(cls) -> Self:
        """Connect to the agent that the environment names.

        Raises:
            Error: UNAVAILABLE without an agent.
        """
        path = os.environ.get(VARIABLE, "")
        if not path:
            raise Error(
                Kind.UNAVAILABLE,
                f"no ssh-agent: {VARIABLE} is not set",
                hint='start one with: eval "$(ssh-agent)"; or write files: --no-agent --out FILE',
            )
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(path)
        except OSError as error:
            connection.close()
            raise Error(
                Kind.UNAVAILABLE,
                f"no ssh-agent at '{path}', which {VARIABLE} names: {error.strerror or error}",
                hint='start one with: eval "$(ssh-agent)"; or write files: --no-agent --out FILE',
            ) from error
        return cls(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def held(self) -> list[Held]:
        """Return what the agent holds.

        Raises:
            Error: UNAVAILABLE when it does not answer as an agent does.
        """
        answer = Reader(
            self._ask(bytes((_REQUEST_IDENTITIES,))), "ssh-agent's answer", Kind.UNAVAILABLE
        )
        if answer.uint8() != _IDENTITIES_ANSWER:
            raise _refused("does not say what it holds", "is it locked? unlock it: ssh-add -X")
        found = []
        for _ in range(answer.uint32()):
            blob, comment = answer.string(), answer.string()
            found.append(Held(blob, comment.decode("utf-8", "replace")))
        return found

    def add(self, key: PrivateKey, certificate: bytes, comment: str, lifetime: int) -> None:
        """Hand over a private key and its certificate, for so many seconds.

        Args:
            key: the private key.
            certificate: for it, in wire form.
            comment: what `ssh-add -l` shows.
            lifetime: seconds after which the agent forgets it.

        Raises:
            Error: UNAVAILABLE when the agent does not take it.
        """
        name = Reader(certificate, "SSH certificate").string()
        seconds = min(max(lifetime, 1), MAX_LIFETIME)
        request = (
            bytes((_ADD_ID_CONSTRAINED,))
            + string(name)
            + string(certificate)
            + _private_fields(key)
            + string(comment.encode())
            + bytes((_CONSTRAIN_LIFETIME,))
            + uint32(seconds)
        )
        if self._ask(request) != bytes((_SUCCESS,)):
            raise _refused(
                "does not take the certificate",
                "is it locked, or another program than OpenSSH's agent? some know no "
                "certificates: use ssh-agent, or --no-agent --out FILE",
            )

    def remove(self, blob: bytes) -> bool:
        """Have the agent forget a key or certificate; whether it did."""
        return self._ask(bytes((_REMOVE_IDENTITY,)) + string(blob)) == bytes((_SUCCESS,))

    def _ask(self, request: bytes) -> bytes:
        try:
            self._connection.sendall(string(request))
            size = int.from_bytes(self._read(4))
            if not 0 < size <= MAX_ANSWER:
                raise _refused(f"answers with {size} octets", f"what listens at {VARIABLE}?")
            return self._read(size)
        except OSError as error:
            raise _refused(f"does not answer: {error.strerror or error}", "") from error

    def _read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self._connection.recv(size - len(parts))
            if not part:
                raise _refused("hung up", f"what listens at {VARIABLE}?")
            parts += part
        return bytes(parts)


def _refused(why: str, hint: str) -> Error:
    return Error(Kind.UNAVAILABLE, f"ssh-agent {why}", hint=hint)


def _private_fields(key: PrivateKey) -> bytes:
    """Return what stands between a certificate and its comment (§4.2 of the draft)."""
    match key:
        case ed25519.Ed25519PrivateKey():
            public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
            return string(public) + string(key.private_bytes_raw() + public)
        case ec.EllipticCurvePrivateKey():
            return mpint(key.private_numbers().private_value)
        case rsa.RSAPrivateKey():
            numbers = key.private_numbers()
            return mpint(numbers.d) + mpint(numbers.iqmp) + mpint(numbers.p) + mpint(numbers.q)
