"""A hand on the database beside mintmark: what the audit log has to find."""

from __future__ import annotations

import asyncio

import apsw
import asyncpg


def sql(open_store, *statements):
    """Run statements without the triggers, as somebody with the database's own rights can."""
    if open_store.dialect == "sqlite":
        connection = apsw.Connection(str(open_store.url))
        triggers = "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
        for (name,) in connection.execute(triggers).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        connection.close()
        return

    async def on_server():
        connection = await asyncpg.connect(open_store.url)
        await connection.execute("SET session_replication_role = replica")
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    with asyncio.Runner() as runner:
        runner.run(on_server())


def octets(open_store, value: bytes) -> str:
    """Return a literal of some octets."""
    return f"x'{value.hex()}'" if open_store.dialect == "sqlite" else f"'\\x{value.hex()}'::bytea"
