"""SSH CA keys in use: one that signs, and those that are trusted, for users and for hosts."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from mintmark.authority.signer.signer import Signer
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import Generation, SSHAuthority, SSHCertificateType


@dataclass(frozen=True, slots=True)
class SSHIssuingKey:
    """An SSH CA key that can sign.

    Args:
        authority: its public half and place in the rollover.
        signer: its private half.

    Raises:
        Error: CONFIGURATION when the two are not halves of one key.
    """

    authority: SSHAuthority
    signer: Signer

    def __post_init__(self) -> None:
        if sha256(self.signer.spki).digest() != self.authority.key.spki_sha256:
            raise Error(
                Kind.CONFIGURATION,
                f"the private key of SSH CA {self.authority.id} is another one's",
                hint="restore the key file and its public half together",
            )


@dataclass(frozen=True, slots=True)
class SSHKeys:
    """The SSH side of an authority; empty without one.

    Args:
        issuing: the active keys, at most one of each type.
        trusted: every key that relying parties have to trust now: next, active and previous.
        blobs: of the trusted keys.
    """

    issuing: tuple[SSHIssuingKey, ...] = ()
    trusted: tuple[SSHAuthority, ...] = ()
    blobs: frozenset[bytes] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blobs", frozenset(one.key.blob for one in self.trusted))

    def active(self, type_: SSHCertificateType) -> SSHIssuingKey:
        """Return the key that signs certificates of a type.

        Raises:
            Error: NOT_FOUND when this authority has none.
        """
        for key in self.issuing:
            if key.authority.type is type_:
                return key
        raise Error(
            Kind.NOT_FOUND,
            f"this authority has no SSH {type_.word} CA",
            hint="an operator makes one: mintmark ssh init",
        )

    def trusts(self, type_: SSHCertificateType) -> tuple[SSHAuthority, ...]:
        """Return the keys to trust for a type, the active one first."""
        found = (one for one in self.trusted if one.type is type_)
        return tuple(sorted(found, key=lambda one: one.generation is not Generation.ACTIVE))

    def trusted_blob(self, type_: SSHCertificateType, blob: bytes) -> bool:
        """Whether a CA key that signed a certificate is one to trust."""
        return any(one.key.blob == blob for one in self.trusted if one.type is type_)
