from __future__ import annotations

import apsw
import asyncpg
import pytest

from tests.unit.store.acts import certificate, issuance, note, revoking
from tests.unit.store.ssh_objects import ban, banning

CHANGES = [
    f"{change} {table}{' SET ' + column + ' = ' + column if change == 'UPDATE' else ''}"
    for table, column in (
        ("certificates", "service"),
        ("revocations", "reason"),
        ("audit", "leaf"),
        ("blocked_keys", "spki_sha256"),
        ("checkpoints", "note"),
        ("ssh_bans", "reason"),
    )
    for change in ("UPDATE", "DELETE FROM")
]


@pytest.mark.parametrize("statement", CHANGES)
def test_the_database_itself_refuses_to_change_the_past(ledger, open_store, run, clock, statement):
    from mintmark.model.act import Act
    from mintmark.model.audit import Checkpoint
    from tests.unit.store.acts import record

    issued = certificate()
    run(ledger.commit(issuance(issued)))
    run(ledger.commit(revoking(issued)))
    run(ledger.commit(Act(record(), blocked_key=b"k" * 32)))
    run(ledger.commit(banning(ban())))
    run(ledger.add_checkpoint(Checkpoint(1, 1, bytes(32), (bytes(32),), ((1, 1),), "n", 1)))
    if open_store.dialect == "sqlite":
        with pytest.raises(apsw.ConstraintError, match="never"):
            apsw.Connection(str(open_store.url)).execute(statement)
        return

    async def attempt():
        connection = await asyncpg.connect(open_store.url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="never"):
        run(attempt())


def test_replacing_a_row_is_a_change_too(ledger, open_store, run):
    if open_store.dialect != "sqlite":
        return  # PostgreSQL has no REPLACE
    run(ledger.commit(note()))
    connection = apsw.Connection(str(open_store.url))
    connection.execute("PRAGMA recursive_triggers = ON")
    with pytest.raises(apsw.ConstraintError, match="never"):
        connection.execute("REPLACE INTO audit VALUES (1, x'00')")


def test_a_sound_database_has_nothing_to_report(ledger, run):
    old = certificate()
    run(ledger.commit(issuance(old)))
    run(ledger.commit(issuance(certificate(replaces=old.serial))))
    run(ledger.commit(revoking(old)))
    assert run(ledger.check()) == []
