from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mintmark.model.status import Status
from mintmark.model.time import DAY
from mintmark.store.interface import CertificateFilter
from tests.unit.store.acts import NOW, certificate, issuance, prepare, revoking

SERVICES = ("web", "db", "queue")
PROFILES = ("server", "client", "peer")


def all_pages(store, run, matching, limit):
    found, after = [], None
    while page := run(store.certificates(matching, after=after, limit=limit)):
        assert len(page) <= limit
        found += page
        after = page[-1].sequence
    return found


@pytest.fixture
def inventory(ledger, run):
    """Sixty certificates of all sorts, oldest first."""
    issued = []
    for n in range(60):
        one = certificate(
            SERVICES[n % 3],
            (f"host-{n % 7}.example.internal", f"alias-{n}.example.internal"),
            common_name=f"cn-{n % 5}" if n % 2 else None,
            profile=PROFILES[n // 3 % 3],
            not_before=NOW - 100 * DAY,
            lifetime=(5 + n * 37 % 60 * 5) * DAY,
        )
        run(ledger.commit(issuance(one)))
        issued.append(one)
    for one in issued[::4]:
        run(ledger.commit(revoking(one)))
    return issued


def expected(issued, matching):
    revoked = {one.serial for one in issued[::4]}
    low, high = matching.expiry_bounds()

    def matches(one):
        names = {one.common_name, *(str(name) for name in one.identifiers)}
        return (
            matching.service in (None, one.service)
            and matching.profile in (None, one.profile)
            and (matching.name is None or matching.name in names)
            and low <= one.not_after <= high
            and (
                matching.status is None
                or (one.serial in revoked) is (matching.status is Status.REVOKED)
            )
        )

    return [one.serial for one in reversed(issued) if matches(one)]


@pytest.mark.parametrize("limit", [1, 7, 100])
def test_every_filter_finds_what_it_says_newest_first(ledger, inventory, run, limit):
    matchings = [
        CertificateFilter(NOW, service, profile, status, name, expires)
        for service in (None, "web")
        for profile in (None, "client")
        for status in (None, *Status)
        for name in (None, "host-3.example.internal", "cn-1")
        for expires in (None, NOW + 30 * DAY)
        if limit == 7 or (profile is None and name is None)
    ]
    for matching in matchings:
        found = all_pages(ledger, run, matching, limit)
        assert [one.certificate.serial for one in found] == expected(inventory, matching), matching
        for one in found:
            if matching.status is not None:
                assert one.status(NOW) is matching.status


def test_paging_is_stable_while_certificates_are_added(ledger, inventory, run):
    everything = CertificateFilter(now=NOW)
    first = run(ledger.certificates(everything, after=None, limit=20))
    run(ledger.commit(issuance()))
    second = run(ledger.certificates(everything, after=first[-1].sequence, limit=20))
    serials = [one.certificate.serial for one in first + second]
    assert serials == expected(inventory, everything)[:40]


def test_an_unknown_filter_value_finds_nothing(ledger, inventory, run):
    for matching in (
        CertificateFilter(NOW, service="nobody"),
        CertificateFilter(NOW, profile="none"),
        CertificateFilter(NOW, name="no.example.internal"),
        CertificateFilter(NOW, service="' OR 1=1 --"),
    ):
        assert run(ledger.certificates(matching, after=None, limit=10)) == []


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    days=st.lists(st.integers(min_value=-3, max_value=3), min_size=1, max_size=12),
    status=st.sampled_from([None, *Status]),
    shift=st.integers(min_value=-1, max_value=1),
    limit=st.integers(min_value=1, max_value=5),
)
def test_days_are_merged_in_the_order_of_issuance(open_store, run, days, status, shift, limit):
    if open_store.dialect != "sqlite":
        return  # one database a run would be too slow; the filters above run on both
    for suffix in ("", "-wal", "-shm"):
        open_store.url.with_name(open_store.url.name + suffix).unlink(missing_ok=True)
    store = prepare(open_store(), run)
    issued = [
        certificate(f"s{day % 2}", not_before=NOW - 10 * DAY, lifetime=(10 + day) * DAY)
        for day in days
    ]
    for one in issued:
        run(store.commit(issuance(one)))
    matching = CertificateFilter(NOW + shift, status=status)
    found = all_pages(store, run, matching, limit)
    low, high = matching.expiry_bounds()
    wanted = [
        one.serial
        for one in reversed(issued)
        if status is not Status.REVOKED and low <= one.not_after <= high
    ]
    assert [one.certificate.serial for one in found] == wanted
    run(store.close())
