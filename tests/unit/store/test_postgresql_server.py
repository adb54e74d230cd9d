"""What only a server can suffer."""

from __future__ import annotations

import asyncio
import time

import asyncpg
import pytest

from mintmark.model.errors import Error, Kind
from mintmark.publication.checkpoint import sign_checkpoint, verify
from mintmark.store.migrations import migrations
from mintmark.store.postgresql import PostgreSQLStore
from mintmark.store.postgresql.audit import holes
from mintmark.store.postgresql.connection import explain
from tests.postgresql import Cluster, cluster
from tests.unit.publication.test_checkpoint import KEY
from tests.unit.store.acts import certificate, issuance, note, prepare, revoking

pytestmark = pytest.mark.postgresql


@pytest.fixture
def url():
    return cluster().schema()


@pytest.fixture
def ledger(url, clock, run):
    store = PostgreSQLStore(url, clock)
    run(store.migrate())
    run(store.open())
    yield prepare(store, run)
    run(store.close())


def refusal(run, coroutine):
    with pytest.raises(Error) as refused:
        run(coroutine)
    return refused.value


def test_an_old_schema_is_refused_with_the_command_that_mends_it(url, clock, run):
    error = refusal(run, PostgreSQLStore(url, clock).open())
    assert error.kind is Kind.CONFIGURATION
    assert "mintmark db migrate" in error.hint


def test_two_processes_migrate_once(url, clock, run):
    async def race():
        return await asyncio.gather(*(PostgreSQLStore(url, clock).migrate() for _ in range(4)))

    assert sorted(map(len, run(race()))) == [0, 0, 0, len(migrations("postgresql"))]


def test_a_url_that_is_none_is_a_configuration_error(clock, run):
    error = refusal(run, PostgreSQLStore("postgresql://h:port/x", clock).open())
    assert error.kind is Kind.CONFIGURATION


def test_a_server_that_is_not_there_is_unavailable(clock, run, tmp_path):
    store = PostgreSQLStore(f"postgresql://x@/x?host={tmp_path}", clock)
    error = refusal(run, store.open())
    assert (error.kind, error.retry_after) == (Kind.UNAVAILABLE, 5)


def test_reads_of_one_turn_are_one_query(ledger, run, monkeypatch):
    asked = []
    lookup = ledger._parts.fates
    fetch = lookup._fetch

    async def counting(connection, keys):
        asked.append(len(keys))
        return await fetch(connection, keys)

    monkeypatch.setattr(lookup, "_fetch", counting)
    issued = certificate()
    run(ledger.commit(issuance(issued)))
    run(ledger.commit(revoking(issued)))

    async def many():
        same = (ledger.revocation(issued.serial) for _ in range(20))
        others = (ledger.revocation(bytes((n,)) * 20) for n in range(20))
        return await asyncio.gather(*same, *others)

    found = run(many())
    assert asked == [21]
    assert sum(one is not None for one in found) == 20


def test_callers_need_not_be_tasks(ledger):
    reading = ledger.revocation(bytes(20))
    assert asyncio.isfuture(reading.send(None))
    reading.close()
    writing = ledger.commit(note())

    async def turn():
        # Driven by hand, as a protocol without tasks does.
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        future = writing.send(None)
        future.add_done_callback(lambda _: done.set_result(None))
        await done
        with pytest.raises(StopIteration):
            writing.send(None)

    ledger._parts.writing._loop.run_until_complete(turn())


def test_a_server_that_goes_away_refuses_and_recovers(clock, run):
    server = Cluster(fsync=True)
    try:
        store = PostgreSQLStore(server.database(), clock)
        run(store.migrate())
        run(store.open())
        prepare(store, run)
        issued = certificate()
        run(store.commit(issuance(issued)))
        server.stop(kill=True)
        start = time.monotonic()

        async def several():
            calls = (
                store.commit(note()),
                store.revocation(issued.serial),
                store.key_blocked(bytes(32)),
                store.certificate(issued.serial),
                store.commit(issuance()),
                store.add_crl(None),
                store.burn_nonce(b"n", 0),
                store.order("order"),
            )
            return await asyncio.gather(*calls, return_exceptions=True)

        found = run(several())
        assert {error.kind for error in found} == {Kind.UNAVAILABLE}
        assert time.monotonic() - start < 15  # and not for as long as the server is away
        server.start()
        run(asyncio.sleep(0.6))
        run(store.commit(note()))
        assert run(store.certificate(issued.serial)) is not None
        assert run(store.count())["audit"] == 3
        assert run(store.burn_nonce(b"n", 0))
        run(store.close())
    finally:
        server.remove()


def test_sessions_that_are_ended_are_replaced(ledger, url, run):
    async def end_all():
        connection = await asyncpg.connect(url)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'mintmark'"
        )
        await connection.close()

    async def settled(call):
        """Call until it succeeds; each of two connections may fail, at most twice."""
        refused = []
        while True:
            try:
                return await call(), refused
            except Error as error:
                refused.append(error.kind)

    run(ledger.commit(note()))
    run(end_all())
    for call in (lambda: ledger.commit(note()), lambda: ledger.revocation(bytes(20))):
        _, refused = run(settled(call))
        assert len(refused) <= 4
        assert set(refused) <= {Kind.UNAVAILABLE}


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("another operation (2) is in progress"),
        asyncpg.ConnectionDoesNotExistError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_lost_connection_looks_like_it_is_not_what_was_stored(error):
    assert explain(error).kind is Kind.UNAVAILABLE


def test_a_lock_held_too_long_refuses_and_recovers(url, clock, run, monkeypatch):
    from mintmark.store.postgresql import connection

    monkeypatch.setitem(connection._SESSION, "lock_timeout", "50ms")
    store = PostgreSQLStore(url, clock)
    run(store.migrate())
    run(store.open())
    prepare(store, run)

    async def held():
        other = await asyncpg.connect(url)
        async with other.transaction():
            await other.execute("LOCK TABLE audit IN EXCLUSIVE MODE")
            with pytest.raises(Error) as refused:
                await store.commit(note())
        await other.close()
        await store.commit(note())
        return refused.value.kind

    assert run(held()) is Kind.UNAVAILABLE
    run(store.close())


def ids(checkpoint):
    return [n for first, last in checkpoint.ranges for n in range(first, last + 1)]


def test_a_record_committed_late_joins_a_later_checkpoint(ledger, url, clock, run):
    """Ids become visible out of order when transactions overlap."""

    async def overlap():
        slow = await asyncpg.connect(url)
        await slow.execute("BEGIN; SELECT pg_current_xact_id()")
        late = await slow.fetchval(
            "INSERT INTO audit (leaf) VALUES ($1) RETURNING id",
            b'{"action":"late","service":"x","time":1}',
        )
        await ledger.commit(note("early"))
        one = await sign_checkpoint(ledger, KEY, clock)
        await ledger.commit(note("between"))
        two = await sign_checkpoint(ledger, KEY, clock)
        await slow.execute("COMMIT")
        pending = await ledger.unsequenced(10)
        report = await verify(ledger, KEY.private_key.public_key(), KEY.origin)
        three = await sign_checkpoint(ledger, KEY, clock)
        await slow.close()
        return late, one, two, pending, report, three

    late, one, two, pending, report, three = run(overlap())
    assert late not in ids(one) + ids(two)
    assert pending == ((late, late),)
    assert report.sound, report.problems
    assert report.pending == 1
    assert ids(three) == [late]
    assert run(ledger.unsequenced(10)) == ()
    assert run(verify(ledger, KEY.private_key.public_key(), KEY.origin)).sound
    assert gaps(url, run) == []


def gaps(url, run):
    async def read():
        connection = await asyncpg.connect(url)
        found = await connection.fetch("SELECT first, last FROM gaps ORDER BY first")
        await connection.close()
        return [tuple(row) for row in found]

    return run(read())


def test_an_id_that_was_rolled_back_is_forgotten_once_that_is_certain(ledger, url, clock, run):
    async def overlap():
        slow = await asyncpg.connect(url)
        await slow.execute("BEGIN; SELECT pg_current_xact_id()")
        insert = "INSERT INTO audit (leaf) SELECT '\\x7b7d' FROM generate_series(1, 3)"
        await slow.execute(insert)
        await ledger.commit(note())
        await sign_checkpoint(ledger, KEY, clock)
        await slow.execute("ROLLBACK")
        await slow.close()

    run(overlap())
    assert len(gaps(url, run)) == 1
    run(ledger.commit(note()))
    run(sign_checkpoint(ledger, KEY, clock))
    assert gaps(url, run) == []
    assert run(verify(ledger, KEY.private_key.public_key(), KEY.origin)).sound


def test_a_gap_that_fills_in_the_middle_keeps_its_ends(ledger, url, clock, run):
    async def overlap():
        slow = [await asyncpg.connect(url) for _ in range(3)]
        late = []
        for connection in slow:
            await connection.execute("BEGIN; SELECT pg_current_xact_id()")
            sql = "INSERT INTO audit (leaf) VALUES ('\\x7b7d') RETURNING id"
            late.append(await connection.fetchval(sql))
        await ledger.commit(note())
        await sign_checkpoint(ledger, KEY, clock)
        before = await slow[1].execute("COMMIT")
        assert before == "COMMIT"
        middle = await sign_checkpoint(ledger, KEY, clock)
        for connection in (slow[0], slow[2]):
            await connection.execute("COMMIT")
        rest = await sign_checkpoint(ledger, KEY, clock)
        for connection in slow:
            await connection.close()
        return late, middle, rest

    late, middle, rest = run(overlap())
    assert ids(middle) == [late[1]]
    assert ids(rest) == [late[0], late[2]]
    assert gaps(url, run) == []


def test_concurrent_writers_lose_no_record(ledger, url, clock, run):
    other = PostgreSQLStore(url, clock)
    run(other.open())

    async def storm():
        async def write(store):
            for n in range(30):
                await store.commit(note(str(n)))

        async def sign(store):
            for _ in range(20):
                await sign_checkpoint(store, KEY, clock)
                await asyncio.sleep(0)

        writers = [write(store) for store in (ledger, other) for _ in range(4)]
        await asyncio.gather(*writers, sign(ledger), sign(other))
        while await ledger.unsequenced(1):
            await sign_checkpoint(ledger, KEY, clock)

    run(storm())
    latest = run(ledger.latest_checkpoint())
    assert latest.tree_size == 241 == run(ledger.count())["audit"]
    assert run(verify(ledger, KEY.private_key.public_key(), KEY.origin)).sound
    run(other.close())


def test_holes_are_what_ranges_leave():
    assert holes(1, 10, [(2, 3), (5, 5), (10, 12)]) == [(1, 1), (4, 4), (6, 9)]
    assert holes(1, 3, [(1, 3)]) == []
    assert holes(1, 3, []) == [(1, 3)]
