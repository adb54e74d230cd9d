from __future__ import annotations

import pytest

from tests.unit.store.acts import prepare


@pytest.fixture
def ledger(store, run):
    """A store with an issuer in it."""
    return prepare(store, run)
