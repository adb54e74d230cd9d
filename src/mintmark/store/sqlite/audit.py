"""The audit log in SQLite: records by id, checkpoints by sequence.

Record ids rise in commit order without gaps, so what is not sequenced yet is what lies above
the highest id in a checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

from mintmark.model.audit import Checkpoint, StoredAudit
from mintmark.store import rows
from mintmark.store.leaf import matches

EXAMINED: Final = 5000
"""How many records one filtered page looks at."""

_CHECKPOINT: Final = (
    "SELECT sequence, tree_size, root, frontier, ranges, note, time FROM checkpoints"
)


def page(
    connection: apsw.Connection,
    before: int | None,
    limit: int,
    service: str | None,
    action: str | None,
) -> tuple[list[StoredAudit], int | None]:
    """Return matching records, newest first, and the id to go on from."""
    found: list[StoredAudit] = []
    below = (1 << 62) if before is None else before
    examined = 0
    for id_, leaf in connection.execute(
        "SELECT id, leaf FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?", (below, EXAMINED)
    ):
        examined += 1
        below = id_
        if matches(leaf, service, action):
            found.append(StoredAudit(id_, leaf))
            if len(found) == limit:
                break
    more = examined == EXAMINED or len(found) == limit
    return found, below if more and below > 1 else None


def records(connection: apsw.Connection, ids: Sequence[tuple[int, int]]) -> list[StoredAudit]:
    """Return records by inclusive id ranges, in that order."""
    sql = "SELECT id, leaf FROM audit WHERE id BETWEEN ? AND ? ORDER BY id"
    return [StoredAudit(*row) for bounds in ids for row in connection.execute(sql, bounds)]


def following(connection: apsw.Connection, after: int, limit: int) -> list[StoredAudit]:
    """Return records above an id."""
    sql = "SELECT id, leaf FROM audit WHERE id > ? ORDER BY id LIMIT ?"
    return [StoredAudit(*row) for row in connection.execute(sql, (after, limit))]


def unsequenced(connection: apsw.Connection, limit: int) -> tuple[tuple[int, int], ...]:
    """Return the ids above the highest sequenced one, as ranges."""
    found = connection.execute(
        "SELECT id FROM audit WHERE id > coalesce((SELECT high FROM checkpoints"
        " ORDER BY sequence DESC LIMIT 1), 0) ORDER BY id LIMIT ?",
        (limit,),
    )
    return rows.as_ranges([row[0] for row in found])


def latest(connection: apsw.Connection) -> Checkpoint | None:
    """Return the newest checkpoint."""
    row: Any = connection.execute(f"{_CHECKPOINT} ORDER BY sequence DESC LIMIT 1").get
    return None if row is None else rows.checkpoint(row)


def checkpoints(connection: apsw.Connection, after: int, limit: int) -> list[Checkpoint]:
    """Return checkpoints above a sequence, oldest first."""
    sql = f"{_CHECKPOINT} WHERE sequence > ? ORDER BY sequence LIMIT ?"
    return [rows.checkpoint(row) for row in connection.execute(sql, (after, limit))]


def add_checkpoint(connection: apsw.Connection, checkpoint: Checkpoint) -> bool:
    """Store the checkpoint if it is the next one."""
    newest = connection.execute(
        "SELECT sequence, high FROM checkpoints ORDER BY sequence DESC LIMIT 1"
    ).get
    sequence, high = newest or (0, 0)
    if checkpoint.sequence != sequence + 1:
        return False
    values = rows.checkpoint_row(checkpoint)
    high = max(high, *(last for _, last in checkpoint.ranges))
    connection.execute(
        "INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*values[:5], high, *values[5:])
    )
    return True
