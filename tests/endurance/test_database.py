"""PostgreSQL that is stopped or stands still under its servers: refused, and mended by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.endurance.journal import assert_kept
from tests.endurance.servers import SETTINGS, Server, grows, make, serving, storming, wait
from tests.postgresql import Cluster

pytestmark = [pytest.mark.endurance, pytest.mark.postgresql]
GONE = 30.0  # seconds
FROZEN = 10.0  # seconds: longer than any wait for it
ANSWER = 12.0  # seconds for a refusal: one statement's and one connection's time, and some load


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    made = Cluster(fsync=True)
    yield made
    made.remove()


@pytest.fixture
def server(place: Path, cluster: Cluster) -> Server:
    settings = f"storage: {{url: '{cluster.database()}'}}\n{SETTINGS}"
    return make(place, workers=2, settings=settings)


@contextlib.contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    """Have every process of a cluster stand still for the length of a block."""
    assert cluster._server is not None
    pid = cluster._server.pid
    processes = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    for each in processes:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in reversed(processes):
            os.kill(each, signal.SIGCONT)


def assert_refused(server: Server) -> None:
    """Assert that one act and one question are refused in their proper form, and soon."""
    started = time.monotonic()
    with server.connect(server.files) as client:
        answer = client.issue("refused.storm.internal")
    assert time.monotonic() - started < ANSWER
    assert answer.status == 503, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json["detail"].startswith("the database cannot be used: ")
    assert "mm-pg" not in answer.body.decode()
    assert server.ocsp(server.files) == "try_later"
    health = server.health()
    assert (health.status, health.headers["retry-after"]) == (503, "5")


def test_database_that_is_gone_for_30_seconds_costs_nothing_but_those(server, cluster):
    with serving(server):
        workers = server.children()
        with storming(server) as journal:
            wait(grows(journal, 50), "certificates")
            end = time.monotonic() + GONE
            cluster.stop(kill=True)
            assert_refused(server)
            while time.monotonic() < end:
                assert server.health().status == 503
                time.sleep(0.5)
            assert_refused(server)
            cluster.start()
            wait(grows(journal, 50), "certificates from the database that is back", 5)
        assert server.children() == workers
        assert server.ocsp(server.files) == "good"
        assert_kept(server, journal)
    server.prove()


def test_database_that_stands_still_holds_nobody_up(server, cluster):
    with serving(server):
        with storming(server) as journal, ThreadPoolExecutor(32) as clients:
            wait(grows(journal, 50), "certificates")
            with frozen(cluster):
                end = time.monotonic() + FROZEN
                waiting = [clients.submit(assert_refused, server) for _ in range(32)]
                for one in waiting:
                    one.result()
                while time.monotonic() < end:
                    assert_refused(server)
                    time.sleep(0.2)
            wait(grows(journal, 50), "certificates from the database that goes on", 10)
        assert_kept(server, journal)
    server.prove()
