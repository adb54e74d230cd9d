"""A Merkle tree as RFC 9162 §2.1.1 defines it, by recursion over all of its leaves."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\x00" + leaf).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """Return the root hash over leaf hashes."""
    if len(hashes) < 2:
        return hashes[0] if hashes else sha256(b"").digest()
    split = 1 << ((len(hashes) - 1).bit_length() - 1)  # the largest power of two below it
    return sha256(b"\x01" + root(hashes[:split]) + root(hashes[split:])).digest()
