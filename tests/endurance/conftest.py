"""A directory that other accounts can reach, and nothing of the environment's own trust."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty directory."""
    path = Path(tempfile.mkdtemp(prefix="mintmark-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def module_place() -> Iterator[Path]:
    """An empty directory for all tests of a module."""
    path = Path(tempfile.mkdtemp(prefix="mintmark-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
