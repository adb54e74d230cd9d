"""Policy on SSH: principals, key ids and lifetimes that would let others in are refused."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from mintmark.authority.issuance.ssh_keys import SSHKeys
from mintmark.authority.policy.ssh import (
    approve_add_user,
    approve_ssh,
    default_ssh_profile,
    open_ssh_profiles,
)
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.model.access import Credential, Operation, Requester, ServiceRule, SSHGrant
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.provisioner import Claims, Lifetimes, Rules
from mintmark.model.ssh import Generation, SSHProfile, SSHRequest
from mintmark.model.time import DAY, HOUR
from mintmark.wire.ssh.key import SK_ED25519, from_public_key
from tests import pki, ssh_authority
from tests.openssh import sk_key
from tests.ssh_authority import ADMIN, ALL, DEPLOY, HOST, USER, ca, keys, subject

POLICY = ssh_authority.policy()
HOURS = Lifetimes(5 * 60, DAY, 16 * HOUR)
GRANT = SSHGrant(
    types=frozenset({USER}),
    user=HOURS,
    host=HOURS,
    key_id="alice@example.com",
    user_principals=("alice", "alice@example.com"),
    profiles=("ssh-user",),
)
HOST_GRANT = SSHGrant(
    types=frozenset({HOST}),
    user=HOURS,
    host=HOURS,
    host_principals=("a.web.internal", "10.0.0.1"),
    profiles=("ssh-host",),
)


def deploy(**changes):
    return structs.replace(Requester("deploy", DEPLOY, Credential.CERTIFICATE), **changes)


def alice(grant=GRANT, provisioner="corp", policy=POLICY, **changes):
    compiled = policy.provisioners["corp"]
    service = compiled.service("alice")
    who = Requester(
        service, compiled.rule(service), Credential.OIDC, provisioner=provisioner, ssh=grant
    )
    return structs.replace(who, **changes)


def request(requester, *principals, profile="ssh-user", **changes):
    wish = SSHRequest(requester.service, profile, subject(), principals=principals)
    return structs.replace(wish, **changes)


def decide(requester, *principals, policy=POLICY, operation=Operation.REQUEST, **changes):
    wish = request(requester, *principals, **changes)
    return approve_ssh(policy, requester, wish, operation=operation, keys=keys(), now=pki.NOW)


def refusal(requester, *principals, **changes):
    with pytest.raises(Error) as refused:
        decide(requester, *principals, **changes)
    assert refused.value.detail
    return refused.value


# Principals (design rule 7).

HOSTILE = [
    "",
    " ",
    "root,alice",
    "*",
    "deploy-*",
    "deploy-?",
    "!alice",
    "deploy 1",
    "deploy-1\n",
    "deploy-1\nroot",
    "deploy-1\r",
    "deploy\t1",
    "deploy-\x00",
    "deploy-\x1b[2J",
    "deploy-\x7f",
    "deploy-\u00a0",
    "deploy-\u202e",
    "deploy-\ufeff1",
    "deploy-ü",
    "deploy-\ud800",
    'deploy-"1"',
    "d" * 256,
]


@pytest.mark.parametrize("principal", HOSTILE, ids=ascii)
@pytest.mark.parametrize(
    "requester", [deploy(), ADMIN, alice()], ids=["service", "admin", "person"]
)
def test_a_principal_that_means_more_than_one_name_is_refused(requester, principal):
    assert refusal(requester, principal).kind is Kind.REJECTED_IDENTIFIER


@pytest.mark.parametrize("principal", HOSTILE, ids=ascii)
def test_a_grant_cannot_bring_in_a_hostile_principal(principal):
    grant = structs.replace(GRANT, user_principals=(principal,), any_principals=True)

    assert refusal(alice(grant)).kind is Kind.REJECTED_IDENTIFIER


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_every_principal_that_is_approved_is_one_plain_word(text):
    is_plain = text.isascii() and text.isprintable() and not set(text) & set(" ,*?!\"'\\")

    if is_plain and text:
        assert decide(ADMIN, text).principals == (text,)
    else:
        assert refusal(ADMIN, text).kind is Kind.REJECTED_IDENTIFIER


@pytest.mark.parametrize("count", [257, 10_000])
def test_too_many_principals_are_refused(count):
    refused = refusal(ADMIN, *(f"login-{number}" for number in range(count)))

    assert refused.kind is Kind.REJECTED_IDENTIFIER
    assert str(count) in refused.detail
    assert "256" in refused.detail


def test_256_principals_are_fine():
    assert len(decide(ADMIN, *(f"login-{number}" for number in range(256))).principals) == 256


def test_a_certificate_without_principals_would_be_good_for_all_and_is_refused():
    assert refusal(ADMIN).kind is Kind.REJECTED_IDENTIFIER
    assert (
        refusal(alice(structs.replace(GRANT, user_principals=()))).kind is Kind.REJECTED_IDENTIFIER
    )


def test_a_principal_is_named_once():
    assert refusal(ADMIN, "alice", "alice").kind is Kind.REJECTED_IDENTIFIER


def test_several_refused_principals_are_told_one_by_one():
    assert len(refusal(deploy(), "root", "deploy-1", "admin").subproblems) == 2


@pytest.mark.parametrize(
    "principal",
    [
        "A.web.internal",
        "a.web.internal.",
        "*.web.internal",
        "alice@web.internal",
        "10.0.0.01",
        "2001:DB8::1",
        "https://a.web.internal/",
        "a_b.web.internal",
        "127.1",
        "::ffff:10.0.0.1",
        "com",
    ],
)
def test_a_host_is_a_name_or_an_address_in_its_one_form(principal):
    assert refusal(ADMIN, principal, profile="ssh-host").kind is Kind.REJECTED_IDENTIFIER


@pytest.mark.parametrize("principal", ["web01", "a.web.internal", "10.0.0.1", "2001:db8::1"])
def test_hosts_are_dns_names_and_addresses(principal):
    assert decide(ADMIN, principal, profile="ssh-host").principals == (principal,)


# What a service of the whitelist may have.


def test_a_service_gets_the_principals_that_its_rule_allows():
    approved = decide(deploy(), "deploy-1", "backup")

    assert approved.principals == ("deploy-1", "backup")
    assert approved.key_id == "deploy"
    assert approved.authority == ca(USER).authority.id


@pytest.mark.parametrize("principal", ["root", "deploy", "backup2", "xdeploy-1", "Deploy-1"])
def test_a_service_gets_no_other_principal(principal):
    assert refusal(deploy(), principal).kind is Kind.REJECTED_IDENTIFIER


def test_a_service_without_rules_for_principals_gets_none():
    bare = ServiceRule("bare", ALL)
    policy = ssh_authority.policy(bare)

    refused = refusal(Requester("bare", bare, Credential.CERTIFICATE), "bare", policy=policy)
    assert refused.kind is Kind.REJECTED_IDENTIFIER


def test_a_service_gets_hosts_by_its_name_rules_its_own_names_and_its_id():
    who = deploy(identifiers=pki.identifiers("other.internal"))

    for host in ("a.web.internal", "other.internal", "deploy"):
        assert decide(who, host, profile="ssh-host").principals == (host,)
    assert refusal(who, "third.internal", profile="ssh-host").kind is Kind.REJECTED_IDENTIFIER


def test_a_service_may_not_act_for_another():
    wish = structs.replace(request(deploy(), "deploy-1"), service="admin-cli")

    with pytest.raises(Error) as refused:
        approve_ssh(POLICY, deploy(), wish, operation=Operation.REQUEST, keys=keys(), now=pki.NOW)
    assert refused.value.kind is Kind.FORBIDDEN


@pytest.mark.parametrize("profiles", [("server",), ("ssh-host",)])
def test_a_rule_or_token_with_profiles_opens_no_other(profiles):
    rule = structs.replace(DEPLOY, profiles=profiles)

    assert refusal(deploy(rule=rule), "deploy-1").kind is Kind.BAD_PROFILE
    assert refusal(deploy(profiles=profiles), "deploy-1").kind is Kind.BAD_PROFILE


@pytest.mark.parametrize("pattern", ["*", "jwk*", "*.ops.*", "acme.*", "oidc*"])
@pytest.mark.parametrize("service", ["jwk.ops.build", "oidc.corp.alice", "x5c.a.b", "sshpop.a.b"])
def test_a_pattern_for_services_means_nobody_a_provisioner_vouches_for(pattern, service):
    """CVE-2025-12425 and its like: whoever signs in is not thereby a service."""
    whitelist = Whitelist(patterns=[ServiceRule(pattern, frozenset(Operation))])

    assert whitelist.rule(service).operations == frozenset()
    assert Operation.REQUEST not in replace(POLICY, whitelist=whitelist).rule(service).operations


# What a credential vouches for.


def test_a_person_gets_what_the_credential_vouches_for():
    approved = decide(alice())

    assert approved.principals == ("alice", "alice@example.com")
    assert approved.key_id == "alice@example.com"
    assert decide(alice(), "alice").principals == ("alice",)


@pytest.mark.parametrize("principal", ["root", "Alice", "bob", "alice@example.org"])
def test_a_person_gets_nothing_else(principal):
    assert refusal(alice(), principal).kind is Kind.REJECTED_IDENTIFIER
    assert refusal(alice(), "alice", principal).kind is Kind.REJECTED_IDENTIFIER


def test_the_dates_of_a_credential_are_taken_where_none_are_asked_for():
    dated = structs.replace(GRANT, valid_after=pki.NOW + 60, valid_before=pki.NOW + HOUR)
    approved = decide(alice(dated))

    assert (approved.valid_after, approved.valid_before) == (pki.NOW + 60, pki.NOW + HOUR)
    inside = decide(alice(dated), valid_after=pki.NOW + 120, lifetime=600)
    assert (inside.valid_after, inside.valid_before) == (pki.NOW + 120, pki.NOW + 720)


@pytest.mark.parametrize(
    "asked",
    [
        {"valid_before": pki.NOW + 2 * HOUR},
        {"lifetime": 2 * HOUR},
        {"valid_after": pki.NOW + HOUR - 60, "lifetime": HOUR},
        {"valid_after": pki.NOW - 600},
    ],
)
def test_a_credential_for_an_hour_is_good_for_no_longer(asked):
    dated = structs.replace(GRANT, valid_after=pki.NOW, valid_before=pki.NOW + HOUR)

    assert refusal(alice(dated), **asked).kind is Kind.BAD_LIFETIME


def test_who_signs_in_today_gets_no_certificate_for_tomorrow():
    """Who leaves in the evening would have it in the morning."""
    tomorrow = {"valid_after": pki.NOW + 16 * HOUR, "valid_before": pki.NOW + 32 * HOUR}

    assert refusal(alice(), **tomorrow).kind is Kind.BAD_LIFETIME
    assert refusal(alice(), valid_after=pki.NOW + 12 * HOUR, lifetime=16 * HOUR)
    later = decide(alice(), valid_after=pki.NOW + 12 * HOUR, valid_before=pki.NOW + DAY)
    assert later.valid_before == pki.NOW + DAY
    assert decide(ADMIN, "alice", **tomorrow)


def test_an_admin_of_a_provisioner_names_any_principal_and_key_id():
    approved = decide(
        alice(structs.replace(GRANT, any_principals=True, key_id="")), "root", key_id="ops-1"
    )

    assert (approved.principals, approved.key_id) == (("root",), "ops-1")


def test_a_provisioner_without_a_grant_gives_no_ssh():
    assert refusal(alice(None), "alice").kind is Kind.BAD_PROFILE
    assert open_ssh_profiles(POLICY, alice(None)) == ()


def test_a_grant_for_users_opens_no_host_certificates():
    grant = structs.replace(
        GRANT, profiles=("ssh-user", "ssh-host"), host_principals=("a.web.internal",)
    )

    refused = refusal(alice(grant), "a.web.internal", profile="ssh-host")
    assert refused.kind is Kind.BAD_PROFILE


def test_user_principals_are_no_host_principals():
    grant = structs.replace(GRANT, types=frozenset({USER, HOST}), profiles=("ssh-user", "ssh-host"))

    assert refusal(alice(grant), "alice", profile="ssh-host").kind is Kind.REJECTED_IDENTIFIER


@pytest.mark.parametrize("name", ["", "ssh-root", "server", "ssh-host", "x" * 1000])
def test_a_profile_that_is_not_open_is_refused(name):
    assert refusal(alice(), "alice", profile=name).kind is Kind.BAD_PROFILE


def test_rules_of_the_provisioner_bound_every_grant():
    rules = Rules(names=("*.lab.internal",), principals=("a*",), ssh_profiles=("ssh-user",))
    policy = ssh_authority.policy(given=ssh_authority.provisioners(rules=rules))
    free = structs.replace(GRANT, any_principals=True)

    assert decide(alice(free), "adam", policy=policy)
    assert refusal(alice(free), "root", policy=policy).kind is Kind.REJECTED_IDENTIFIER
    refused = refusal(alice(HOST_GRANT), policy=policy, profile="ssh-host")
    assert refused.kind is Kind.BAD_PROFILE


def test_name_rules_of_the_provisioner_bound_hosts():
    rules = Rules(names=("*.lab.internal",))
    policy = ssh_authority.policy(given=ssh_authority.provisioners(rules=rules))
    free = structs.replace(HOST_GRANT, any_principals=True)

    assert decide(alice(free), "a.lab.internal", policy=policy, profile="ssh-host")
    refused = refusal(alice(free), "a.web.internal", policy=policy, profile="ssh-host")
    assert refused.kind is Kind.REJECTED_IDENTIFIER


def test_a_provisioner_that_is_gone_or_issues_no_ssh_gives_nothing():
    gone = alice(provisioner="gone")
    silent = ssh_authority.policy(given=ssh_authority.provisioners(Claims(ssh=False)))

    assert refusal(gone, "alice").kind is Kind.FORBIDDEN
    assert refusal(alice(), "alice", policy=silent).kind is Kind.FORBIDDEN


def test_profiles_bound_principals_too():
    profile = SSHProfile("logs", USER, principals=("log-*",))
    fleet = SSHProfile("fleet", HOST, principals=("*.fleet.internal",))
    policy = ssh_authority.policy(ssh_profiles=(profile, fleet))

    assert decide(ADMIN, "log-1", policy=policy, profile="logs")
    assert refusal(ADMIN, "root", policy=policy, profile="logs")
    assert decide(ADMIN, "a.fleet.internal", policy=policy, profile="fleet")
    assert refusal(ADMIN, "a.b.fleet.internal", policy=policy, profile="fleet")


def test_the_default_profile_is_the_first_open_one_of_its_type():
    assert default_ssh_profile(POLICY, deploy(), USER) == "ssh-user"
    assert default_ssh_profile(POLICY, alice(), USER) == "ssh-user"
    with pytest.raises(Error, match="no profile for SSH host certificates"):
        default_ssh_profile(POLICY, alice(), HOST)


# Key ids.


@pytest.mark.parametrize(
    "key_id", ["alice\nAccepted publickey for root", "a\x00", "\x1b[1m", "x" * 256, "\u2028"]
)
def test_a_key_id_that_forges_a_log_is_refused(key_id):
    assert refusal(ADMIN, "alice", key_id=key_id).kind is Kind.REJECTED_IDENTIFIER
    granted = alice(structs.replace(GRANT, key_id=key_id))
    assert refusal(granted, "alice").kind is Kind.REJECTED_IDENTIFIER


def test_nobody_takes_anothers_key_id():
    assert refusal(alice(), "alice", key_id="bob@example.com").kind is Kind.REJECTED_IDENTIFIER
    assert refusal(deploy(), "deploy-1", key_id="alice").kind is Kind.REJECTED_IDENTIFIER


def test_a_service_has_its_own_id_or_a_principal_as_key_id():
    assert decide(deploy(), "deploy-1", key_id="deploy-1").key_id == "deploy-1"
    assert decide(deploy(), "deploy-1", key_id="deploy").key_id == "deploy"


# Keys.


@pytest.mark.parametrize(
    "key",
    [ca(USER), ca(HOST), ca(USER, generation=Generation.NEXT)],
    ids=["user", "host", "next"],
)
def test_our_own_ca_keys_are_never_certified(key):
    assert refusal(ADMIN, "alice", key=key.authority.key).kind is Kind.BAD_PUBLIC_KEY


def test_an_issuers_x509_key_is_never_certified():
    key = from_public_key(pki.pki().issuing.certificate.public_key())

    assert refusal(ADMIN, "alice", key=key).kind is Kind.BAD_PUBLIC_KEY


def test_a_weak_rsa_key_is_refused():
    prime = (3 << 1022) + 1155
    numbers = rsa.RSAPublicNumbers(65537, prime * (prime + 2))

    assert refusal(ADMIN, "alice", key=from_public_key(numbers.public_key())).kind is (
        Kind.BAD_PUBLIC_KEY
    )


def test_a_credential_bound_to_a_key_is_good_for_that_key_alone():
    bound = alice(key_sha256=subject().sha256)

    assert decide(bound, "alice")
    assert refusal(bound, "alice", key=subject(1)).kind is Kind.BAD_PUBLIC_KEY


def test_a_key_on_a_security_key_is_certified():
    assert decide(alice(), "alice", key=sk_key(SK_ED25519)).key.type == SK_ED25519


def test_without_a_ca_of_the_type_nothing_is_approved():
    wish = request(ADMIN, "alice")

    with pytest.raises(Error) as refused:
        approve_ssh(POLICY, ADMIN, wish, operation=Operation.REQUEST, keys=SSHKeys(), now=pki.NOW)
    assert refused.value.kind is Kind.NOT_FOUND


# Validity.


def validity(requester=ADMIN, **changes):
    approved = decide(requester, "alice", **changes)
    return approved.valid_after - pki.NOW, approved.valid_before - pki.NOW


def test_a_validity_begins_a_minute_ago_and_that_is_not_counted():
    assert validity() == (-60, 16 * HOUR)
    assert validity(lifetime=7 * DAY) == (-60, 7 * DAY)
    assert validity(alice(), lifetime=DAY) == (-60, DAY)


def test_a_client_may_say_the_same_itself():
    begin, end = pki.NOW - 60, pki.NOW + DAY

    assert validity(alice(), valid_after=begin) == (-60, 16 * HOUR - 60)
    assert validity(alice(), valid_after=begin, valid_before=end) == (-60, DAY)
    assert validity(alice(), valid_before=end) == (-60, DAY)


def test_a_short_life_is_not_born_over():
    assert validity(lifetime=60) == (-45, 60)


@pytest.mark.parametrize(
    "lifetime", [-(1 << 63), -1, 0, 59, 7 * DAY + 1, 1 << 32, 1 << 62, 1 << 63, 1 << 64, 1 << 200]
)
def test_a_lifetime_outside_its_bounds_is_refused(lifetime):
    assert refusal(ADMIN, "alice", lifetime=lifetime).kind is Kind.BAD_LIFETIME
    end = pki.NOW + lifetime
    assert refusal(ADMIN, "alice", valid_before=end).kind is Kind.BAD_LIFETIME


@pytest.mark.parametrize("begin", [-(1 << 63), 0, pki.NOW - 2 * HOUR, pki.NOW + DAY, 1 << 63])
def test_a_beginning_far_away_is_refused(begin):
    assert refusal(ADMIN, "alice", valid_after=begin).kind is Kind.BAD_LIFETIME
    forever = (1 << 64) - 1
    refused = refusal(ADMIN, "alice", valid_after=begin, valid_before=forever)
    assert refused.kind is Kind.BAD_LIFETIME


def test_claims_bound_what_the_profile_would_allow():
    assert refusal(alice(), "alice", lifetime=DAY + 1).kind is Kind.BAD_LIFETIME
    assert refusal(alice(), "alice", lifetime=4 * 60).kind is Kind.BAD_LIFETIME


def test_the_profile_bounds_what_claims_would_allow():
    grant = structs.replace(GRANT, user=Lifetimes(1, 1 << 40, 100 * DAY))

    assert validity(alice(grant)) == (-60, 7 * DAY)
    assert refusal(alice(grant), "alice", lifetime=8 * DAY).kind is Kind.BAD_LIFETIME


def test_nothing_outlives_its_credential():
    ending = alice(expires_at=pki.NOW + HOUR)

    assert validity(ending) == (-60, HOUR)
    assert refusal(ending, "alice", lifetime=2 * HOUR).kind is Kind.BAD_LIFETIME
    over = alice(expires_at=pki.NOW + 60)
    assert refusal(over, "alice").kind is Kind.BAD_LIFETIME


# The certificate that adds a user.


def test_a_user_is_added_by_one_fixed_command():
    user = decide(alice(structs.replace(GRANT, user_principals=("alice",))), "alice")
    added = approve_add_user(POLICY, deploy(), user, keys(), subject(5))

    assert added.principals == ("provisioner",)
    assert added.key_id == "alice-provisioner"
    assert added.profile.extensions == ()
    assert added.profile.critical_options == (
        ("force-command", "sudo useradd -m alice; nc -q0 localhost 22"),
    )
    assert (added.valid_after, added.valid_before) == (user.valid_after, user.valid_before)


@pytest.mark.parametrize(
    "principals",
    [
        ("$(reboot)",),
        ("a;reboot",),
        ("Alice",),
        ("-rf",),
        ("a`b`",),
        ("1a",),
        ("a" * 33,),
        ("alice", "bob"),
        ("alice", "alice@example.com", "bob"),
        ("alice@example.com",),
    ],
)
def test_what_could_be_more_than_a_word_of_a_command_adds_no_user(principals):
    user = decide(ADMIN, *principals)

    with pytest.raises(Error) as refused:
        approve_add_user(POLICY, deploy(), user, keys(), subject(5))
    assert refused.value.kind is Kind.REJECTED_IDENTIFIER


def test_a_host_certificate_adds_no_user():
    host = decide(ADMIN, "a.web.internal", profile="ssh-host")

    with pytest.raises(Error):
        approve_add_user(POLICY, deploy(), host, keys(), subject(5))


def test_the_key_that_adds_a_user_is_none_of_ours():
    user = decide(alice(), "alice")

    with pytest.raises(Error) as refused:
        approve_add_user(POLICY, deploy(), user, keys(), ca(HOST).authority.key)
    assert refused.value.kind is Kind.BAD_PUBLIC_KEY


def test_every_subject_key_type_is_open():
    for key_type in (KeyType.EC_P256, KeyType.EC_P384, KeyType.ED25519, KeyType.RSA_2048):
        assert decide(alice(), "alice", key=subject(1, key_type))
