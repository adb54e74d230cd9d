"""What only a file can suffer."""

from __future__ import annotations

import asyncio
import itertools
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from mintmark.model.errors import Error, Kind
from mintmark.model.status import CertificateKind, Status
from mintmark.store.interface import CertificateFilter
from mintmark.store.sqlite import SQLiteStore, access, connection, writer
from mintmark.store.sqlite.listing import page
from mintmark.store.sqlite.ssh import KRL_SERIALS
from tests.unit.store.acts import certificate, issuance, note, prepare, revoking
from tests.unit.store.ssh_objects import host_certificate, prepare_ssh, ssh_certificate


@pytest.fixture(params=[False, True], ids=["inline", "threaded"])
def store(request, tmp_path, clock, run):
    store = SQLiteStore(tmp_path / "mintmark.db", clock, threaded=request.param)
    run(store.open())
    prepare(store, run)
    yield store
    run(store.close())


def refusal(run, coroutine):
    with pytest.raises(Error) as refused:
        run(coroutine)
    return refused.value


def writing_connection(store):
    return store._writer._handle.use()


def status(run, store, issuer, serial):
    """Return what OCSP answers for one serial."""
    (found,) = run(store.statuses(issuer, [serial]))
    return found


def test_the_file_belongs_to_its_owner_alone(store, tmp_path):
    assert (tmp_path / "mintmark.db").stat().st_mode & 0o777 == 0o600


def test_commits_are_synced(store):
    handle = writing_connection(store)
    assert handle.execute("PRAGMA synchronous").get == 2
    assert handle.execute("PRAGMA journal_mode").get == "wal"
    assert handle.execute("PRAGMA foreign_keys").get == 1


def test_a_full_disk_refuses_and_recovers(store, run):
    handle = writing_connection(store)
    pages = handle.execute("PRAGMA page_count").get
    handle.execute(f"PRAGMA max_page_count = {pages}")
    details = "x" * 100_000

    async def several():
        acts = (note(details), issuance(), note(details))
        return await asyncio.gather(*map(store.commit, acts), return_exceptions=True)

    found = run(several())
    refused = [error for error in found if error is not None]
    assert {error.kind for error in refused} == {Kind.UNAVAILABLE}
    assert all(error.retry_after for error in refused)
    assert "full" in found[0].detail
    # The connection was given up; a new one has the limit of the disk alone. A thread may have
    # taken the first act by itself, and the others over the new one.
    run(store.commit(note(details)))
    assert run(store.count())["audit"] == 2 + len(found) - len(refused)


def test_a_read_only_database_refuses_and_recovers(store, run):
    handle = writing_connection(store)
    handle.execute("PRAGMA query_only = ON")
    error = refusal(run, store.commit(note()))
    assert (error.kind, error.retry_after) == (Kind.UNAVAILABLE, 5)
    run(store.commit(note()))


def test_a_file_that_was_moved_away_takes_nothing_with_it(store, tmp_path, run):
    path, away = tmp_path / "mintmark.db", tmp_path / "away"
    away.mkdir()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").rename(away / f"{path.name}{suffix}")
    error = refusal(run, store.commit(note()))
    assert error.kind is Kind.UNAVAILABLE
    assert not path.exists()
    for suffix in ("", "-wal", "-shm"):
        moved = away / f"{path.name}{suffix}"
        if moved.exists():
            moved.rename(f"{path}{suffix}")
    run(store.commit(note()))
    assert run(store.count())["audit"] == 2


def test_a_file_that_was_replaced_is_read_anew(store, tmp_path, clock, run):
    """Who goes on reading the old file does not see what is revoked in the new one."""
    path, copy, issued = tmp_path / "mintmark.db", tmp_path / "copy.db", certificate()
    run(store.commit(issuance(issued)))
    assert run(store.revocation(issued.serial)) is None
    assert run(store.count())["revocations"] == 0
    source = apsw.Connection(str(path))
    source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    other = SQLiteStore(copy, clock)
    run(other.open())
    run(other.commit(revoking(issued)))
    run(other.close())

    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink()
    copy.replace(path)
    for handle in (store._reader, store._scanner):
        handle._look_at = 0.0  # a second goes by

    assert run(store.revocation(issued.serial)) is not None
    assert run(store.count())["revocations"] == 1


def test_a_lock_held_too_long_refuses_and_recovers(store, tmp_path, run, monkeypatch):
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.02)
    other = apsw.Connection(str(tmp_path / "mintmark.db"))
    other.execute("BEGIN IMMEDIATE")
    error = refusal(run, store.commit(note()))
    assert error.kind is Kind.UNAVAILABLE
    assert "locked" in error.detail
    other.execute("ROLLBACK")
    run(store.commit(note()))


def test_reads_go_on_while_another_process_writes(store, tmp_path, run):
    issued = certificate()
    run(store.commit(issuance(issued)))
    other = apsw.Connection(str(tmp_path / "mintmark.db"))
    other.execute("BEGIN IMMEDIATE")
    assert run(store.revocation(issued.serial)) is None
    assert run(store.certificate(issued.serial)) is not None
    other.execute("ROLLBACK")


def test_single_reads_never_suspend(store):
    issued = certificate()
    for reading in (
        store.revocation(issued.serial),
        store.statuses(issued.issuer, [issued.serial]),
        store.certificate(issued.serial),
        store.idempotent(bytes(32)),
        store.token(bytes(32)),
        store.current("web", 0),
    ):
        with pytest.raises(StopIteration):
            reading.send(None)


def test_everybody_hears_that_a_lookup_failed(store, tmp_path, run):
    async def several():
        asked = (store.key_blocked(bytes([number]) * 32) for number in range(3))
        return await asyncio.gather(*asked, return_exceptions=True)

    path, away = tmp_path / "mintmark.db", tmp_path / "away.db"
    path.rename(away)
    store._reader._look_at = 0.0  # a second goes by
    assert {error.kind for error in run(several())} == {Kind.UNAVAILABLE}
    away.rename(path)
    assert run(several()) == [False] * 3


def test_a_damaged_file_is_a_refusal(tmp_path, clock, run):
    (tmp_path / "mintmark.db").write_bytes(b"not a database" * 1000)
    store = SQLiteStore(tmp_path / "mintmark.db", clock)
    error = refusal(run, store.open())
    assert error.kind is Kind.UNAVAILABLE


def test_a_newer_schema_is_refused(store, tmp_path, clock, run):
    writing_connection(store).execute("INSERT INTO migrations VALUES (999, 'x', 0)")
    error = refusal(run, SQLiteStore(tmp_path / "mintmark.db", clock).open())
    assert error.kind is Kind.CONFIGURATION
    assert "999" in error.detail


def test_migrating_twice_changes_nothing(store, run):
    assert run(store.migrate()) == []


def test_a_slow_disk_is_left_to_a_thread(tmp_path, clock, run, monkeypatch):
    from mintmark.store.sqlite import access as module

    for seconds, threaded in ((0.000_05, False), (0.004, True)):
        monkeypatch.setattr(module, "sync_seconds", lambda _path, seconds=seconds: seconds)
        store = SQLiteStore(tmp_path / f"{threaded}.db", clock)
        run(store.open())
        assert (store._writer._thread is not None) is threaded
        run(store.close())


def test_the_cost_of_a_sync_is_measured(tmp_path):
    assert 0 < writer.sync_seconds(tmp_path) < 1
    assert writer.sync_seconds(tmp_path / "missing") == 1.0


CHILD = """
import asyncio, sys, time
sys.path.insert(0, {root!r})
from mintmark.store.sqlite import SQLiteStore
from tests.unit.store.acts import issuance, certificate

async def main():
    store = SQLiteStore({path!r}, time.time)
    await store.open()
    print("ready", flush=True)
    issued = [certificate() for _ in range(5)]
    n = 0
    while n < {rounds}:
        n += 1
        acts = []
        for _ in range(5):
            fresh = certificate()
            serial = bytes(((0x41, {child}))) + n.to_bytes(4, "big") + fresh.serial[6:]
            from msgspec import structs
            acts.append(issuance(structs.replace(fresh, serial=serial)))
        await asyncio.gather(*map(store.commit, acts))
        for act in acts:
            print(act.certificate.serial.hex(), flush=True)
    await store.close()

asyncio.run(main())
"""


def child(tmp_path, number, rounds):
    root = str(Path(__file__).parents[3])
    code = CHILD.format(root=root, path=str(tmp_path / "mintmark.db"), child=number, rounds=rounds)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root
    )


def test_processes_share_one_file(store, tmp_path, run):
    children = [child(tmp_path, number, 20) for number in (1, 2)]
    serials = []
    for process in children:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        serials += out.split()[1:]
    assert len(serials) == len(set(serials)) == 200
    for serial in serials:
        found = status(run, store, certificate().issuer, bytes.fromhex(serial))
        assert found.issued
    records = run(store.audit_records([(1, 1000)]))
    assert [record.id for record in records] == list(range(1, 202))


def test_what_was_acknowledged_survives_a_kill(store, tmp_path, clock, run):
    process = child(tmp_path, 3, 1_000_000)
    assert process.stdout is not None
    acknowledged = []
    for line in process.stdout:
        acknowledged.append(line.strip())
        if len(acknowledged) > 150:
            process.send_signal(signal.SIGKILL)
            break
    acknowledged += [line.strip() for line in process.stdout if len(line) == 41]
    process.wait(10)
    process.stdout.close()
    for serial in acknowledged[1:]:
        assert status(run, store, certificate().issuer, bytes.fromhex(serial)).issued
    again = SQLiteStore(tmp_path / "mintmark.db", clock)
    run(again.open())
    assert [p for p in run(again.check()) if "stored under another serial" not in p] == []
    run(again.close())


def test_a_reader_sees_what_another_process_revoked(store, tmp_path, clock, run):
    other = SQLiteStore(tmp_path / "mintmark.db", clock)
    run(other.open())
    issued = certificate()
    run(other.commit(issuance(issued)))
    run(other.commit(revoking(issued)))
    assert run(store.revocation(issued.serial)) is not None
    run(other.close())


def test_a_short_list_is_read_without_suspending_on_a_fast_disk(store, run):
    issued = certificate()
    run(store.commit(issuance(issued)))
    listing = store.certificates(CertificateFilter(0, service="web"), after=None, limit=10)
    if store._writer._thread is not None:
        assert [one.certificate for one in run(listing)] == [issued]
        return
    with pytest.raises(StopIteration) as answered:
        listing.send(None)
    assert [one.certificate for one in answered.value.value] == [issued]


def test_a_list_that_takes_long_is_left_to_the_thread(tmp_path, clock, run, monkeypatch):
    monkeypatch.setattr(access, "LIST_STEPS", 1)
    monkeypatch.setattr(connection, "_QUESTION_STEPS", 1)
    store = SQLiteStore(tmp_path / "other.db", clock, threaded=False)
    run(store.open())
    prepare(store, run)
    issued = [certificate() for _ in range(3)]
    for one in issued:
        run(store.commit(issuance(one)))
    everything = CertificateFilter(0)
    left, scan = [], store._scan
    monkeypatch.setattr(store, "_scan", lambda work: left.append(work) or scan(work))
    found = run(store.certificates(everything, after=None, limit=10))
    assert len(left) == 1
    assert [one.certificate for one in found] == issued[::-1]
    run(store.commit(issuance()))  # the limit was of that list alone
    run(store.close())


def test_a_list_that_waits_for_the_disk_is_given_up_once(store, tmp_path, monkeypatch):
    monkeypatch.setattr(connection, "SOON_SECONDS", -1)
    monkeypatch.setattr(connection, "_QUESTION_STEPS", 1)
    handle = apsw.Connection(str(tmp_path / "mintmark.db"))

    def reading(c):
        with pytest.raises(apsw.InterruptError):
            c.execute("SELECT * FROM issuers").fetchall()
        return c.execute("SELECT count(*) FROM issuers").get  # as the end of a transaction is

    assert connection.soon(handle, reading, 1_000_000) == 1
    handle.close()


def test_serials_for_a_krl_say_when_there_is_no_database(store, tmp_path):
    (tmp_path / "mintmark.db").rename(tmp_path / "moved.db")
    with pytest.raises(Error) as refused:
        list(store.krl_serials(0))
    assert refused.value.kind is Kind.UNAVAILABLE
    (tmp_path / "moved.db").rename(tmp_path / "mintmark.db")


def test_a_list_may_be_given_up_at_any_step(tmp_path, clock, run, monkeypatch):
    """Also where it ends its transaction: the connection is the one that commits."""
    monkeypatch.setattr(connection, "_QUESTION_STEPS", 1)
    store = SQLiteStore(tmp_path / "other.db", clock, threaded=False)
    run(store.open())
    prepare(store, run)
    issued = certificate()
    run(store.commit(issuance(issued)))
    for steps in range(1, 300):
        monkeypatch.setattr(access, "LIST_STEPS", steps)
        found = run(store.certificates(CertificateFilter(0), after=None, limit=10))
        assert [one.certificate for one in found] == [issued]
        run(store.commit(note()))
    run(store.close())


def test_a_few_ssh_certificates_are_listed_in_steps_that_do_not_grow(
    store, tmp_path, run, monkeypatch
):
    monkeypatch.setattr(connection, "SOON_SECONDS", 60)  # it is about steps
    prepare_ssh(store, run)
    issued = [ssh_certificate("web"), host_certificate("h", service="web")]
    for one in issued:
        run(store.commit(issuance(one)))
        run(store.commit(revoking(one)))
    handle = apsw.Connection(str(tmp_path / "mintmark.db"))
    with handle:
        handle.execute(
            "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 20000)"
            " INSERT INTO certificates (serial, issuer, service, profile, not_after, der)"
            " SELECT randomblob(20), 1, 'web', 'server', 1795000000 + n % 90 * 86400, x'' FROM n"
        )
        handle.execute(
            "INSERT INTO revocations SELECT serial, 1, id, 1, 1, not_after, x'00'"
            " FROM certificates WHERE kind IS NULL"
        )
    for kind, service, status, expires in itertools.product(
        (CertificateKind.SSH_USER, CertificateKind.SSH_HOST),
        (None, "web"),
        (None, *Status),
        (None, 1 << 40),
    ):
        matching = CertificateFilter(0, service, None, status, None, expires, kind)
        found = connection.soon(handle, lambda c, m=matching: page(c, m, None, 10), 1500)
        assert found is not None, matching
    assert len(list(store.krl_serials(0))) == 2
    handle.set_progress_handler(lambda: True, 1500)
    assert len(handle.execute(KRL_SERIALS, (0,)).fetchall()) == 2
    handle.close()
