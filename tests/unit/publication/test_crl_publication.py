"""CRLs: complete, in order, and with numbers that only rise."""

from __future__ import annotations

import pytest
from cryptography import x509

from mintmark.authority.workflow.revoke import revoke
from mintmark.model.certificate import Reason
from mintmark.model.time import DAY, HOUR
from mintmark.publication.crl import publish, publish_if_due
from tests.unit.rest.world import LOCAL

LIFETIME = DAY


def latest(world):
    stored = world.run(world.store.latest_crl(world.authority.issuing.issuer.id))
    return stored, x509.load_der_x509_crl(stored.der)


def due(world, *, changed=False):
    return world.run(publish_if_due(world.authority, LIFETIME, changed=changed))


def revoke_one(world, reason=Reason.UNSPECIFIED):
    leaf = world.certificate("web", "a.web.internal")
    stored = world.run(world.store.certificate(leaf.serial))
    world.run(revoke(world.authority, LOCAL, stored, reason))
    return leaf


def listed(crl, leaf):
    return crl.get_revoked_certificate_by_serial_number(int.from_bytes(leaf.serial, "big"))


def test_the_first_crl_has_number_one_and_verifies(world):
    assert due(world)

    stored, crl = latest(world)
    issuer = x509.load_der_x509_certificate(world.authority.issuing.issuer.der)
    assert crl.is_signature_valid(issuer.public_key())
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 1
    assert (stored.number, stored.entries, len(crl)) == (1, 0, 0)


def test_a_crl_is_due_at_half_of_its_life_or_when_something_was_revoked(world):
    due(world)
    assert not due(world)
    assert due(world, changed=True)

    world.clock.now += LIFETIME // 2 - 1
    assert not due(world)

    world.clock.now += 1
    assert due(world)
    assert latest(world)[0].number == 3


def test_a_revoked_certificate_is_listed_with_its_reason(world):
    leaf = revoke_one(world, Reason.KEY_COMPROMISE)
    due(world, changed=True)

    entry = listed(latest(world)[1], leaf)

    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.key_compromise


def test_an_entry_stays_until_one_crl_after_the_certificate_expired(world):
    """RFC 5280 §3.3; CVE-2021-29653 took unexpired ones off."""
    leaf = revoke_one(world)
    due(world, changed=True)
    world.clock.now = leaf.not_after - HOUR
    due(world)
    assert listed(latest(world)[1], leaf)

    world.clock.now = leaf.not_after + HOUR
    due(world, changed=True)
    assert listed(latest(world)[1], leaf), "one CRL after its end still lists it"

    world.clock.now += DAY
    due(world, changed=True)
    assert not listed(latest(world)[1], leaf)


def test_a_clock_that_jumps_back_takes_neither_number_nor_time_back(world):
    due(world)
    first, _ = latest(world)
    world.clock.now -= HOUR

    assert due(world, changed=True)

    second, _ = latest(world)
    assert second.number == first.number + 1
    assert second.this_update >= first.this_update


def test_two_publishers_cannot_use_a_number_twice(world):
    issuing = world.authority.issuing
    now = int(world.clock())

    assert world.run(publish(world.authority, issuing, None, now, LIFETIME))
    assert not world.run(publish(world.authority, issuing, None, now, LIFETIME))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_count_of_entries_is_what_the_list_holds(world, count):
    for _ in range(count):
        revoke_one(world)

    due(world, changed=True)

    stored, crl = latest(world)
    assert stored.entries == len(crl) == count
