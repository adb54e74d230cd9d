"""What ACME tests may take."""

from __future__ import annotations

import pytest

from tests.unit.acme.client import World


@pytest.fixture
def store(sqlite_store):
    return sqlite_store


@pytest.fixture
def world(store, clock, run):
    return World(store, clock, run)


@pytest.fixture
def client(world):
    return world.client()
