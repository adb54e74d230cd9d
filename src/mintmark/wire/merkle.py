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


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf; its prefix keeps leaves and nodes apart (RFC 9162 §2.1.1)."""
    return sha256(b"\x00" + leaf).digest()


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
        node = sha256(b"\x00" + leaf).digest()
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


def tree_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root hash over leaf hashes."""
    if not hashes:
        return EMPTY_ROOT
    if len(hashes) == 1:
        return hashes[0]
    split = _split(len(hashes))
    return node_hash(tree_root(hashes[:split]), tree_root(hashes[split:]))


def inclusion_proof(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree over leaf hashes (RFC 9162 §2.1.3.1).

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < len(hashes):
        raise ValueError(f"leaf {index} is not in a tree of {len(hashes)}")
    if len(hashes) == 1:
        return []
    split = _split(len(hashes))
    if index < split:
        return [*inclusion_proof(hashes[:split], index), tree_root(hashes[split:])]
    return [*inclusion_proof(hashes[split:], index - split), tree_root(hashes[:split])]


def check_inclusion(
    hash_: bytes, index: int, tree_size: int, proof: Sequence[bytes], root_hash: bytes
) -> None:
    """Check that a leaf hash is at `index` of the tree (RFC 9162 §2.1.3.2).

    Raises:
        ValueError: the proof does not show it.
    """
    if not 0 <= index < tree_size:
        raise ValueError(f"leaf {index} is not in a tree of {tree_size}")
    _, found = _climb(index, tree_size - 1, hash_, proof)
    if found != root_hash:
        raise ValueError(f"the inclusion proof of leaf {index} does not lead to the root")


def consistency_proof(hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """Return the proof that the tree begins with its first `old_size` leaves.

    RFC 9162 §2.1.4.1. Empty when the trees are equal or the old one was empty.

    Raises:
        ValueError: the old tree is larger than the new one.
    """
    if not 0 <= old_size <= len(hashes):
        raise ValueError(f"a tree of {len(hashes)} never had {old_size} leaves")
    if old_size in (0, len(hashes)):
        return []
    return _subproof(hashes, old_size, whole=True)


def _subproof(hashes: Sequence[bytes], old_size: int, *, whole: bool) -> list[bytes]:
    if old_size == len(hashes):
        return [] if whole else [tree_root(hashes)]
    split = _split(len(hashes))
    if old_size <= split:
        return [
            *_subproof(hashes[:split], old_size, whole=whole),
            tree_root(hashes[split:]),
        ]
    return [
        *_subproof(hashes[split:], old_size - split, whole=False),
        tree_root(hashes[:split]),
    ]


def check_consistency(
    old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes
) -> None:
    """Check that the new tree begins with the old one (RFC 9162 §2.1.4.2).

    Raises:
        ValueError: the proof does not show it.
    """
    if not 0 <= old_size <= new_size:
        raise ValueError(f"a tree of {new_size} never had {old_size} leaves")
    if old_size in (0, new_size):
        same = old_root == (EMPTY_ROOT if old_size == 0 else new_root)
        if proof or not same:
            raise ValueError("the roots of equal trees differ")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, old_root)  # a perfect old tree is itself the first node
    if not path:
        raise ValueError("the consistency proof is too short")
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    if _climb(node, last, path[0], path[1:]) != (old_root, new_root):
        raise ValueError("the consistency proof does not lead to both roots")


def _climb(node: int, last: int, start: bytes, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the roots above `node` of the tree that ends there and of the tree up to `last`.

    Raises:
        ValueError: the proof has too few or too many steps.
    """
    old = new = start
    for step in proof:
        if last == 0:
            raise ValueError("the proof is too long")
        if node & 1 or node == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            new = node_hash(new, step)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise ValueError("the proof is too short")
    return old, new


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << ((size - 1).bit_length() - 1)
