"""The audit log as a Merkle tree: what a checkpoint commits to (RFC 9162 §2.1)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StoredAudit:
    """One stored audit record.

    Args:
        id: its key in the table, rising, with possible gaps.
        leaf: the exact octets that are hashed as a leaf: canonical JSON of the record.
    """

    id: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement about the first `tree_size` records.

    Records take their place in the tree checkpoint by checkpoint: `ranges` says which ids
    came in with this one, in order, both ends inclusive.

    Args:
        sequence: 1, 2, 3 …; unique, so that two processes cannot fork the log.
        tree_size: leaves in the tree, this checkpoint's included.
        root: the tree's root hash.
        frontier: roots of the perfect subtrees, largest first: what is needed to append.
        ranges: ids of the records added by this checkpoint.
        note: the signed text (C2SP signed note of a tlog checkpoint).
        time: Unix seconds.
    """

    sequence: int
    tree_size: int
    root: bytes
    frontier: tuple[bytes, ...]
    ranges: tuple[tuple[int, int], ...]
    note: str
    time: int
