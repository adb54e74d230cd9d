"""One authority per test module: its tests use services, names and keys of their own."""

from __future__ import annotations

import pytest

from tests.unit.rest.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = World(tmp_path_factory.mktemp("authority"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _present(world):
    yield
    world.clock.now = 1_800_000_000.0
