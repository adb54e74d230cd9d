"""What every test may take: a clock to set, a loop to run in, and a store of either kind."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mintmark.store.postgresql import PostgreSQLStore
from mintmark.store.sqlite import SQLiteStore
from tests.postgresql import cluster

# A busy machine is slow, not wrong; how long examples take is not what they are about.
settings.register_profile("mintmark", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mintmark")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Make a skip a failure where none is allowed: MINTMARK_NO_SKIP=1."""
    report = yield
    if report.skipped and os.environ.get("MINTMARK_NO_SKIP") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} may not be skipped here: {reason}"
    return report


class SetClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def run():
    """Run a coroutine in the test's one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def open_store(request, tmp_path: Path, clock, run):
    """Open a store; each call opens another one on the same, first empty, database."""
    url = cluster().schema() if request.param == "postgresql" else tmp_path / "mintmark.db"
    opened = []

    def open_one(**options):
        kind = PostgreSQLStore if request.param == "postgresql" else SQLiteStore
        store = kind(url, options.pop("clock", clock), **options)
        run(store.migrate())
        run(store.open())
        opened.append(store)
        return store

    open_one.url = url
    open_one.dialect = request.param
    yield open_one
    for store in opened:
        run(store.close())


@pytest.fixture
def store(open_store):
    return open_store()
