"""Looking after a PostgreSQL database: schema, order, counts, what has expired."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from mintmark.model.errors import Error, Kind
from mintmark.model.time import Clock
from mintmark.store.consistency import QUESTIONS, expired, unreadable
from mintmark.store.migrations import migrations, outstanding

_MIGRATION_LOCK: Final = 0x6D6D_0001
_ROWS: Final = 1000
_QUESTIONS: Final = QUESTIONS | {
    "{} CRLs have a number that is not above the one published before": """
        SELECT count(*) FROM (SELECT number, lag(number) OVER
        (PARTITION BY issuer ORDER BY place) AS before FROM crls) AS numbered
        WHERE number <= before""",
    "{} tables lack the trigger that refuses changes": """
        SELECT 6 - count(*) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
        WHERE p.proname = 'refuse_change' AND t.tgenabled = 'O' AND t.tgrelid IN
            ('certificates'::regclass, 'revocations'::regclass, 'blocked_keys'::regclass,
             'audit'::regclass, 'checkpoints'::regclass, 'ssh_bans'::regclass)""",
}


async def version(connection: Any) -> int:
    """Return the schema version, 0 for an empty database."""
    if await connection.fetchval("SELECT to_regclass('migrations')") is None:
        return 0
    return int(await connection.fetchval("SELECT coalesce(max(version), 0) FROM migrations"))


async def migrate(connection: Any, clock: Clock) -> list[str]:
    """Apply outstanding migrations; processes that start together apply each once.

    Raises:
        Error: CONFIGURATION when the schema is newer than this program.
    """
    applied: list[str] = []
    await connection.execute("SELECT pg_advisory_lock($1)", _MIGRATION_LOCK)
    try:
        for step in outstanding("postgresql", await version(connection)):
            async with connection.transaction():
                await connection.execute(
                    "CREATE TABLE IF NOT EXISTS migrations (version integer PRIMARY KEY,"
                    " name text NOT NULL, applied_at bigint NOT NULL)"
                )
                await connection.execute(step.sql)
                await connection.execute(
                    "INSERT INTO migrations VALUES ($1, $2, $3)",
                    step.version,
                    step.name,
                    int(clock()),
                )
            applied.append(step.name)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _MIGRATION_LOCK)
    return applied


async def require_schema(connection: Any) -> None:
    """Refuse a schema that this program does not fit.

    Raises:
        Error: CONFIGURATION.
    """
    missing = outstanding("postgresql", await version(connection))
    if missing:
        raise Error(
            Kind.CONFIGURATION,
            f"the database lacks the migration '{missing[0].name}'",
            hint="run mintmark db migrate",
        )


async def check(connection: Any) -> list[str]:
    """Return what is wrong, as sentences."""
    found: list[str] = []
    newest = migrations("postgresql")[-1].version
    if (there := await version(connection)) != newest:
        return [f"the schema has version {there}, not {newest}"]
    for sentence, question in _QUESTIONS.items():
        wrong = await connection.fetchval(question)
        if wrong:
            found.append(sentence.format(wrong))
    after = 0
    while page := await connection.fetch(
        "SELECT id, serial, der, kind FROM certificates WHERE id > $1 ORDER BY id LIMIT $2",
        after,
        _ROWS,
    ):
        for _, serial, der, kind in page:
            found += unreadable(serial, der, kind)
        after = page[-1][0]
    return found


async def tidy(connection: Any, now: int) -> int:
    """Delete what has expired; return how many rows."""
    deleted = 0
    for rows, bound in expired(now):
        done = await connection.execute(f"DELETE FROM {rows.format('$1')}", bound)  # noqa: S608 - ours
        deleted += int(done.rpartition(" ")[2])
    return deleted


async def digests(connection: Any, after: int, limit: int) -> list[tuple[int, bytes, bytes]]:
    """Return (sequence, serial, SHA-256 of the DER), oldest first."""
    sql = "SELECT id, serial, der FROM certificates WHERE id > $1 ORDER BY id LIMIT $2"
    page = await connection.fetch(sql, after, limit)
    return [(id_, serial, sha256(der).digest()) for id_, serial, der in page]


async def count(connection: Any) -> dict[str, int]:
    """Return how many rows the tables have that people ask about."""
    row = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM certificates) AS certificates,"
        " (SELECT count(*) FROM revocations) AS revocations,"
        " (SELECT count(*) FROM audit) AS audit, (SELECT count(*) FROM tokens) AS tokens"
    )
    return dict(row)
