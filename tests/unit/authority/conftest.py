from __future__ import annotations

import pytest

from tests.unit.authority.token_world import World


@pytest.fixture
def world(sqlite_store, clock, run):
    """An authority with provisioners of every type, on SQLite."""
    return World(sqlite_store, clock, run)
