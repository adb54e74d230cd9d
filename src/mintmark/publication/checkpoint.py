"""Sign what the audit log says, and prove later that it still says so (RFC 9162 §2.1).

Records take their place in the tree when a checkpoint names them (design rule 8). A verifier
needs the database, or a copy of it, and the public key; it never trusts a stored root.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from mintmark.model.audit import Checkpoint, StoredAudit
from mintmark.model.time import Clock
from mintmark.store import leaf as leaves
from mintmark.store.consistency import Match
from mintmark.store.interface import Store
from mintmark.wire import merkle, note

MAX_RECORDS: Final = 10_000
"""Records that one checkpoint takes in at most, so that memory stays bounded."""

_STEP: Final = 500  # records between two turns of the loop
_PROBLEMS: Final = 100
_MOST_RECORDS: Final = 100 * MAX_RECORDS
_CHECKPOINTS: Final = 64

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """The key that signs checkpoints, and the name of the log.

    Args:
        origin: names the log, as `mintmark/0123456789abcdef`; no space, no plus.
        private_key: Ed25519, used for nothing else.
    """

    origin: str
    private_key: Ed25519PrivateKey = field(repr=False)


async def sign_checkpoint(
    store: Store, key: CheckpointKey, clock: Clock, max_records: int = MAX_RECORDS
) -> Checkpoint | None:
    """Give the records that have no place yet one, and sign the tree.

    Returns:
        The checkpoint; None when there was nothing to add or another process was faster.
        Called again until then it takes in everything.
    """
    # In this order: a checkpoint that another process adds in between takes our sequence.
    latest = await store.latest_checkpoint()
    ranges = await store.unsequenced(max_records)
    if not ranges:
        return None
    frontier = latest.frontier if latest else ()
    tree_size = latest.tree_size if latest else 0
    for some in _steps(ranges):
        records = await store.audit_records(some)
        frontier = merkle.append(frontier, tree_size, [record.leaf for record in records])
        tree_size += len(records)
        await asyncio.sleep(0)
    root = merkle.root(frontier)
    text = note.encode(note.TreeHead(key.origin, tree_size, root))
    checkpoint = Checkpoint(
        sequence=latest.sequence + 1 if latest else 1,
        tree_size=tree_size,
        root=root,
        frontier=frontier,
        ranges=ranges,
        note=note.sign(text, key.origin, key.private_key),
        time=int(clock()),
    )
    return checkpoint if await store.add_checkpoint(checkpoint) else None


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with the log.

    Args:
        sentence: what it is.
        records: ids of the records it lies in, both ends inclusive; None when it is about no
            record.
        checkpoint: sequence of the checkpoint that shows it, None when it is about none.
    """

    sentence: str
    records: tuple[int, int] | None = None
    checkpoint: int | None = None


@dataclass(slots=True)
class AuditReport:
    """What verification found.

    Args:
        checkpoints: how many were replayed.
        tree_size: records that they prove.
        pending: records that no checkpoint covers yet; the next one will.
        certificates: certificates compared with their records.
        root: root hash of the last good checkpoint, hex; empty when there is none.
        problems: what is wrong, the first bad record first; at most a hundred.
    """

    checkpoints: int = 0
    tree_size: int = 0
    pending: int = 0
    certificates: int = 0
    root: str = ""
    problems: list[Problem] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


async def verify(store: Store, public_key: Ed25519PublicKey, origin: str) -> AuditReport:
    """Replay the whole log against its signed checkpoints and the certificates.

    Works on a live store and on a copy. Finds an altered, removed or reordered record, a
    forged or missing checkpoint, a record that was slipped in, a certificate that is not the
    one in its record or has none, and a revocation that was taken back.
    """
    verification = _Verification(store, public_key, origin)
    await verification.run()
    return verification.report


class _Verification:
    """One run of `verify`."""

    def __init__(self, store: Store, public_key: Ed25519PublicKey, origin: str) -> None:
        self.report = AuditReport()
        self._store = store
        self._public_key = public_key
        self._origin = origin
        self._match = Match(store)
        self._reported = 0
        self._frontier: tuple[bytes, ...] = ()
        self._broken = False
        self._covered: list[tuple[int, int]] = []

    async def run(self) -> None:
        await self._replay()
        # Rows are read to the end before the newest records: each row's record is there.
        await self._match.read_rows(to_the_end=True)
        up_to = self._match.position
        pending = await self._rest()
        await self._hidden(pending)
        await self._match.read_rows()
        self._differing()
        for serial in self._match.without_record(up_to):
            self._found(f"certificate 'cert_{serial.hex()}' has no audit record")
        for id_, serial in self._match.without_row():
            self._found(
                f"record {id_} speaks of certificate 'cert_{serial.hex()}', which is not there",
                (id_, id_),
            )
        self.report.certificates = self._match.matched

    async def _replay(self) -> None:
        """Replay the checkpoints that were not replayed yet."""
        report = self.report
        while True:
            page = await self._store.checkpoints(after=report.checkpoints, limit=_CHECKPOINTS)
            for checkpoint in page:
                if checkpoint.sequence != report.checkpoints + 1:
                    self._found(
                        f"checkpoint {report.checkpoints + 1} is missing",
                        checkpoint=report.checkpoints + 1,
                    )
                    self._broken = True
                report.checkpoints = checkpoint.sequence
                await self._checkpoint(checkpoint)
            if not page:
                return

    async def _checkpoint(self, checkpoint: Checkpoint) -> None:
        head = self._signed(checkpoint)
        size = self.report.tree_size
        if not self._plausible(checkpoint):
            self._go_on_from(checkpoint)
            return
        self._cover(checkpoint)
        missing = False
        for some in _steps(checkpoint.ranges):
            records = await self._store.audit_records(some)
            missing = self._missing(some, records, checkpoint) or missing
            await self._records(records)
            self._frontier = merkle.append(
                self._frontier, size, [record.leaf for record in records]
            )
            size += len(records)
        if head is not None and not missing and not self._broken:
            self._compare(checkpoint, head)
        if merkle.root(self._frontier) != checkpoint.root:
            self._go_on_from(checkpoint)  # so one bad record is not blamed on all that follow
        self._broken = False
        self.report.tree_size = checkpoint.tree_size

    def _plausible(self, checkpoint: Checkpoint) -> bool:
        """Whether the ranges hold as many records as the tree grew; a forger may write anything."""
        count = sum(last - first + 1 for first, last in checkpoint.ranges)
        grown = checkpoint.tree_size - self.report.tree_size
        orderly = all(0 < first <= last for first, last in checkpoint.ranges)
        if self._broken or (orderly and count == grown <= _MOST_RECORDS):
            return orderly and count <= _MOST_RECORDS
        self._found(
            f"checkpoint {checkpoint.sequence} takes in {count} records and the tree grew by"
            f" {grown}",
            checkpoint=checkpoint.sequence,
        )
        return False

    def _compare(self, checkpoint: Checkpoint, head: note.TreeHead) -> None:
        """Compare the records with what was signed, and the row with what was signed."""
        number = checkpoint.sequence
        if (head.tree_size, head.root) != (checkpoint.tree_size, checkpoint.root):
            self._found(f"checkpoint {number} does not say what was signed", None, number)
        if merkle.root(self._frontier) == head.root:
            self.report.root = head.root.hex()
            return
        first, last = checkpoint.ranges[0][0], checkpoint.ranges[-1][1]
        where = f"record {first}" if first == last else f"one of the records {first} to {last}"
        self._found(
            f"{where} is not what checkpoint {number} signed:"
            " altered, reordered, or put in another's place",
            (first, last),
            number,
        )

    def _go_on_from(self, checkpoint: Checkpoint) -> None:
        self._frontier = checkpoint.frontier
        self.report.tree_size = checkpoint.tree_size
        self._broken = False

    def _signed(self, checkpoint: Checkpoint) -> note.TreeHead | None:
        try:
            head = note.parse(note.verify(checkpoint.note, self._origin, self._public_key))
        except ValueError as error:
            self._found(
                f"checkpoint {checkpoint.sequence} is forged: {error}",
                checkpoint=checkpoint.sequence,
            )
            return None
        if head.origin != self._origin:
            self._found(
                f"checkpoint {checkpoint.sequence} belongs to the log '{head.origin}'",
                checkpoint=checkpoint.sequence,
            )
            return None
        return head

    def _cover(self, checkpoint: Checkpoint) -> None:
        """Remember the ids that a checkpoint takes in, and refuse those taken in before."""
        for first, last in checkpoint.ranges:
            if self._covered and first == self._covered[-1][1] + 1:
                self._covered[-1] = (self._covered[-1][0], last)
                continue
            if any(first <= end and start <= last for start, end in self._covered):
                self._found(
                    f"checkpoint {checkpoint.sequence} takes in records {first} to {last} again",
                    (first, last),
                    checkpoint.sequence,
                )
            self._covered.append((first, last))

    def _missing(self, asked: Ranges, records: list[StoredAudit], checkpoint: Checkpoint) -> bool:
        """Report records of a checkpoint that are not there."""
        if len(records) == sum(last - first + 1 for first, last in asked):
            return False
        there = {record.id for record in records}
        for first, last in asked:
            for id_ in range(first, last + 1):
                if id_ not in there:
                    self._found(
                        f"record {id_} was removed: checkpoint {checkpoint.sequence} signed it",
                        (id_, id_),
                        checkpoint.sequence,
                    )
        return True

    async def _records(self, records: list[StoredAudit]) -> None:
        """Compare records with the certificates and revocations they speak of."""
        for record in records:
            try:
                leaf = leaves.decode(record.leaf)
                self._match.record(record.id, leaf)
                revoked = [bytes.fromhex(serial) for serial in leaf.revoked]
            except ValueError:
                self._found(f"record {record.id} cannot be read", (record.id, record.id))
                continue
            for serial in revoked:
                if await self._store.revocation(serial) is None:
                    self._found(
                        f"record {record.id} revoked 'cert_{serial.hex()}',"
                        " and its revocation is not there",
                        (record.id, record.id),
                    )
        await self._match.read_rows()
        self._differing()
        await asyncio.sleep(0)

    def _differing(self) -> None:
        for id_, serial in self._match.differing[self._reported :]:
            self._found(
                f"certificate 'cert_{serial.hex()}' is not the one in record {id_}", (id_, id_)
            )
        self._reported = len(self._match.differing)

    async def _rest(self) -> Ranges:
        """Replay what was signed meanwhile, and take in the records that have no checkpoint.

        A checkpoint that is signed between the two takes records out of the second without
        being in the first: then both are looked at again.
        """
        while True:
            await self._replay()
            pending = await self._store.unsequenced(1 << 31)
            latest = await self._store.latest_checkpoint()
            if latest is None or latest.sequence <= self.report.checkpoints:
                break
        for some in _steps(pending):
            await self._records(await self._store.audit_records(some))
        self.report.pending = sum(last - first + 1 for first, last in pending)
        return pending

    async def _hidden(self, pending: Ranges) -> None:
        """Look between the ids that checkpoints took in for records that nobody signed."""
        allowed = {id_ for first, last in pending for id_ in range(first, last + 1)}
        end = 0
        holes = []
        for first, last in sorted(self._covered):
            if first > end + 1:
                holes.append((end + 1, first - 1))
            end = max(end, last)
        for hole in holes:
            for record in await self._store.audit_records([hole]):
                if record.id not in allowed:
                    self._found(
                        f"record {record.id} is in no checkpoint and too old to be pending",
                        (record.id, record.id),
                    )

    def _found(
        self,
        sentence: str,
        records: tuple[int, int] | None = None,
        checkpoint: int | None = None,
    ) -> None:
        if len(self.report.problems) < _PROBLEMS:
            self.report.problems.append(Problem(sentence, records, checkpoint))


def _steps(ranges: Iterable[tuple[int, int]]) -> Iterable[Ranges]:
    """Cut ranges into pieces of at most `_STEP` records."""
    some: list[tuple[int, int]] = []
    room = _STEP
    for range_first, last in ranges:
        first = range_first
        while first <= last:
            end = min(last, first + room - 1)
            some.append((first, end))
            room -= end - first + 1
            first = end + 1
            if room == 0:
                yield tuple(some)
                some, room = [], _STEP
    if some:
        yield tuple(some)
