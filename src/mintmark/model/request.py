"""What is asked for, after parsing and before anybody said yes."""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec import Struct

from mintmark.model.identifiers import Identifier
from mintmark.model.keys import KeyType


class SubjectKey(Struct, frozen=True, gc=False):
    """A public key to be certified; whoever made this value saw proof of possession.

    Args:
        spki: DER SubjectPublicKeyInfo, exactly as received.
        sha256: SHA-256 of `spki`.
        type: which kind of key.
        public_key: the key as `cryptography` loaded it.
        csr: the CSR that it came with, DER; None for a key without one.
    """

    spki: bytes
    sha256: bytes
    type: KeyType
    public_key: Any
    csr: bytes | None = None

    @property
    def csr_sha256(self) -> bytes | None:
        """SHA-256 of the CSR; None for a key without one."""
        return None if self.csr is None else hashlib.sha256(self.csr).digest()


class IssuanceRequest(Struct, frozen=True, gc=False):
    """One certificate asked for.

    Args:
        service: whose certificate it will be.
        profile: profile name.
        key: the subject's key.
        identifiers: names asked for, canonical, without repetition.
        common_name: empty when none is asked for.
        lifetime: seconds, or None for the profile's default.
        not_before: Unix seconds asked for, or None for now.
        not_after: Unix seconds asked for, in place of a lifetime, or None.
        replaces: serial of the certificate this renews or rekeys, or None.
        metadata: short texts by key, or None.
    """

    service: str
    profile: str
    key: SubjectKey
    identifiers: tuple[Identifier, ...]
    common_name: str = ""
    lifetime: int | None = None
    replaces: bytes | None = None
    metadata: dict[str, str] | None = None
    not_before: int | None = None
    not_after: int | None = None
