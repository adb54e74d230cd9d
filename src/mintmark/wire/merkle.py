"""Merkle trees as Certificate Transparency hashes them (RFC 9162 §2.1).

A growing tree is kept as its frontier: the roots of its perfect subtrees, largest first, one
for each bit set in its size. Appending and taking the root need nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final

EMPTY_ROOT: Final = sha256(b"").digest()
"""Root of the tree without leaves (RFC 9162 §2.1.1)."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node (RFC 9162 §2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def append(frontier: Sequence[bytes], tree_size: int, leaves: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the frontier after appending leaves, given as their octets.

    Args:
        frontier: of the tree so far, largest subtree first.
        tree_size: leaves in the tree so far.
        leaves: what to append, in order.
    """
    roots = list(frontier)
    pop = roots.pop
    for leaf in leaves:
        node = sha256(b"\x00" + leaf).digest()  # RFC 9162 §2.1.1: leaves and nodes kept apart
        carry = tree_size
        while carry & 1:
            node = sha256(b"\x01" + pop() + node).digest()
            carry >>= 1
        roots.append(node)
        tree_size += 1
    return tuple(roots)


def root(frontier: Sequence[bytes]) -> bytes:
    """Return the root hash of the tree with this frontier."""
    if not frontier:
        return EMPTY_ROOT
    node = frontier[-1]
    for left in reversed(frontier[:-1]):
        node = node_hash(left, node)
    return node
