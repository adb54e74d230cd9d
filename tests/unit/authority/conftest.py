"""One authority per test that asks for it, as the API's tests have it."""

from __future__ import annotations

import pytest

from tests import ssh_authority
from tests.unit.rest.world import World


@pytest.fixture
def world(tmp_path):
    """Return an authority with SSH CAs and provisioners."""
    made = World(tmp_path)
    ssh_authority.equip(made)
    yield made
    made.close()
