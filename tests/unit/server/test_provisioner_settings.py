"""The configuration's `provisioners` and `ssh`: what entries mean, and what they cannot say."""

from __future__ import annotations

import contextlib
import json

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.provisioners import JWK, compiled
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.model.errors import Error, Kind
from mintmark.model.profile import BUILT_IN
from mintmark.model.provisioner import (
    PROVISIONER_TYPES,
    ACMEProvisioner,
    Claims,
    GroupMapping,
    JWKProvisioner,
    Lifetimes,
    OIDCProvisioner,
    Rules,
    SSHPOPProvisioner,
    TokenProvisioner,
    X5CProvisioner,
)
from mintmark.model.ssh import SSH_BUILT_IN, SSH_USER, SSHCertificateType
from mintmark.model.time import DAY, HOUR, MINUTE
from mintmark.server import settings, yaml
from mintmark.server.sections import alternatives, decode_one, forms, tag
from mintmark.server.settings_text import reference, show, template
from mintmark.wire import jose, jwe

KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = jose.jwk_of(KEY.public_key()).document()
ENCRYPTED = jwe.encrypt_key(jose.private_jwk(KEY), b"password", bytes, iterations=100_000)
OIDC = "type: oidc, configuration_endpoint: 'https://dex.example', client_id: mintmark"
BROKEN = r"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
POLICY = Policy.of({one.name: one for one in BUILT_IN}, Whitelist(), (), 60)


def read(text: str) -> settings.Settings:
    return settings.of(yaml.read(text))


def entry(text: str):
    (found,) = settings.provisioners(read(f"provisioners: [{{{text}}}]").provisioners)
    return found


def refusal(text: str) -> str:
    with pytest.raises(Error) as caught:
        read(text)
    assert caught.value.kind is Kind.CONFIGURATION
    return f"{caught.value.detail} | {caught.value.hint}"


def jwk_entry(**members) -> str:
    return f"name: a, type: jwk, key: {json.dumps(members)}"


# --- what entries mean -------------------------------------------------------------------------


def test_by_default_only_what_proves_itself_is_provisioned():
    assert settings.provisioners(read("").provisioners) == (
        ACMEProvisioner("acme"),
        TokenProvisioner("token"),
        SSHPOPProvisioner("sshpop"),
    )


def test_an_entry_without_a_type_is_an_acme_server():
    assert entry("name: web") == ACMEProvisioner("web")


def test_every_type_of_the_model_has_an_entry():
    sections = alternatives(settings.ProvisionerEntry)
    assert [tag(one) for one in sections] == list(PROVISIONER_TYPES)


def test_what_an_entry_leaves_out_is_as_the_model_has_it():
    assert entry(f"name: a, {OIDC}") == OIDCProvisioner("a", "https://dex.example", "mintmark")
    assert entry("name: a, type: x5c") == X5CProvisioner("a")
    assert entry("name: a, type: sshpop") == SSHPOPProvisioner("a")
    assert entry("name: a, type: token") == TokenProvisioner("a")


@pytest.mark.parametrize(
    ("head", "claims", "renewal"),
    [
        ("type: x5c", "{}", False),
        (OIDC, "{}", False),
        (OIDC, "{renewal: true}", True),
        ("type: x5c", "{ssh_user_renewal: true}", True),
        ("type: x5c", "{renewal_after_expiry: true}", True),
        ("type: x5c", "{ssh_user_renewal: true, renewal: false}", False),
        ("type: sshpop", "{}", True),
        ("type: sshpop", "{renewal: false}", False),
    ],
)
def test_who_is_asked_anew_each_time_does_not_renew_unless_told_so(head, claims, renewal):
    found = entry(f"name: a, {head}, claims: {claims}")
    assert found.claims.renewal is renewal
    codec = settings.Codec()
    assert codec.parse(codec.render(found), POLICY) == found


def test_a_jwk_is_completed_with_its_thumbprint():
    bare = {name: PUBLIC[name] for name in ("kty", "crv", "x", "y")}
    found = entry(jwk_entry(**bare))
    assert json.loads(found.key) == PUBLIC
    (policy,) = compiled((found,)).values()
    assert isinstance(policy, JWK)
    assert policy.key_id == PUBLIC["kid"]


def test_the_team_of_document_2_gets_certificates_for_16_hours():
    found = entry(
        """
          name: dex
          , type: oidc
          , configuration_endpoint: 'https://auth.example'
          , client_id: step
          , scopes: [openid, email, groups]
          , groups: ['ccatobs:datacenter']
          , mappings: [{
              groups: ['ccatobs:datacenter'], principals: ['{email.local}', deploy],
              ssh_profiles: [ssh-user], lifetime: 16h}]
          , claims: {ssh_user: {max: 16h}, renewal: false}
          , rules: {principals: ['*'], profiles: [client]}
        """
    )
    assert found.mappings == (
        GroupMapping(
            groups=("ccatobs:datacenter",),
            principals=("{email.local}", "deploy"),
            ssh_profiles=("ssh-user",),
            lifetime=16 * HOUR,
        ),
    )
    assert found.claims.ssh_user == Lifetimes(5 * MINUTE, 16 * HOUR, 16 * HOUR)
    assert not found.claims.renewal
    assert found.rules.profiles == ("client",)


@pytest.mark.parametrize(
    ("tls", "lifetimes"),
    [
        pytest.param("{}", Lifetimes(5 * MINUTE, DAY, DAY), id="nothing"),
        pytest.param("{max: 1h}", Lifetimes(5 * MINUTE, HOUR, HOUR), id="a ceiling"),
        pytest.param("{max: 2m}", Lifetimes(2 * MINUTE, 2 * MINUTE, 2 * MINUTE), id="a low one"),
        pytest.param("{max: 90d}", Lifetimes(5 * MINUTE, 90 * DAY, DAY), id="a high one"),
        pytest.param("{min: 2h}", Lifetimes(2 * HOUR, DAY, DAY), id="a floor"),
        pytest.param("{default: 1h}", Lifetimes(5 * MINUTE, DAY, HOUR), id="another default"),
    ],
)
def test_a_maximum_is_never_exceeded_by_what_is_left_out(tls, lifetimes):
    assert entry(f"name: a, type: x5c, claims: {{tls: {tls}}}").claims.tls == lifetimes


def test_tokens_have_the_bounds_of_their_profile_unless_an_entry_has_some():
    unbounded = TokenProvisioner("a").claims.tls
    assert entry("name: a, type: token, claims: {ssh: false}").claims.tls == unbounded
    bounded = entry("name: a, type: token, claims: {tls: {max: 1h}}").claims.tls
    assert bounded == Lifetimes(1, HOUR, HOUR)


def test_ssh_profiles_begin_with_those_built_in():
    assert list(settings.ssh_profiles(read("").ssh).values()) == list(SSH_BUILT_IN)


def test_an_ssh_profile_keeps_what_it_does_not_change():
    found = settings.ssh_profiles(
        read(
            """
ssh:
  profiles:
    backup:
      critical_options: [force-command=/usr/bin/backup, 'source-address=10.0.0.0/8,2001:db8::1']
      extensions: []
      principals: [backup]
    rack: {type: host, lifetime: 7d}
    ssh-user: {lifetime: 8h, extensions: [permit-pty, 'login@example.com=alice']}
"""
        ).ssh
    )
    assert found["backup"].type is SSHCertificateType.USER
    assert found["backup"].critical_options == (
        ("force-command", "/usr/bin/backup"),
        ("source-address", "10.0.0.0/8,2001:db8::1"),
    )
    assert (found["backup"].extensions, found["backup"].lifetime) == ((), SSH_USER.lifetime)
    assert (found["rack"].type, found["rack"].lifetime) == (SSHCertificateType.HOST, 7 * DAY)
    assert found["ssh-user"].extensions == (("login@example.com", "alice"), ("permit-pty", ""))


def test_services_of_the_whitelist_have_principals():
    (web, _) = settings.service_rules(
        read("whitelist: {services: [{service_id: web, principals: [deploy]}]}").whitelist
    )
    assert web.principals == ("deploy",)


# --- what entries cannot say -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a, type: odic", "'provisioners[0].type' is 'odic'; did you mean 'oidc'?"),
        ("name: a, type: null", "'provisioners[0].type' is null"),
        ("name: a, type: kerberos", "known here: acme, jwk, oidc, x5c, sshpop, token"),
        ("type: x5c", "needs the key 'name'"),
        ("name: ../x, type: x5c", "'provisioners[0].name' is '../x'"),
        ("name: A, type: acme", "it has to be of a-z, 0-9 and '-'"),
        ("name: a/b, type: x5c", "it has to be of letters, digits, '.', '_', '@' and '-'"),
        ("name: ../a, type: sshpop", "'provisioners[0].name' is '../a'"),
        (f"name: {'a' * 49}, type: token", "text (1 to 48)"),
        ("name: a, type: x5c, clams: {}", "did you mean 'claims'?"),
        (
            "name: a, type: x5c, claims: {tls: {maximum: 1h}}",
            "'provisioners[0].claims.tls.maximum'",
        ),
        ("name: a, type: x5c, claims: {tls: {max: 20y}}", "from 1m to 10y"),
        ("name: a, type: x5c, claims: {tls: {max: 1h, min: 2h}}", "above the maximum of 1h"),
        ("name: a, type: x5c, claims: {tls: {default: 2d}}", "from 5m to 1d"),
        (
            "name: a, type: x5c, claims: {ssh_user: {default: 1m}}",
            "'provisioners[0].claims.ssh_user",
        ),
        ("name: a, type: x5c, claims: {ssh_host: {min: 31d}}", "above the maximum of 30d"),
        ("name: a, type: x5c, claims: {renewal: yes please}", "true or false"),
        ("name: a, type: x5c, rules: {profiles: [servr]}", "did you mean 'server'?"),
        ("name: a, type: x5c, rules: {profiles: []}", "has 0 values"),
        ("name: a, type: x5c, rules: {ssh_profiles: [ssh-usr]}", "did you mean 'ssh-user'?"),
        ("name: a, type: x5c, rules: {names: ['10.0.0.1/8']}", "is not a network"),
        ("name: a, type: x5c, rules: {principals: ['a,b']}", "'provisioners[0].rules.principals'"),
        ("name: a, type: x5c, rules: {principals: ['a b']}", "blank"),
        ("name: a, type: x5c, roots: nonsense", "holds no certificate"),
        (
            f'name: a, type: x5c, roots: "{BROKEN}"',
            "cannot be read",
        ),
        ("name: a, type: jwk", "needs the key 'key'"),
        ("name: a, type: jwk, key: text", "it has to be a mapping"),
        ("name: a, type: sshpop, rules: {}", "unknown key 'provisioners[0].rules'"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_path_and_what_is_right(text, words):
    assert words in refusal(f"provisioners: [{{{text}}}]")


def members(key) -> dict[str, str]:
    return jose.jwk_of(key.public_key()).document()


@pytest.mark.parametrize(
    ("key", "words"),
    [
        pytest.param(json.loads(jose.private_jwk(KEY)), "private member 'd'", id="private"),
        pytest.param({"kty": "oct", "k": "c2VjcmV0"}, "private member 'k'", id="HMAC"),
        pytest.param({"kty": "oct"}, "kind 'oct' is not accepted", id="HMAC without its key"),
        pytest.param({**PUBLIC, "kid": "mine"}, "its thumbprint", id="kid"),
        pytest.param({**PUBLIC, "use": "enc"}, "verifies signatures", id="use"),
        pytest.param({**PUBLIC, "alg": "HS256"}, "'HS256'", id="alg confusion"),
        pytest.param({**PUBLIC, "alg": "none"}, "'none'", id="alg none"),
        pytest.param({**PUBLIC, "jku": "https://evil"}, "no member 'jku'", id="jku"),
        pytest.param({**PUBLIC, "x": PUBLIC["y"]}, "provisioners[0].key", id="off the curve"),
        pytest.param({**PUBLIC, "crv": "secp256k1"}, "secp256k1", id="another curve"),
        pytest.param({"kty": "RSA", "n": "AQAB", "e": "AQAB"}, "bits", id="tiny RSA"),
        pytest.param({}, "provisioners[0].key", id="empty"),
    ],
)
def test_only_public_strong_keys_are_accepted(key, words):
    assert words in refusal(f"provisioners: [{{{jwk_entry(**key)}}}]")


def test_rsa_of_1024_bits_is_refused():
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
    modulus = jose.encode(numbers.n.to_bytes(128, "big"))
    key = {"kty": "RSA", "n": modulus, "e": "AQAB"}
    assert "1024 bits" in refusal(f"provisioners: [{{{jwk_entry(**key)}}}]")


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP521R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
def test_other_kinds_of_key_are_accepted(key):
    assert json.loads(entry(jwk_entry(**members(key))).key) == members(key)


def header(**parameters: object) -> str:
    given = {"alg": jwe.ALGORITHM, "enc": jwe.ENCRYPTION, "p2c": 600_000, "p2s": "AAAA"}
    protected = jose.encode(msgspec.json.encode({**given, **parameters}))
    return f"{protected}.AA.AA.AA.AA"


@pytest.mark.parametrize(
    ("encrypted", "words"),
    [
        pytest.param("secret", "no compact JWE", id="a text"),
        pytest.param(jose.private_jwk(KEY).decode(), "no compact JWE", id="the key in the clear"),
        pytest.param("AAAA.AA.AA.AA.AA", "header that cannot be read", id="no header"),
        pytest.param(header(alg="dir"), "not encrypted under a password", id="another algorithm"),
        pytest.param(header(enc="A128CBC-HS256"), "not encrypted under", id="another cipher"),
        pytest.param(header(p2c=1000), "no number from 100000", id="few rounds"),
        pytest.param(header(p2c=10**9), "no number from", id="rounds that keep clients busy"),
        pytest.param(header(p2c=True), "no number from", id="no number"),
        pytest.param(header(p2c="600000"), "no number from", id="a text for a number"),
    ],
)
def test_an_encrypted_key_is_one_that_everybody_may_see(encrypted, words):
    text = f"{jwk_entry(**PUBLIC)}, encrypted_key: {json.dumps(encrypted)}"
    assert words in refusal(f"provisioners: [{{{text}}}]")


def test_an_encrypted_key_of_ours_is_accepted():
    text = f"{jwk_entry(**PUBLIC)}, encrypted_key: {ENCRYPTED}"
    assert entry(text).encrypted_key == ENCRYPTED


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://evil.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "ftp://dex.example",
        "https://",
        "https:///path",
        "https://user@dex.example",
        "https://dex.example/#fragment",
        "https://dex.example/?next=https://evil.example",
        "https://dex.example:0",
        "https://dex.example:99999",
        "https://dex.example/a b",
        "https://d\u00ebx.example",
        "dex.example",
        "file:///etc/passwd",
        "//dex.example",
        "https://[::1",
    ],
)
def test_a_provider_is_asked_over_https_alone(endpoint):
    text = f"{{name: a, type: oidc, client_id: c, configuration_endpoint: {json.dumps(endpoint)}}}"
    assert "'provisioners[0].configuration_endpoint'" in refusal(f"provisioners: [{text}]")


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://dex.example",
        "https://dex.example:5556/dex/.well-known/openid-configuration",
        "http://127.0.0.1:5556/dex",
        "http://[::1]:5556",
        "http://localhost:5556/dex",
    ],
)
def test_a_provider_on_loopback_may_be_asked_over_http(endpoint):
    text = f"name: a, type: oidc, client_id: c, configuration_endpoint: '{endpoint}'"
    assert entry(text).configuration_endpoint == endpoint


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("client_id: ''", "client_id"),
        ('client_id: "a\\nb"', "cannot be printed"),
        ('client_secret: "a\\nb"', "cannot be printed"),
        ("scopes: [email]", "lacks 'openid'"),
        ("scopes: [openid, 'a b']", "is no scope"),
        ("listen_address: '0.0.0.0:10000'", "it has to be a loopback address"),
        ("listen_address: '127.0.0.1'", "loopback address with a port"),
        ("listen_address: '127.0.0.1:99999'", "loopback address"),
        ("listen_address: 'evil.example:80'", "loopback address"),
        ("domains: ['@example.com']", "what stands behind the '@'"),
        ("domains: [com]", "'provisioners[0].domains'"),
        ("domains: ['*.example.com']", "'provisioners[0].domains'"),
        ("required_claims: {department: ops}", "has to be a list"),
        ("required_claims: {department: []}", "has 0 values"),
        ("ca_certificates: x", "holds no certificate"),
        ("mappings: [{}]", "'provisioners[0].mappings[0]' gives nothing"),
        ("mappings: [{groups: [a]}]", "gives nothing"),
        ("mappings: [{principal: [a]}]", "did you mean 'principals'?"),
        ("mappings: [{principals: ['a,b']}]", "which no principal can be"),
        ("mappings: [{principals: ['a b']}]", "which no principal can be"),
        ("mappings: [{principals: ['*']}]", "which no principal can be"),
        ("mappings: [{principals: ['']}]", "which no principal can be"),
        ("mappings: [{principals: ['{email']}]", "which no principal can be"),
        ("mappings: [{principals: ['{}']}]", "which no principal can be"),
        ("mappings: [{principals: ['{a}}']}]", "which no principal can be"),
        ('mappings: [{principals: ["a\\nb"]}]', "which no principal can be"),
        ("mappings: [{profiles: [clint]}]", "did you mean 'client'?"),
        ("mappings: [{profiles: [client]}]", "'rules.profiles' does not have"),
        ("mappings: [{ssh_profiles: [ssh-usr]}]", "did you mean 'ssh-user'?"),
        ("mappings: [{lifetime: 1}]", "is not a duration"),
        ("rules: {ssh_profiles: []}, mappings: [{ssh_profiles: [ssh-user]}]", "it has: none"),
    ],
)
def test_a_wrong_sign_in_is_refused(keys, words):
    given = OIDC if "client_id" not in keys else OIDC.removesuffix(", client_id: mintmark")
    assert words in refusal(f"provisioners: [{{name: a, {given}, {keys}}}]")


def test_a_certificate_without_an_end_is_refused():
    text = 'name: a, type: x5c, roots: "-----BEGIN CERTIFICATE-----"'
    assert "'provisioners[0].roots'" in refusal(f"provisioners: [{{{text}}}]")


def test_a_type_is_needed_where_none_is_usual():
    with pytest.raises(Error, match="'a' needs the key 'type'"):
        decode_one(alternatives(settings.ProvisionerEntry)[1:], {"name": "x"}, "a")


@pytest.mark.parametrize("name", ["CCAT-GitHub", "you@example.com", "svc_1.2"])
def test_names_that_step_cas_provisioners_have_are_taken(name):
    assert entry(f"name: {name}, type: x5c").name == name


@pytest.mark.parametrize("other", ["ccat-github", "CCAT.GitHub", "CCAT@github"])
def test_names_that_service_ids_cannot_tell_apart_are_one(other):
    text = f"provisioners: [{{name: CCAT-GitHub, type: x5c}}, {{name: {other}, type: x5c}}]"
    assert f"second provisioner '{other}'" in refusal(text)


def test_a_name_is_there_once_whatever_the_type():
    text = f"provisioners: [{{name: a}}, {{name: a, {OIDC}}}]"
    assert "'provisioners[1]' is a second provisioner 'a'" in refusal(text)


def test_a_domain_is_compared_as_certificates_have_it():
    assert entry(f"name: a, {OIDC}, domains: [B\u00fccher.Example]").domains == (
        "xn--bcher-kva.example",
    )


def test_a_client_id_is_there_once():
    text = f"provisioners: [{{name: a, {OIDC}}}, {{name: b, {OIDC}}}]"
    assert "'provisioners[1].client_id' is 'mintmark'" in refusal(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{A: {}}", "'A' cannot name a profile"),
        ("{server: {}}", "has the name of an X.509 profile"),
        ("{ssh-user: {type: host}}", "that of 'ssh-user' is 'user'"),
        ("{a: {lifetime: 30d}}", "lifetime 30d is not between"),
        ("{a: {extensions: [permit-ptty]}}", "did you mean 'permit-pty'?"),
        ("{a: {extensions: [permit-pty, permit-pty]}}", "written twice"),
        ("{a: {extensions: ['permit-pty=yes']}}", "is a flag and has no data"),
        ("{a: {type: host, extensions: [permit-pty]}}", "cannot be in a host certificate"),
        ("{a: {type: host, critical_options: [force-command=x]}}", "cannot be in a host"),
        ("{a: {critical_options: [force-comand=x]}}", "did you mean 'force-command'?"),
        ("{a: {critical_options: [force-command]}}", "needs a command"),
        ("{a: {critical_options: ['source-address=10.0.0.1/8']}}", "which is no network"),
        ("{a: {critical_options: [source-address=any]}}", "which is no network"),
        ('{a: {critical_options: ["force-command=a\\nb"]}}', "printable"),
        ("{a: {principals: ['a,b']}}", "'ssh.profiles.a'"),
        ("{a: {is_ca: true}}", "unknown key 'ssh.profiles.a.is_ca'"),
    ],
)
def test_a_wrong_ssh_profile_is_refused(text, words):
    assert words in refusal(f"ssh: {{profiles: {text}}}")


def test_principals_of_services_are_checked():
    text = "whitelist: {services: [{service_id: web, principals: ['a,b']}]}"
    assert "'whitelist.services[0].principals'" in refusal(text)


# --- as text and as JSON -----------------------------------------------------------------------

EVERY = (
    ACMEProvisioner("acme-2", names=("*.a.example",), lifetime=DAY, website="https://a.example"),
    JWKProvisioner("jwk", msgspec.json.encode(PUBLIC).decode(), ENCRYPTED),
    OIDCProvisioner(
        "oidc",
        "https://dex.example",
        "mintmark",
        "secret",
        ("openid",),
        "127.0.0.1:10000",
        ("a:b",),
        ("example.com",),
        {"department": ("ops", "dev")},
        ("root@example.com",),
        (GroupMapping(("a:b",), {"x": "y"}, ("{email.local}",), ("peer",), ("ssh-user",), HOUR),),
        claims=Claims(tls=Lifetimes(MINUTE, HOUR, 2 * MINUTE), ssh_user_renewal=True),
        rules=Rules(("*.example",), ("d-*",), ("peer", "client"), ("ssh-user",)),
    ),
    X5CProvisioner("x5c", claims=Claims(renewal=False, renewal_after_expiry=True)),
    SSHPOPProvisioner("sshpop", claims=Claims(ssh_host=Lifetimes(HOUR, 90 * DAY, 40 * DAY))),
    TokenProvisioner("token", claims=Claims(tls=Lifetimes(1, HOUR, HOUR))),
)


@pytest.mark.parametrize("provisioner", EVERY, ids=lambda one: one.name)
def test_a_document_says_the_whole_provisioner(provisioner):
    codec = settings.Codec()
    document = codec.render(provisioner)
    assert codec.parse(json.loads(json.dumps(document)), POLICY) == provisioner
    assert list(document)[:2] == ["name", "type"]
    assert yaml.read(yaml.write(document)) == json.loads(json.dumps(document))


def test_a_wrong_document_is_the_requesters_fault():
    codec = settings.Codec()
    with pytest.raises(Error) as caught:
        codec.parse({"name": "a", "type": "x5c", "claims": {"tls": {"max": "3"}}}, POLICY)
    assert caught.value.kind is Kind.MALFORMED
    assert "'provisioner.claims.tls.max'" in caught.value.detail


@hypothesis_settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["name", "type", "key", "claims", "rules", "mappings", "roots", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("oidc"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["tls", "max", "names", "kty"]), inner, max_size=3
                )
            ),
            max_leaves=6,
        ),
    )
)
def test_any_document_is_read_or_refused(document):
    codec = settings.Codec()
    with contextlib.suppress(Error):
        found = codec.parse(document, POLICY)
        assert codec.parse(codec.render(found), POLICY) == found


def test_template_and_show_keep_provisioners_of_every_type():
    codec = settings.Codec()
    entries = [codec.render(one) for one in EVERY]
    ssh = {"profiles": {"backup": {"critical_options": ["force-command=/usr/bin/backup"]}}}
    found = settings.of({"provisioners": entries, "ssh": ssh})
    assert read(template(found)) == found
    assert read(show(found)) == found
    assert settings.provisioners(found.provisioners) == EVERY


def test_the_template_explains_every_key_of_every_type():
    text = template(settings.Settings())
    for section in alternatives(settings.ProvisionerEntry):
        assert f"# With type {tag(section)}: " in text
        for name in forms(section):
            assert name == "type" or f"# {name}: " in text, name
    assert "# claims.ssh_user.max: " in text
    assert "# mappings[].principals: " in text


def test_the_reference_page_has_a_table_for_every_type():
    text = reference()
    for word in PROVISIONER_TYPES:
        assert text.count(f"## `provisioners[]` of type `{word}`\n") == 1
    assert text.count("## `provisioners[].claims`\n") == 1
