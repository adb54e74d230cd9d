"""A directory that other accounts can reach, and nothing of the environment's own trust."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import reachable


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory."""
    with reachable() as path:
        yield path


@pytest.fixture(scope="module")
def module_place() -> Iterator[Path]:
    """An empty directory for all tests of a module."""
    with reachable() as path:
        yield path
