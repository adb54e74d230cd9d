from __future__ import annotations

import asyncio
import dataclasses

import pytest

from mintmark.model.errors import Error, Kind
from mintmark.model.status import Reason
from mintmark.model.time import DAY
from mintmark.store.interface import StoredCRL
from mintmark.wire.crl import entry
from tests.unit.store.acts import (
    NOW,
    certificate,
    issuance,
    issuer,
    issuer_id,
    note,
    revocation,
    revoking,
)


def test_an_issuer_reads_back_as_it_was(ledger, run):
    assert run(ledger.issuers()) == [issuer()]


def test_adding_an_issuer_again_changes_nothing(ledger, run):
    run(ledger.add_issuer(issuer(), note()))
    assert run(ledger.issuers()) == [issuer()]
    assert run(ledger.count())["audit"] == 1


def test_an_issuer_can_retire(ledger, run):
    retired = dataclasses.replace(issuer(), active=False)
    run(ledger.add_issuer(retired, note()))
    assert run(ledger.issuers()) == [retired]
    assert run(ledger.count())["audit"] == 2


def test_issuers_are_listed_oldest_first(ledger, run):
    run(ledger.add_issuer(issuer("Another CA"), note()))
    assert [one.name for one in run(ledger.issuers())] == ["Test CA", "Another CA"]


def crl(number, der=b"der", this_update=NOW):
    return StoredCRL(issuer_id(), number, this_update, this_update + DAY, 0, der)


def test_a_crl_number_is_used_once_and_only_rises(ledger, run):
    assert run(ledger.latest_crl(issuer_id())) is None
    assert run(ledger.add_crl(crl(5, b"five")))
    assert not run(ledger.add_crl(crl(5, b"other")))
    assert not run(ledger.add_crl(crl(4, b"four")))
    assert run(ledger.latest_crl(issuer_id())) == crl(5, b"five")
    assert run(ledger.add_crl(crl(6, b"six")))
    assert run(ledger.latest_crl(issuer_id())) == crl(6, b"six")
    assert run(ledger.check()) == []


def test_two_stores_cannot_publish_one_number(ledger, open_store, run):
    other = open_store()

    async def race():
        return await asyncio.gather(*(s.add_crl(crl(1)) for s in (ledger, other)))

    assert sorted(run(race())) == [False, True]


def test_a_crl_of_an_unknown_issuer_is_refused(store, run):
    with pytest.raises(Error) as refused:
        run(store.add_crl(crl(1)))
    assert refused.value.kind is Kind.INTERNAL


def test_crl_entries_come_by_serial_without_the_expired(ledger, run):
    issued = [certificate(lifetime=(n + 1) * DAY) for n in range(6)]
    for one in issued:
        run(ledger.commit(issuance(one)))
    for one in reversed(issued):
        run(ledger.commit(revoking(one)))
    entries = run(asyncio_list(ledger, issued[2].not_after))
    wanted = [revocation(one) for one in issued[2:]]
    assert entries == [entry(r.serial, r.revoked_at, Reason.KEY_COMPROMISE) for r in wanted]
    assert run(asyncio_list(ledger, 0, "unknown")) == []


async def asyncio_list(store, not_after_from, name=None):
    """Collect the entries as publication does: in a worker thread."""
    return await asyncio.to_thread(
        lambda: list(store.crl_entries(name or issuer_id(), not_after_from))
    )


def test_a_cursor_never_goes_back(ledger, run):
    assert run(ledger.cursor("crl")) == 0
    run(ledger.move_cursor("crl", 7))
    run(ledger.move_cursor("crl", 3))
    assert run(ledger.cursor("crl")) == 7
    assert run(ledger.cursor("another")) == 0


def test_a_lease_has_one_holder_until_it_runs_out(ledger, open_store, run):
    other = open_store()
    assert run(ledger.lease("publication", "one", 10, NOW))
    assert not run(other.lease("publication", "two", 10, NOW + 5))
    assert run(ledger.lease("publication", "one", 10, NOW + 5))
    assert not run(other.lease("publication", "two", 10, NOW + 12))
    assert run(other.lease("publication", "two", 10, NOW + 16))
    assert not run(ledger.lease("publication", "one", 10, NOW + 17))


def test_a_lease_from_before_the_clock_jumped_back_is_taken_over(ledger, open_store, run):
    other = open_store()
    assert run(ledger.lease("publication", "one", 10, NOW))
    assert run(other.lease("publication", "two", 10, NOW - 3600))
    assert not run(ledger.lease("publication", "one", 10, NOW - 3595))


def test_a_clock_that_is_a_little_late_does_not_take_a_lease(ledger, open_store, run):
    other = open_store()
    assert run(ledger.lease("publication", "one", 10, NOW))
    assert not run(other.lease("publication", "two", 10, NOW - 9))
