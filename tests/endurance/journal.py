"""What customers hold in their hands, compared with what the server has kept."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mintmark.store import leaf as leaves
from mintmark.store.interface import CertificateFilter, Store
from tests.endurance.servers import STORM, Server


@dataclass(frozen=True)
class Journal:
    """The lines of `storm`.

    Args:
        issued: (idempotency key, serial, SHA-256) of each answer.
        revoked: serials.
        refused: lines that should not be there.
    """

    issued: list[tuple[str, str, str]]
    revoked: set[str]
    refused: list[str]

    @classmethod
    def read(cls, path: Path) -> Journal:
        lines = [line.split() for line in path.read_text().splitlines()]
        return cls(
            [(line[1], line[2], line[3]) for line in lines if line[0] == "issued"],
            {line[1] for line in lines if line[0] == "revoked"},
            [" ".join(line) for line in lines if line[0] == "refused"],
        )


def assert_kept(server: Server, path: Path) -> None:
    """Assert that everything in a journal is in the database and in the audit log, once."""
    journal = Journal.read(path)
    assert journal.refused == []
    stored, recorded = server.certificates(), server.recorded()
    assert {(serial, digest) for _, serial, digest in journal.issued} <= stored.items()
    assert Counter(recorded) == Counter(stored.items())
    named = server.with_store(_names)
    keys = {key for key, _, _ in journal.issued if key != "-"}
    assert keys
    assert {key: named[f"{key}.storm.internal"] for key in keys} == dict.fromkeys(keys, 1)
    revoked = server.with_store(_revocations)
    assert journal.revoked <= revoked.keys()
    assert set(revoked.values()) <= {1}


async def _names(store: Store) -> Counter[str]:
    """Return how many certificates carry each name."""
    counted: Counter[str] = Counter()
    everything, after = CertificateFilter(now=0, service=STORM), None
    while page := await store.certificates(everything, after=after, limit=1000):
        counted.update(each.certificate.identifiers[0].value for each in page)
        after = page[-1].sequence
    return counted


async def _revocations(store: Store) -> Counter[str]:
    """Return how many records of the audit log revoke each serial."""
    counted: Counter[str] = Counter()
    async for record in store.all_audit():
        counted.update(leaves.decode(record.leaf).revoked)
    return counted
