"""The signer: can sign, cannot be read.

File keys live in `file.py`; PKCS#11 and others come beside it behind the same protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from mintmark.authority.signer.draft import Draft


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    """How a key signs.

    Args:
        name: as `ecdsa-with-SHA256`.
        identifier: its DER AlgorithmIdentifier (RFC 5758 §3.2, RFC 8410 §3, RFC 4055 §5).
    """

    name: str
    identifier: bytes


class Signer(Protocol):
    """One signing key."""

    @property
    def algorithm(self) -> SignatureAlgorithm:
        """How it signs."""

    @property
    def spki(self) -> bytes:
        """Its public half, DER SubjectPublicKeyInfo."""

    @property
    def slow(self) -> bool:
        """Whether a signature takes long enough (0.4 ms and more) to leave the event loop."""

    def sign(self, draft: Draft) -> bytes:
        """Redeem the draft and return the signature value."""

    def builder_key(self) -> Any:
        """Return an object that `cryptography`'s builders accept as a private key.

        Only the ceremony uses it, for roots and intermediates.
        """
