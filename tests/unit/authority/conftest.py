from __future__ import annotations

import pytest

from mintmark.store.sqlite import SQLiteStore
from tests.unit.authority.token_world import World


@pytest.fixture
def world(tmp_path, clock, run):
    """An authority with provisioners of every type, on SQLite."""
    store = SQLiteStore(tmp_path / "mintmark.db", clock)
    run(store.open())
    yield World(store, clock, run)
    run(store.close())
