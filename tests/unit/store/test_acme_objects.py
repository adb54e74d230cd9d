from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mintmark.model.acme import (
    AccountStatus,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Order,
    OrderStatus,
    Pause,
    RenewalWindow,
)
from mintmark.model.act import Act, RateClaim, Token
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.provisioner import ChallengeType
from mintmark.model.time import DAY
from mintmark.store import acme_rows
from mintmark.store.migrations import migrations
from tests.unit.store.acme_objects import (
    account,
    authorization,
    challenge,
    changing,
    external_key,
    name,
    order,
    processing,
    valid,
)
from tests.unit.store.acts import NOW, certificate, issuance, record, revocation
from tests.unit.store.test_commit import kind_of, outcomes

# --- what was written reads back ---------------------------------------------------------------


def test_an_account_reads_back_by_id_and_by_key(ledger, run):
    made = account(external_key="kid", contacts=("mailto:é@example.internal",))
    run(ledger.commit(changing(made)))
    assert run(ledger.account(made.id)) == made
    assert run(ledger.account_by_key("acme", made.thumbprint)) == made
    assert run(ledger.account_by_key("other", made.thumbprint)) is None
    assert run(ledger.account("nobody")) is None


def test_an_order_and_its_authorizations_read_back(ledger, run):
    problem = {"type": "urn:ietf:params:acme:error:dns", "detail": "no answer \0 from é"}
    one = authorization(identifier=name("*.example.internal"), wildcard=True)
    two = authorization(
        identifier=Identifier(IdentifierType.IP, "::1"),
        challenges=(
            challenge(status=ChallengeStatus.INVALID, error=problem, attempts=3),
            challenge(type=ChallengeType.DNS_PERSIST_01, token=""),
        ),
    )
    made = order(
        identifiers=(one.identifier, two.identifier),
        authorizations=(one.id, two.id),
        not_before=NOW,
        not_after=NOW + DAY,
        replaces=b"\x01" * 20,
        error=problem,
    )
    run(ledger.commit(changing(made, one, two)))
    assert run(ledger.order(made.id)) == made
    assert run(ledger.authorization(two.id)) == two
    assert run(ledger.authorizations([two.id, "missing", one.id])) == [two, one]
    assert run(ledger.authorizations([])) == []


def test_an_external_key_reads_back(ledger, run):
    made = external_key()
    run(ledger.commit(changing(made)))
    assert run(ledger.external_key(made.id)) == made
    assert run(ledger.external_key("kid")) is None


_text = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
_time = st.none() | st.integers(0, 1 << 40)
_names = st.builds(Identifier, st.sampled_from(IdentifierType), _text)
_problems = st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3)
_challenges = st.builds(
    Challenge,
    st.sampled_from(ChallengeType),
    _text,
    st.sampled_from(ChallengeStatus),
    _time,
    _problems,
    _time,
    st.integers(0, 9),
)
_authorizations = st.builds(
    Authorization,
    _text,
    _text,
    _names,
    st.booleans(),
    st.sampled_from(AuthorizationStatus),
    st.integers(0, 1 << 40),
    st.lists(_challenges, min_size=1, max_size=3).map(tuple),
    st.integers(1, 9),
)
_orders = st.builds(
    Order,
    _text,
    _text,
    _text,
    st.sampled_from(OrderStatus),
    st.lists(_names, max_size=3).map(tuple),
    st.lists(_text, max_size=3).map(tuple),
    _text,
    _time,
    _time,
    st.none() | st.binary(min_size=1, max_size=20),
    st.integers(0, 1 << 40),
    _problems,
    st.none() | st.binary(min_size=1, max_size=20),
    st.integers(1, 9),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_authorizations, _orders)
def test_rows_lose_nothing(authorization, order):
    rows = acme_rows.TABLES
    assert acme_rows.authorization(rows[Authorization].row(authorization)) == authorization
    assert acme_rows.order(rows[Order].row(order)) == order


# --- versions ----------------------------------------------------------------------------------


def test_a_version_replaces_the_one_before_and_no_other(ledger, run):
    made = order()
    assert kind_of(run, ledger.commit(changing(replace(made, version=2)))) is Kind.CONFLICT
    run(ledger.commit(changing(made)))
    assert kind_of(run, ledger.commit(changing(made))) is Kind.CONFLICT
    done = replace(made, version=2, status=OrderStatus.VALID, certificate=b"\x01" * 20)
    run(ledger.commit(changing(done)))
    for version in (1, 2, 4):
        stale = replace(made, version=version, status=OrderStatus.INVALID)
        assert kind_of(run, ledger.commit(changing(stale))) is Kind.CONFLICT
    assert run(ledger.order(made.id)) == done


def test_every_kind_has_versions(ledger, run):
    for made in (account(), external_key(), order(), authorization()):
        run(ledger.commit(changing(made)))
        run(ledger.commit(changing(replace(made, version=2))))
        for version in (1, 2):
            stale = changing(replace(made, version=version))
            assert kind_of(run, ledger.commit(stale)) is Kind.CONFLICT


def test_one_act_changes_an_object_once(ledger, run):
    made = order()
    run(ledger.commit(changing(made)))
    twice = [replace(made, version=2, status=status) for status in (OrderStatus.VALID,) * 2]
    assert kind_of(run, ledger.commit(changing(*twice))) is Kind.CONFLICT
    assert kind_of(run, ledger.commit(changing(order(id="twice"), order(id="twice")))) is (
        Kind.CONFLICT
    )


def test_a_refused_change_takes_its_certificate_with_it(ledger, run):
    stale, issued = order(version=2), certificate()
    assert kind_of(run, ledger.commit(issuance(issued, changes=(stale,)))) is Kind.CONFLICT
    assert run(ledger.certificate(issued.serial)) is None
    assert run(ledger.count())["audit"] == 1


def test_a_refused_certificate_takes_its_change_with_it(ledger, run):
    made = order()
    run(ledger.commit(changing(made)))
    done = replace(made, version=2, status=OrderStatus.VALID)
    refused = issuance(changes=(done,), rates=(RateClaim("service:web", 0),))
    assert kind_of(run, ledger.commit(refused)) is Kind.RATE_LIMITED
    assert run(ledger.order(made.id)) == made


def test_a_stale_change_does_not_hurt_the_others_of_its_batch(ledger, run):
    made, fresh = order(), [order() for _ in range(3)]
    run(ledger.commit(changing(made)))
    acts = [changing(made), *map(changing, fresh), changing(replace(made, version=3))]

    async def together():
        return await outcomes(*map(ledger.commit, acts))

    assert run(together()) == [Kind.CONFLICT, None, None, None, Kind.CONFLICT]
    assert run(ledger.orders("account", after=None, limit=9)) == [made, *fresh]


def test_changes_of_one_batch_see_each_other(ledger, run):
    made = order()
    steps = [replace(made, version=version) for version in (1, 2, 3)]

    async def together():
        return await outcomes(*(ledger.commit(changing(step)) for step in [*steps, steps[1]]))

    assert run(together()) == [None, None, None, Kind.CONFLICT]
    assert run(ledger.order(made.id)) == steps[2]


def test_changes_alone_leave_no_audit_record(ledger, run):
    before = run(ledger.count())
    run(ledger.commit(changing(account(), order(), authorization())))
    assert run(ledger.count()) == before
    run(ledger.commit(changing(account(), audit=record("account.create"))))
    assert run(ledger.count())["audit"] == before["audit"] + 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"certificate": certificate()},
        {"revocations": (revocation(certificate()),)},
        {"blocked_key": b"k" * 32},
        {"token": Token(b"t" * 32, "web", (), (), NOW)},
        {"burns_token": b"t" * 32},
    ],
    ids=lambda fields: next(iter(fields), "nothing"),
)
def test_nothing_but_changes_happens_without_a_record(fields):
    with pytest.raises(ValueError, match="audit record"):
        Act(changes=(order(),) if fields else (), **fields)


# --- two at once -------------------------------------------------------------------------------


def test_an_order_finalized_twice_at_once_gives_one_certificate(ledger, open_store, run):
    other = open_store()
    orders = [order() for _ in range(10)]
    run(ledger.commit(changing(*orders)))

    def finalize(store, made):
        issued = certificate()
        done = replace(made, version=2, status=OrderStatus.VALID, certificate=issued.serial)
        return store.commit(issuance(issued, changes=(done,)))

    async def race():
        # One store takes them in the order in which the other does not.
        there, back = [finalize(ledger, one) for one in orders], orders[::-1]
        return await outcomes(*there, *(finalize(other, one) for one in back))

    found = run(race())
    assert found.count(None) == 10
    assert found.count(Kind.CONFLICT) == 10
    assert run(ledger.count())["certificates"] == 10
    for made in orders:
        done = run(other.order(made.id))
        assert run(ledger.certificate(done.certificate)) is not None


def test_a_key_makes_one_account_however_many_ask_at_once(ledger, open_store, run):
    other = open_store()
    key = b"k" * 32

    async def race():
        return await outcomes(
            *(
                s.commit(changing(account(thumbprint=key), audit=record("account.create")))
                for s in (ledger, other) * 5
            )
        )

    found = run(race())
    assert found.count(None) == 1
    assert found.count(Kind.CONFLICT) == 9
    run(ledger.commit(changing(account(thumbprint=key, provisioner="other"))))


def test_a_key_that_another_account_has_cannot_be_taken(ledger, run):
    one, two = account(), account()
    run(ledger.commit(changing(one, two)))
    taken = replace(one, thumbprint=two.thumbprint, version=2)
    assert kind_of(run, ledger.commit(changing(taken))) is Kind.CONFLICT
    new = replace(one, thumbprint=b"n" * 32, jwk=b"{}", version=2)
    run(ledger.commit(changing(new)))
    assert run(ledger.account_by_key("acme", b"n" * 32)) == new
    assert run(ledger.account_by_key("acme", one.thumbprint)) is None
    run(ledger.commit(changing(account(thumbprint=one.thumbprint))))  # the old key is free


def test_two_accounts_cannot_change_to_one_key_at_once(ledger, open_store, run):
    other = open_store()
    one, two = account(), account()
    run(ledger.commit(changing(one, two)))

    async def race():
        new = {"thumbprint": b"n" * 32, "version": 2}
        return await outcomes(
            ledger.commit(changing(replace(one, **new))),
            other.commit(changing(replace(two, **new))),
        )

    assert sorted(run(race()), key=str) == [Kind.CONFLICT, None]


def test_an_external_key_binds_one_account(ledger, open_store, run):
    other = open_store()
    key = external_key()
    run(ledger.commit(changing(key)))

    def bind(store):
        made = account(external_key=key.id)
        return store.commit(changing(made, replace(key, account=made.id, version=2)))

    async def race():
        return await outcomes(*(bind(store) for store in (ledger, other) * 5))

    found = run(race())
    assert found.count(None) == 1
    assert found.count(Kind.CONFLICT) == 9
    bound = run(ledger.external_key(key.id))
    assert run(ledger.account(bound.account)).external_key == key.id
    again = replace(bound, account="another", version=3)
    assert kind_of(run, ledger.commit(changing(again))) is Kind.CONFLICT
    run(ledger.commit(changing(replace(bound, revoked_at=NOW, version=3))))


# --- lists and counts --------------------------------------------------------------------------


def test_orders_are_listed_oldest_first_page_by_page(ledger, clock, run):
    orders = [order(id=f"{9 - number}") for number in range(7)]
    for made in orders:
        run(ledger.commit(changing(made)))
    run(ledger.commit(changing(order("another"))))
    run(ledger.commit(changing(order(expires_at=NOW - 1), order(status=OrderStatus.INVALID))))
    found, after = [], None
    while page := run(ledger.orders("account", after=after, limit=3)):
        found += page
        after = page[-1].id
    assert found == orders
    assert run(ledger.orders("account", after="unknown", limit=3)) == []
    clock.advance(8 * DAY)
    assert run(ledger.orders("account", after=None, limit=3)) == []


def test_only_valid_authorizations_of_the_account_and_name_are_reused(ledger, run):
    wild = valid(wildcard=True)
    short, long = valid(), valid(expires_at=NOW + 2 * DAY)
    address = valid(identifier=Identifier(IdentifierType.IP, "127.0.0.1"))
    others = [
        authorization(),
        valid(of="another", expires_at=NOW + 3 * DAY),
        valid(identifier=name("db.example.internal"), expires_at=NOW - 1),
        replace(valid(), status=AuthorizationStatus.DEACTIVATED, expires_at=NOW + 3 * DAY),
    ]
    run(ledger.commit(changing(wild, short, long, address, *others)))
    asked = [
        (name("db.example.internal"), False),
        (name(), True),
        (address.identifier, False),
        (name("127.0.0.1"), False),
        (name(), False),
    ]
    assert run(ledger.reusable("account", asked, NOW)) == [wild, address, long]
    assert run(ledger.reusable("account", asked, NOW + DAY)) == [wild, address, long]
    assert run(ledger.reusable("account", asked, NOW + DAY + 1)) == [long]
    assert run(ledger.reusable("account", [], NOW)) == []


def test_an_authorization_is_reusable_from_the_commit_that_made_it_valid(ledger, run):
    made = authorization()
    run(ledger.commit(changing(made)))
    assert run(ledger.reusable("account", [(name(), False)], NOW)) == []
    done = replace(valid(id=made.id), version=2)
    run(ledger.commit(changing(done)))
    assert run(ledger.reusable("account", [(name(), False)], NOW)) == [done]
    run(ledger.commit(changing(replace(done, status=AuthorizationStatus.DEACTIVATED, version=3))))
    assert run(ledger.reusable("account", [(name(), False)], NOW)) == []


def test_pending_authorizations_are_counted_until_they_expire(ledger, run):
    run(ledger.commit(changing(*(authorization() for _ in range(3)), valid())))
    run(ledger.commit(changing(authorization(of="another"))))
    assert run(ledger.pending_count("account", NOW + DAY)) == 3
    assert run(ledger.pending_count("account", NOW + DAY + 1)) == 0


def test_challenges_are_due_by_time(ledger, run):
    late, early, future = processing(NOW - 5), processing(NOW - 9), processing(NOW + 1)
    gone = processing(NOW - 20, expires_at=NOW - 1)
    done = replace(processing(NOW - 20), status=AuthorizationStatus.INVALID)
    run(ledger.commit(changing(late, early, future, gone, done, authorization())))
    assert run(ledger.due_challenges(NOW, 9)) == [early, late]
    assert run(ledger.due_challenges(NOW + 1, 2)) == [early, late]
    moved = replace(early, challenges=future.challenges, version=2)
    run(ledger.commit(changing(moved)))
    assert run(ledger.due_challenges(NOW, 9)) == [late]


def test_external_keys_are_listed_by_id(ledger, run):
    keys = [external_key(id=f"k{n}", provisioner="ab"[n % 2]) for n in range(5)]
    run(ledger.commit(changing(*keys)))
    assert run(ledger.external_keys(None, after=None, limit=3)) == keys[:3]
    assert run(ledger.external_keys(None, after="k2", limit=3)) == keys[3:]
    assert run(ledger.external_keys("b", after=None, limit=3)) == keys[1::2]


# --- pauses ------------------------------------------------------------------------------------


def failure(failures=1, since=NOW, paused_at=None, of="account", of_name="web"):
    return Pause(of, of_name, failures, since, paused_at)


def failures(run, store):
    return [pause.failures for pause in run(store.pauses("account", ["web"]))]


def test_failures_that_happen_at_once_are_all_counted(ledger, open_store, run):
    other = open_store()

    async def fail():
        await asyncio.gather(*(s.commit(changing(failure())) for s in (ledger, other) * 10))

    run(fail())
    assert run(ledger.pauses("account", ["web", "db"])) == [failure(20)]
    run(other.commit(changing(failure(21, paused_at=NOW + 1))))
    run(ledger.commit(changing(failure(21))))  # it does not know of the pause
    assert run(ledger.pauses("account", ["web"])) == [failure(22, paused_at=NOW + 1)]


def test_a_count_starts_anew_after_a_day(ledger, run):
    run(ledger.commit(changing(failure(7))))
    run(ledger.commit(changing(failure(1, since=NOW + DAY - 1))))
    assert failures(run, ledger) == [8]
    run(ledger.commit(changing(failure(1, since=NOW + DAY))))
    assert run(ledger.pauses("account", ["web"])) == [failure(1, since=NOW + DAY)]


def test_no_failures_forget_the_pair(ledger, run):
    run(ledger.commit(changing(failure(7))))

    async def together():
        await asyncio.gather(*(ledger.commit(changing(failure(n))) for n in (1, 0, 1)))

    run(together())
    assert failures(run, ledger) == []
    run(ledger.commit(changing(failure(0))))


def test_paused_pairs_are_listed_and_unpaused(ledger, run):
    pairs = [
        failure(9, paused_at=NOW, of=of, of_name=of_name)
        for of in ("a", "b")
        for of_name in ("x", "y", "z")
    ]
    run(ledger.commit(changing(*pairs, failure(of="b", of_name="w"))))
    assert run(ledger.paused(after=None, limit=4)) == pairs[:4]
    assert run(ledger.paused(after=("b", "x"), limit=4)) == pairs[4:]
    assert run(ledger.unpause("a", "y")) == 1
    assert run(ledger.unpause("a", "y")) == 0
    assert run(ledger.unpause("b", None)) == 4
    assert run(ledger.paused(after=None, limit=4)) == [pairs[0], pairs[2]]


# --- nonces ------------------------------------------------------------------------------------


def test_a_nonce_is_good_once_in_all_processes(ledger, open_store, run):
    other = open_store()

    async def race():
        return await asyncio.gather(
            *(s.burn_nonce(b"%d" % n, NOW + 60) for n in range(9) for s in (ledger, other, ledger))
        )

    assert sum(run(race())) == 9
    assert not run(other.burn_nonce(b"0", NOW + 60))
    run(ledger.close())
    assert not run(open_store().burn_nonce(b"0", NOW + 60))


def test_nonces_used_together_share_a_transaction_that_waits_for_no_disk(ledger, run):
    before = ledger.statistics()

    async def together():
        return await asyncio.gather(*(ledger.burn_nonce(b"%d" % n, NOW + 60) for n in range(50)))

    assert all(run(together()))
    after = ledger.statistics()
    assert after.commits == before.commits
    assert after.unwaited <= before.unwaited + 2
    assert after.rows == before.rows + 50


# --- renewal windows ---------------------------------------------------------------------------


def test_windows_are_set_and_replaced_for_certificates_of_ours(ledger, run):
    ours = [certificate() for _ in range(3)]
    for issued in ours:
        run(ledger.commit(issuance(issued)))
    windows = [RenewalWindow(c.serial, NOW, NOW + 60, "https://example.internal") for c in ours]
    run(ledger.set_renewal_windows([*windows, RenewalWindow(b"\x01" * 20, NOW, NOW)]))
    assert [run(ledger.renewal_window(c.serial)) for c in ours] == windows
    assert run(ledger.renewal_window(b"\x01" * 20)) is None
    moved = RenewalWindow(ours[0].serial, NOW + 5, NOW + 9)
    run(ledger.set_renewal_windows([windows[0], moved]))
    assert run(ledger.renewal_window(ours[0].serial)) == moved
    run(ledger.set_renewal_windows([]))


# --- tidying -----------------------------------------------------------------------------------


def test_what_has_ended_is_tidied_and_nothing_else(ledger, clock, run):
    kept = account()
    run(ledger.commit(changing(kept, account(status=AccountStatus.DEACTIVATED))))
    run(ledger.commit(changing(order(expires_at=NOW), authorization(expires_at=NOW))))
    run(ledger.commit(changing(failure(), failure(9, paused_at=NOW, of=kept.id))))
    run(ledger.commit(changing(failure(9, paused_at=NOW, of="deactivated"))))
    unbound = external_key(revoked_at=NOW)
    run(ledger.commit(changing(unbound, external_key(revoked_at=NOW, account=kept.id))))
    issued = certificate(lifetime=DAY)
    run(ledger.commit(issuance(issued)))
    run(ledger.set_renewal_windows([RenewalWindow(issued.serial, NOW, NOW)]))
    run(ledger.burn_nonce(b"n", NOW))

    def tidied(days, seconds=0):
        clock.now = NOW + days * DAY + seconds
        return run(ledger.tidy(int(clock())))

    assert tidied(0) == 0
    assert tidied(0, 1) == 2  # the nonce, and the pause of an account that is none
    assert tidied(1) == 0
    assert tidied(1, 1) == 2  # the count, and the window of an expired certificate
    assert tidied(7) == 0
    assert tidied(7, 1) == 3  # order, authorization, unbound key
    assert tidied(9999) == 0
    assert run(ledger.external_key(unbound.id)) is None
    assert run(ledger.account(kept.id)) == kept
    assert len(run(ledger.paused(after=None, limit=9))) == 1


def test_many_ended_rows_are_tidied_a_little_at_a_time(ledger, clock, run, monkeypatch):
    amount = acme_rows.TIDY_ROWS + 100
    orders = [order(expires_at=NOW) for _ in range(amount)]

    async def fill():
        await asyncio.gather(*(ledger.commit(changing(made)) for made in orders))
        await asyncio.gather(*(ledger.burn_nonce(b"%d" % n, NOW) for n in range(amount)))

    run(fill())
    assert run(ledger.tidy(NOW + 30 * DAY)) == 2 * amount
    assert run(ledger.order(orders[0].id)) is None


# --- hostile and unlucky -----------------------------------------------------------------------


HOSTILE = ["", "\0", "a\0b", "\ud800", "é", "' OR 1=1 --", "x" * 100_000, "%00", "../order"]


def test_hostile_ids_find_nothing_and_hurt_nobody(ledger, run):
    made, known = order(), authorization()
    run(ledger.commit(changing(made, known)))

    async def together():
        return [
            await asyncio.gather(
                ledger.order(key),
                ledger.order(made.id),
                ledger.authorizations([key, known.id]),
                ledger.account(key),
                ledger.authorization(key),
                ledger.external_key(key),
                ledger.orders("account", after=key, limit=9),
            )
            for key in HOSTILE
        ]

    for found in run(together()):
        assert found == [None, made, [known], None, None, None, []]


def test_texts_that_cannot_be_stored_are_refused_before_the_batch(ledger, run):
    for change in (
        account(contacts=("mailto:a\0b@example.internal",)),
        account(contacts=("mailto:\ud800@example.internal",)),
        external_key(name="ops\n"),
        failure(of_name="\0"),
    ):
        assert kind_of(run, ledger.commit(changing(change))) is Kind.MALFORMED


def test_a_problem_that_is_no_json_hurts_its_own_act_alone(ledger, run):
    bad, good = order(error={"detail": "\ud800"}), order()

    async def together():
        return await outcomes(ledger.commit(changing(bad)), ledger.commit(changing(good)))

    assert run(together()) == [Kind.INTERNAL, None]


def test_a_closed_store_refuses_acme_too(open_store, run):
    store = open_store()
    run(store.close())
    assert kind_of(run, store.burn_nonce(b"n", NOW)) is Kind.UNAVAILABLE
    assert kind_of(run, store.commit(changing(order()))) is Kind.UNAVAILABLE
    assert kind_of(run, store.orders("account", after=None, limit=1)) is Kind.UNAVAILABLE


def test_check_finds_a_valid_order_without_its_certificate(ledger, run):
    issued = certificate()
    made = order(status=OrderStatus.VALID, certificate=issued.serial)
    run(ledger.commit(issuance(issued, changes=(made,))))
    assert run(ledger.check()) == []
    run(ledger.commit(changing(order(status=OrderStatus.VALID, certificate=b"\x01" * 20))))
    assert run(ledger.check()) == ["1 valid ACME orders name a certificate that is not there"]


def test_a_ledger_without_acme_is_migrated(open_new_store, run, monkeypatch):
    first = {dialect: migrations(dialect)[:1] for dialect in ("sqlite", "postgresql")}
    with monkeypatch.context() as old:
        old.setattr("mintmark.store.migrations.migrations", first.get)
        run(open_new_store().close())
    store, made = open_new_store(), account()
    run(store.commit(changing(made)))
    assert run(store.account(made.id)) == made


def test_statistics_count_commits_and_rows(ledger, run):
    def cost(act):
        before = ledger.statistics()
        run(ledger.commit(act))
        after = ledger.statistics()
        return after.commits - before.commits, after.rows - before.rows

    made = order()
    assert cost(changing(made, authorization())) == (1, 2)
    done = replace(made, version=2, status=OrderStatus.VALID)
    # The order, the certificate, its name, the count of its service, the audit record.
    assert cost(issuance(changes=(done,))) == (1, 5)
    with pytest.raises(Error):
        cost(changing(made))
