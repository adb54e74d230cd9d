"""ACME's objects in SQLite: versions read, changes written, ends tidied, inside a transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import apsw

from mintmark.model.acme import RenewalWindow
from mintmark.model.time import DAY
from mintmark.store import ssh_rows
from mintmark.store.acme_rows import ENDED, TABLES, TIDY_ROWS, Table, pause_row, window_row
from mintmark.store.sqlite.connection import transaction
from mintmark.store.versions import KINDS, Versioned, Versions, overtaken

_VERSION: Final = {
    kind: f"SELECT version FROM {TABLES[kind].name} WHERE id = ?"  # noqa: S608 - ours
    for kind in KINDS
}
_OWNER: Final = "SELECT id FROM acme_accounts WHERE provisioner = ? AND thumbprint = ?"
_BINDING: Final = "SELECT account FROM acme_external_keys WHERE id = ?"


def _insertion(table: Table) -> str:
    marks = ", ".join("?" * len(table.columns))
    return f"INSERT OR IGNORE INTO {table.name} ({table.names}) VALUES ({marks})"  # noqa: S608 - ours


def _replacement(table: Table) -> str:
    settings = ", ".join(f"{name} = ?" for name in table.changing)
    return f"UPDATE {table.name} SET {settings} WHERE id = ? AND version = ?"  # noqa: S608 - ours


_INSERT: Final = {kind: _insertion(TABLES[kind]) for kind in KINDS}
_REPLACE: Final = {kind: _replacement(TABLES[kind]) for kind in KINDS}
_CHANGED: Final = {kind: TABLES[kind].changed() for kind in KINDS}

_COUNT_PAUSE: Final = f"""
INSERT INTO acme_pauses VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (account, identifier) DO UPDATE SET
failures = CASE WHEN excluded.since >= since + {DAY} THEN excluded.failures
           ELSE max(failures + ?6, excluded.failures) END,
since = CASE WHEN excluded.since >= since + {DAY} THEN excluded.since
        ELSE min(since, excluded.since) END,
paused_at = coalesce(paused_at, excluded.paused_at)
"""  # noqa: S608 - ours
_FORGET_PAUSE: Final = "DELETE FROM acme_pauses WHERE account = ? AND identifier = ?"
_SET_WINDOW: Final = """
INSERT INTO acme_renewal_windows
SELECT ?1, ?2, ?3, ?4, not_after FROM certificates WHERE serial = ?1
ON CONFLICT (serial) DO UPDATE SET opens_at = excluded.opens_at, closes_at = excluded.closes_at,
explanation_url = excluded.explanation_url
"""


def read_versions(connection: apsw.Connection, versions: Versions) -> None:
    """Fill in what the changes of a batch depend on."""
    one = connection.execute
    for kind, ids in versions.stored.items():
        for id_ in ids:
            ids[id_] = one(_VERSION[kind], (id_,)).get or 0
    for owned in versions.owners:
        versions.owners[owned] = one(_OWNER, owned).get
    for key in versions.bindings:
        versions.bindings[key] = one(_BINDING, (key,)).get


def write_changes(connection: apsw.Connection, versions: Versions) -> None:
    """Write what was admitted.

    Raises:
        Error: CONFLICT when a first version has the id of an object that exists.
    """
    for kind, written in versions.written.items():
        if written:
            _write(connection, kind, written.values())
    pauses = versions.pauses.items()
    counted = [pause_row(*pause) for _, pause in pauses if pause[0].failures]
    if counted:
        connection.executemany(_COUNT_PAUSE, counted)
    forgotten = [key for key, pause in pauses if not pause[0].failures]
    if forgotten:
        connection.executemany(_FORGET_PAUSE, forgotten)


def _write(
    connection: apsw.Connection,
    kind: type[Versioned],
    written: Iterable[tuple[int, Versioned]],
) -> None:
    row, changed = TABLES[kind].row, _CHANGED[kind]
    inserted = [row(change) for base, change in written if not base]
    if inserted:
        before = connection.total_changes()
        connection.executemany(_INSERT[kind], inserted)
        if connection.total_changes() - before < len(inserted):
            raise overtaken(kind, inserted[0][0])
    replaced = [(*changed(row(change)), change.id, base) for base, change in written if base]
    if replaced:
        connection.executemany(_REPLACE[kind], replaced)


def burn(connection: apsw.Connection, nonces: Sequence[tuple[int, bytes]]) -> list[bool]:
    """Remember nonces as used; return of each whether it was not before.

    The commit waits for no disk (PRAGMA synchronous): all processes see it at once, also after
    one of them is killed, and only a power cut may undo the last ones.
    """
    fresh: list[bool] = []
    connection.execute("PRAGMA synchronous = NORMAL")
    try:
        with transaction(connection):
            for nonce in nonces:
                connection.execute("INSERT OR IGNORE INTO acme_nonces VALUES (?, ?)", nonce)
                fresh.append(connection.changes() > 0)
    finally:
        connection.execute("PRAGMA synchronous = FULL")
    return fresh


def unpause(connection: apsw.Connection, account: str, identifier: str | None) -> int:
    """Forget the failures of an account, or of one pair; return how many pairs."""
    connection.execute(
        "DELETE FROM acme_pauses WHERE account = ?1 AND (?2 IS NULL OR identifier = ?2)",
        (account, identifier),
    )
    return connection.changes()


def set_renewal_windows(connection: apsw.Connection, windows: Sequence[RenewalWindow]) -> None:
    """Set windows of certificates of ours."""
    connection.executemany(_SET_WINDOW, [window_row(window) for window in windows])


def tidy(connection: apsw.Connection, now: int) -> int:
    """Delete some of what has ended; return how many rows, 0 when nothing is left to delete."""
    deleted = 0
    for table, key, condition in (*ENDED, *ssh_rows.ENDED):
        connection.execute(
            f"DELETE FROM {table} WHERE {key} IN"  # noqa: S608 - ours
            f" (SELECT {key.strip('()')} FROM {table} WHERE {condition} LIMIT {TIDY_ROWS})",
            {"now": now},
        )
        deleted += connection.changes()
    return deleted
