"""SIGKILL at any moment of a storm: what a client was given is kept, and nothing exists twice.

Fifty kills in all: of one process and of two on SQLite, and of two on PostgreSQL.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.endurance.journal import assert_kept
from tests.endurance.servers import SETTINGS, Server, grows, make, serving, storming, wait
from tests.postgresql import Cluster

pytestmark = pytest.mark.endurance
SEED = 20261122


def storm_through_kills(server: Server, kills: int) -> Path:
    """Kill and start a server again and again while certificates are issued and revoked."""
    chance = random.Random(SEED)
    server.start()
    try:
        with storming(server) as journal:
            for _ in range(kills):
                wait(grows(journal), "a certificate after the start")
                time.sleep(chance.uniform(0.0, 0.3))  # the moment of the fault
                server.kill()
                server.start()
            wait(grows(journal, 50), "certificates after the last start")
    finally:
        server.stop()
    return journal


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
    with serving(server), storming(server) as journal:
        wait(grows(journal, 10), "certificates")
        before = server.children()
        victim = min(before)

        os.kill(victim, signal.SIGKILL)

        wait(grows(journal, 10), "certificates from the other worker")
        wait(lambda: len(server.children() - {victim}) == 2, "a new worker")
        assert server.children() & before == before - {victim}
        wait(grows(journal, 50), "certificates")
    assert "ended with SIGKILL; it is started again" in server.log.read_text()
    assert_kept(server, journal)


def test_workers_end_with_a_killed_supervisor_and_make_room_for_the_next(place):
    server = make(place, workers=2)
    server.start()
    try:
        with storming(server) as journal:
            wait(grows(journal, 10), "certificates")
            workers = server.children()

            os.kill(server.pid, signal.SIGKILL)
            server.daemon.process.wait()

            wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the end", 5)
            server.start()
            wait(grows(journal, 50), "certificates from the next server")
    finally:
        server.stop()
    assert_kept(server, journal)
