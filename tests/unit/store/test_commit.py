from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from mintmark.model.act import (
    Act,
    IdempotencyKey,
    IdempotentAnswer,
    Quota,
    RateClaim,
    Token,
)
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.status import Reason
from mintmark.model.time import DAY, HOUR
from mintmark.store import leaf
from mintmark.store.interface import CertificateFilter
from tests.unit.store.acts import (
    NOW,
    certificate,
    issuance,
    issuer_id,
    note,
    prepare,
    record,
    revocation,
    revoking,
)


async def outcomes(*commits):
    """Commit at once and return None or the kind of refusal of each."""
    done = await asyncio.gather(*commits, return_exceptions=True)
    return [error if error is None else error.kind for error in done]


def kind_of(run, coroutine):
    with pytest.raises(Error) as refused:
        run(coroutine)
    return refused.value.kind


def status(run, store, issuer, serial):
    """Return what OCSP answers for one serial."""
    (found,) = run(store.statuses(issuer, [serial]))
    return found


def test_a_committed_certificate_reads_back_as_it_was(ledger, run):
    issued = certificate(
        names=("a.example.internal", "b.example.internal"), metadata={"owner": "ops"}
    )
    run(ledger.commit(issuance(issued)))
    stored = run(ledger.certificate(issued.serial))
    assert stored.certificate == issued
    assert stored.revocation is None
    assert stored.replaced_by is None


def test_an_act_and_its_record_are_one_commit(ledger, run):
    before = run(ledger.count())
    run(ledger.commit(issuance()))
    after = run(ledger.count())
    assert after["certificates"] == before["certificates"] + 1
    assert after["audit"] == before["audit"] + 1


def test_acts_that_arrive_together_share_a_commit(ledger, run):
    acts = [issuance() for _ in range(300)]

    async def all_at_once():
        await asyncio.gather(*(ledger.commit(act) for act in acts))

    run(all_at_once())
    assert run(ledger.count())["certificates"] == 300


def test_a_refused_act_does_not_hurt_the_others_of_its_batch(ledger, run):
    unknown = b"t" * 32
    good, bad = issuance(), issuance(burns_token=unknown)

    async def together():
        return await outcomes(ledger.commit(good), ledger.commit(bad), ledger.commit(note()))

    assert run(together()) == [None, Kind.BAD_TOKEN, None]
    assert run(ledger.certificate(good.certificate.serial)) is not None
    assert run(ledger.certificate(bad.certificate.serial)) is None
    assert run(ledger.count())["audit"] == 3


def test_an_act_the_database_refuses_does_not_hurt_the_others(ledger, run):
    first = issuance()
    again = Act(first.audit, certificate=first.certificate)

    async def together():
        return await outcomes(ledger.commit(first), ledger.commit(again), ledger.commit(note()))

    assert run(together()) == [None, Kind.INTERNAL, None]


def test_an_unknown_issuer_is_refused(store, run):
    assert kind_of(run, store.commit(issuance())) is Kind.INTERNAL
    assert run(store.count())["audit"] == 0


def test_a_text_that_cannot_be_stored_is_refused_before_the_batch(ledger, run):
    assert kind_of(run, ledger.commit(issuance(certificate("we\0b")))) is Kind.MALFORMED
    assert kind_of(run, ledger.commit(Act(record(details={"x": object()})))) is Kind.INTERNAL


def test_a_revocation_is_seen_at_once_and_by_other_stores(ledger, open_store, run):
    issued = certificate()
    run(ledger.commit(issuance(issued)))
    other = open_store()
    assert run(other.revocation(issued.serial)) is None
    run(ledger.commit(revoking(issued)))
    assert run(ledger.revocation(issued.serial)) == revocation(issued)
    assert run(other.revocation(issued.serial)) == revocation(issued)
    assert run(other.certificate(issued.serial)).revocation == revocation(issued)


def test_a_serial_is_revoked_once(ledger, run):
    issued = certificate()
    run(ledger.commit(issuance(issued)))
    run(ledger.commit(revoking(issued)))
    assert kind_of(run, ledger.commit(revoking(issued))) is Kind.ALREADY_REVOKED
    assert run(ledger.count())["revocations"] == 1


def test_one_act_revokes_many_serials_or_none(ledger, run):
    one, two = certificate(), certificate()
    run(ledger.commit(issuance(one)))
    run(ledger.commit(issuance(two)))
    run(ledger.commit(revoking(one)))
    assert kind_of(run, ledger.commit(revoking(two, one))) is Kind.ALREADY_REVOKED
    assert run(ledger.revocation(two.serial)) is None
    assert kind_of(run, ledger.commit(revoking(two, two))) is Kind.ALREADY_REVOKED


def test_a_serial_that_is_not_in_the_inventory_can_be_revoked(ledger, run):
    foreign = certificate()
    run(ledger.commit(revoking(foreign)))
    found = status(run, ledger, issuer_id(), foreign.serial)
    assert found.issued
    assert found.revocation.reason is Reason.KEY_COMPROMISE


def test_two_stores_cannot_both_revoke_a_serial(ledger, open_store, run):
    issued = certificate()
    run(ledger.commit(issuance(issued)))
    other = open_store()

    async def race():
        return await outcomes(ledger.commit(revoking(issued)), other.commit(revoking(issued)))

    assert sorted(run(race()), key=str) == [Kind.ALREADY_REVOKED, None]


def test_ocsp_tells_ours_from_not_ours(ledger, run):
    issued = certificate()
    run(ledger.commit(issuance(issued)))
    assert status(run, ledger, issuer_id(), issued.serial).issued
    assert not status(run, ledger, "another", issued.serial).issued
    assert not status(run, ledger, issuer_id(), b"\x41" * 20).issued
    run(ledger.commit(revoking(issued)))
    assert status(run, ledger, issuer_id(), issued.serial).revocation == revocation(issued)
    assert status(run, ledger, "another", issued.serial).revocation is None


def test_ocsp_asks_about_many_serials_at_once(ledger, run):
    issued, revoked, foreign = certificate(), certificate(), certificate()
    run(ledger.commit(issuance(issued)))
    run(ledger.commit(issuance(revoked)))
    run(ledger.commit(revoking(revoked)))
    run(ledger.commit(revoking(foreign)))
    serials = [b"\x41" * 20, revoked.serial, issued.serial, foreign.serial, issued.serial]
    for issuer in (issuer_id(), "another"):
        one_by_one = [status(run, ledger, issuer, serial) for serial in serials]
        assert run(ledger.statuses(issuer, serials)) == one_by_one
    assert run(ledger.statuses(issuer_id(), [])) == []


def test_a_blocked_key_stays_blocked(ledger, run):
    assert not run(ledger.key_blocked(b"k" * 32))
    run(ledger.commit(Act(record(), blocked_key=b"k" * 32)))
    run(ledger.commit(Act(record(), blocked_key=b"k" * 32)))
    assert run(ledger.key_blocked(b"k" * 32))


def test_keys_that_are_asked_about_together_are_answered_each_by_itself(ledger, run):
    run(ledger.commit(Act(record(), blocked_key=b"k" * 32)))

    async def several():
        left = asyncio.ensure_future(ledger.key_blocked(b"k" * 32))
        keys = (b"k" * 32, b"a" * 32, b"k" * 32, b"b" * 32)
        asked = asyncio.gather(*map(ledger.key_blocked, keys))
        await asyncio.sleep(0)
        left.cancel()
        return await asked

    assert run(several()) == [True, False, True, False]


def test_an_act_that_cannot_be_stored_costs_the_others_nothing(ledger, run):
    unwritable = Act(record(details={"what": object()}))
    acts = [issuance(), issuance(certificate("web\x00")), unwritable, issuance()]
    done = run(outcomes(*map(ledger.commit, acts)))
    assert done == [None, Kind.MALFORMED, Kind.INTERNAL, None]
    assert run(ledger.count())["certificates"] == 2


def test_a_key_that_was_blocked_a_moment_ago_is_not_certified(ledger, run):
    """Whoever has a stolen key renews while it is being revoked."""
    first = certificate()
    run(ledger.commit(Act(record(), certificate=first)))
    blocking = Act(record("certificate.revoke"), blocked_key=first.spki_sha256)
    meanwhile = Act(record("certificate.renew"), certificate=certificate())
    other_key = Act(record(), certificate=replace(certificate(), spki_sha256=b"o" * 32))

    async def together():
        acts = (ledger.commit(each) for each in (blocking, meanwhile, other_key))
        return await asyncio.gather(*acts, return_exceptions=True)

    done, refused, fine = run(together())

    assert done is None
    assert fine is None
    assert refused.kind is Kind.BAD_PUBLIC_KEY
    assert run(ledger.certificate(meanwhile.certificate.serial)) is None


def test_two_stores_agree_on_what_is_blocked(ledger, open_store, run):
    other = open_store()
    first = certificate()
    run(ledger.commit(Act(record(), certificate=first)))

    async def race():
        block = Act(record("certificate.revoke"), blocked_key=first.spki_sha256)
        acts = [Act(record("certificate.renew"), certificate=certificate()) for _ in range(40)]
        jobs = [other.commit(each) for each in acts[:20]]
        jobs += [ledger.commit(block)]
        jobs += [other.commit(each) for each in acts[20:]]
        await asyncio.gather(*jobs, return_exceptions=True)
        late = Act(record("certificate.renew"), certificate=certificate())
        with pytest.raises(Error) as refused:
            await other.commit(late)
        return refused.value

    assert run(race()).kind is Kind.BAD_PUBLIC_KEY
    records, _ = run(ledger.audit(before=None, limit=100, service=None, action=None))
    actions = [leaf.decode(each.leaf).action for each in reversed(records)]
    assert "certificate.renew" not in actions[actions.index("certificate.revoke") :]


def token(expires_at=NOW + HOUR):
    names = (Identifier(IdentifierType.DNS, "web.example.internal"),)
    return Token(b"T" * 32, "web", names, ("server",), expires_at)


def test_a_token_reads_back_until_it_is_burned(ledger, run):
    run(ledger.commit(Act(record("token.create"), token=token())))
    assert run(ledger.token(b"T" * 32)) == token()
    run(ledger.commit(issuance(burns_token=b"T" * 32)))
    assert run(ledger.token(b"T" * 32)) is None
    assert kind_of(run, ledger.commit(issuance(burns_token=b"T" * 32))) is Kind.BAD_TOKEN


def test_an_expired_token_burns_nothing(ledger, run):
    run(ledger.commit(Act(record("token.create"), token=token(NOW - 1))))
    assert kind_of(run, ledger.commit(issuance(burns_token=b"T" * 32))) is Kind.BAD_TOKEN


def test_two_stores_cannot_burn_one_token_at_once(ledger, open_store, run):
    run(ledger.commit(Act(record("token.create"), token=token())))
    other = open_store()

    async def race():
        return await outcomes(
            *(s.commit(issuance(burns_token=b"T" * 32)) for s in (ledger, other) * 10)
        )

    assert run(race()).count(None) == 1
    assert run(ledger.count())["certificates"] == 1


def test_an_idempotency_key_is_answered_once(ledger, open_store, run):
    key = IdempotencyKey(b"i" * 32, b"r" * 32, NOW + HOUR)
    other = open_store()

    async def race():
        return await outcomes(*(s.commit(issuance(idempotency=key)) for s in (ledger, other) * 10))

    found = run(race())
    assert found.count(None) == 1
    assert found.count(Kind.CONFLICT) == 19
    answer = run(ledger.idempotent(b"i" * 32))
    assert answer == IdempotentAnswer(b"r" * 32, answer.serial)
    assert run(ledger.certificate(answer.serial)) is not None


def test_a_quota_holds_over_two_stores(ledger, open_store, run):
    other = open_store()

    async def race():
        return await outcomes(
            *(s.commit(issuance(quota=Quota("web", 7))) for s in (ledger, other) * 10)
        )

    found = run(race())
    assert found.count(None) == 7
    assert found.count(Kind.FORBIDDEN) == 13


def test_a_quota_does_not_count_revoked_replaced_or_expired_certificates(ledger, clock, run):
    quota = Quota("web", 2)
    first, second = certificate(lifetime=HOUR), certificate()
    run(ledger.commit(issuance(first, quota=quota)))
    run(ledger.commit(issuance(second, quota=quota)))
    assert kind_of(run, ledger.commit(issuance(quota=quota))) is Kind.FORBIDDEN
    renewed = certificate(replaces=second.serial)
    run(ledger.commit(issuance(renewed, quota=quota)))  # takes the place of the second
    assert kind_of(run, ledger.commit(issuance(quota=quota))) is Kind.FORBIDDEN
    run(ledger.commit(revoking(second)))  # replaced already: frees nothing
    assert kind_of(run, ledger.commit(issuance(quota=quota))) is Kind.FORBIDDEN
    run(ledger.commit(revoking(renewed)))
    run(ledger.commit(issuance(quota=quota)))
    assert kind_of(run, ledger.commit(issuance(quota=quota))) is Kind.FORBIDDEN
    clock.advance(HOUR + 1)  # the first has expired
    run(ledger.commit(issuance(quota=quota)))
    assert kind_of(run, ledger.commit(issuance(quota=quota))) is Kind.FORBIDDEN


def test_a_quota_counts_one_service_only(ledger, run):
    run(ledger.commit(issuance(certificate("db"))))
    run(ledger.commit(issuance(quota=Quota("web", 1))))


def test_a_certificate_knows_what_replaced_it(ledger, run):
    old = certificate()
    run(ledger.commit(issuance(old)))
    new = certificate(replaces=old.serial)
    run(ledger.commit(issuance(new)))
    assert run(ledger.certificate(old.serial)).replaced_by == new.serial
    assert run(ledger.certificate(new.serial)).certificate.replaces == old.serial


def test_current_is_the_newest_that_is_good(ledger, run):
    old, new, revoked = certificate(), certificate(lifetime=30 * DAY), certificate()
    for issued in (old, new, revoked):
        run(ledger.commit(issuance(issued)))
    run(ledger.commit(revoking(revoked)))
    assert run(ledger.current("web", NOW)).certificate == new
    assert run(ledger.current("web", NOW + 40 * DAY)).certificate == old
    assert run(ledger.current("web", NOW + 400 * DAY)) is None
    assert run(ledger.current("db", NOW)) is None


CLAIM = (RateClaim("service:web", 4),)


def test_a_rate_allows_a_burst_and_then_says_when(ledger, run):
    for _ in range(4):
        run(ledger.commit(issuance(rates=CLAIM)))
    with pytest.raises(Error) as refused:
        run(ledger.commit(issuance(rates=CLAIM)))
    assert refused.value.kind is Kind.RATE_LIMITED
    assert refused.value.retry_after == 900
    run(ledger.commit(issuance(rates=(RateClaim("service:db", 4),))))


def test_a_rate_recovers_evenly(ledger, clock, run):
    for _ in range(4):
        run(ledger.commit(issuance(rates=CLAIM)))
    clock.advance(899)
    assert kind_of(run, ledger.commit(issuance(rates=CLAIM))) is Kind.RATE_LIMITED
    clock.advance(1)
    run(ledger.commit(issuance(rates=CLAIM)))
    assert kind_of(run, ledger.commit(issuance(rates=CLAIM))) is Kind.RATE_LIMITED


def test_a_rate_holds_over_two_stores_and_a_batch(ledger, open_store, run):
    other = open_store()

    async def race():
        return await outcomes(*(s.commit(issuance(rates=CLAIM)) for s in (ledger, other) * 10))

    assert run(race()).count(None) == 4


def test_all_claims_are_granted_or_none(ledger, run):
    both = (RateClaim("total", 100), RateClaim("service:web", 1))
    run(ledger.commit(issuance(rates=both)))
    for _ in range(99):
        assert kind_of(run, ledger.commit(issuance(rates=both))) is Kind.RATE_LIMITED
    run(ledger.commit(issuance(rates=(RateClaim("total", 100),))))


def test_a_clock_that_jumped_back_locks_nobody_out_for_longer_than_the_burst(ledger, clock, run):
    clock.advance(30 * DAY)
    run(ledger.commit(issuance(rates=CLAIM)))
    clock.advance(-30 * DAY)
    with pytest.raises(Error) as refused:
        run(ledger.commit(issuance(rates=CLAIM)))
    assert refused.value.retry_after == 900
    clock.advance(900)
    run(ledger.commit(issuance(rates=CLAIM)))


def test_a_claim_of_nothing_is_never_granted(ledger, run):
    claim = (RateClaim("service:web", 0),)
    assert kind_of(run, ledger.commit(issuance(rates=claim))) is Kind.RATE_LIMITED


def test_who_leaves_early_does_not_take_the_act_back(ledger, run):
    act = issuance()

    async def leave():
        task = asyncio.ensure_future(ledger.commit(act))
        await asyncio.sleep(0)
        task.cancel()
        await ledger.commit(note())

    run(leave())
    assert run(ledger.certificate(act.certificate.serial)) is not None


def test_tidy_forgets_what_has_expired(ledger, clock, run):
    run(ledger.commit(Act(record("token.create"), token=token())))
    key = IdempotencyKey(b"i" * 32, b"r" * 32, NOW + HOUR)
    run(ledger.commit(issuance(idempotency=key, rates=CLAIM)))
    assert run(ledger.lease("publication", "one", 60, NOW))
    assert run(ledger.tidy(NOW)) == 0
    clock.advance(2 * HOUR)
    assert run(ledger.tidy(int(clock()))) == 4
    assert run(ledger.token(b"T" * 32)) is None
    assert run(ledger.idempotent(b"i" * 32)) is None


def test_close_finishes_what_waits(open_store, run):
    store = prepare(open_store(), run)
    acts = [issuance() for _ in range(50)]

    async def close_while_waiting():
        waiting = [asyncio.ensure_future(store.commit(act)) for act in acts]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*waiting)

    run(close_while_waiting())
    assert run(open_store().count())["certificates"] == 50


def test_a_closed_store_says_so(open_store, run):
    store = prepare(open_store(), run)
    run(store.close())
    assert kind_of(run, store.commit(note())) is Kind.UNAVAILABLE
    listing = store.certificates(CertificateFilter(now=NOW), after=None, limit=1)
    assert kind_of(run, listing) is Kind.UNAVAILABLE
