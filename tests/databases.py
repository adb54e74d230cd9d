"""Databases with all tables and no rows, for tests that are not about making tables."""

from __future__ import annotations

import asyncio
import tempfile
from functools import cache
from pathlib import Path

from mintmark.store.sqlite import SQLiteStore
from tests import pki


def empty_sqlite(path: Path) -> Path:
    """Write a SQLite database with all tables, and return its path."""
    path.write_bytes(_octets())
    path.chmod(0o600)
    return path


@cache
def _octets() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "mintmark.db"
        asyncio.run(SQLiteStore(path, pki.clock).migrate())
        return path.read_bytes()
