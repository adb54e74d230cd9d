"""SSH certificates in the inventory: read back, listed, revoked, checked."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from msgspec import structs

from mintmark.model.act import Act, Quota
from mintmark.model.certificate import Revocation
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHCertificate
from mintmark.model.status import CertificateKind, Reason, Status
from mintmark.model.time import DAY, HOUR
from mintmark.store import leaf as leaves
from mintmark.store.interface import CertificateFilter
from tests.unit.store.acts import (
    NOW,
    certificate,
    issuance,
    issuer,
    note,
    record,
    revocation,
    revoking,
)
from tests.unit.store.ssh_objects import (
    HOST,
    USER,
    authority,
    host_certificate,
    key,
    prepare_ssh,
    ssh_certificate,
)
from tests.unit.store.tampering import octets, sql
from tests.unit.store.test_commit import kind_of
from tests.unit.store.test_listing import all_pages


@pytest.fixture
def ssh(ledger, run):
    """A store with an X.509 issuer and both SSH CA keys."""
    return prepare_ssh(ledger, run)


def test_an_ssh_certificate_reads_back_as_it_was(ssh, run):
    issued = ssh_certificate(principals=("alice", "ops"), metadata={"owner": "ops"})
    run(ssh.commit(issuance(issued)))
    stored = run(ssh.certificate(issued.serial))
    assert stored.certificate == issued
    assert isinstance(stored.certificate, SSHCertificate)
    assert (stored.revocation, stored.replaced_by) == (None, None)


def test_x509_certificates_beside_it_stay_what_they_are(ssh, run):
    one, other = certificate(), host_certificate("db.example.internal")
    for issued in (one, other):
        run(ssh.commit(issuance(issued)))
    assert run(ssh.certificate(one.serial)).certificate == one
    assert type(run(ssh.certificate(one.serial)).certificate) is type(one)


def test_ssh_ca_keys_are_remembered_once_and_are_no_issuers(ledger, run):
    records = run(ledger.count())["audit"]
    for _ in range(2):
        prepare_ssh(ledger, run)
    assert run(ledger.ssh_authorities()) == [
        (authority(type_).id, type_, authority(type_).key.blob) for type_ in (USER, HOST)
    ]
    assert run(ledger.issuers()) == [issuer()]
    assert run(ledger.count())["audit"] == records + 2


def test_one_key_signs_for_users_or_for_hosts(ssh, run):
    both = replace(authority(USER), type=HOST)
    assert kind_of(run, ssh.add_ssh_authority(both, note())) is Kind.CONFIGURATION


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(
            structs.replace(ssh_certificate(), issuer=authority(HOST).id), id="user by host CA"
        ),
        pytest.param(
            structs.replace(ssh_certificate(), issuer=issuer().id), id="SSH by X.509 issuer"
        ),
        pytest.param(
            structs.replace(certificate(), issuer=authority(USER).id), id="X.509 by SSH CA"
        ),
    ],
)
def test_an_issuer_signs_certificates_of_its_kind_alone(ssh, run, wrong):
    assert kind_of(run, ssh.commit(issuance(wrong))) is Kind.INTERNAL
    assert run(ssh.count())["certificates"] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(structs.replace(ssh_certificate(), principals=("al\0ice",)), id="principal"),
        pytest.param(structs.replace(ssh_certificate(), common_name="al\nice"), id="key id"),
        pytest.param(structs.replace(ssh_certificate(), serial=b"1"), id="short serial"),
        pytest.param(structs.replace(ssh_certificate(), serial=b"1" * 20), id="long serial"),
        pytest.param(structs.replace(ssh_certificate(), not_after=(1 << 64) - 2), id="no end"),
    ],
)
def test_what_cannot_be_stored_of_an_ssh_certificate_is_refused_before_the_batch(ssh, run, wrong):
    assert kind_of(run, ssh.commit(issuance(wrong))) is Kind.MALFORMED
    companion = issuance(certificate(), companions=(wrong,))
    assert kind_of(run, ssh.commit(companion)) is Kind.MALFORMED


def test_an_ssh_certificate_is_found_by_key_id_and_by_principal(ssh, run):
    issued = ssh_certificate(principals=("alice", "ops"))
    run(ssh.commit(issuance(issued)))
    run(ssh.commit(issuance(ssh_certificate(principals=("bob",), key_id="bob"))))
    for name in ("alice@example.internal", "alice", "ops"):
        found = all_pages(ssh, run, CertificateFilter(NOW, name=name), 10)
        assert [one.certificate for one in found] == [issued]


def test_a_renewed_certificate_knows_what_replaced_it(ssh, run):
    old = host_certificate("db.example.internal")
    new = host_certificate("db.example.internal", replaces=old.serial)
    for issued in (old, new):
        run(ssh.commit(issuance(issued)))
    assert run(ssh.certificate(old.serial)).replaced_by == new.serial
    assert run(ssh.certificate(new.serial)).certificate.replaces == old.serial


def test_current_is_an_x509_certificate_whatever_else_the_service_has(ssh, run):
    one = certificate("alice")
    for issued in (one, ssh_certificate()):
        run(ssh.commit(issuance(issued)))
    assert run(ssh.current("alice", NOW)).certificate == one


KINDS = (certificate, ssh_certificate, lambda service, **f: host_certificate("h", **f))


def kind_of_certificate(issued):
    if not isinstance(issued, SSHCertificate):
        return CertificateKind.X509
    return CertificateKind.SSH_USER if issued.type is USER else CertificateKind.SSH_HOST


@pytest.fixture
def inventory(ssh, run):
    """Ninety certificates of all kinds, oldest first; two kinds share a profile's name."""
    issued = []
    for n in range(90):
        fields = {
            "not_before": NOW - 100 * DAY,
            "lifetime": (5 + n * 37 % 60 * 5) * DAY,
            "profile": (f"{'server' if n % 3 < 2 else 'host'}", "peer")[n // 9 % 2],
        }
        service = ("web", "db")[n // 3 % 2]
        one = KINDS[n % 3](service, **fields)
        one = structs.replace(one, service=service)
        run(ssh.commit(issuance(one)))
        issued.append(one)
    for one in issued[::4]:
        run(ssh.commit(revoking(one)))
    return issued


def expected(issued, matching):
    revoked = {one.serial for one in issued[::4]}
    low, high = matching.expiry_bounds()
    return [
        one.serial
        for one in reversed(issued)
        if matching.service in (None, one.service)
        and matching.profile in (None, one.profile)
        and matching.kind in (None, kind_of_certificate(one))
        and (matching.name is None or matching.name in (one.common_name, "alice"))
        and low <= one.not_after <= high
        and (
            matching.status is None
            or (one.serial in revoked) is (matching.status is Status.REVOKED)
        )
    ]


@pytest.mark.parametrize("kind", [None, *CertificateKind])
def test_every_filter_narrows_a_kind_too(ssh, inventory, run, kind):
    for service, profile, status, expires in product(
        (None, "web"), (None, "server", "peer"), (None, *Status), (None, NOW + 30 * DAY)
    ):
        matching = CertificateFilter(
            NOW, service, profile, status, expires_before=expires, kind=kind
        )
        found = [one.certificate.serial for one in all_pages(ssh, run, matching, 7)]
        assert found == expected(inventory, matching), matching
    named = CertificateFilter(NOW, name="alice@example.internal", kind=kind)
    found = [one.certificate.serial for one in all_pages(ssh, run, named, 7)]
    assert found == expected(inventory, named)


def test_a_revoked_ssh_certificate_is_for_krls_and_not_for_crls(ssh, run):
    user, host, other = ssh_certificate(), host_certificate("h"), certificate()
    for issued in (user, host, other):
        run(ssh.commit(issuance(issued)))
        run(ssh.commit(revoking(issued)))
    assert run(ssh.certificate(user.serial)).revocation == revocation(user)
    assert run(ssh.revocation(host.serial)) == revocation(host)
    assert sorted(ssh.krl_serials(0)) == list(ssh.krl_serials(0))
    assert sorted(ssh.krl_serials(0)) == sorted((one.issuer, one.number) for one in (user, host))
    assert list(ssh.crl_entries(user.issuer, 0)) == [b""]
    assert len(list(ssh.crl_entries(other.issuer, 0))) == 1


def test_a_krl_leaves_out_what_expired_before(ssh, run):
    soon, late = ssh_certificate(lifetime=HOUR), ssh_certificate(lifetime=2 * HOUR)
    for issued in (soon, late):
        run(ssh.commit(issuance(issued)))
    run(ssh.commit(revoking(soon, late)))
    assert list(ssh.krl_serials(NOW + HOUR - 1)) == [
        (one.issuer, one.number) for one in (soon, late)
    ]
    assert list(ssh.krl_serials(NOW + HOUR)) == [(late.issuer, late.number)]


def test_a_krl_reads_page_by_page(ssh, run, monkeypatch):
    from mintmark.store.postgresql import ssh as module

    monkeypatch.setattr(module, "_SERIALS", 3)
    issued = [KINDS[1 + n % 2]("s") for n in range(10)]
    for one in issued:
        run(ssh.commit(issuance(one)))
    run(ssh.commit(revoking(*issued)))
    assert list(ssh.krl_serials(0)) == sorted((one.issuer, one.number) for one in issued)


def test_an_ssh_serial_that_was_never_issued_can_be_revoked(ssh, run):
    foreign = ssh_certificate()
    run(ssh.commit(revoking(foreign)))
    assert list(ssh.krl_serials(0)) == [(foreign.issuer, foreign.number)]


def test_a_key_that_x509_blocked_is_blocked_for_ssh(ssh, run):
    run(ssh.commit(Act(record(), blocked_key=key().spki_sha256)))
    assert kind_of(run, ssh.commit(issuance(ssh_certificate()))) is Kind.BAD_PUBLIC_KEY
    run(ssh.commit(issuance(ssh_certificate(subject=key("another")))))


def test_hosts_are_those_of_good_host_certificates(ssh, run):
    expired = host_certificate("old.example.internal", lifetime=HOUR)
    revoked = host_certificate("gone.example.internal")
    issued = (
        host_certificate("B.example.internal", "b"),
        host_certificate("a.example.internal"),
        host_certificate("a.example.internal", lifetime=DAY),
        expired,
        revoked,
        ssh_certificate(principals=("alice",)),
        certificate(),
    )
    for one in issued:
        run(ssh.commit(issuance(one)))
    run(ssh.commit(revoking(revoked)))
    now = expired.not_after + 1
    hosts = ["a.example.internal", "b", "b.example.internal"]
    assert run(ssh.ssh_hosts(now, after=None, limit=100)) == hosts
    assert run(ssh.ssh_hosts(now - 1, after="b.example.internal", limit=1)) == [
        "old.example.internal"
    ]
    paged, after = [], None
    while page := run(ssh.ssh_hosts(now, after=after, limit=1)):
        paged += page
        after = page[-1]
    assert paged == hosts
    for host, there in (
        ("a.example.internal", True),
        ("A.Example.internal", True),
        ("old.example.internal", False),
        ("gone.example.internal", False),
        ("alice", False),
        ("web.example.internal", False),
        ("a\0", False),
        ("\ud800", False),
    ):
        assert run(ssh.ssh_host_exists(host, now)) is there, host
    assert run(ssh.ssh_hosts(now, after="a\0", limit=9)) == []


def test_a_host_stays_while_one_of_its_certificates_is_good(ssh, run):
    old = host_certificate("a.example.internal", lifetime=DAY)
    new = host_certificate("a.example.internal", replaces=old.serial)
    for one in (old, new):
        run(ssh.commit(issuance(one)))
    run(ssh.commit(revoking(old)))
    assert run(ssh.ssh_host_exists("a.example.internal", NOW))
    run(ssh.commit(revoking(new)))
    assert not run(ssh.ssh_host_exists("a.example.internal", NOW))
    assert run(ssh.ssh_hosts(NOW, after=None, limit=9)) == []


def test_tidy_forgets_the_principals_of_expired_host_certificates(ssh, run):
    issued = host_certificate("a.example.internal", "b.example.internal", lifetime=HOUR)
    run(ssh.commit(issuance(issued)))
    assert run(ssh.tidy(issued.not_after)) == 0
    assert run(ssh.tidy(issued.not_after + 1)) == 2
    assert run(ssh.certificate(issued.serial)).certificate == issued


def both(**fields):
    """A certificate for alice and one that accompanies it."""
    first, companion = ssh_certificate(), certificate("alice", ("alice.example.internal",))
    return issuance(first, companions=(companion,), **fields)


def test_companions_are_one_commit_with_the_first_certificate(ssh, run):
    before = run(ssh.count())
    act = both()
    run(ssh.commit(act))
    for one in act.certificates:
        assert run(ssh.certificate(one.serial)).certificate == one
    after = run(ssh.count())
    assert after["certificates"] == before["certificates"] + 2
    assert after["audit"] == before["audit"] + 1
    [record_], _ = run(ssh.audit(before=None, limit=1, service=None, action=None))
    leaf = leaves.decode(record_.leaf)
    assert leaf.certificate == act.certificate.serial.hex()
    assert list(leaf.companions) == [act.companions[0].serial.hex()]
    assert run(ssh.check()) == []


def test_a_companion_that_is_refused_takes_the_first_with_it(ssh, run):
    act = both()
    run(ssh.commit(Act(record(), blocked_key=act.companions[0].spki_sha256)))
    assert kind_of(run, ssh.commit(act)) is Kind.BAD_PUBLIC_KEY
    assert run(ssh.certificate(act.certificate.serial)) is None


def test_companions_without_a_first_certificate_are_a_mistake():
    with pytest.raises(ValueError, match="accompany"):
        Act(record(), companions=(certificate(),))


def test_a_quota_counts_companions_of_its_service(ssh, run):
    run(ssh.commit(both(quota=Quota("alice", 2))))
    assert kind_of(run, ssh.commit(both(quota=Quota("alice", 3)))) is Kind.FORBIDDEN
    run(ssh.commit(both(quota=Quota("alice", 4))))
    # One that belongs to another service takes a place there.
    add_user = structs.replace(ssh_certificate(), service="provisioner")
    run(ssh.commit(issuance(certificate("bob"), companions=(add_user,), quota=Quota("bob", 1))))
    full = issuance(certificate("provisioner"), quota=Quota("provisioner", 1))
    assert kind_of(run, ssh.commit(full)) is Kind.FORBIDDEN


def test_a_successor_takes_the_place_of_its_predecessor_once(ssh, run):
    old = ssh_certificate()
    run(ssh.commit(issuance(old, quota=Quota("alice", 1))))
    two = issuance(
        ssh_certificate(replaces=old.serial),
        companions=(ssh_certificate(replaces=old.serial),),
        quota=Quota("alice", 1),
    )
    assert kind_of(run, ssh.commit(two)) is Kind.FORBIDDEN
    renewed = issuance(ssh_certificate(replaces=old.serial), quota=Quota("alice", 1))
    run(ssh.commit(renewed))


def test_a_sound_database_with_ssh_has_nothing_to_report(ssh, run):
    issued = host_certificate("a.example.internal")
    for act in (both(), issuance(issued), issuance(host_certificate("b", replaces=issued.serial))):
        run(ssh.commit(act))
    run(ssh.commit(revoking(issued)))
    assert run(ssh.check()) == []


def test_check_finds_a_companion_whose_record_is_gone(ssh, open_store, run):
    act = both()
    run(ssh.commit(act))
    [record_], _ = run(ssh.audit(before=None, limit=1, service=None, action=None))
    sql(open_store, f"DELETE FROM audit WHERE id = {record_.id}")
    found = [one for one in run(ssh.check()) if "no audit record" in one]
    assert len(found) == 2


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("UPDATE certificates SET der = {rubbish} WHERE serial = {serial}", "cannot be read"),
        ("UPDATE certificates SET serial = {other} WHERE serial = {serial}", "another serial"),
        ("UPDATE certificates SET kind = 'ssh-host' WHERE serial = {serial}", "is for a user"),
        ("UPDATE certificates SET kind = NULL WHERE serial = {serial}", "of another kind"),
        (
            (
                "UPDATE certificates SET issuer = (SELECT id FROM issuers WHERE kind = 'ssh-host')"
                " WHERE serial = {serial}"
            ),
            "of another kind",
        ),
        (
            (
                "INSERT INTO ssh_hosts SELECT 'evil', not_after, id FROM certificates"
                " WHERE serial = {serial}"
            ),
            "principals of SSH hosts",
        ),
        (
            (
                "INSERT INTO krls (place, number, generated_at, entries, octets) {override}"
                " VALUES (1, 5, 1, 0, {rubbish}), (2, 4, 1, 0, {rubbish})"
            ),
            "KRLs have a number",
        ),
    ],
)
def test_check_finds_what_is_wrong_with_ssh(ssh, open_store, run, change, finding):
    issued = ssh_certificate()
    run(ssh.commit(issuance(issued)))
    words = {
        "serial": octets(open_store, issued.serial),
        "other": octets(open_store, b"\x01" * 8),
        "rubbish": octets(open_store, b"rubbish"),
        "override": "" if open_store.dialect == "sqlite" else "OVERRIDING SYSTEM VALUE",
    }
    sql(open_store, change.format(**words))
    assert any(finding in one for one in run(ssh.check()))


def test_a_stored_certificate_that_is_not_what_it_says_is_a_defect(ssh, open_store, run):
    issued = ssh_certificate()
    run(ssh.commit(issuance(issued)))
    rubbish, serial = octets(open_store, b"rubbish"), octets(open_store, issued.serial)
    sql(open_store, f"UPDATE certificates SET der = {rubbish} WHERE serial = {serial}")
    with pytest.raises(Error) as refused:
        run(ssh.certificate(issued.serial))
    assert refused.value.kind is Kind.INTERNAL


def test_a_revocation_reads_back_for_ssh_as_it_was(ssh, run):
    issued = ssh_certificate()
    run(ssh.commit(issuance(issued)))
    fact = Revocation(
        issued.serial, issued.issuer, NOW + 1, Reason.CESSATION_OF_OPERATION, issued.not_after
    )
    run(ssh.commit(Act(record(), revocations=(fact,))))
    assert run(ssh.revocation(issued.serial)) == fact
