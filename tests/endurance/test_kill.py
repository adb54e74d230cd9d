"""SIGKILL at any moment of a storm: what a client was given is kept, and nothing exists twice.

Fifty kills in all: of one process and of two on SQLite, and of two on PostgreSQL.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from mintmark.store import leaf as leaves
from mintmark.store.interface import CertificateFilter
from tests.endurance.servers import SETTINGS, Server, grows, make, serving, storming, wait
from tests.postgresql import Cluster

pytestmark = pytest.mark.endurance
SEED = 20261122


@dataclass(frozen=True)
class Journal:
    """What customers hold in their hands.

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


def assert_kept(server: Server, journal: Journal) -> None:
    """Compare what customers hold with the database and with the audit log."""
    assert journal.refused == []
    stored, recorded = server.certificates(), server.recorded()
    assert {(serial, digest) for _, serial, digest in journal.issued} <= stored.items()
    assert Counter(recorded) == Counter(stored.items())
    named = server.with_store(names)
    keys = {key for key, _, _ in journal.issued if key != "-"}
    assert len(keys) > 100
    assert {key: named[f"{key}.storm.internal"] for key in keys} == dict.fromkeys(keys, 1)
    revoked = server.with_store(revocations)
    assert journal.revoked <= revoked.keys()
    assert set(revoked.values()) <= {1}


async def names(store):
    """Return how many certificates carry each name."""
    counted: Counter[str] = Counter()
    everything, after = CertificateFilter(now=0, service="storm"), None
    while page := await store.certificates(everything, after=after, limit=1000):
        counted.update(each.certificate.identifiers[0].value for each in page)
        after = page[-1].sequence
    return counted


async def revocations(store):
    """Return how many records of the audit log revoke each serial."""
    counted: Counter[str] = Counter()
    async for record in store.all_audit():
        counted.update(leaves.decode(record.leaf).revoked)
    return counted


def storm_through_kills(server: Server, kills: int) -> Journal:
    """Kill and start a server again and again while certificates are issued and revoked."""
    chance = random.Random(SEED)
    server.start()
    try:
        with storming(server) as path:
            for _ in range(kills):
                wait(grows(path), "a certificate after the start")
                time.sleep(chance.uniform(0.0, 0.3))  # the moment of the fault
                server.kill()
                server.start()
            wait(grows(path, 50), "certificates after the last start")
    finally:
        server.stop()
    return Journal.read(path)


@pytest.mark.parametrize("workers", [1, 2])
def test_no_certificate_is_lost_or_doubled_when_sqlite_servers_are_killed(place, workers):
    server = make(place, workers=workers)

    journal = storm_through_kills(server, 20)

    assert_kept(server, journal)
    server.prove()


@pytest.mark.postgresql
def test_no_certificate_is_lost_or_doubled_when_postgresql_servers_are_killed(place):
    cluster = Cluster(fsync=True)
    try:
        url = cluster.database()
        server = make(place, workers=2, settings=f"storage: {{url: '{url}'}}\n{SETTINGS}")

        journal = storm_through_kills(server, 10)

        assert_kept(server, journal)
        server.prove()
    finally:
        cluster.remove()


def test_killed_worker_is_started_again_while_the_other_serves(place):
    server = make(place, workers=2)
    with serving(server), storming(server) as path:
        wait(grows(path, 10), "certificates")
        before = server.children()
        victim = min(before)

        os.kill(victim, signal.SIGKILL)

        wait(grows(path, 10), "certificates from the other worker")
        wait(lambda: len(server.children() - {victim}) == 2, "a new worker")
        assert server.children() & before == before - {victim}
        wait(grows(path, 50), "certificates")
    assert "ended with SIGKILL; it is started again" in server.log.read_text()
    assert_kept(server, Journal.read(path))


def test_workers_end_with_a_killed_supervisor_and_make_room_for_the_next(place):
    server = make(place, workers=2)
    server.start()
    try:
        with storming(server) as path:
            wait(grows(path, 10), "certificates")
            workers = server.children()

            os.kill(server.pid, signal.SIGKILL)
            server.daemon.process.wait()

            wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the end", 5)
            server.start()
            wait(grows(path, 50), "certificates from the next server")
    finally:
        server.stop()
    assert_kept(server, Journal.read(path))
