"""One authority per test module, as the API's tests have it."""

from __future__ import annotations

import pytest

from tests.unit.rest.world import World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.close()
