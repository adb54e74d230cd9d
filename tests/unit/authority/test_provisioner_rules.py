"""Provisioners vouch for services of their own, within their claims and rules, and no further."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from mintmark.authority.issuance.leaf import draft_leaf, issue_leaf
from mintmark.authority.issuance.serial import new_serial
from mintmark.authority.policy.approve import approve, validity
from mintmark.authority.policy.principals import PrincipalRules
from mintmark.authority.policy.provisioners import ACME, compiled
from mintmark.authority.policy.whitelist import SERVICE_ID, Whitelist
from mintmark.authority.workflow.authenticate import (
    current_rule,
    holder,
    requester_from_certificate,
)
from mintmark.authority.workflow.issue import issue
from mintmark.authority.workflow.renew import rekey, renew
from mintmark.authority.workflow.revoke import revoke
from mintmark.model.access import Burn, Credential, Operation, Requester, ServiceRule
from mintmark.model.acme import Account, AccountStatus
from mintmark.model.act import Act
from mintmark.model.errors import Error, Kind
from mintmark.model.profile import SERVER
from mintmark.model.provisioner import (
    ACMEProvisioner,
    Claims,
    GroupMapping,
    JWKProvisioner,
    Lifetimes,
    OIDCProvisioner,
    Rules,
    SSHPOPProvisioner,
    X5CProvisioner,
)
from mintmark.model.request import IssuanceRequest
from mintmark.model.status import Reason
from mintmark.model.time import DAY, HOUR
from mintmark.wire.http import Peer
from tests import pki, ssh_authority
from tests.ssh_authority import ADMIN
from tests.unit.rest.world import World

POLICY = ssh_authority.policy()
ISSUER = pki.pki().issuer
NAMES = pki.identifiers("build.ops.internal")


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    ssh_authority.equip(made)
    yield made
    made.close()


def build(policy=POLICY, subject="build", names=NAMES, **changes):
    provisioner = policy.provisioners["ops"]
    service = provisioner.service(subject)
    who = Requester(
        service,
        provisioner.rule(service, frozenset({Operation.REQUEST})),
        Credential.JWK,
        identifiers=names,
        provisioner="ops",
        common_names=(subject,),
        lifetimes=provisioner.lifetimes,
    )
    return structs.replace(who, **changes)


def wish(requester, *names, profile="peer", **changes):
    identifiers = pki.identifiers(*names) or NAMES
    wanted = IssuanceRequest(requester.service, profile, pki.key(), identifiers)
    return structs.replace(wanted, **changes)


def decide(requester, *names, policy=POLICY, operation=Operation.REQUEST, **changes):
    asked = wish(requester, *names, **changes)
    return approve(policy, requester, asked, operation=operation, issuer=ISSUER, now=pki.NOW)


def refusal(requester, *names, **changes):
    with pytest.raises(Error) as refused:
        decide(requester, *names, **changes)
    return refused.value.kind


def lifetime(requester, **changes):
    approval = decide(requester, **changes)
    return approval.not_after - approval.not_before


# Service ids.


@pytest.mark.parametrize("subject", ["build", "web-1.internal", "a_b", "4711"])
def test_a_subject_that_is_a_service_id_stays_what_it_is(subject):
    assert POLICY.provisioners["ops"].service(subject) == f"jwk.ops.{subject}"


@pytest.mark.parametrize(
    "subject", ["Build", "alice@example.com", "", "-", "a b", "ü", "x" * 200, "../admin", "\ud800"]
)
def test_a_subject_that_is_none_becomes_one_and_stays_apart(subject):
    service = POLICY.provisioners["ops"].service(subject)

    assert SERVICE_ID.fullmatch(service)
    assert re.fullmatch(r"jwk\.ops\.(?:.*-)?[0-9a-f]{20}", service)


@given(st.text(max_size=150), st.text(max_size=150))
@settings(max_examples=100, deadline=None)
def test_two_subjects_are_two_services(one, other):
    service = POLICY.provisioners["corp"].service

    assert SERVICE_ID.fullmatch(service(one))
    assert service(one).startswith("oidc.corp.")
    assert (service(one) == service(other)) is (one == other)


@pytest.mark.parametrize("victim", ["alice@example.com", "Alice", "☃", "a" * 200])
def test_a_subject_that_is_written_like_anothers_service_is_another(victim):
    """Who may choose a name at the provider chooses it so, and renews what the victim has."""
    service = POLICY.provisioners["corp"].service
    chosen = service(victim).removeprefix("oidc.corp.")

    assert service(chosen) != service(victim)
    assert SERVICE_ID.fullmatch(service(chosen))


def test_two_provisioners_vouch_for_two_services():
    assert POLICY.provisioners["ops"].service("a") != POLICY.provisioners["corp"].service("a")


def test_a_name_is_given_to_one_provisioner():
    for name in ("ops", "Ops"):
        with pytest.raises(Error, match="twice"):
            compiled([ACMEProvisioner("ops"), JWKProvisioner(name, ssh_authority.jwk())])


def test_a_name_with_other_characters_is_one_part_of_its_services_ids():
    jwk = JWKProvisioner("You@Example.com", ssh_authority.jwk())
    one = compiled([jwk])["You@Example.com"]
    policy = POLICY.with_provisioners([jwk])

    service = one.service("web.example.internal")

    assert service == "jwk.you-example-com.web.example.internal"
    assert policy.provisioner_of(service).name == one.name


@pytest.mark.parametrize("key", ["", "{", "[]", "{}", '{"kty":"oct","k":"c2VjcmV0"}', "null"])
def test_a_provisioner_without_a_good_key_is_refused(key):
    with pytest.raises(Error) as refused:
        compiled([JWKProvisioner("ops", key)])
    assert refused.value.kind is Kind.CONFIGURATION


@pytest.mark.parametrize("kind", ["profiles", "ssh_profiles"])
def test_a_mapping_gives_no_profile_that_its_rules_do_not_allow(kind):
    mapping = GroupMapping(("ops",), **{kind: ("ssh-root",)})

    with pytest.raises(Error, match="ssh-root"):
        compiled([OIDCProvisioner("corp", "https://id", "us", mappings=(mapping,))])


@pytest.mark.parametrize("glob", ["", "a b", "a,b", "a?", "ä", "a\n"])
def test_a_rule_for_principals_that_can_match_none_is_refused(glob):
    rules = Rules(principals=(glob,))

    with pytest.raises(Error) as refused:
        compiled([JWKProvisioner("ops", ssh_authority.jwk(), rules=rules)])
    assert refused.value.kind is Kind.CONFIGURATION


@pytest.mark.parametrize(
    ("glob", "principal", "inside"),
    [
        ("deploy-*", "deploy-1", True),
        ("deploy-*", "deploy-", True),
        ("deploy-*", "xdeploy-1", False),
        ("*", "root", True),
        ("a.b", "axb", False),
        ("[a-z]*", "abc", False),
        ("deploy", "DEPLOY", False),
        ("*@example.com", "alice@example.com", True),
        ("*@example.com", "alice@example.com.evil", False),
    ],
)
def test_a_star_is_any_run_of_characters_and_nothing_else_is_special(glob, principal, inside):
    assert PrincipalRules([glob]).allow(principal) is inside


def test_a_provisioner_gives_no_certificate_for_tomorrow():
    def ask(hours, **bounds):
        begin = pki.NOW + hours * HOUR
        return validity(SERVER, ISSUER, pki.NOW, 60, not_before=begin, **bounds)

    bounds = Lifetimes(300, DAY, DAY)
    late = {"not_after": pki.NOW + 28 * HOUR}
    with pytest.raises(Error, match="ends more than 86400 s from now"):
        ask(12, lifetimes=bounds, **late)
    assert ask(12, **late)  # who has no provisioner is an operator
    # What was not asked for is cut, as long as something is left.
    assert ask(12, lifetimes=bounds) == (pki.NOW + 12 * HOUR, pki.NOW + DAY)
    assert ask(1, lifetimes=Lifetimes(300, DAY, HOUR)) == (pki.NOW + HOUR, pki.NOW + 2 * HOUR)
    with pytest.raises(Error, match="ends more than 86400 s from now"):
        ask(24, lifetimes=bounds)
    with pytest.raises(Error, match="begins too far in the future"):
        ask(25, lifetimes=bounds)


# What the holder of a certificate may do.


def test_who_gets_tokens_by_the_hundred_is_limited_as_services_are():
    """One certificate, or one account, would do to fill the disk with others."""
    more = compiled((X5CProvisioner("x5c"), SSHPOPProvisioner("sshpop")))
    each = (*more.values(), *POLICY.provisioners.values())
    limited = {one.type for one in each if one.rule("a").certificates_per_hour is None}

    assert limited == {"x5c", "sshpop", "oidc"}


def test_whom_a_provisioner_vouched_for_renews_and_revokes_and_never_asks():
    for service in ("jwk.ops.build", "oidc.corp.alice", "acme.acme.x4kq"):
        assert POLICY.rule(service).operations == {Operation.RENEW, Operation.REVOKE}
        # Nobody stands between a holder and one renewal after the other but the limits.
        assert POLICY.rule(service).certificates_per_hour is None


def test_without_the_claim_nobody_renews():
    policy = ssh_authority.policy(given=ssh_authority.provisioners(Claims(renewal=False)))
    acme = ssh_authority.policy(given=(ACMEProvisioner("acme", renewal=False),))

    assert policy.rule("jwk.ops.build").operations == {Operation.REVOKE}
    assert acme.rule("acme.acme.x").operations == {Operation.REVOKE}


@pytest.mark.parametrize(
    "service", ["jwk.gone.build", "oidc.ops.build", "x5c.ops.build", "jwk.ops", "jwk.", "acme.x"]
)
def test_a_provisioner_that_is_not_there_lets_nobody_renew(service):
    assert POLICY.provisioner_of(service) is None
    assert POLICY.rule(service).operations == {Operation.REVOKE}


def test_the_whitelist_may_name_one_after_all():
    rule = ServiceRule("oidc.corp.alice", frozenset({Operation.DOWNLOAD}))
    policy = ssh_authority.policy(rule)

    assert policy.rule("oidc.corp.alice") is rule
    assert policy.provisioner_of("oidc.corp.alice") is None
    assert policy.rule("oidc.corp.bob").operations == {Operation.RENEW, Operation.REVOKE}


def test_a_service_with_a_name_like_a_prefix_is_a_service():
    whitelist = Whitelist(patterns=[ServiceRule("*", frozenset({Operation.REQUEST}))])

    for service in ("jwk", "jwkx.ops.build", "oidc-corp", "token.web", "acme"):
        assert whitelist.rule(service).operations


# Names.


def test_a_token_gets_the_names_that_it_says():
    assert decide(build(), common_name="build").common_name == "build"


@pytest.mark.parametrize("name", ["other.ops.internal", "jwk.ops.build", "a.web.internal", "build"])
def test_a_token_gets_no_other_name(name):
    """Neither its service id, nor what the whitelist gives to services."""
    everybody = ServiceRule("*", frozenset(Operation), names=("**",))
    policy = replace(POLICY, whitelist=Whitelist([], [everybody]))

    assert refusal(build(), name, policy=policy) is Kind.REJECTED_IDENTIFIER


def test_rules_bound_the_names_of_tokens_and_of_admins():
    policy = ssh_authority.policy(
        given=ssh_authority.provisioners(rules=Rules(names=("*.lab.internal",)))
    )

    assert refusal(build(policy), policy=policy) is Kind.REJECTED_IDENTIFIER
    admin = build(policy, any_names=True)
    assert decide(admin, "a.lab.internal", policy=policy)
    assert refusal(admin, "a.web.internal", policy=policy) is Kind.REJECTED_IDENTIFIER


def test_an_admin_without_rules_asks_for_any_name():
    assert decide(build(any_names=True), "whatever.internal")


def test_a_provisioner_that_is_gone_vouches_for_nothing():
    assert refusal(build(provisioner="gone")) is Kind.BAD_PROFILE
    renamed = build(provisioner="gone", profiles=("peer",), any_names=True)
    assert refusal(renamed) is Kind.BAD_PROFILE


def test_a_wildcard_needs_its_profile_also_from_a_token():
    wild = build(names=pki.identifiers("*.ops.internal"))

    assert refusal(wild, "*.ops.internal") is Kind.REJECTED_IDENTIFIER


@pytest.mark.parametrize("name", ["postgres", "root", "build2", "b" * 65])
def test_a_common_name_that_nobody_vouched_for_is_refused(name):
    assert refusal(build(), common_name=name) is Kind.REJECTED_IDENTIFIER


def test_a_common_name_that_was_vouched_for_passes_the_lints():
    issuing = pki.pki().issuing
    for _ in range(2):  # the first leaf by every lint, the next one by its frame
        approval = decide(build(), common_name="build")
        assert approval.vouched
        serial = new_serial(pki.clock, pki.entropy)
        leaf = issue_leaf(draft_leaf(approval, issuing, serial), issuing)
        assert leaf.common_name == "build"
    forged = structs.replace(approval, vouched=False, seal=pki.SEAL)
    with pytest.raises(Error, match="common-name"):
        draft_leaf(forged, issuing, new_serial(pki.clock, pki.entropy))


# Profiles.


def test_the_rules_say_which_profiles_a_token_may_name():
    server = ssh_authority.policy(
        given=ssh_authority.provisioners(rules=Rules(profiles=("server",)))
    )

    assert decide(build(server), policy=server, profile="server")
    assert refusal(build(server), policy=server, profile="peer") is Kind.BAD_PROFILE
    wider = build(server, profiles=("peer", "client"))
    assert refusal(wider, policy=server, profile="client") is Kind.BAD_PROFILE


def test_who_may_be_a_peer_may_be_half_of_one():
    for profile in ("server", "client", "peer"):
        assert decide(build(), profile=profile)
    narrow = build(profiles=("server",))
    assert refusal(narrow, profile="client") is Kind.BAD_PROFILE


# Lifetimes.


def test_claims_and_profile_bound_a_lifetime_together():
    assert lifetime(build()) == DAY
    assert lifetime(build(), lifetime=HOUR) == HOUR
    for asked in (DAY + 1, 60, -1, 0, 1 << 63, 1 << 64):
        assert refusal(build(), lifetime=asked) is Kind.BAD_LIFETIME


def test_a_default_is_clipped_to_the_profile():
    long = build(lifetimes=Lifetimes(1, 1 << 40, 1000 * DAY))
    none = build(lifetimes=Lifetimes(1, 1 << 40, 0))

    assert lifetime(long) == SERVER.lifetime_max
    assert lifetime(none) == SERVER.lifetime


def test_a_client_counts_its_maximum_from_now():
    """step asks for `--not-after 24h`; the minute before now is ours."""
    assert lifetime(build(), not_after=pki.NOW + DAY) == DAY + 60
    begin = pki.NOW - 60
    assert lifetime(build(), not_before=begin, not_after=pki.NOW + DAY) == DAY + 60
    assert refusal(build(), not_after=pki.NOW + DAY + 1) is Kind.BAD_LIFETIME
    assert refusal(build(), not_before=begin - 1, not_after=pki.NOW + DAY) is Kind.BAD_LIFETIME


@pytest.mark.parametrize("moment", [-(1 << 63), 0, 1 << 40, 1 << 63, 1 << 70])
def test_moments_that_no_calendar_knows_are_refused(moment):
    assert refusal(build(), not_before=moment) is Kind.BAD_LIFETIME
    assert refusal(build(), not_after=moment) is Kind.BAD_LIFETIME


def test_nothing_outlives_the_credential_that_asks():
    ending = build(expires_at=pki.NOW + HOUR)

    assert decide(ending).not_after == pki.NOW + HOUR
    assert refusal(ending, lifetime=2 * HOUR) is Kind.BAD_LIFETIME
    assert refusal(build(expires_at=pki.NOW)) is Kind.BAD_LIFETIME


def test_bounds_that_leave_nothing_leave_nothing():
    with pytest.raises(Error) as refused:
        validity(SERVER, ISSUER, pki.NOW, 60, lifetimes=Lifetimes(1, 60, 30))
    assert refused.value.kind is Kind.BAD_LIFETIME


# On record.


def leaf(world, requester=None, **changes):
    requester = requester or build(world.authority.policy)
    changes = {"common_name": requester.common_names[0]} | changes
    return world.run(issue(world.authority, requester, wish(requester, **changes)))


def shown(world, certificate):
    asked = requester_from_certificate(world.authority, certificate.der, "127.0.0.1")
    return world.run(asked)[0]


def stored(world, certificate):
    return world.run(world.store.certificate(certificate.serial))


def refused(world, coroutine):
    with pytest.raises(Error) as refusal:
        world.run(coroutine)
    return refusal.value.kind


def test_a_token_is_good_for_one_certificate(world):
    who = build(world.authority.policy, burns=Burn(b"t" * 32, int(world.clock()) + 300))
    leaf(world, who)

    assert refused(world, issue(world.authority, who, wish(who))) is Kind.BAD_TOKEN


def test_its_holder_renews_it_as_it_is(world):
    old = leaf(world)
    who = shown(world, old)
    world.clock.now += HOUR

    new = world.run(renew(world.authority, who, stored(world, old)))

    assert (new.common_name, new.identifiers) == ("build", old.identifiers)
    assert new.not_after - new.not_before == old.not_after - old.not_before
    assert new.service == "jwk.ops.build"
    assert world.run(rekey(world.authority, who, stored(world, old), pki.key(number=7)))


def test_its_holder_renews_no_longer_than_claimed(world):
    old = leaf(world)

    act = renew(world.authority, shown(world, old), stored(world, old), lifetime=2 * DAY)
    assert refused(world, act) is Kind.BAD_LIFETIME


def test_its_holder_renews_no_other_of_the_same_subject(world):
    """One for clients would become one for servers, where another token gave that."""
    mine = leaf(world, profile="client")
    other = leaf(world)

    for act in (
        renew(world.authority, shown(world, mine), stored(world, other)),
        rekey(world.authority, shown(world, mine), stored(world, other), pki.key(number=7)),
    ):
        assert refused(world, act) is Kind.FORBIDDEN


def test_a_short_certificate_is_not_renewed_for_a_day(world):
    """What made it short, as the groups of a person, is not looked at again."""
    old = leaf(world, lifetime=HOUR)
    who = shown(world, old)

    longer = renew(world.authority, who, stored(world, old), lifetime=2 * HOUR)
    assert refused(world, longer) is Kind.BAD_LIFETIME
    new = world.run(renew(world.authority, who, stored(world, old), lifetime=HOUR))
    assert new.not_after - new.not_before == HOUR


def test_its_holder_asks_for_nothing_new(world):
    who = shown(world, leaf(world))

    assert (who.provisioner, who.may(Operation.REQUEST)) == ("ops", False)
    assert refused(world, issue(world.authority, who, wish(who))) is Kind.FORBIDDEN


def test_its_holder_acts_for_no_other_service(world):
    other = leaf(world, build(world.authority.policy, "other"))
    plain = world.certificate("db", "a.db.internal")
    who = shown(world, leaf(world))

    for certificate in (other, plain):
        there = stored(world, certificate)
        assert refused(world, renew(world.authority, who, there)) is Kind.FORBIDDEN
        act = revoke(world.authority, who, there, Reason.UNSPECIFIED)
        assert refused(world, act) is Kind.FORBIDDEN


def test_over_rest_its_certificate_is_no_way_to_another_service(world):
    peer = Peer("127.0.0.1", leaf(world).der, "TLSv1.3")
    other = world.certificate("db", "a.db.internal")

    for method, path, body in (
        ("POST", f"/certificates/{other.id}/renew", {}),
        ("DELETE", f"/certificates/{other.id}/revoke", {"reason": "unspecified"}),
        ("GET", f"/certificates/{other.id}", None),
        ("POST", "/tokens", {"service_name": "db", "names": []}),
        ("GET", "/audit", None),
    ):
        reply = world.ask(method, path, peer=peer, json=body)
        assert reply.status in (403, 404), (path, reply.body)


def test_its_holder_revokes_its_own(world):
    own = leaf(world)
    world.run(revoke(world.authority, shown(world, own), stored(world, own), Reason.SUPERSEDED))

    assert stored(world, own).revocation.reason is Reason.SUPERSEDED


def test_without_its_provisioner_it_is_not_renewed_but_revoked(world):
    own = leaf(world)
    before = shown(world, own)
    world.authority.policy = world.authority.policy.with_provisioners(())
    who = current_rule(world.authority, before)

    assert (who.provisioner, who.may(Operation.RENEW)) == ("", False)
    assert refused(world, renew(world.authority, who, stored(world, own))) is Kind.FORBIDDEN
    stale = renew(world.authority, before, stored(world, own))
    assert refused(world, stale) is Kind.FORBIDDEN
    assert world.run(renew(world.authority, ADMIN, stored(world, own)))
    world.run(revoke(world.authority, who, stored(world, own), Reason.UNSPECIFIED))


def test_claims_of_now_decide_about_a_connection_of_before(world):
    own = leaf(world)
    before = shown(world, own)
    claims = Claims(renewal=False, tls=Lifetimes(60, HOUR, HOUR))
    policy = world.authority.policy
    world.authority.policy = policy.with_provisioners(ssh_authority.provisioners(claims))
    who = current_rule(world.authority, before)

    assert who.lifetimes.maximum == HOUR
    assert refused(world, renew(world.authority, who, stored(world, own))) is Kind.FORBIDDEN


def test_an_expired_certificate_is_renewed_only_if_claimed(world):
    own = leaf(world)
    there = stored(world, own)
    world.clock.now = own.not_after + 1
    who = holder(world.authority, own, Credential.X5C, "")
    assert refused(world, renew(world.authority, who, there)) is Kind.CONFLICT

    policy = world.authority.policy
    late = ssh_authority.provisioners(Claims(renewal_after_expiry=True))
    world.authority.policy = policy.with_provisioners(late)
    assert world.run(renew(world.authority, who, there))
    world.run(revoke(world.authority, ADMIN, there, Reason.UNSPECIFIED))
    again = stored(world, own)
    assert refused(world, renew(world.authority, who, again)) is Kind.CONFLICT


def ordered(world, *names):
    """Return a certificate of an ACME account, and the account."""
    account = Account(
        "x4kq", "acme", b"{}", b"t" * 32, AccountStatus.VALID, (), True, None, int(world.clock())
    )
    world.run(world.store.commit(Act(changes=(account,))))
    names = pki.identifiers(*names)
    requester = world.authority.policy.provisioner("acme", ACME).requester(account.id, names)
    request = IssuanceRequest(requester.service, "server", pki.key(), names)
    return world.run(issue(world.authority, requester, request)), account


def test_an_acme_certificate_is_renewed_by_its_holder_wildcards_too(world):
    own, _ = ordered(world, "web.internal", "*.web.internal")

    new = world.run(renew(world.authority, shown(world, own), stored(world, own)))

    assert (new.identifiers, new.service) == (own.identifiers, "acme.acme.x4kq")
    assert new.replaces == own.serial


@pytest.mark.parametrize("status", [AccountStatus.REVOKED, AccountStatus.DEACTIVATED])
def test_what_an_ended_acme_account_ordered_has_no_successor(world, status):
    own, account = ordered(world, "web.internal")
    ended = replace(account, status=status, version=account.version + 1)
    world.run(world.store.commit(Act(changes=(ended,))))

    act = renew(world.authority, shown(world, own), stored(world, own))
    assert refused(world, act) is Kind.FORBIDDEN
    assert world.run(renew(world.authority, ADMIN, stored(world, own)))


def test_a_renewal_keeps_a_lifetime_that_was_asked_for_to_the_last(world):
    own = leaf(world, not_after=int(world.clock()) + DAY)
    short = Claims(tls=Lifetimes(60, DAY, HOUR))
    world.authority.policy = world.authority.policy.with_provisioners(
        ssh_authority.provisioners(short)
    )

    new = world.run(renew(world.authority, shown(world, own), stored(world, own)))
    assert new.not_after - new.not_before == DAY


def test_a_rule_that_was_narrowed_since_narrows_renewals(world):
    own = leaf(world)
    policy = world.authority.policy
    narrow = ssh_authority.provisioners(rules=Rules(names=("*.lab.internal",)))
    world.authority.policy = policy.with_provisioners(narrow)
    who = current_rule(world.authority, shown(world, own))

    assert refused(world, renew(world.authority, who, stored(world, own))) is (
        Kind.REJECTED_IDENTIFIER
    )
