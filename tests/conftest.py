"""What every test may take: a clock to set, a loop to run in, and a store of either kind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from mintmark.store.postgresql import PostgreSQLStore
from mintmark.store.sqlite import SQLiteStore
from tests.databases import empty_sqlite
from tests.places import memory
from tests.postgresql import cluster

# A busy machine is slow, not wrong; how long examples take is not what they are about.
settings.register_profile("mintmark", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("mintmark")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Keep bytecode, and the tests' own directories in memory where there is enough.

    Hundreds of processes start, and read what the first of them compiled. In memory a sync costs
    nothing; the directories of one run are below one of its own, so that runs do not meet.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if config.option.basetemp is None and (place := memory()):
        path = tempfile.mkdtemp(prefix="mintmark-tests-", dir=place)
        config.option.basetemp = path
        config.add_cleanup(lambda: shutil.rmtree(path, ignore_errors=True))


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
def dialect(request):
    """Which kind of database."""
    return request.param


@pytest.fixture
def open_store(dialect, tmp_path: Path, clock, run):
    """Open a store; each call opens another one on the same, first empty, database."""
    with contextlib.ExitStack() as stack:
        if dialect == "postgresql":
            made = cluster().migrated(lambda url: run(PostgreSQLStore(url, clock).migrate()))
            url = stack.enter_context(made)
        else:
            url = empty_sqlite(tmp_path / "mintmark.db")
        yield stack.enter_context(_opener(dialect, url, clock, run))


@pytest.fixture
def open_new_store(dialect, tmp_path: Path, clock, run):
    """The same on a database that has no tables before the first call."""
    url = cluster().schema() if dialect == "postgresql" else tmp_path / "mintmark.db"
    with _opener(dialect, url, clock, run, is_new=True) as open_one:
        yield open_one


@contextlib.contextmanager
def _opener(dialect, url, clock, run, *, is_new=False):
    opened = []

    def open_one(**options):
        kind = PostgreSQLStore if dialect == "postgresql" else SQLiteStore
        store = kind(url, options.pop("clock", clock), **options)
        if is_new:
            run(store.migrate())
        run(store.open())
        opened.append(store)
        return store

    open_one.url = url
    open_one.dialect = dialect
    yield open_one
    for store in opened:
        run(store.close())


@pytest.fixture
def sqlite_store(tmp_path: Path, clock, run):
    """An open store, for what does not depend on its kind."""
    store = SQLiteStore(empty_sqlite(tmp_path / "mintmark.db"), clock)
    run(store.open())
    yield store
    run(store.close())


@pytest.fixture
def store(open_store):
    return open_store()
