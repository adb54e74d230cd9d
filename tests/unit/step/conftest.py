"""What tests of the step protocol may take."""

from __future__ import annotations

import pytest

from mintmark.store.sqlite import SQLiteStore
from tests.unit.step.world import World


@pytest.fixture
def store(tmp_path, clock, run):
    store = SQLiteStore(tmp_path / "mintmark.db", clock)
    run(store.open())
    yield store
    run(store.close())


@pytest.fixture
def world(store, clock, run):
    return World(store, clock, run)
