"""The store on PostgreSQL 15 and newer, shared by any number of processes and machines."""

from __future__ import annotations

from mintmark.store.postgresql.store import PostgreSQLStore

__all__ = ["PostgreSQLStore"]
