"""Looking after a SQLite database: is it whole, how much is in it, what has expired."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import apsw

from mintmark.store.consistency import QUESTIONS, expired, unreadable
from mintmark.store.migrations import migrations
from mintmark.store.sqlite.connection import version

_QUESTIONS: Final = QUESTIONS | {
    "{} CRLs have a number that is not above the one published before": """
        SELECT count(*) FROM (SELECT number, lag(number) OVER
        (PARTITION BY issuer ORDER BY rowid) AS before FROM crls) WHERE number <= before""",
}


def check(connection: apsw.Connection) -> list[str]:
    """Return what is wrong, as sentences."""
    found = [
        f"the integrity check says: {row[0]}"
        for row in connection.execute("PRAGMA integrity_check(20)")
        if row[0] != "ok"
    ]
    found += [
        f"row {row[1]} of {row[0]} refers to a row of {row[2]} that is not there"
        for row in connection.execute("PRAGMA foreign_key_check")
    ]
    newest = migrations("sqlite")[-1].version
    if version(connection) != newest:
        found.append(f"the schema has version {version(connection)}, not {newest}")
    for sentence, question in _QUESTIONS.items():
        wrong = connection.execute(question).get
        if wrong:
            found.append(sentence.format(wrong))
    for serial, der, kind in connection.execute("SELECT serial, der, kind FROM certificates"):
        found += unreadable(serial, der, kind)
    return found


def tidy(connection: apsw.Connection, now: int) -> int:
    """Delete what has expired; return how many rows."""
    deleted = 0
    for rows, bound in expired(now):
        connection.execute(f"DELETE FROM {rows.format('?')}", (bound,))  # noqa: S608 - ours
        deleted += connection.changes()
    return deleted


def digests(connection: apsw.Connection, after: int, limit: int) -> list[tuple[int, bytes, bytes]]:
    """Return (sequence, serial, SHA-256 of the DER), oldest first."""
    sql = "SELECT id, serial, der FROM certificates WHERE id > ? ORDER BY id LIMIT ?"
    return [
        (id_, serial, sha256(der).digest())
        for id_, serial, der in connection.execute(sql, (after, limit))
    ]


def count(connection: apsw.Connection) -> dict[str, int]:
    """Return how many rows the tables have that people ask about.

    Certificates and records are never deleted and their ids have no gaps, so the highest id
    is their number.
    """
    questions = {
        "certificates": "SELECT coalesce(max(id), 0) FROM certificates",
        "revocations": "SELECT count(*) FROM revocations",
        "audit": "SELECT coalesce(max(id), 0) FROM audit",
        "tokens": "SELECT count(*) FROM tokens",
    }
    return {name: connection.execute(question).get for name, question in questions.items()}
