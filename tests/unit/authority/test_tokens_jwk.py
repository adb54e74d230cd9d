"""Tokens of JWK provisioners: what they give, and every way to forge one."""

from __future__ import annotations

import asyncio
import hmac
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mintmark.authority.workflow.issue import issue
from mintmark.authority.workflow.tokens import Purpose, for_identity, requester_from_jwt
from mintmark.model.access import Credential, Operation
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import Claims, JWKProvisioner
from mintmark.model.request import IssuanceRequest
from mintmark.model.ssh import SSHCertificateType
from mintmark.wire import jose, jwt
from tests import pki
from tests.unit.authority.token_world import (
    HOST,
    KEY,
    OTHER_KEY,
    OTHERS,
    PROVIDER_KEY,
    SERVICES,
    STRANGER,
    World,
    document,
)

USER, HOST_TYPE = SSHCertificateType
FOR_SSH = {"ssh": {}}
FORGED = "the token is not signed by a provisioner of this authority"


def b64(octets: bytes | str) -> str:
    return jose.encode(octets.encode() if isinstance(octets, str) else octets)


def unsigned(header: dict, claims: dict, signature: bytes = b"") -> str:
    return f"{b64(json.dumps(header))}.{b64(json.dumps(claims))}.{b64(signature)}"


def test_a_token_speaks_for_its_subject(world):
    verified = world.ask(world.token(sans=["web.example.internal", "192.0.2.7"]))
    requester = verified.requester
    assert requester.credential is Credential.JWK
    assert requester.provisioner == "services"
    assert requester.service == "jwk.services.web.example.internal"
    assert list(map(str, requester.identifiers)) == ["web.example.internal", "192.0.2.7"]
    assert requester.common_names == ("web.example.internal",)
    assert requester.lifetimes == SERVICES.claims.tls
    assert requester.rule.operations == {Operation.REQUEST}
    assert requester.address == "192.0.2.1"
    assert not requester.is_admin
    assert verified.subject == "web.example.internal"
    assert verified.provisioner.name == "services"
    assert verified.stored is None


def test_without_sans_the_subject_is_the_only_name(world):
    requester = world.ask(world.token(sub="alice@example.com")).requester
    assert list(map(str, requester.identifiers)) == ["alice@example.com"]


@pytest.mark.parametrize("key", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1(), "ed25519", 2048])
def test_keys_of_every_kind_sign_tokens(world, key):
    if key == "ed25519":
        private = ed25519.Ed25519PrivateKey.generate()
    elif isinstance(key, int):
        private = rsa.generate_private_key(65537, key)
    else:
        private = ec.generate_private_key(key)
    world.provision(JWKProvisioner("services", json.dumps(document(private))))
    assert world.ask(world.token(key=private))


@pytest.mark.parametrize("method", ["sign", "ssh/sign"])
@pytest.mark.parametrize("purpose", [Purpose.SIGN, Purpose.SSH_SIGN])
@pytest.mark.parametrize(
    "place", [HOST, HOST.upper(), f"{HOST}:1", "127.0.0.1", "[::1]:8443", "[0:0::1]", f"{HOST}."]
)
@pytest.mark.parametrize("prefix", ["", "/1.0"])
def test_a_token_for_signing_is_good_for_both_kinds_at_every_name(
    world, method, purpose, place, prefix
):  # fmt: skip
    step = FOR_SSH if purpose is Purpose.SSH_SIGN else None
    for aud in (f"https://{place}{prefix}/{method}", ["x", f"https://{place}{prefix}/{method}"]):
        assert world.ask(world.token(aud=aud, step=step), purpose)


@pytest.mark.parametrize(
    "aud",
    [
        None,
        "",
        [],
        5,
        {"https://ca.example.internal/1.0/sign": 1},
        "step-certificate-authority",
        "https://other.example.internal/1.0/sign",
        f"https://{HOST}.evil.test/1.0/sign",
        f"https://evil.test/{HOST}/1.0/sign",
        f"https://{HOST}@evil.test/1.0/sign",
        f"https://evil@{HOST}/1.0/sign",
        f"https://evil.test#https://{HOST}/1.0/sign",
        f"http://{HOST}/1.0/sign",
        f"https://{HOST}/1.0/revoke",
        f"https://{HOST}/1.0/renew",
        f"https://{HOST}/1.0/ssh/revoke",
        f"https://{HOST}/1.0/sign/",
        f"https://{HOST}/1.0/sign/../revoke",
        f"https://{HOST}/1.0sign",
        f"https://{HOST}//sign",
        f"https://{HOST}/2.0/sign",
        f"https://{HOST}/1.0/SIGN",
        f"https://{HOST}/1.0/sign?x=1",
        f"https://{HOST}/1.0/sign#jwk/others",
        f"https://{HOST}/1.0/sign#x5c/machines",
        f"{HOST}/1.0/sign",
        f"//{HOST}/1.0/sign",
        "https:///1.0/sign",
        "https://[::1/1.0/sign",
        "https://[::2]/1.0/sign",
        ["a"] * 1000 + [f"https://{HOST}/1.0/sign"],
    ],
)
def test_a_token_for_somebody_or_something_else_is_refused(world, aud):
    error = world.refused(world.token(aud=aud))
    assert error.kind is Kind.BAD_TOKEN
    assert "not for 'https://127.0.0.1/1.0/sign'" in error.detail
    assert len(error.detail) < 400


@pytest.mark.parametrize("purpose", [Purpose.RENEW, Purpose.SSH_RENEW, Purpose.SSH_REKEY])
def test_a_provisioner_key_renews_nothing(world, purpose):
    text = world.token(aud=f"https://{HOST}/1.0/{purpose.value}")
    assert world.refused(text, purpose).kind is Kind.BAD_TOKEN


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": None}, "no 'exp'"),
        ({"exp": -61}, "expired"),
        ({"exp": -60}, "expired"),
        ({"nbf": 61}, "in the future"),
        ({"iat": 61, "nbf": None}, "in the future"),
        ({"exp": 3700}, "lives"),
        ({"exp": 3700, "iat": None, "nbf": None}, "lives"),
        ({"exp": 10**12}, "lives"),
    ],
)
def test_a_token_is_good_for_its_time_only(world, claims, reason):
    now = int(world.clock())
    moved = {name: value if value is None else now + value for name, value in claims.items()}
    error = world.refused(world.token(**moved))
    assert error.kind is Kind.BAD_TOKEN
    assert reason in error.detail


@pytest.mark.parametrize("claims", [{"exp": -59}, {"nbf": 60}, {"iat": 60}, {"exp": 3600}])
def test_clocks_may_differ_by_a_minute(world, claims):
    now = int(world.clock())
    assert world.ask(world.token(**{name: now + value for name, value in claims.items()}))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": "1900000000"}, {"exp": True}, {"exp": [1]}, {"nbf": "x"}, {"iat": {}},
        {"exp": -1}, {"exp": 1 << 60}, {"sub": 5}, {"sub": ["web"]}, {"sub": {}},
        {"sub": ""}, {"sub": None}, {"sub": "a\nb"}, {"sub": "a\0b"}, {"sub": "a\x7fb"},
        {"sub": "x" * 256}, {"sub": "a\u2028b"}, {"sub": "a\u202eb"},
        {"jti": 5}, {"jti": ["x"]}, {"jti": "x" * 1025}, {"jti": "a\nb"},
        {"sans": "web.example.internal"}, {"sans": [5]}, {"sans": {"a": 1}}, {"sans": [""]},
        {"sans": [f"n{number}.example.internal" for number in range(101)]},
        {"sans": ["a\nb"]}, {"sans": [["a"]]}, {"sans": [None]},
        {"cnf": "x"}, {"cnf": {}}, {"cnf": {"jwk": {}}}, {"cnf": {"x5rt#S256": "short"}},
        {"cnf": {"x5rt#S256": 5}}, {"cnf": []},
        {"step": "x"}, {"step": {"ssh": 5}}, {"step": {"ssh": {"certType": "root"}}},
        {"step": {"ssh": {"certType": 1}}}, {"step": {"ssh": {"principals": "root"}}},
        {"step": {"ssh": {"principals": [5]}}}, {"step": {"ssh": {"keyID": ["x"]}}},
        {"step": {"ssh": {"validAfter": 5}}}, {"step": {"ssh": {"validBefore": "soon"}}},
        {"step": {"ssh": {"validBefore": "1e9h"}}}, {"step": {"ssh": {"validAfter": "-99999999h"}}},
    ],
)  # fmt: skip
def test_a_claim_of_a_wrong_form_is_refused(world, claims):
    assert world.refused(world.token(**claims)).kind is Kind.BAD_TOKEN
    said = {"step": FOR_SSH} | claims
    assert world.refused(world.token(**said), Purpose.SSH_SIGN).kind is Kind.BAD_TOKEN


@pytest.mark.parametrize("name", ["not a name", "-x", "a_b.example", "*.*.example"])
def test_what_is_no_name_is_refused_for_x509_and_passed_over_for_ssh(world, name):
    assert world.refused(world.token(sub=name)).kind is Kind.REJECTED_IDENTIFIER
    verified = world.ask(world.token(sub=name, step=FOR_SSH), Purpose.SSH_SIGN)
    assert verified.requester.identifiers == ()
    assert verified.requester.ssh.key_id == name
    assert for_identity(verified).identifiers == ()


def test_names_of_a_token_for_ssh_are_read_for_an_identity(world):
    sans = ["a.web.internal", "not a name", "A.web.internal", "10.0.0.1"]
    verified = world.ask(world.token(sans=sans, step=FOR_SSH), Purpose.SSH_SIGN)

    assert verified.requester.identifiers == ()
    names = [one.value for one in for_identity(verified).identifiers]
    assert names == ["a.web.internal", "10.0.0.1"]


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"}, {"alg": "None"}, {"alg": ""}, {"alg": None}, {"alg": "HS256"},
        {"alg": "ES256K"}, {"alg": "RS256"}, {"alg": ["ES256"]}, {}, {"alg": "ES256", "crit": []},
        {"alg": "ES256", "jwk": {}}, {"alg": "ES256", "jku": "https://evil.test"},
        {"alg": "ES256", "zip": "DEF"}, {"alg": "ES256", "b64": False},
        {"alg": "ES256", "typ": "at+jwt"}, {"alg": "ES256", "kid": ["x"]},
    ],
)  # fmt: skip
def test_the_header_says_nothing_about_how_to_verify(world, header):
    header = {"kid": document(KEY)["kid"]} | header
    for signature in (b"", b"\0" * 64, b"x" * 64):
        error = world.refused(unsigned(header, world.claims(), signature))
        assert (error.kind, error.detail) == (Kind.BAD_TOKEN, FORGED)


@pytest.mark.parametrize("encoding", ["pem", "der", "jwk"])
def test_a_public_key_is_no_hmac_secret(world, encoding):
    public = KEY.public_key()
    secret = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "jwk": SERVICES.key.encode(),
    }[encoding]
    head = b64(json.dumps({"alg": "HS256", "kid": document(KEY)["kid"]}))
    body = b64(json.dumps(world.claims()))
    mac = hmac.digest(secret, f"{head}.{body}".encode(), "sha256")
    assert world.refused(f"{head}.{body}.{b64(mac)}").detail == FORGED


def test_all_forgeries_are_refused_in_the_same_words(world):
    good = world.token()
    head, body, signature = good.split(".")
    kid = document(KEY)["kid"]
    forgeries = [
        world.token(key=STRANGER),
        world.token(key=STRANGER, header={"kid": kid}),
        world.token(key=OTHER_KEY),
        world.token(key=OTHER_KEY, header={"kid": kid}),
        world.token(key=PROVIDER_KEY, header={"kid": kid}),
        world.token(iss="others"),
        world.token(iss="nobody"),
        world.token(iss="people"),
        world.token(iss="machines"),
        world.token(iss="acme"),
        world.token(iss="Services"),
        world.token(iss=""),
        world.token(iss=None),
        world.token(iss=["services"]),
        world.token(iss={"services": 1}),
        world.token(header={"kid": ""}),
        world.token(header={"kid": kid + "x"}),
        world.token(header={"x5c": []}),
        world.token(header={"sshpop": ""}),
        world.token(header={"x5cInsecure": [], "x5c": []}),
        f"{head}.{body}.",
        f"{head}.{body}.{b64(bytes(64))}",
        f"{head}.{b64(json.dumps(world.claims(sub='root')))}.{signature}",
        f"{head}.{body}.{signature}=",
        f"{head}.{body}.{signature}.",
        f" {good}",
        f"{good}\n",
        good.replace(".", ".."),
        b64(good),
        f"{head}.{b64(good)}.{signature}",
        "",
        ".",
        "..",
        "x" * 1_000_000,
        f"{head}.{'A' * 1_000_000}.{signature}",
        "." * 1_000_000,
        "\u00e9.\u00e9.\u00e9",
        "\ud800.a.b",
    ]
    for text in forgeries:
        error = world.refused(text)
        assert (error.kind, error.detail) == (Kind.BAD_TOKEN, FORGED), text[:80]
    assert world.ask(good)


def test_a_token_in_a_token_is_no_token(world):
    inner = world.token()
    text = jwt.sign({"kid": document(KEY)["kid"], "cty": "JWT"}, {"iss": inner}, STRANGER)
    assert world.refused(text).detail == FORGED


@pytest.mark.parametrize("twice", ['"sub":"root",', '"iss":"services",', '"exp":9999999999,'])
def test_a_claim_that_is_there_twice_is_refused(world, twice):
    head = b64(json.dumps({"alg": "ES256", "kid": document(KEY)["kid"]}))
    body = b64("{" + twice + json.dumps(world.claims())[1:])
    der = KEY.sign(f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    signature = b"".join(one.to_bytes(32) for one in utils.decode_dss_signature(der))
    text = f"{head}.{body}.{b64(signature)}"
    assert world.refused(text).detail == FORGED


def test_a_token_without_a_jti_has_no_second_spelling(world):
    text = world.token(jti=None)
    first = world.ask(text)
    head, body, signature = text.split(".")
    octets = jose.decode(signature, "signature")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = octets[:32] + (order - int.from_bytes(octets[32:])).to_bytes(32)
    twin = world.ask(f"{head}.{body}.{b64(other)}")
    assert twin.requester.burns == first.requester.burns
    world.burn(first)
    for again in (text, f"{head}.{body}.{b64(other)}"):
        assert "used up" in world.refused(again).detail


def test_a_token_is_used_once(world):
    text = world.token()
    verified = world.ask(text)
    world.burn(verified)
    error = world.refused(text)
    assert error.kind is Kind.BAD_TOKEN
    assert "used up" in error.detail


def test_a_jti_is_its_own_provisioners_only(world):
    first = world.ask(world.token(jti="same"))
    other = world.ask(world.token(key=OTHER_KEY, iss="others", jti="same"))
    person = world.ask(world.id_token(jti="same"))
    nonce = world.ask(world.id_token(nonce="same"))
    burns = {one.requester.burns.sha256 for one in (first, other, person, nonce)}
    assert len(burns) == 4
    world.burn(first)
    assert world.ask(world.token(key=OTHER_KEY, iss="others", jti="same"))


def test_a_forged_token_does_not_use_up_the_true_one(world):
    claims = world.claims()
    forged = jwt.sign({"kid": document(KEY)["kid"]}, claims, STRANGER)
    for _ in range(3):
        assert world.refused(forged).detail == FORGED
    assert world.run(world.store.token_used(b"x" * 32)) is False
    assert world.ask(jwt.sign({"kid": document(KEY)["kid"]}, claims, KEY))


def test_a_token_for_another_act_is_not_used_up_by_trying(world):
    text = world.token()
    world.refused(text, Purpose.REVOKE)
    assert world.ask(text)


def test_a_burn_outlives_the_token(world):
    verified = world.ask(world.token())
    ends = verified.claims["exp"]
    assert verified.requester.burns.expires_at >= ends + 60


def test_a_token_can_be_bound_to_a_key(world):
    digest = bytes(range(32))
    verified = world.ask(world.token(cnf={"x5rt#S256": b64(digest)}))
    assert verified.requester.key_sha256 == digest


def test_principals_of_a_token_are_all_that_may_be_asked_for(world):
    ssh = {"certType": "user", "keyID": "alice@laptop", "principals": ["alice", "deploy"]}
    grant = world.ask(world.token(sub="alice", step={"ssh": ssh}), Purpose.SSH_SIGN).requester.ssh
    assert grant.types == {USER}
    assert (grant.key_id, grant.user_principals) == ("alice@laptop", ("alice", "deploy"))
    assert not grant.any_principals
    assert grant.user == SERVICES.claims.ssh_user


def test_a_token_without_principals_takes_them_from_its_subject(world):
    text = world.token(sub="Bob.Jones@example.com", step=FOR_SSH)
    grant = world.ask(text, Purpose.SSH_SIGN).requester.ssh
    assert grant.types == {USER, HOST_TYPE}
    assert grant.user_principals == ("bobjones", "Bob.Jones", "Bob.Jones@example.com")
    assert grant.host_principals == ("bob.jones@example.com",)  # hosts have no capital letters
    assert grant.key_id == "Bob.Jones@example.com"
    assert not grant.any_principals


@pytest.mark.parametrize("step", [None, {}, {"ssh": None}, {"ra": {}}])
def test_a_token_for_x509_is_good_for_no_ssh_certificate(world, step):
    """Who got a token for the name of a host would log in as whomever they like with it."""
    assert "X.509" in world.refused(world.token(step=step), Purpose.SSH_SIGN).detail
    assert world.ask(world.token(step=step)).requester.ssh is None


def test_a_token_for_ssh_is_good_for_no_certificate_of_x509(world):
    for options in ({}, {"certType": "host"}, {"certType": "user", "principals": ["alice"]}):
        assert "SSH" in world.refused(world.token(step={"ssh": options})).detail


def test_a_token_says_when_a_certificate_begins_and_ends(world):
    now = int(world.clock())
    said = {"validAfter": "2026-11-22T10:00:00Z", "validBefore": "2h30m"}
    text = world.token(sub="alice", step={"ssh": said})
    grant = world.ask(text, Purpose.SSH_SIGN).requester.ssh
    assert (grant.valid_after, grant.valid_before) == (1795341600, now + 9000)
    plain = world.ask(world.token(step=FOR_SSH), Purpose.SSH_SIGN).requester.ssh
    assert (plain.valid_after, plain.valid_before) == (None, None)


def test_a_provisioner_without_ssh_gives_none(world):
    world.provision(JWKProvisioner("services", SERVICES.key, claims=Claims(ssh=False)))
    assert world.ask(world.token()).requester.ssh is None
    assert world.refused(world.token(), Purpose.SSH_SIGN).kind is Kind.FORBIDDEN


def test_a_provisioner_that_was_removed_takes_no_token(world):
    text = world.token()
    world.provision(OTHERS)
    assert world.refused(text).detail == FORGED


def test_a_key_that_was_rotated_out_signs_no_token(world):
    text = world.token()
    world.provision(JWKProvisioner("services", OTHERS.key))
    assert world.refused(text).detail == FORGED
    assert world.ask(world.token(key=OTHER_KEY))


# --- revocation ------------------------------------------------------------------------------


def revoking(world, serial, *, ssh=False, **more):
    method = "ssh/revoke" if ssh else "revoke"
    return world.token(sub=str(serial), aud=f"https://{HOST}/1.0/{method}", **more)


def test_a_token_revokes_the_one_certificate_of_its_provisioner_that_it_names(world):
    leaf = world.leaf(STRANGER, service="jwk.services.web")
    for number in (str(int.from_bytes(leaf.serial)), "0x" + leaf.serial.hex()):
        verified = world.ask(revoking(world, number), Purpose.REVOKE)
        assert verified.stored.certificate == leaf
        assert verified.subject == number
        assert verified.requester.service == leaf.service
        assert verified.requester.rule.operations == {Operation.REVOKE}
        assert verified.requester.ssh is None


@pytest.mark.parametrize(
    "service", ["web", "jwk.others.web", "jwk.services-2.web", "acme.services.web", "jwk.services"]
)
def test_a_token_revokes_nothing_of_others(world, service):
    leaf = world.leaf(STRANGER, service=service)
    error = world.refused(revoking(world, int.from_bytes(leaf.serial)), Purpose.REVOKE)
    assert error.kind is Kind.FORBIDDEN


@pytest.mark.parametrize("serial", ["0", "1", "9" * 49, "0x" + "f" * 40, "18446744073709551616"])
def test_a_serial_that_is_not_on_record_is_not_found(world, serial):
    assert world.refused(revoking(world, serial), Purpose.REVOKE).kind is Kind.NOT_FOUND
    text = revoking(world, serial, ssh=True)
    assert world.refused(text, Purpose.SSH_REVOKE).kind is Kind.NOT_FOUND


@pytest.mark.parametrize(
    "serial", ["web", "-1", "+1", "1_0", "\u0661", "0x", "1" * 50, " 1", "1e3"]
)
def test_a_subject_that_is_no_serial_revokes_nothing(world, serial):
    assert world.refused(revoking(world, serial), Purpose.REVOKE).kind is Kind.BAD_TOKEN


def test_serials_of_ssh_and_x509_are_two_things(world):
    certificate = world.ssh_certificate(STRANGER, service="jwk.services.web")
    leaf = world.leaf(STRANGER, service="jwk.services.web")
    ssh, x509 = certificate.number, int.from_bytes(leaf.serial)
    assert world.ask(revoking(world, ssh, ssh=True), Purpose.SSH_REVOKE).stored
    assert world.refused(revoking(world, x509, ssh=True), Purpose.SSH_REVOKE).kind is Kind.NOT_FOUND
    assert world.refused(revoking(world, ssh), Purpose.REVOKE).kind is Kind.NOT_FOUND
    assert world.refused(revoking(world, ssh, ssh=True), Purpose.REVOKE).kind is Kind.BAD_TOKEN


@given(data=st.data())
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_token_with_one_octet_changed_is_never_taken(world, data):
    text = world.token()
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("AZaz09-_.=+/ "))
    if text[place] == other:
        return
    assert world.refused(text[:place] + other + text[place + 1 :]).kind is Kind.BAD_TOKEN


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "iss",
                "sub",
                "aud",
                "exp",
                "nbf",
                "iat",
                "jti",
                "sans",
                "step",
                "cnf",
                "azp",
                "nonce",
                "groups",
            ]
        ),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.text(max_size=20)
            | st.floats(allow_nan=False, allow_infinity=False),
            lambda each: (
                st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=5), each, max_size=3)
            ),
            max_leaves=5,
        ),
        max_size=8,
    )
)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_good_key_signs_is_taken_or_refused(world, claims):  # fmt: skip
    text = world.token(**claims)
    for purpose in Purpose:
        try:
            world.ask(text, purpose)
        except Error as error:
            assert error.kind in {  # noqa: PT017 - both ways are fine
                Kind.BAD_TOKEN, Kind.FORBIDDEN, Kind.NOT_FOUND, Kind.REJECTED_IDENTIFIER,
            }  # fmt: skip


# --- once, whoever asks at the same time -------------------------------------------------------


def test_of_two_servers_that_take_a_token_at_once_one_commits(open_store, clock, run):
    first = World(open_store(), clock, run)
    second = World(open_store(), clock, run)
    text = first.token()
    taken = [world.ask(text) for world in (first, second) for _ in range(5)]

    async def commit_all():
        acts = [
            world.store.commit(world.act(burns=one.requester.burns))
            for world, one in zip([first] * 5 + [second] * 5, taken, strict=True)
        ]
        return await asyncio.gather(*acts, return_exceptions=True)

    outcomes = run(commit_all())
    failures = [one for one in outcomes if one is not None]
    assert len(failures) == 9
    assert {one.kind for one in failures} == {Kind.BAD_TOKEN}
    assert "used up" in first.refused(text).detail
    assert "used up" in second.refused(text).detail


def test_a_used_token_is_forgotten_only_when_it_could_not_be_used_again(open_store, clock, run):
    world = World(open_store(), clock, run)
    text = world.token()
    world.burn(world.ask(text))
    for _ in range(40):
        clock.advance(10)
        run(world.store.tidy(int(clock())))
        assert world.refused(text).kind is Kind.BAD_TOKEN
    clock.advance(3600)
    run(world.store.tidy(int(clock())))
    assert "expired" in world.refused(text).detail


def test_of_many_requests_with_one_token_one_gets_a_certificate(open_store, clock, run):
    first, second = World(open_store(), clock, run), World(open_store(), clock, run)
    text = first.token()

    async def ask(world):
        verified = await requester_from_jwt(world.authority, text, Purpose.SIGN, "192.0.2.1")
        request = IssuanceRequest(
            verified.requester.service, "peer", pki.key(), verified.requester.identifiers
        )
        return await issue(world.authority, verified.requester, request)

    async def all_at_once():
        asked = (ask(world) for world in (first, second) for _ in range(8))
        return await asyncio.gather(*asked, return_exceptions=True)

    outcomes = run(all_at_once())
    issued = [one for one in outcomes if not isinstance(one, Exception)]
    assert len(issued) == 1
    assert {one.kind for one in outcomes if isinstance(one, Exception)} == {Kind.BAD_TOKEN}
    assert run(first.store.count())["certificates"] == 1
