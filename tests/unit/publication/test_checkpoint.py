from __future__ import annotations

import asyncio
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mintmark.publication.checkpoint import CheckpointKey, sign_checkpoint, verify
from mintmark.wire import note
from tests import tree
from tests.unit.store.acts import certificate, issuance, prepare, revoking
from tests.unit.store.acts import note as remark
from tests.unit.store.tampering import octets, sql

KEY = CheckpointKey("mintmark/test", Ed25519PrivateKey.generate())


@pytest.fixture
def ledger(open_store, run):
    return prepare(open_store(), run)


async def sign_all(store, clock, **limits):
    signed = []
    while checkpoint := await sign_checkpoint(store, KEY, clock, **limits):
        signed.append(checkpoint)
    return signed


def proven(store, run):
    return run(verify(store, KEY.private_key.public_key(), KEY.origin))


@pytest.fixture
def log(ledger, clock, run):
    """Twelve records in four checkpoints, four of them issuances, one a revocation."""
    issued = [certificate(names=(f"host-{n}.example.internal",)) for n in range(4)]
    for n, one in enumerate(issued):
        run(ledger.commit(issuance(one)))
        run(ledger.commit(remark(f"note {n}")))
        if n == 3:
            run(ledger.commit(revoking(issued[0])))
            run(ledger.commit(remark("the last")))
        run(sign_checkpoint(ledger, KEY, clock))
    return issued


def test_checkpoints_prove_the_log(ledger, log, run):
    report = proven(ledger, run)
    assert report.sound, report.problems
    assert (report.checkpoints, report.tree_size, report.pending) == (4, 11, 0)
    assert report.certificates == 4
    assert report.root == run(ledger.latest_checkpoint()).root.hex()


def test_a_checkpoint_is_a_signed_note_of_the_tree(ledger, log, run):
    latest = run(ledger.latest_checkpoint())
    head = note.parse(note.verify(latest.note, KEY.origin, KEY.private_key.public_key()))
    records = run(ledger.audit_records([(1, 1000)]))
    hashes = [tree.leaf_hash(record.leaf) for record in records]
    assert head == note.TreeHead(KEY.origin, 11, tree.root(hashes))


def test_the_empty_log_has_no_checkpoint_and_is_sound(store, clock, run):
    assert run(sign_checkpoint(store, KEY, clock)) is None
    report = proven(store, run)
    assert report.sound
    assert report.root == ""


def test_nothing_new_makes_no_checkpoint(ledger, log, clock, run):
    assert run(sign_checkpoint(ledger, KEY, clock)) is None


def test_a_checkpoint_takes_in_a_bounded_number(ledger, clock, run):
    async def many():
        await asyncio.gather(*(ledger.commit(remark(str(n))) for n in range(50)))

    run(many())
    signed = run(sign_all(ledger, clock, max_records=20))
    assert [one.tree_size for one in signed] == [20, 40, 51]
    assert proven(ledger, run).sound


def test_two_processes_cannot_fork_the_log(ledger, open_store, clock, run):
    other = open_store()
    run(ledger.commit(remark()))

    async def race():
        return await asyncio.gather(*(sign_checkpoint(s, KEY, clock) for s in (ledger, other)))

    signed = run(race())
    assert sum(one is not None for one in signed) == 1
    assert proven(ledger, run).sound


def test_records_without_a_checkpoint_are_pending(ledger, log, run):
    run(ledger.commit(remark()))
    report = proven(ledger, run)
    assert report.sound
    assert report.pending == 1


def test_the_wrong_key_or_origin_proves_nothing(ledger, log, run):
    other = Ed25519PrivateKey.generate().public_key()
    assert not run(verify(ledger, other, KEY.origin)).sound
    assert not run(verify(ledger, KEY.private_key.public_key(), "mintmark/other")).sound


def record_id(ledger, run, text):
    for record in run(ledger.audit_records([(1, 1000)])):
        if text in record.leaf:
            return record.id
    raise AssertionError(text)


def first(report):
    assert report.problems
    return report.problems[0]


def test_one_altered_byte_is_found(ledger, open_store, log, run):
    id_ = record_id(ledger, run, b"note 1")
    leaf = run(ledger.audit_records([(id_, id_)]))[0].leaf.replace(b"note 1", b"note 7")
    sql(open_store, f"UPDATE audit SET leaf = {octets(open_store, leaf)} WHERE id = {id_}")
    problem = first(proven(ledger, run))
    assert problem.checkpoint == 2
    assert problem.records[0] <= id_ <= problem.records[1]
    assert len(proven(ledger, run).problems) == 1


@pytest.mark.parametrize("text", [b"note 0", b"note 2", b"the last"])
def test_a_removed_row_is_found_and_named(ledger, open_store, log, run, text):
    id_ = record_id(ledger, run, text)
    sql(open_store, f"DELETE FROM audit WHERE id = {id_}")
    report = proven(ledger, run)
    assert first(report).records == (id_, id_)
    assert "removed" in first(report).sentence


def test_a_reordered_pair_is_found(ledger, open_store, log, run):
    one, two = record_id(ledger, run, b"note 1"), record_id(ledger, run, b"note 2")
    sql(
        open_store,
        *(["ALTER TABLE audit ALTER id DROP IDENTITY"] if open_store.dialect != "sqlite" else []),
        f"UPDATE audit SET id = 999 WHERE id = {one}",
        f"UPDATE audit SET id = {one} WHERE id = {two}",
        f"UPDATE audit SET id = {two} WHERE id = 999",
    )
    problem = first(proven(ledger, run))
    assert problem.records[0] <= one <= problem.records[1]


def test_a_record_slipped_in_is_found(ledger, open_store, log, clock, run):
    sql(
        open_store,
        f"INSERT INTO audit (id, leaf) {overriding(open_store)}"
        f" VALUES (100, {octets(open_store, b'{}')})",
    )
    report = proven(ledger, run)  # above the last checkpoint it is pending, and no record
    assert first(report).records == (100, 100)


def overriding(open_store):
    return "" if open_store.dialect == "sqlite" else "OVERRIDING SYSTEM VALUE"


def test_a_record_that_hides_between_checkpoints_is_found(ledger, open_store, log, clock, run):
    leaf = octets(open_store, b'{"action":"x","service":"y","time":1}')
    sql(open_store, f"INSERT INTO audit (id, leaf) {overriding(open_store)} VALUES (100, {leaf})")
    run(sign_checkpoint(ledger, KEY, clock))
    run(sign_checkpoint(ledger, KEY, clock))
    if open_store.dialect == "postgresql":
        sql(open_store, "DELETE FROM gaps")
    assert proven(ledger, run).sound
    sql(open_store, f"INSERT INTO audit (id, leaf) {overriding(open_store)} VALUES (50, {leaf})")
    problem = first(proven(ledger, run))
    assert problem.records == (50, 50)
    assert "no checkpoint" in problem.sentence


def test_a_missing_checkpoint_is_found(ledger, open_store, log, run):
    sql(open_store, "DELETE FROM checkpoints WHERE sequence = 2")
    report = proven(ledger, run)
    assert first(report).checkpoint == 2
    assert "missing" in first(report).sentence


def test_a_forged_checkpoint_is_found(ledger, open_store, log, run):
    forger = CheckpointKey(KEY.origin, Ed25519PrivateKey.generate())
    third = run(ledger.checkpoints(after=2, limit=1))[0]
    text = note.encode(note.TreeHead(KEY.origin, third.tree_size, third.root))
    forged = note.sign(text, forger.origin, forger.private_key)
    sql(open_store, f"UPDATE checkpoints SET note = '{forged}' WHERE sequence = 3")
    problem = first(proven(ledger, run))
    assert problem.checkpoint == 3
    assert "forged" in problem.sentence


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("tree_size = tree_size + 1", id="size"),
        pytest.param("ranges = '[[1,4611686018427387904]]'", id="endless ranges"),
        pytest.param("ranges = '[[1,2]]'", id="other ranges"),
        pytest.param("ranges = '[[5,4],[5,6],[7,7]]'", id="ranges backwards"),
        pytest.param("ranges = '[]'", id="no ranges"),
        pytest.param("root = {root}", id="root"),
    ],
)
def test_a_checkpoint_row_that_was_changed_is_found(ledger, open_store, log, run, change):
    change = change.format(root=octets(open_store, bytes(32)))
    sql(open_store, f"UPDATE checkpoints SET {change} WHERE sequence = 3")
    report = proven(ledger, run)
    assert any(problem.checkpoint == 3 for problem in report.problems)


def test_a_certificate_other_than_the_logged_one_is_found(ledger, open_store, log, run):
    der = octets(open_store, certificate().der)
    serial = octets(open_store, log[2].serial)
    sql(open_store, f"UPDATE certificates SET der = {der} WHERE serial = {serial}")
    problem = first(proven(ledger, run))
    assert log[2].serial.hex() in problem.sentence
    id_ = record_id(ledger, run, log[2].serial.hex().encode())
    assert problem.records == (id_, id_)


def test_a_removed_certificate_is_found(ledger, open_store, log, run):
    sql(open_store, f"DELETE FROM certificates WHERE serial = {octets(open_store, log[1].serial)}")
    report = proven(ledger, run)
    assert any(
        "not there" in p.sentence and log[1].serial.hex() in p.sentence for p in report.problems
    )


def test_a_certificate_without_a_record_is_found(ledger, open_store, log, run):
    der = certificate().der
    sql(
        open_store,
        "INSERT INTO certificates (serial, issuer, service, profile, not_after, der)"
        f" VALUES ({octets(open_store, b'A' * 20)}, 1, 'web', 'server', 1,"
        f" {octets(open_store, der)})",
    )
    problem = first(proven(ledger, run))
    assert (b"A" * 20).hex() in problem.sentence
    assert "no audit record" in problem.sentence
    assert any((b"A" * 20).hex() in sentence for sentence in run(ledger.check()))


def test_a_revocation_taken_back_is_found(ledger, open_store, log, run):
    sql(open_store, f"DELETE FROM revocations WHERE serial = {octets(open_store, log[0].serial)}")
    problem = first(proven(ledger, run))
    assert log[0].serial.hex() in problem.sentence
    assert "revocation is not there" in problem.sentence


def test_a_record_made_unreadable_is_named(ledger, open_store, log, run):
    id_ = record_id(ledger, run, b"note 1")
    sql(open_store, f"UPDATE audit SET leaf = {octets(open_store, b'junk')} WHERE id = {id_}")
    assert first(proven(ledger, run)).records == (id_, id_)


def test_issuing_meanwhile_is_no_problem(ledger, log, clock, run):
    async def both():
        async def issue():
            for _ in range(40):
                await ledger.commit(issuance())
                await sign_checkpoint(ledger, KEY, clock)

        verification = verify(ledger, KEY.private_key.public_key(), KEY.origin)
        return (await asyncio.gather(verification, issue()))[0]

    report = run(both())
    assert report.sound, report.problems
    assert proven(ledger, run).sound


def test_the_log_vouches_for_the_certificate(ledger, log, run):
    record = run(ledger.audit_records([(2, 2)]))[0]
    digest = hashlib.sha256(log[0].der).digest()
    import base64

    assert base64.b64encode(digest) in record.leaf
