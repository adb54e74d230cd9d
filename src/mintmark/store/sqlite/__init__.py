"""The store on one SQLite file, shared by any number of processes of one machine."""

from __future__ import annotations

from mintmark.store.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore"]
