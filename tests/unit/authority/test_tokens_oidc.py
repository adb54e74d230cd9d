"""ID tokens: what they give, whose they have to be, and keys that are rolled over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mintmark.authority.workflow.tokens import Purpose
from mintmark.model.access import Credential, Operation
from mintmark.model.errors import Kind
from mintmark.model.provisioner import Claims, GroupMapping, OIDCProvisioner, Rules
from mintmark.model.ssh import SSHCertificateType
from mintmark.wire import jwt
from tests.unit.authority.token_world import (
    HOST,
    ISSUER,
    KEY,
    PEOPLE,
    PROVIDER_KEY,
    SERVICES,
    STRANGER,
    document,
)

FORGED = "the token is not signed by a provisioner of this authority"
USER = frozenset({SSHCertificateType.USER})


def test_a_person_gets_what_the_provider_says_of_her(world):
    verified = world.ask(world.id_token(), Purpose.SSH_SIGN)
    requester = verified.requester
    assert requester.credential is Credential.OIDC
    assert (requester.service, requester.provisioner) == ("oidc.people.a1", "people")
    assert requester.rule.operations == {Operation.REQUEST}
    assert [str(one) for one in requester.identifiers] == [
        "alice@example.com",
        "https://idp.example.internal#a1",
    ]
    assert requester.common_names == ("a1",)
    assert not requester.any_names
    grant = requester.ssh
    assert grant.types == USER
    assert grant.key_id == "alice@example.com"
    assert grant.user_principals == ("alice", "alice@example.com")
    assert grant.host_principals == ()
    assert not grant.any_principals
    assert verified.subject == "a1"


def test_a_service_is_the_subject_because_addresses_change_hands(world):
    services = {
        world.ask(world.id_token(sub=sub)).requester.service for sub in ("a1", "b2", "A1", "a/1")
    }
    assert len(services) == 4
    assert all(service.startswith("oidc.people.") for service in services)


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_without_a_verified_address_there_are_no_login_names(world, verified):
    text = world.id_token(email_verified=verified)
    error = world.refused(text, Purpose.SSH_SIGN)
    assert error.kind is Kind.FORBIDDEN
    assert "not verified" in error.detail
    requester = world.ask(text).requester
    assert [str(one) for one in requester.identifiers] == ["https://idp.example.internal#a1"]
    assert requester.ssh is None


def test_mappings_say_what_a_person_gets(world):
    ops = GroupMapping(
        ("ops",), principals=("deploy", "{email.local}"), ssh_profiles=("ssh-user",), lifetime=3600
    )
    world.provision(replace(PEOPLE, mappings=(ops,), groups=("staff", "ops")))
    requester = world.ask(world.id_token(groups=["ops"]), Purpose.SSH_SIGN).requester
    assert requester.ssh.user_principals == ("deploy", "alice")
    assert requester.ssh.user.maximum == requester.ssh.user.default == 3600
    assert requester.lifetimes.maximum == 3600
    assert requester.identifiers == ()  # no mapping gives an X.509 profile
    error = world.refused(world.id_token(groups=["ops"]), Purpose.SIGN)
    assert error.kind is Kind.FORBIDDEN
    assert "profile" in error.detail
    error = world.refused(world.id_token(groups=["staff"]), Purpose.SSH_SIGN)
    assert error.kind is Kind.FORBIDDEN
    assert "ops" in error.detail
    assert world.refused(world.id_token(groups=["dba"])).kind is Kind.FORBIDDEN
    assert world.refused(world.id_token()).kind is Kind.FORBIDDEN


def test_who_left_the_group_is_refused_at_the_next_login(world):
    world.provision(replace(PEOPLE, groups=("ops",)))
    assert world.ask(world.id_token(groups=["ops"]), Purpose.SSH_SIGN)
    assert world.refused(world.id_token(groups=[]), Purpose.SSH_SIGN).kind is Kind.FORBIDDEN


def test_admins_ask_for_any_names(world):
    requester = world.ask(world.id_token(email="root@example.com"), Purpose.SSH_SIGN).requester
    assert requester.any_names
    assert requester.ssh.any_principals
    assert requester.ssh.key_id == ""
    assert requester.ssh.types == frozenset(SSHCertificateType)
    assert not requester.is_admin  # of the provisioner, not of the authority
    mapped = replace(PEOPLE, mappings=(GroupMapping(("dba",)),))
    world.provision(mapped)
    assert world.ask(world.id_token(email="root@example.com")).requester.any_names


def test_only_admins_revoke_by_signing_in(world):
    for purpose in (Purpose.REVOKE, Purpose.SSH_REVOKE):
        assert world.refused(world.id_token(), purpose).kind is Kind.FORBIDDEN
        requester = world.ask(world.id_token(email="root@example.com"), purpose).requester
        assert requester.rule.operations == {Operation.REVOKE, Operation.ADMIN}
        assert requester.ssh is None
        unverified = world.id_token(email="root@example.com", email_verified=False)
        assert world.refused(unverified, purpose).kind is Kind.FORBIDDEN


@pytest.mark.parametrize("purpose", [Purpose.RENEW, Purpose.SSH_RENEW, Purpose.SSH_REKEY])
def test_people_renew_nothing(world, purpose):
    text = world.id_token(email="root@example.com")
    assert world.refused(text, purpose).kind is Kind.BAD_TOKEN


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another"}, {"aud": []}, {"aud": None}, {"aud": ["mintmark", "another"]},
        {"aud": ["another", "mintmark"]}, {"aud": {"mintmark": 1}}, {"aud": 5},
        {"azp": "another"}, {"azp": "another", "aud": ["another", "mintmark"]},
        {"azp": "mintmark", "aud": "another"}, {"azp": 5}, {"azp": ["mintmark"]}, {"azp": ""},
        {"iss": "https://evil.test"}, {"iss": f"{ISSUER}/"}, {"iss": f"{ISSUER}.evil.test"},
        {"iss": ISSUER.upper()}, {"iss": None}, {"iss": [ISSUER]}, {"iss": "people"},
        {"sub": None}, {"sub": ""}, {"sub": "a\nb"}, {"sub": 5}, {"sub": "x" * 256},
        {"exp": None}, {"exp": "never"}, {"iat": None}, {"nonce": 5}, {"nonce": "x" * 2000},
    ],
)  # fmt: skip
def test_an_id_token_of_or_for_another_is_refused(world, claims):
    assert world.refused(world.id_token(**claims)).kind is Kind.BAD_TOKEN


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["mintmark"]},
        {"azp": "mintmark"},
        {"azp": "mintmark", "aud": ["another", "mintmark"]},
    ],
)
def test_an_id_token_can_have_several_audiences(world, claims):  # fmt: skip
    assert world.ask(world.id_token(**claims))


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": -60}, "expired"),
        ({"iat": 61}, "in the future"),
        ({"nbf": 61}, "in the future"),
        ({"iat": -3660}, "sign in again"),
        ({"iat": -86000, "exp": 400}, "sign in again"),
    ],
)
def test_an_id_token_is_used_when_it_is_fresh(world, claims, reason):
    now = int(world.clock())
    error = world.refused(world.id_token(**{name: now + at for name, at in claims.items()}))
    assert error.kind is Kind.BAD_TOKEN
    assert reason in f"{error.detail} {error.hint}"


def test_an_id_token_may_live_for_a_day_but_is_remembered_for_an_hour(world):
    now = int(world.clock())
    verified = world.ask(world.id_token(exp=now + 86400))
    assert now + 3660 <= verified.requester.burns.expires_at <= now + 3800


def test_an_id_token_is_used_once(world):
    text = world.id_token()
    world.burn(world.ask(text))
    assert "used up" in world.refused(text).detail
    without = world.id_token(nonce=None)
    world.burn(world.ask(without))
    assert "used up" in world.refused(without).detail


def test_nobody_uses_up_the_nonce_of_another(world):
    world.burn(world.ask(world.id_token(nonce="chosen", sub="mallory")))
    assert world.ask(world.id_token(nonce="chosen", sub="a1"))


# --- keys --------------------------------------------------------------------------------------


def test_keys_of_others_sign_no_id_token(world):
    for key in (STRANGER, KEY):
        assert world.refused(world.id_token(key=key)).detail == FORGED
    assert world.refused(world.token(key=PROVIDER_KEY, header={"kid": "one"})).detail == FORGED
    claims = world.claims(iss="services", aud=f"https://{HOST}/1.0/sign")
    kid = document(KEY)["kid"]
    assert world.refused(jwt.sign({"kid": kid}, claims, PROVIDER_KEY)).detail == FORGED


def test_a_provider_that_rolled_its_keys_over_is_asked_once(world):
    new = ec.generate_private_key(ec.SECP256R1())
    world.providers.rolled_over = [document(PROVIDER_KEY, kid="one"), document(new, kid="two")]
    assert world.ask(world.id_token(key=new, kid="two"))
    assert world.ask(world.id_token())
    assert world.providers.missing == ["two"]


def test_a_key_that_the_provider_does_not_have_is_asked_for_once_a_token(world):
    assert world.refused(world.id_token(kid="forged")).detail == FORGED
    assert world.providers.missing == ["forged"]


def test_a_provider_that_is_down_is_told(world):
    world.providers.down = True
    assert world.refused(world.id_token()).kind is Kind.UNAVAILABLE
    assert world.ask(world.token())  # others go on


def test_a_stranger_cannot_make_us_ask_the_provider(world):
    world.providers.down = True
    for claims in ({"iss": "https://evil.test"}, {"aud": "another"}, {"azp": "another"}):
        assert world.refused(world.id_token(**claims)).kind is Kind.BAD_TOKEN


def test_a_token_without_a_key_id_takes_the_only_key(world):
    assert world.ask(world.id_token(kid=""))
    world.providers.held.append(document(STRANGER, kid="two"))
    assert world.refused(world.id_token(kid="")).detail == FORGED
    assert world.providers.missing == []


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"}, {"alg": "ES384"}, {"alg": "HS256"}, {"alg": None}, {"kty": "oct"},
        {"kid": 5}, {"key_ops": ["sign"]}, {"key_ops": "verify"}, {"x": "AA"}, {"d": "secret"},
        {"crv": "P-999"}, {"kty": None},
    ],
)  # fmt: skip
def test_keys_that_are_not_for_id_tokens_verify_none(world, change):
    world.providers.held = [document(PROVIDER_KEY, kid="one") | change]
    assert world.refused(world.id_token()).detail == FORGED


def test_two_keys_of_one_name_are_told_apart_by_their_algorithm(world):
    other = rsa.generate_private_key(65537, 2048)
    world.providers.held.append(document(other, kid="one"))
    assert world.ask(world.id_token())
    assert world.ask(world.id_token(key=other))
    world.providers.held.append(document(STRANGER, kid="one"))
    assert world.refused(world.id_token()).detail == FORGED


def test_entries_of_a_key_set_that_are_no_keys_harm_nobody(world):
    world.providers.held[:0] = [{}, {"kty": "RSA"}, {"kty": "EC", "crv": 5}, {"kid": "one"}]
    assert world.ask(world.id_token())


# --- provisioners of one provider --------------------------------------------------------------


def test_the_client_says_which_provisioner_is_meant(world):
    strict = OIDCProvisioner("strict", ISSUER, "another", groups=("ops",))
    world.provision(PEOPLE, strict, SERVICES)
    assert world.ask(world.id_token()).provisioner.name == "people"
    assert world.refused(world.id_token(aud="another")).kind is Kind.FORBIDDEN
    verified = world.ask(world.id_token(aud="another", groups=["ops"]))
    assert verified.provisioner.name == "strict"
    assert verified.requester.service == "oidc.strict.a1"


@pytest.mark.parametrize("endpoint", [f"{ISSUER}/", f"{ISSUER}/.well-known/openid-configuration"])
def test_a_provider_is_configured_by_issuer_or_document(world, endpoint):
    world.provision(replace(PEOPLE, configuration_endpoint=endpoint))
    assert world.ask(world.id_token())


def test_a_provisioner_without_ssh_gives_none(world):
    world.provision(replace(PEOPLE, claims=Claims(ssh=False)))
    assert world.refused(world.id_token(), Purpose.SSH_SIGN).kind is Kind.FORBIDDEN
    assert world.ask(world.id_token()).requester.ssh is None
    world.provision(replace(PEOPLE, rules=Rules(ssh_profiles=())))
    assert world.refused(world.id_token(), Purpose.SSH_SIGN).kind is Kind.FORBIDDEN


def test_a_subject_like_an_address_is_not_logged_as_that_person(world):
    mapping = GroupMapping(principals=("deploy",), ssh_profiles=("ssh-user",))
    world.provision(replace(PEOPLE, mappings=(mapping,)))
    for sub, key_id in (("alice@example.com", "sub:alice@example.com"), ("a1", "a1")):
        text = world.id_token(sub=sub, email=None)
        assert world.ask(text, Purpose.SSH_SIGN).requester.ssh.key_id == key_id


def test_a_claim_that_would_be_two_principals_is_left_to_the_signing_function(world):
    mapping = GroupMapping(principals=("{preferred_username}",), ssh_profiles=("ssh-user",))
    world.provision(replace(PEOPLE, mappings=(mapping,)))
    text = world.id_token(preferred_username="alice,root")
    assert world.ask(text, Purpose.SSH_SIGN).requester.ssh.user_principals == ("alice,root",)
