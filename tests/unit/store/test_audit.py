from __future__ import annotations

import asyncio
import json

import pytest

from mintmark.model.act import Act, AuditRecord
from mintmark.model.audit import Checkpoint
from mintmark.model.ssh import BanKind, SSHBan
from mintmark.model.status import Reason
from mintmark.store import leaf as leaves
from tests.unit.store.acts import NOW, certificate, issuance, note, record, revoking


def test_a_leaf_is_canonical_json():
    act = Act(
        AuditRecord(
            "b.act", NOW + 0.5, "wéb", b"\x01\x02", "127.0.0.1", {"z": 1, "a": {"y": 2, "b": 3}}
        )
    )
    milliseconds = str(NOW * 1000 + 500)
    text = (
        '{"action":"b.act","address":"127.0.0.1","certificate":"0102",'
        '"details":{"a":{"b":3,"y":2},"z":1},"service":"wéb","time":' + milliseconds + "}"
    )
    assert leaves.encode(act) == text.encode()
    assert leaves.decode(leaves.encode(act)).record() == act.audit


def test_a_leaf_has_its_keys_sorted_whatever_it_holds():
    issued = certificate()
    act = Act(
        record(certificate=issued.serial, address="::1", details={"x": "y"}),
        certificate=issued,
        companions=(certificate(),),
        revocations=revoking(certificate()).revocations,
        bans=(SSHBan(BanKind.KEY_ID, b"alice", NOW, Reason.UNSPECIFIED),),
    )
    found = json.loads(leaves.encode(act))
    assert list(found) == sorted(found)
    assert set(found) == set(leaves.Leaf.__struct_fields__)


def test_what_is_no_leaf_is_refused():
    for octets in (b"", b"{}", b"[]", b'{"action":1,"service":"x","time":1}', b"\xff"):
        with pytest.raises(ValueError, match=r"."):
            leaves.decode(octets)
        assert not leaves.matches(octets, "x", None)


def test_a_detail_cannot_pass_for_the_service():
    leaf = leaves.encode(note(text='","service":"admin'))
    assert not leaves.matches(leaf, "admin", None)
    assert leaves.matches(leaf, "web", "test")
    assert not leaves.matches(leaf, "web", "other")


def texts(records):
    return [leaves.decode(one.leaf).details.get("text") for one in records]


def test_records_are_listed_newest_first_in_pages(ledger, run):
    for n in range(5):
        run(ledger.commit(note(str(n))))
    page, below = run(ledger.audit(before=None, limit=3, service=None, action=None))
    assert texts(page) == ["4", "3", "2"]
    page, below = run(ledger.audit(before=below, limit=10, service=None, action=None))
    assert texts(page) == ["1", "0", "issuer"]
    assert below is None


def test_records_are_listed_by_service_and_action(ledger, run):
    for n in range(6):
        run(ledger.commit(note(str(n), service=f"s{n % 2}", action=f"a{n % 3}")))
    page, _ = run(ledger.audit(before=None, limit=10, service="s1", action=None))
    assert texts(page) == ["5", "3", "1"]
    page, _ = run(ledger.audit(before=None, limit=10, service="s1", action="a0"))
    assert texts(page) == ["3"]


def test_a_filtered_list_looks_at_a_bounded_number(ledger, open_store, run, monkeypatch):
    import mintmark.store.postgresql.audit
    import mintmark.store.sqlite.audit

    monkeypatch.setattr(mintmark.store.postgresql.audit, "EXAMINED", 4)
    monkeypatch.setattr(mintmark.store.sqlite.audit, "EXAMINED", 4)
    for n in range(10):
        run(ledger.commit(note(str(n), service="rare" if n == 1 else "often")))
    below, found, calls = None, [], 0
    while True:
        page, below = run(ledger.audit(before=below, limit=5, service="rare", action=None))
        found += page
        calls += 1
        if below is None:
            break
    assert texts(found) == ["1"]
    assert calls == 3


def test_records_come_in_the_order_of_the_ranges(ledger, run):
    for n in range(6):
        run(ledger.commit(note(str(n))))
    found = run(ledger.audit_records([(5, 6), (2, 3)]))
    assert texts(found) == ["3", "4", "0", "1"]
    assert run(ledger.audit_records([])) == []


def test_all_records_stream_by_id(ledger, run):
    async def fill():
        await asyncio.gather(*(ledger.commit(note(str(n))) for n in range(1500)))
        return [one async for one in ledger.all_audit()]

    found = run(fill())
    assert len(found) == 1501
    assert [one.id for one in found] == sorted(one.id for one in found)


def checkpoint(sequence, ranges, tree_size=1):
    return Checkpoint(sequence, tree_size, bytes(32), (bytes(32), b"a" * 32), ranges, "note\n", NOW)


def test_a_checkpoint_reads_back_as_it_was(ledger, run):
    assert run(ledger.latest_checkpoint()) is None
    one = checkpoint(1, ((1, 1), (5, 9)))
    assert run(ledger.add_checkpoint(one))
    assert run(ledger.latest_checkpoint()) == one
    assert run(ledger.checkpoints(after=0, limit=10)) == [one]
    assert run(ledger.checkpoints(after=1, limit=10)) == []


def test_a_checkpoint_sequence_is_used_once_without_gaps(ledger, run):
    assert not run(ledger.add_checkpoint(checkpoint(2, ((1, 1),))))
    assert run(ledger.add_checkpoint(checkpoint(1, ((1, 1),))))
    assert not run(ledger.add_checkpoint(checkpoint(1, ((2, 2),))))
    assert not run(ledger.add_checkpoint(checkpoint(3, ((2, 2),))))


def test_unsequenced_is_what_no_checkpoint_has(ledger, run):
    for n in range(5):
        run(ledger.commit(note(str(n))))
    assert run(ledger.unsequenced(100)) == ((1, 6),)
    assert run(ledger.unsequenced(4)) == ((1, 4),)
    assert run(ledger.add_checkpoint(checkpoint(1, ((1, 4),))))
    assert run(ledger.unsequenced(100)) == ((5, 6),)
    assert run(ledger.add_checkpoint(checkpoint(2, ((5, 6),))))
    assert run(ledger.unsequenced(100)) == ()


def test_certificate_digests_are_listed_oldest_first(ledger, run):
    import hashlib

    issued = [certificate() for _ in range(5)]
    for one in issued:
        run(ledger.commit(issuance(one)))
    found = run(ledger.certificate_digests(after=0, limit=3))
    found += run(ledger.certificate_digests(after=found[-1][0], limit=3))
    assert [serial for _, serial, _ in found] == [one.serial for one in issued]
    assert [digest for *_, digest in found] == [hashlib.sha256(o.der).digest() for o in issued]
