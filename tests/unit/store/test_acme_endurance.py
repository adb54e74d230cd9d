"""What ACME's objects go through: kill -9, batches, and tables that have grown."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import apsw
import pytest

from mintmark.model.acme import OrderStatus
from mintmark.model.errors import Kind
from mintmark.store.acme_rows import ENDED
from mintmark.store.migrations import migrations
from mintmark.store.postgresql import PostgreSQLStore
from mintmark.store.postgresql import acme as postgresql_acme
from mintmark.store.sqlite import SQLiteStore, acme_store
from mintmark.store.sqlite import acme as sqlite_acme
from tests.postgresql import cluster
from tests.unit.store.acme_objects import account, authorization, changing, order
from tests.unit.store.acts import NOW
from tests.unit.store.test_commit import outcomes

ROOT = Path(__file__).resolve().parents[3]
FINALIZES = textwrap.dedent("""
    import asyncio, sys
    from dataclasses import replace

    from mintmark.model.acme import OrderStatus
    from mintmark.store.postgresql import PostgreSQLStore
    from mintmark.store.sqlite import SQLiteStore
    from tests.unit.store.acme_objects import changing, order
    from tests.unit.store.acts import NOW, certificate, issuance

    async def one_after_the_other(store, worker):
        for number in range(10_000):
            made, issued = order(id=f"{worker}-{number}"), certificate()
            await store.commit(changing(made))
            done = replace(made, version=2, status=OrderStatus.VALID, certificate=issued.serial)
            await store.commit(issuance(issued, changes=(done,)))
            print(made.id, flush=True)

    async def main(dialect, url):
        kind = PostgreSQLStore if dialect == "postgresql" else SQLiteStore
        store = kind(url, lambda: float(NOW))
        await store.open()
        await asyncio.gather(*(one_after_the_other(store, worker) for worker in range(8)))

    asyncio.run(main(*sys.argv[1:]))
""")


@pytest.fixture
def open_postgresql(clock, run):
    url, opened = cluster().schema(), []

    def open_one():
        store = PostgreSQLStore(url, clock)
        run(store.migrate())
        run(store.open())
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        run(store.close())


def test_an_order_and_its_certificate_survive_kill_9_together(ledger, open_store, run):
    command = [sys.executable, "-c", FINALIZES, open_store.dialect, str(open_store.url)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as victim:
        told = [victim.stdout.readline().strip() for _ in range(60)]
        victim.send_signal(signal.SIGKILL)
        told += victim.stdout.read().split("\n")[:-1]
    orders = run(open_store().orders("account", after=None, limit=100_000))
    valid = [made for made in orders if made.status is OrderStatus.VALID]
    assert {made.id for made in valid} >= set(told)
    assert run(ledger.count())["certificates"] == len(valid)
    for made in valid:
        assert run(ledger.certificate(made.certificate)) is not None


def test_a_replayed_first_version_is_found_before_it_can_split_a_batch(ledger, run, monkeypatch):
    """Ids can follow from a nonce, so a client can make one come twice."""
    made, fresh = order(), [order() for _ in range(20)]
    run(ledger.commit(changing(made)))
    before = ledger.statistics().commits

    async def together():
        return await outcomes(*(ledger.commit(changing(one)) for one in (*fresh, made)))

    assert run(together()) == [None] * 20 + [Kind.CONFLICT]
    assert ledger.statistics().commits == before + 1


@pytest.mark.postgresql
def test_one_id_inserted_by_two_processes_at_once_is_a_conflict(open_postgresql, run, monkeypatch):
    one, other = open_postgresql(), open_postgresql()
    made, fresh = order(), order()
    run(one.commit(changing(made)))
    seen = postgresql_acme.read_versions
    blind = [True]

    async def read_too_early(connection, versions):
        await seen(connection, versions)
        if blind:  # as if the other process had committed just now
            blind.pop()
            versions.stored[type(made)] = dict.fromkeys(versions.stored[type(made)], 0)

    monkeypatch.setattr("mintmark.store.postgresql.commit.read_versions", read_too_early)

    async def together():
        return await outcomes(other.commit(changing(made)), other.commit(changing(fresh)))

    assert run(together()) == [Kind.CONFLICT, None]
    assert run(one.order(fresh.id)) == fresh


@pytest.mark.postgresql
def test_objects_read_in_one_turn_are_one_query(open_postgresql, run, monkeypatch):
    monkeypatch.setattr("mintmark.store.postgresql.access.READERS", 1)
    store = open_postgresql()
    orders, granted, made = [order() for _ in range(9)], authorization(), account()
    run(store.commit(changing(made, granted, *orders)))
    asked = []
    for find in ("find_accounts", "find_orders", "find_authorizations"):
        counted = getattr(postgresql_acme, find)
        lookup = {"find_accounts": "accounts", "find_orders": "orders"}.get(find, "authorizations")

        async def count(connection, keys, counted=counted):
            asked.append(len(keys))
            return await counted(connection, keys)

        getattr(store._parts, lookup)._fetch = count

    async def together():
        return await asyncio.gather(
            *(store.order(one.id) for one in orders),
            store.account(made.id),
            store.authorizations([granted.id, granted.id]),
        )

    assert run(together()) == [*orders, made, [granted, granted]]
    assert sorted(asked) == [1, 1, 9]


@pytest.mark.parametrize("threaded", [False, True])
def test_after_nonces_acts_wait_for_the_disk_again(tmp_path, clock, run, monkeypatch, threaded):
    levels = []

    def write(connection, versions):
        levels.append(connection.execute("PRAGMA synchronous").get)
        write_changes(connection, versions)

    write_changes = sqlite_acme.write_changes
    monkeypatch.setattr("mintmark.store.sqlite.commit.write_changes", write)
    store = SQLiteStore(tmp_path / "mintmark.db", clock, threaded=threaded)
    run(store.open())

    async def mixed():
        await asyncio.gather(
            store.burn_nonce(b"1", NOW),
            store.commit(changing(order())),
            store.burn_nonce(b"2", NOW),
        )

    run(mixed())
    run(store.close())
    assert set(levels) == {2}  # FULL


def test_every_query_of_sqlite_has_its_index(tmp_path):
    connection = apsw.Connection(":memory:")
    for step in migrations("sqlite"):
        connection.execute(step.sql)
    queries = [
        (acme_store._ORDERS, (1, 2, 3, 4)),
        (acme_store._REUSABLE, (1, 2, 3, 4, 5)),
        (acme_store._PENDING, (1, 2)),
        (acme_store._DUE, (1, 2)),
        (acme_store._PAUSED, (1, 2, 3)),
        *(
            (f"SELECT 1 FROM {table} WHERE {condition}", {"now": 1})
            for table, _, condition in ENDED
            if table != "acme_external_keys"  # as many as operators make
        ),
    ]
    for sql, values in queries:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        assert not any(step.startswith("SCAN") and "INDEX" not in step for step in plan), plan
        assert not any("TEMP B-TREE" in step for step in plan), plan
