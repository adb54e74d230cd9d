"""ACME's objects in PostgreSQL: versions read, changes written, ends tidied.

Rows to be changed are locked when their versions are read, kind by kind and in the order of
their ids, so that batches of all processes wait in one direction only. There is nothing to
lock for new objects: keys of accounts have the advisory lock of `commit.begin`, and where two
processes insert one id at the same moment, the second one decides again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from mintmark.model.acme import Account, Authorization, Order, RenewalWindow
from mintmark.model.time import DAY
from mintmark.store import acme_rows, ssh_rows
from mintmark.store.acme_rows import ENDED, TABLES, TIDY_ROWS, Table, pause_row, window_row
from mintmark.store.versions import KINDS, Versioned, Versions, overtaken

_VERSIONS: Final = {
    kind: f"SELECT id, version FROM {TABLES[kind].name}"  # noqa: S608 - ours
    " WHERE id = ANY($1) ORDER BY id FOR UPDATE"
    for kind in KINDS
}
_OWNERS: Final = """
SELECT provisioner, thumbprint, id FROM acme_accounts
WHERE (provisioner, thumbprint) IN (SELECT * FROM unnest($1::text[], $2::bytea[]))
"""
_BINDINGS: Final = "SELECT id, account FROM acme_external_keys WHERE id = ANY($1)"


def _arrays(types: Iterable[str]) -> str:
    return ", ".join(f"${number}::{type_}[]" for number, type_ in enumerate(types, 1))


def _insertion(table: Table) -> str:
    return (
        f"INSERT INTO {table.name} ({table.names})"  # noqa: S608 - ours
        f" SELECT * FROM unnest({_arrays(table.columns.values())}) ON CONFLICT DO NOTHING"
    )


def _replacement(table: Table) -> str:
    types = ["text", *(table.columns[name] for name in table.changing)]
    settings = ", ".join(f"{name} = n.{name}" for name in table.changing)
    return (
        f"UPDATE {table.name} AS t SET {settings} FROM unnest({_arrays(types)})"  # noqa: S608 - ours
        f" AS n(id, {', '.join(table.changing)}) WHERE t.id = n.id"
    )


_INSERT: Final = {kind: _insertion(TABLES[kind]) for kind in KINDS}
_REPLACE: Final = {kind: _replacement(TABLES[kind]) for kind in KINDS}
_CHANGED: Final = {kind: TABLES[kind].changed() for kind in KINDS}

_COUNT_PAUSE: Final = f"""
INSERT INTO acme_pauses AS p VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (account, identifier) DO UPDATE SET
failures = CASE WHEN excluded.since >= p.since + {DAY} THEN excluded.failures
           ELSE greatest(p.failures + $6, excluded.failures) END,
since = CASE WHEN excluded.since >= p.since + {DAY} THEN excluded.since
        ELSE least(p.since, excluded.since) END,
paused_at = coalesce(p.paused_at, excluded.paused_at)
"""  # noqa: S608 - ours
_FORGET_PAUSE: Final = "DELETE FROM acme_pauses WHERE account = $1 AND identifier = $2"
_UNPAUSE: Final = """
WITH gone AS (
    SELECT account, identifier FROM acme_pauses
    WHERE account = $1 AND ($2::text IS NULL OR identifier = $2)
    ORDER BY account, identifier FOR UPDATE
)
DELETE FROM acme_pauses p USING gone
WHERE p.account = gone.account AND p.identifier = gone.identifier
"""
_SET_WINDOWS: Final = """
INSERT INTO acme_renewal_windows
SELECT n.*, c.not_after
FROM unnest($1::bytea[], $2::bigint[], $3::bigint[], $4::text[])
     AS n(serial, opens_at, closes_at, explanation_url)
JOIN certificates c ON c.serial = n.serial ORDER BY n.serial
ON CONFLICT (serial) DO UPDATE SET opens_at = excluded.opens_at, closes_at = excluded.closes_at,
explanation_url = excluded.explanation_url
"""
# The commit waits for no disk: all processes see it at once, and only a crash of the server's
# machine may undo the last ones. The setting lasts for this one statement's transaction.
_BURN: Final = """
WITH unwaited AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
INSERT INTO acme_nonces
SELECT n.expires_at, n.nonce
FROM unwaited, unnest($1::bigint[], $2::bytea[]) AS n(expires_at, nonce)
ON CONFLICT DO NOTHING RETURNING nonce
"""


async def read_versions(connection: Any, versions: Versions) -> None:
    """Fill in what the changes of a batch depend on, and lock the rows to be changed."""
    for kind, ids in versions.stored.items():
        if ids:
            ids.update(await connection.fetch(_VERSIONS[kind], list(ids)))
    if versions.owners:
        owned = list(versions.owners)
        columns = [key[0] for key in owned], [key[1] for key in owned]
        for provisioner, thumbprint, id_ in await connection.fetch(_OWNERS, *columns):
            versions.owners[provisioner, thumbprint] = id_
    if versions.bindings:
        versions.bindings.update(await connection.fetch(_BINDINGS, list(versions.bindings)))


async def write_changes(connection: Any, versions: Versions) -> int:
    """Write what was admitted; return how many rows.

    Raises:
        Error: CONFLICT when a first version has the id of an object that exists.
    """
    rows = 0
    for kind, written in versions.written.items():
        if written:
            rows += await _write(connection, kind, written.values())
    pauses = sorted(versions.pauses.items(), key=itemgetter(0))
    counted = [pause_row(*pause) for _, pause in pauses if pause[0].failures]
    if counted:
        await connection.executemany(_COUNT_PAUSE, counted)
    forgotten = [key for key, pause in pauses if not pause[0].failures]
    if forgotten:
        await connection.executemany(_FORGET_PAUSE, forgotten)
    return rows + len(pauses)


async def _write(
    connection: Any, kind: type[Versioned], written: Iterable[tuple[int, Versioned]]
) -> int:
    row, changed = TABLES[kind].row, _CHANGED[kind]
    inserted = [row(change) for base, change in written if not base]
    if inserted:
        done = await connection.execute(_INSERT[kind], *_columns(inserted))
        if int(done.rpartition(" ")[2]) < len(inserted):
            raise overtaken(kind, inserted[0][0])
    replaced = [(change.id, *changed(row(change))) for base, change in written if base]
    if replaced:
        await connection.execute(_REPLACE[kind], *_columns(replaced))
    return len(inserted) + len(replaced)


async def burn(connection: Any, nonces: Sequence[tuple[int, bytes]]) -> set[bytes]:
    """Remember nonces as used; return those that were not before."""
    # Sorted: two processes that burn the same ones must not wait for each other in a circle.
    return {row[0] for row in await connection.fetch(_BURN, *_columns(sorted(nonces)))}


async def unpause(connection: Any, account: str, identifier: str | None) -> int:
    """Forget the failures of an account, or of one pair; return how many pairs."""
    done = await connection.execute(_UNPAUSE, account, identifier)
    return int(done.rpartition(" ")[2])


async def set_renewal_windows(connection: Any, windows: Sequence[RenewalWindow]) -> None:
    """Set windows of certificates of ours."""
    last = {window.serial: window_row(window) for window in windows}
    await connection.execute(_SET_WINDOWS, *_columns(list(last.values())))


async def tidy(connection: Any, now: int) -> int:
    """Delete some of what has ended; return how many rows, 0 when nothing is left to delete."""
    deleted = 0
    for table, _, condition in (*ENDED, *ssh_rows.ENDED):
        # What somebody is changing just now can wait for the next time.
        done = await connection.execute(
            f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table}"  # noqa: S608 - ours
            f" WHERE {condition.replace(':now', '$1::bigint')} LIMIT {TIDY_ROWS}"
            " FOR UPDATE SKIP LOCKED))",
            now,
        )
        deleted += int(done.rpartition(" ")[2])
    return deleted


async def find_accounts(connection: Any, ids: list[str]) -> Mapping[str, Account]:
    """Return accounts by id."""
    found = await connection.fetch(f"{TABLES[Account].select} WHERE id = ANY($1)", ids)
    return {row[0]: acme_rows.account(row) for row in found}


async def find_orders(connection: Any, ids: list[str]) -> Mapping[str, Order]:
    """Return orders by id."""
    found = await connection.fetch(f"{TABLES[Order].select} WHERE id = ANY($1)", ids)
    return {row[0]: acme_rows.order(row) for row in found}


async def find_authorizations(connection: Any, ids: list[str]) -> Mapping[str, Authorization]:
    """Return authorizations by id."""
    found = await connection.fetch(f"{TABLES[Authorization].select} WHERE id = ANY($1)", ids)
    return {row[0]: acme_rows.authorization(row) for row in found}


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
