"""What tests of the server may take."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pki import cheap_passphrases


@pytest.fixture(scope="module", autouse=True)
def hurry() -> Iterator[None]:
    """Every authority opens some keys."""
    with cheap_passphrases():
        yield
