"""SSH certificates on record: one commit or nothing, and who may have a successor."""

from dataclasses import replace

import pytest
from msgspec import structs

from mintmark.authority.issuance.ssh_keys import SSHKeys
from mintmark.authority.workflow.authenticate import holder
from mintmark.authority.workflow.enroll import create_token, requester_from_token
from mintmark.authority.workflow.issue import issue as issue_x509
from mintmark.authority.workflow.renew import rekey, renew
from mintmark.authority.workflow.revoke import revoke
from mintmark.authority.workflow.ssh import ban, issue_ssh, renew_ssh
from mintmark.model.access import (
    Burn,
    Credential,
    Operation,
    Requester,
    ServiceRule,
    SSHGrant,
)
from mintmark.model.act import Act, AuditRecord
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.profile import CLIENT
from mintmark.model.provisioner import Claims, Lifetimes, SSHPOPProvisioner, TokenProvisioner
from mintmark.model.request import IssuanceRequest
from mintmark.model.ssh import BanKind, SSHBan, SSHProfile, SSHRequest
from mintmark.model.status import Reason
from mintmark.model.time import DAY, HOUR
from mintmark.store.leaf import decode
from mintmark.wire.identifiers import parse_any
from mintmark.wire.ssh import certificate as wire
from mintmark.wire.ssh.key import from_public_key
from tests import pki, ssh_authority
from tests.ssh_authority import ADMIN, DEPLOY, HOST, USER, ca, subject
from tests.unit.rest.world import World

HOURS = Lifetimes(5 * 60, 30 * DAY, 16 * HOUR)


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    ssh_authority.equip(made)
    yield made
    made.close()


def person(world, *principals, provisioner="corp", **changes):
    compiled = world.authority.policy.provisioners[provisioner]
    service = compiled.service("alice")
    grant = SSHGrant(
        types=frozenset({USER, HOST}),
        user=HOURS,
        host=HOURS,
        key_id="alice@example.com",
        user_principals=principals or ("alice",),
        host_principals=("a.web.internal",),
        profiles=("ssh-user", "ssh-host"),
    )
    who = Requester(
        service,
        compiled.rule(service),
        Credential.OIDC,
        identifiers=pki.identifiers("alice@example.com"),
        provisioner=provisioner,
        ssh=grant,
        lifetimes=compiled.lifetimes,
    )
    return structs.replace(who, **changes)


def deploy(**changes):
    return structs.replace(Requester("deploy", DEPLOY, Credential.CERTIFICATE), **changes)


def wish(requester, *principals, profile="ssh-user", **changes):
    return structs.replace(
        SSHRequest(requester.service, profile, subject(), principals=principals), **changes
    )


def issue(world, requester, *principals, profile="ssh-user", beside=None, **changes):
    request = wish(requester, *principals, profile=profile, **changes)
    return world.run(issue_ssh(world.authority, requester, request, **(beside or {})))


def stored(world, certificate):
    return world.run(world.store.certificate(certificate.serial))


def refused(world, coroutine):
    with pytest.raises(Error) as refusal:
        world.run(coroutine)
    return refusal.value.kind


def count(world):
    return world.run(world.store.count())["certificates"]


def record(world):
    found, _ = world.run(world.store.audit(before=None, limit=1, service=None, action=None))
    return decode(found[0].leaf).record()


# Issuance.


def test_what_was_issued_is_on_record_with_its_audit_record(world):
    made = issue(world, person(world), "alice").certificate

    assert stored(world, made).certificate == made
    parsed = wire.parse(made.der)
    wire.verify(parsed)
    assert parsed.fields.authority.blob == ca(USER).authority.key.blob
    told = record(world)
    assert (told.action, told.certificate) == ("ssh.request", made.serial)
    assert told.details == {
        "profile": "ssh-user",
        "provisioner": "corp",
        "credential": "oidc",
        "type": "user",
        "key_id": "alice@example.com",
        "principals": ["alice"],
    }


def test_a_slow_ca_key_signs_in_a_thread(world):
    slow = ca(USER, KeyType.EC_P384)
    world.authority.ssh = SSHKeys((slow,), (slow.authority,))
    act = Act(AuditRecord("ssh.authority.add", world.clock(), "ca"))
    world.run(world.store.add_ssh_authority(slow.authority, act))

    made = issue(world, deploy(), "deploy-1").certificate
    assert made.issuer == slow.authority.id
    wire.verify(wire.parse(made.der))


def identity(requester, *names, key=None):
    identifiers = tuple(parse_any(name) for name in names)
    return IssuanceRequest(requester.service, CLIENT.name, key or pki.key(), identifiers)


def test_an_identity_and_the_right_to_add_a_user_come_in_one_commit(world):
    who = person(world, burns=Burn(b"b" * 32, int(world.clock()) + 300))
    before = count(world)

    made = issue(
        world,
        who,
        "alice",
        beside={"identity": identity(who, "alice@example.com"), "add_user_key": subject(1)},
    )

    certificate, client, added = made.certificate, made.identity, made.add_user
    assert count(world) == before + 3
    assert (client.not_before, client.not_after) == (certificate.not_before, certificate.not_after)
    assert client.service == certificate.service == added.service
    assert added.principals == ("provisioner",)
    assert added.key_id == "alice-provisioner"
    options = dict(wire.parse(added.der).fields.critical_options)
    assert options == {"force-command": "sudo useradd -m alice; nc -q0 localhost 22"}
    details = record(world).details
    assert details["identity"] == client.serial.hex()
    assert details["add_user"] == added.serial.hex()
    assert refused(world, issue_ssh(world.authority, who, wish(who, "alice"))) is Kind.BAD_TOKEN
    assert count(world) == before + 3


def test_an_identity_lives_no_longer_than_its_provisioner_lets_one_of_x509(world):
    who = person(world, lifetimes=Lifetimes(60, HOUR, HOUR))

    made = issue(world, who, "alice", beside={"identity": identity(who, "alice@example.com")})

    assert made.certificate.not_after > made.identity.not_after == int(world.clock()) + HOUR


@pytest.mark.parametrize("name", ["bob@example.com", "a.web.internal", "root"])
def test_an_identity_with_a_name_that_nobody_vouched_for_ends_the_whole_request(world, name):
    who = person(world)
    before = count(world)

    assert (
        refused(
            world,
            issue_ssh(world.authority, who, wish(who, "alice"), identity=identity(who, name)),
        )
        is Kind.REJECTED_IDENTIFIER
    )
    assert count(world) == before


def test_a_rate_limit_stops_before_anything_is_signed(world):
    busy = ServiceRule("deploy", DEPLOY.operations, principals=("*",), certificates_per_hour=1)
    world.authority.policy = ssh_authority.policy(busy, issuers=world.authority.issuers)
    who = deploy(rule=busy)
    issue(world, who, "deploy-1")

    for _ in range(2):
        assert refused(world, issue_ssh(world.authority, who, wish(who, "deploy-1"))) is (
            Kind.RATE_LIMITED
        )


def test_a_quota_counts_ssh_certificates_too(world):
    rule = structs.replace(DEPLOY, max_certificates=1)
    who = deploy(rule=rule)
    issue(world, who, "deploy-1")

    assert refused(world, issue_ssh(world.authority, who, wish(who, "deploy-1"))) is Kind.FORBIDDEN


def test_a_key_revoked_for_compromise_is_never_certified_again(world):
    made = issue(world, deploy(), "deploy-1").certificate
    world.run(revoke(world.authority, deploy(), stored(world, made), Reason.KEY_COMPROMISE))

    assert refused(world, issue_ssh(world.authority, deploy(), wish(deploy(), "deploy-1"))) is (
        Kind.BAD_PUBLIC_KEY
    )
    found = world.run(world.store.banned("", subject().sha256))
    assert found is not None
    assert found.kind is BanKind.KEY


def test_a_key_compromised_twice_is_revoked_twice(world):
    one = issue(world, deploy(), "deploy-1").certificate
    other = issue(world, deploy(), "deploy-2").certificate
    for made in (one, other):
        world.run(revoke(world.authority, deploy(), stored(world, made), Reason.KEY_COMPROMISE))

    assert stored(world, other).revocation is not None


def test_a_key_that_x509_blocked_is_blocked_in_ssh(world):
    key = pki.key()
    request = IssuanceRequest("deploy", "server", key, pki.identifiers("deploy"))
    leaf = world.run(issue_x509(world.authority, ADMIN, request))
    world.run(revoke(world.authority, ADMIN, stored(world, leaf), Reason.KEY_COMPROMISE))

    asked = wish(deploy(), "deploy-1", key=from_public_key(key.public_key))
    assert refused(world, issue_ssh(world.authority, deploy(), asked)) is Kind.BAD_PUBLIC_KEY


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (BanKind.KEY, subject().sha256, Kind.BAD_PUBLIC_KEY),
        (BanKind.KEY_ID, b"deploy", Kind.FORBIDDEN),
    ],
    ids=["key", "key id"],
)
def test_what_is_banned_is_never_certified(world, kind, value, expected):
    banned = SSHBan(kind, value, int(world.clock()), Reason.UNSPECIFIED)
    world.run(ban(world.authority, ADMIN, banned))

    assert refused(world, issue_ssh(world.authority, deploy(), wish(deploy(), "deploy-1"))) is (
        expected
    )
    assert refused(world, ban(world.authority, ADMIN, banned)) is Kind.CONFLICT


def test_bans_are_for_admins_and_never_for_our_own_keys(world):
    now = int(world.clock())
    one = SSHBan(BanKind.KEY_ID, b"deploy", now, Reason.UNSPECIFIED)

    assert refused(world, ban(world.authority, deploy(), one)) is Kind.FORBIDDEN
    own = replace(one, kind=BanKind.KEY, value=ca(USER).authority.key.sha256)
    assert refused(world, ban(world.authority, ADMIN, own)) is Kind.CONFLICT


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (BanKind.KEY, b""),
        (BanKind.KEY, b"k" * 31),
        (BanKind.KEY_ID, b""),
        (BanKind.KEY_ID, b"a\n"),
        (BanKind.KEY_ID, b"\xff"),
        (BanKind.KEY_ID, b"x" * 256),
    ],
)
def test_a_ban_that_no_krl_can_carry_is_refused(world, kind, value):
    wrong = SSHBan(kind, value, int(world.clock()), Reason.UNSPECIFIED)

    assert refused(world, ban(world.authority, ADMIN, wrong)) is Kind.MALFORMED


# Renewal.


def pop(world, certificate, **changes):
    """Return the holder of an SSH certificate, as its token makes it a requester."""
    provisioner = world.authority.policy.provisioners["pop"]
    who = Requester(
        certificate.service,
        provisioner.rule(certificate.service, frozenset({Operation.RENEW})),
        Credential.SSHPOP,
        serial=certificate.serial,
        provisioner="pop",
    )
    return structs.replace(who, **changes)


def successor(world, requester, certificate, **options):
    return world.run(renew_ssh(world.authority, requester, stored(world, certificate), **options))


def not_renewed(world, requester, certificate, **options):
    return refused(
        world, renew_ssh(world.authority, requester, stored(world, certificate), **options)
    )


def host(world, requester=None):
    return issue(world, requester or person(world), profile="ssh-host").certificate


def test_a_host_certificate_is_renewed_by_possession(world):
    old = host(world)
    world.clock.now += HOUR

    new = successor(world, pop(world, old), old)

    assert (new.principals, new.key_id, new.profile) == (old.principals, old.key_id, old.profile)
    assert new.not_after - new.not_before == old.not_after - old.not_before
    assert new.not_after == old.not_after + HOUR
    assert new.key_sha256 == old.key_sha256
    assert (new.service, new.replaces) == (old.service, old.serial)
    assert record(world).action == "ssh.renew"


def test_a_host_certificate_is_rekeyed_with_a_new_key_only(world):
    old = host(world)

    new = successor(world, pop(world, old), old, key=subject(3))

    assert new.key_sha256 == subject(3).sha256
    assert record(world).action == "ssh.rekey"
    assert not_renewed(world, pop(world, new), new, key=subject(3)) is Kind.BAD_PUBLIC_KEY
    own = ca(HOST).authority.key
    assert not_renewed(world, pop(world, new), new, key=own) is Kind.BAD_PUBLIC_KEY


def test_possession_of_one_certificate_renews_no_other_of_the_same_service(world):
    old, other = host(world), host(world)

    assert not_renewed(world, pop(world, old), other) is Kind.FORBIDDEN


def test_possession_makes_nobody_an_admin(world):
    old = issue(world, ADMIN, "a.web.internal", profile="ssh-host").certificate
    user = issue(world, ADMIN, "root").certificate
    rule = ADMIN.rule

    assert successor(world, pop(world, old, rule=rule), old)
    assert not_renewed(world, pop(world, user, rule=rule), user) is Kind.FORBIDDEN


def test_a_revoked_certificate_has_no_successor(world):
    old = host(world)
    world.run(revoke(world.authority, ADMIN, stored(world, old), Reason.UNSPECIFIED))

    for who in (pop(world, old), ADMIN):
        assert not_renewed(world, who, old) is Kind.CONFLICT


def test_a_banned_key_id_has_no_successor(world):
    old = host(world)
    banned = SSHBan(BanKind.KEY_ID, old.key_id.encode(), 1, Reason.UNSPECIFIED)
    world.run(ban(world.authority, ADMIN, banned))

    assert not_renewed(world, pop(world, old), old) is Kind.FORBIDDEN


def test_an_expired_certificate_has_a_successor_only_if_claimed(world):
    old = host(world)
    world.clock.now = old.not_after + 1
    assert not_renewed(world, pop(world, old), old) is Kind.CONFLICT

    late = SSHPOPProvisioner("pop", Claims(renewal_after_expiry=True))
    given = (*ssh_authority.provisioners()[:-1], late)
    world.authority.policy = ssh_authority.policy(given=given, issuers=world.authority.issuers)
    assert successor(world, pop(world, old), old)


def test_a_person_does_not_renew_but_signs_in_again(world):
    made = issue(world, person(world), "alice").certificate
    mtls = holder(world.authority, made, Credential.CERTIFICATE, "")

    for who in (pop(world, made), mtls):
        assert not_renewed(world, who, made) is Kind.FORBIDDEN
    assert successor(world, ADMIN, made).principals == ("alice",)


def test_a_service_account_renews_where_its_provisioner_says_so(world):
    given = ssh_authority.provisioners(Claims(ssh_user_renewal=True))
    world.authority.policy = ssh_authority.policy(given=given, issuers=world.authority.issuers)
    made = issue(world, person(world), "alice").certificate

    assert successor(world, pop(world, made), made).principals == ("alice",)


@pytest.mark.parametrize("key", [None, subject(7)])
def test_a_tls_certificate_of_the_same_subject_gets_no_ssh_certificate(world, key):
    """Who reads a web server's TLS key would answer for its sshd by a rekey."""
    given = ssh_authority.provisioners(Claims(ssh_user_renewal=True))
    world.authority.policy = ssh_authority.policy(given=given, issuers=world.authority.issuers)
    for made in (host(world), issue(world, person(world), "alice").certificate):
        tls = holder(world.authority, made, Credential.CERTIFICATE, "")
        assert not_renewed(world, tls, made, key=key) is Kind.FORBIDDEN


def test_a_service_of_the_whitelist_renews_its_own_user_certificate(world):
    made = issue(world, deploy(), "deploy-1").certificate

    assert successor(world, deploy(), made).principals == ("deploy-1",)
    assert not_renewed(world, pop(world, made), made) is Kind.FORBIDDEN
    other = Requester("other", structs.replace(DEPLOY, pattern="other"), Credential.CERTIFICATE)
    assert not_renewed(world, other, made) is Kind.FORBIDDEN


@pytest.mark.parametrize("claims", [Claims(renewal=False), Claims(ssh=False), None])
def test_a_provisioner_that_is_gone_or_says_no_has_no_successors(world, claims):
    old = host(world)
    given = (SSHPOPProvisioner("pop"),)
    if claims is not None:
        given = ssh_authority.provisioners(claims)
    world.authority.policy = ssh_authority.policy(given=given, issuers=world.authority.issuers)

    assert not_renewed(world, pop(world, old), old) is Kind.FORBIDDEN


def test_possession_without_its_provisioner_renews_nothing(world):
    old = host(world)
    for given in (
        ssh_authority.provisioners()[:-1],
        (*ssh_authority.provisioners()[:-1], SSHPOPProvisioner("pop", Claims(renewal=False))),
    ):
        who = pop(world, old)
        world.authority.policy = ssh_authority.policy(given=given, issuers=world.authority.issuers)
        assert not_renewed(world, who, old) is Kind.FORBIDDEN
        ssh_authority.equip(world)


def test_a_profile_that_was_narrowed_since_narrows_the_successor(world):
    profile = SSHProfile("fleet", HOST)
    world.authority.policy = ssh_authority.policy(
        ssh_profiles=(profile,), issuers=world.authority.issuers
    )
    old = issue(world, ADMIN, "a.web.internal", profile="fleet").certificate
    narrowed = replace(profile, principals=("*.fleet.internal",))
    world.authority.policy = ssh_authority.policy(
        ssh_profiles=(narrowed,), issuers=world.authority.issuers
    )

    assert not_renewed(world, pop(world, old), old) is Kind.REJECTED_IDENTIFIER


def test_a_profile_that_is_gone_has_no_successors(world):
    world.authority.policy = ssh_authority.policy(
        ssh_profiles=(SSHProfile("fleet", HOST),), issuers=world.authority.issuers
    )
    old = issue(world, ADMIN, "a.web.internal", profile="fleet").certificate
    world.authority.policy = ssh_authority.policy(issuers=world.authority.issuers)

    assert not_renewed(world, pop(world, old), old) is Kind.BAD_PROFILE


def test_the_certificate_that_adds_a_user_has_no_successor(world):
    added = issue(world, person(world), "alice", beside={"add_user_key": subject(1)}).add_user

    for who in (pop(world, added), ADMIN):
        assert not_renewed(world, who, added) in {Kind.BAD_PROFILE, Kind.FORBIDDEN}


def test_the_lifetime_is_the_default_when_the_old_one_is_not_allowed_any_more(world):
    old = host(world, person(world))
    claims = Claims(ssh_host=Lifetimes(60, HOUR, HOUR))
    world.authority.policy = ssh_authority.policy(
        given=ssh_authority.provisioners(claims), issuers=world.authority.issuers
    )

    new = successor(world, pop(world, old), old)
    assert new.not_after + 1 - int(world.clock()) == HOUR


def test_x509_and_ssh_certificates_are_not_renewed_as_each_other(world):
    made = issue(world, deploy(), "deploy-1").certificate
    leaf = world.certificate("deploy", "deploy")

    for act in (
        renew(world.authority, ADMIN, stored(world, made)),
        rekey(world.authority, ADMIN, stored(world, made), pki.key()),
        renew_ssh(world.authority, ADMIN, stored(world, leaf)),
    ):
        assert refused(world, act) is Kind.CONFLICT


# One-time tokens.


def token(world, *principals, names=(), profiles=(), service="web-1"):
    identifiers = pki.identifiers(*names)
    text = world.run(
        create_token(
            world.authority,
            ADMIN,
            service=service,
            identifiers=identifiers,
            profiles=profiles,
            lifetime=HOUR,
            principals=principals,
        )
    )
    return world.run(requester_from_token(world.authority, text, ""))


def test_a_one_time_token_with_principals_is_good_for_one_user_certificate(world):
    who = token(world, "backup")

    made = issue(world, who).certificate

    assert (made.principals, made.key_id) == (("backup",), "web-1")
    assert refused(world, issue_ssh(world.authority, who, wish(who))) is Kind.BAD_TOKEN


def test_a_one_time_token_for_hosts_is_for_its_names(world):
    who = token(world, names=("web-1.internal", "10.0.0.7"), profiles=("ssh-host",))

    assert issue(world, who, profile="ssh-host").certificate.principals == (
        "web-1.internal",
        "10.0.0.7",
    )
    other = wish(who, "web-2.internal", profile="ssh-host")
    assert refused(world, issue_ssh(world.authority, who, other)) is Kind.REJECTED_IDENTIFIER


def test_a_token_for_ssh_is_good_for_no_x509_profile(world):
    who = token(world, names=("web-1.internal",), profiles=("ssh-host",))
    request = IssuanceRequest("web-1", "server", pki.key(), who.identifiers)

    assert refused(world, issue_x509(world.authority, who, request)) is Kind.BAD_PROFILE


def test_a_token_for_x509_is_good_for_no_ssh_profile(world):
    who = token(world, names=("web-1.internal",), profiles=("server",))

    asked = wish(who, "web-1.internal", profile="ssh-host")
    assert refused(world, issue_ssh(world.authority, who, asked)) is Kind.BAD_PROFILE


def test_the_provisioner_of_one_time_tokens_bounds_them(world):
    claims = Claims(tls=Lifetimes(60, HOUR, HOUR), ssh_user=Lifetimes(60, HOUR, HOUR))
    world.authority.policy = ssh_authority.policy(
        given=(TokenProvisioner("one-time", claims),), issuers=world.authority.issuers
    )
    who = token(world, "backup")

    made = issue(world, who).certificate
    assert made.not_after + 1 - int(world.clock()) == HOUR
    assert who.lifetimes.maximum == HOUR


@pytest.mark.parametrize("principal", ["", "a,b", "*", "a b", "a\nb"])
def test_no_token_is_made_for_a_hostile_principal(world, principal):
    making = create_token(
        world.authority,
        ADMIN,
        service="web-1",
        identifiers=(),
        profiles=(),
        lifetime=HOUR,
        principals=(principal,),
    )

    assert refused(world, making) is Kind.REJECTED_IDENTIFIER


def test_no_token_is_made_for_10000_principals_or_an_unknown_profile(world):
    for extra in (
        {"principals": tuple(f"p{number}" for number in range(10_000)), "profiles": ()},
        {"principals": (), "profiles": ("ssh-nothing",)},
    ):
        making = create_token(
            world.authority, ADMIN, service="web-1", identifiers=(), lifetime=HOUR, **extra
        )
        assert refused(world, making) in {Kind.REJECTED_IDENTIFIER, Kind.BAD_PROFILE}
