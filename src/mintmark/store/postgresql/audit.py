"""The audit log in PostgreSQL: record ids become visible out of order and can leave gaps.

A checkpoint that skips ids leaves them in `gaps`. Such an id is either committed later, then it
joins a later checkpoint, or never. Which of the two is decided without a clock: every writer
takes its transaction id before its record ids, so once no transaction that old is running, an
id whose record cannot be seen will never have one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mintmark.model.audit import Checkpoint, StoredAudit
from mintmark.store import rows
from mintmark.store.interface import FOREVER
from mintmark.store.leaf import matches

EXAMINED: Final = 5000
"""How many records one filtered page looks at."""

_CHECKPOINT: Final = (
    "SELECT sequence, tree_size, root, frontier, ranges, note, time FROM checkpoints"
)
# One at a time, also when two processes sign: sequence and gaps belong together.
_LOCK: Final = "LOCK TABLE checkpoints IN EXCLUSIVE MODE"
_UNSEQUENCED: Final = """
(SELECT a.id FROM gaps g JOIN audit a ON a.id BETWEEN g.first AND g.last ORDER BY a.id LIMIT $1)
UNION ALL
(SELECT id FROM audit
 WHERE id > coalesce((SELECT high FROM checkpoints ORDER BY sequence DESC LIMIT 1), 0)
 ORDER BY id LIMIT $1)
ORDER BY 1 LIMIT $1
"""
# In one statement, that is in one snapshot: what an old enough transaction left is visible.
_DECIDE_GAPS: Final = """
DELETE FROM gaps g WHERE g.horizon <= pg_snapshot_xmin(pg_current_snapshot())
AND NOT EXISTS (SELECT 1 FROM audit a WHERE a.id BETWEEN g.first AND g.last)
"""
_NEW_GAPS: Final = """
INSERT INTO gaps SELECT first, last, pg_snapshot_xmax(pg_current_snapshot())
FROM unnest($1::bigint[], $2::bigint[]) AS n(first, last)
"""


async def page(
    connection: Any, before: int | None, limit: int, service: str | None, action: str | None
) -> tuple[list[StoredAudit], int | None]:
    """Return matching records, newest first, and the id to go on from."""
    narrow = service is not None or action is not None
    examine = EXAMINED if narrow else limit
    below = FOREVER if before is None else before
    page_rows = await connection.fetch(
        "SELECT id, leaf FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2", below, examine
    )
    found: list[StoredAudit] = []
    for id_, leaf in page_rows:
        below = id_
        if matches(leaf, service, action):
            found.append(StoredAudit(id_, leaf))
            if len(found) == limit:
                break
    more = len(page_rows) == examine or len(found) == limit
    return found, below if more and below > 1 else None


async def records(connection: Any, ids: Sequence[tuple[int, int]]) -> list[StoredAudit]:
    """Return records by inclusive id ranges, in that order."""
    if not ids:
        return []
    found = await connection.fetch(
        "SELECT a.id, a.leaf"
        " FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS n(first, last, place)"
        " JOIN audit a ON a.id BETWEEN n.first AND n.last ORDER BY n.place, a.id",
        [first for first, _ in ids],
        [last for _, last in ids],
    )
    return [StoredAudit(*row) for row in found]


async def following(connection: Any, after: int, limit: int) -> list[StoredAudit]:
    """Return records above an id."""
    sql = "SELECT id, leaf FROM audit WHERE id > $1 ORDER BY id LIMIT $2"
    return [StoredAudit(*row) for row in await connection.fetch(sql, after, limit)]


async def unsequenced(connection: Any, limit: int) -> tuple[tuple[int, int], ...]:
    """Return ids that are in no checkpoint, latecomers first, as ranges."""
    return rows.as_ranges([row[0] for row in await connection.fetch(_UNSEQUENCED, limit)])


async def latest(connection: Any) -> Checkpoint | None:
    """Return the newest checkpoint."""
    row = await connection.fetchrow(f"{_CHECKPOINT} ORDER BY sequence DESC LIMIT 1")
    return None if row is None else rows.checkpoint(row)


async def checkpoints(connection: Any, after: int, limit: int) -> list[Checkpoint]:
    """Return checkpoints above a sequence, oldest first."""
    sql = f"{_CHECKPOINT} WHERE sequence > $1 ORDER BY sequence LIMIT $2"
    return [rows.checkpoint(row) for row in await connection.fetch(sql, after, limit)]


async def add_checkpoint(connection: Any, checkpoint: Checkpoint) -> bool:
    """Store the checkpoint if it is the next one, and note the gaps it leaves or fills."""
    async with connection.transaction():
        await connection.execute(_LOCK)
        newest = await connection.fetchrow(
            "SELECT sequence, high FROM checkpoints ORDER BY sequence DESC LIMIT 1"
        )
        sequence, old_high = newest or (0, 0)
        if checkpoint.sequence != sequence + 1:
            return False
        values = rows.checkpoint_row(checkpoint)
        high = max(old_high, *(last for _, last in checkpoint.ranges))
        await connection.execute(
            "INSERT INTO checkpoints VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            *values[:5],
            high,
            *values[5:],
        )
        await _fill(connection, [r for r in checkpoint.ranges if r[0] <= old_high])
        left = holes(old_high + 1, high, [r for r in checkpoint.ranges if r[1] > old_high])
        if left:
            await connection.execute(_NEW_GAPS, *map(list, zip(*left, strict=True)))
        await connection.execute(_DECIDE_GAPS)
    return True


async def _fill(connection: Any, ranges: list[tuple[int, int]]) -> None:
    """Take ids out of the gaps that they lie in; the rest keeps its horizon."""
    for first, last in ranges:
        gaps = await connection.fetch(
            "DELETE FROM gaps WHERE first <= $2 AND last >= $1 RETURNING first, last, horizon",
            first,
            last,
        )
        for gap_first, gap_last, horizon in gaps:
            for rest in ((gap_first, first - 1), (last + 1, gap_last)):
                if rest[0] <= rest[1]:
                    await connection.execute("INSERT INTO gaps VALUES ($1, $2, $3)", *rest, horizon)


def holes(first: int, last: int, ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return what rising ranges leave of `first` to `last`, as ranges."""
    found: list[tuple[int, int]] = []
    for start, end in ranges:
        if start > first:
            found.append((first, start - 1))
        first = max(first, end + 1)
    if first <= last:
        found.append((first, last))
    return found
