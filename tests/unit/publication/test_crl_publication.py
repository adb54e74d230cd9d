"""CRLs: complete, in order, and with numbers that only rise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from mintmark.authority.issuance.hierarchy import issuer_from_chain
from mintmark.authority.workflow.revoke import revoke
from mintmark.model.act import Act, AuditRecord
from mintmark.model.errors import Error, Kind
from mintmark.model.status import Reason
from mintmark.model.time import DAY, HOUR
from mintmark.publication.crl import adopt, publish, publish_if_due
from tests.unit.rest.world import LOCAL

LIFETIME = DAY
ANOTHER = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Another")])


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

    world.clock.now += LIFETIME // 2 - 31  # this_update lies a minute in the past
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


def test_this_update_lies_in_the_past_for_clocks_that_are_late(world):
    due(world)

    assert latest(world)[0].this_update == int(world.clock()) - world.authority.policy.backdate
    assert latest(world)[0].next_update == int(world.clock()) + LIFETIME


def test_a_clock_that_is_put_back_takes_no_number_back_and_shows_no_future(world):
    due(world)
    first, _ = latest(world)
    world.clock.now -= HOUR

    assert due(world, changed=True)

    second, _ = latest(world)
    assert second.number == first.number + 1
    assert second.this_update < world.clock()


def test_a_clock_that_was_an_hour_fast_takes_nobody_off_the_list_early(world):
    leaf = revoke_one(world)
    due(world, changed=True)
    world.clock.now = leaf.not_after + 30  # fast: in truth it is an hour less
    due(world, changed=True)
    world.clock.now -= HOUR

    due(world, changed=True)

    assert listed(latest(world)[1], leaf)


def root_crl(world, *, number=7, signer=None, subject=None):
    issuer = x509.load_der_x509_certificate(world.authority.issuing.issuer.root)
    now = datetime.fromtimestamp(world.clock(), UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(subject or issuer.subject)
        .last_update(now)
        .next_update(now + timedelta(days=365))
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    return builder.sign(signer or world.root_key, hashes.SHA256()).public_bytes(Encoding.DER)


def root(world):
    der = world.authority.issuing.issuer.root
    issuer = issuer_from_chain(der, (), der)
    world.run(world.store.add_issuer(issuer, Act(AuditRecord("issuer.add", world.clock(), "ca"))))
    return issuer


def test_a_crl_that_the_root_signed_elsewhere_is_published(world):
    assert world.run(adopt(world.authority, root(world), root_crl(world)))

    stored = world.run(world.store.latest_crl(root(world).id))
    assert stored.number == 7


def test_an_older_crl_of_the_root_is_left_alone(world):
    world.run(adopt(world.authority, root(world), root_crl(world)))

    assert not world.run(adopt(world.authority, root(world), root_crl(world, number=6)))


@pytest.mark.parametrize(
    "forged",
    [
        lambda world: root_crl(world, signer=ec.generate_private_key(ec.SECP256R1())),
        lambda world: root_crl(world, subject=ANOTHER),
        lambda world: root_crl(world, number=None),
        lambda world: root_crl(world, number=2**63),
        lambda world: b"junk",
    ],
    ids=["another key", "another issuer", "no number", "a number beyond databases", "junk"],
)
def test_what_is_no_crl_of_the_root_is_not_published(world, forged):
    with pytest.raises(Error) as refused:
        world.run(adopt(world.authority, root(world), forged(world)))

    assert refused.value.kind is Kind.CONFIGURATION
    assert world.run(world.store.latest_crl(root(world).id)) is None


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


def test_a_crl_from_the_future_is_replaced_as_soon_as_the_clock_is_right_again(world):
    """Nobody takes a CRL before its thisUpdate, and half of its life would be years away."""
    world.clock.now += 30 * DAY
    due(world)
    world.clock.now -= 30 * DAY

    assert due(world)

    assert latest(world)[0].this_update < world.clock()
    assert not due(world)
