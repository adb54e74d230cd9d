"""What tests of the step protocol may take."""

from __future__ import annotations

import pytest

from tests.unit.step.world import World


@pytest.fixture
def store(sqlite_store):
    return sqlite_store


@pytest.fixture
def world(store, clock, run):
    return World(store, clock, run)
