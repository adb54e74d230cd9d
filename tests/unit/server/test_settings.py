"""The configuration file: read strictly, refused with the key, its value and what is right."""

from __future__ import annotations

import contextlib
import itertools
import re

import pytest
from hypothesis import given, settings, strategies

from mintmark.model.access import Operation
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.profile import BUILT_IN, CLIENT_AUTH, KeyUsage, SubjectAttribute
from mintmark.model.time import DAY, HOUR, YEAR
from mintmark.server import settings as configuration
from mintmark.server import yaml
from mintmark.server.sections import plain
from mintmark.server.settings import Settings
from mintmark.server.settings_text import reference, show, template
from tests.pages import assert_made_from_source


def read(text: str) -> Settings:
    return configuration.of(yaml.read(text))


def refusal(text: str) -> str:
    with pytest.raises(Error) as caught:
        read(text)
    assert caught.value.kind is Kind.CONFIGURATION
    return f"{caught.value.detail} | {caught.value.hint}"


def test_empty_file_means_the_defaults():
    assert read("") == Settings()


def test_section_whose_keys_are_all_commented_out_has_its_defaults():
    assert read("server:\nstorage:\nprofiles: {}\nlimits:\n") == Settings()


def test_durations_are_read_with_their_unit():
    found = read("issuer: {crl_lifetime: 12h, backdate: 30s}")

    assert (found.issuer.crl_lifetime, found.issuer.backdate) == (12 * HOUR, 30)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("server: {lisen: 1}", "unknown key 'server.lisen'; did you mean 'listen'?"),
        ("sever: {}", "unknown key 'sever'; did you mean 'server'?"),
        ("zzz: 1", "known here: server, storage"),
        ("server: {https_port: 99999}", "'server.https_port' is 99999; it has to be a whole"),
        ("server: {https_port: 0}", "a whole number from 1 to 65535"),
        ("server: {https_port: '8443'}", "'server.https_port' is '8443'"),
        ("server: {workers: true}", "'server.workers' is true"),
        ("server: {listen: []}", "'server.listen' has 0 values"),
        ("server: {listen: [null]}", "'server.listen[0]' is null"),
        ("server: {listen: [all]}", "'server.listen[0]' is 'all'; it has to be an IP address"),
        ("server: {https_port: 8080}", "are both 8080"),
        ("server: {names: ['a b']}", "'server.names[0]'"),
        ("server: {names: ['http://x.example']}", "a DNS name or address"),
        ("server: {public_http_url: 'https://x.example'}", "RFC 5280 §8"),
        ("server: {public_http_url: 'http://x.example/?a'}", "no query"),
        ("server: {public_http_url: 'http://[::1'}", "has to be a URL"),
        ("server: [1]", "'server' is a list, not a mapping of keys"),
        ("[]", "the file is a list"),
        ("storage: {url: 'mysql://x'}", "has to begin with sqlite: or postgresql://"),
        ("storage: {url: 'postgresql://u:secret@h/d'}", "'storage.url' holds a password"),
        ("storage: {url: 'postgresql://h/d?password=secret'}", "'storage.url' holds a password"),
        ("issuer: {crl_lifetime: 1m}", "is 1m; it has to be a duration from 10m to 30d"),
        ("issuer: {crl_lifetime: 3600}", "'3600' is not a duration"),
        ("issuer: {crl_lifetime: soon}", "write a whole number and one unit"),
        ("whitelist: {services: [{names: [a]}]}", "needs the key 'service_id'"),
        ("whitelist: {services: [{service_id: A}]}", "1 to 128 of a-z"),
        ("whitelist: {services: [{service_id: a}, {service_id: a}]}", "a second entry"),
        (
            "whitelist: {services: [{service_id: a, allowed_operations: [sign]}]}",
            "allowed_operations[0]' is 'sign'; it has to be one of request, renew",
        ),
        (
            "whitelist: {services: [{service_id: a, profiles: [servr]}]}",
            "unknown profile 'servr'; did you mean 'server'?",
        ),
        ("whitelist: {patterns: [{pattern: 'a*', names: ['10.0.0.1/8']}]}", "is not a network"),
        ("profiles: {'A B': {}}", "'A B' cannot name a profile"),
        ("profiles: {ocsp-responder: {}}", "the server's own"),
        ("profiles: {web: {is_ca: true}}", "unknown key 'profiles.web.is_ca'"),
        ("profiles: {web: {ocsp_no_check: true}}", "unknown key"),
        ("profiles: {web: {revocation_pointers: false}}", "unknown key"),
        ("profiles: {web: {key_usage: [keyCertSign]}}", "it has to be one of digitalSignature"),
        ("profiles: {web: {extended_key_usage: [serverAth]}}", "did you mean 'serverAuth'?"),
        ("profiles: {web: {extended_key_usage: [1.3.6.1.5.5.7.3.9]}}", "answer OCSP"),
        ("profiles: {web: {extended_key_usage: [2.5.29.37.0]}}", "cannot be in a profile"),
        ("profiles: {web: {extended_key_usage: [serverAuth, serverAuth]}}", "written twice"),
        ("profiles: {web: {extended_key_usage: [1.3.6.1.5.5.7.3.8]}}", "RFC 3161"),
        ("profiles: {web: {extended_key_usage: [timeStamping]}}", "RFC 3161"),
        ("profiles: {web: {extended_key_usage: [OCSPSigning]}}", "answer OCSP"),
        ("server: {names: [com]}", "is a public suffix"),
        ("server: {names: [010.0.0.1]}", "'server.names[0]'"),
        ("profiles: {web: {lifetime: 2y}}", "lifetime 2y is not between"),
        ("profiles: {web: {key_types: []}}", "no key could be certified"),
        ("profiles: {web: {key_usage: [keyAgreement]}}", "does not fit key type 'ed25519'"),
        ("profiles: {web: {key_usage: []}}", "leaves nothing"),
        ("profiles: {web: {certificate_policies: [anything]}}", "not a dotted OID"),
        ("profiles: {web: {subject: {country: NO}}}", "write it in quotes"),
        ("limits: {certificates_per_hour: 0}", "a whole number from 1"),
    ],
)
def test_wrong_value_is_refused_with_its_path_and_what_is_right(text, words):
    assert words in refusal(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "line 2: key 'a' is written twice"),
        ("server: {workers: 1, workers: 2}", "key 'workers' is written twice"),
        ("a: &x 1", "anchors and aliases are not used here"),
        ("a: [&x [1], *x]", "anchors and aliases"),
        ("a: !!python/object/apply:os.system [id]", "is not used here"),
        ("a: !x 1", "tag '!x' is not used here"),
        ("[" * 3000, "nested more than 20 deep"),
        ("a: {" * 30, "nested more than 20 deep"),
        ("? [a]\n: 1", "a key has to be a word"),
        ("a: {", "line 2"),
        ("a: 1\n\tb: 2", "line 2"),
        ("a: \x00", "not allowed"),
        ("2026-13-45: 1", "cannot be read"),
        ("a: 1\n---\nb: 2", "line 2"),
        ("#" * 1_000_001, "more than 1000000 characters"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(text, words):
    assert words in refusal(text)


@settings(max_examples=100, deadline=None)
@given(strategies.text(max_size=200))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(Error):
        yaml.read(text)


def test_many_entries_are_read():
    text = (
        "whitelist: {services: [" + ", ".join(f"{{service_id: s{n}}}" for n in range(2000)) + "]}"
    )

    assert len(read(text).whitelist.services) == 2000


def test_check_lists_every_contradiction(tmp_path):
    path = tmp_path / "mintmark.yaml"
    path.write_text("server: {listen: [x], https_port: 8080}")

    assert len(configuration.check(path)) == 2


def test_load_names_the_file(tmp_path):
    path = tmp_path / "mintmark.yaml"
    path.write_text("server: {lisen: 1}")

    with pytest.raises(Error, match=re.escape(str(path))):
        configuration.load(path)


def test_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(Error) as caught:
        configuration.load(tmp_path / "mintmark.yaml")

    assert "mintmark init" in caught.value.hint


def test_binary_file_is_refused(tmp_path):
    path = tmp_path / "mintmark.yaml"
    path.write_bytes(b"\xff\xfe\x00")

    assert configuration.check(path) == [f"cannot read '{path}': it is not UTF-8"]


# --- what the configuration means ------------------------------------------------------------


def test_admin_may_do_everything_by_default():
    (admin,) = configuration.service_rules(Settings().whitelist)

    assert admin.pattern == "admin-cli"
    assert Operation.ADMIN in admin.operations


def test_first_service_does_not_lock_the_admin_out():
    web, admin = configuration.service_rules(
        read("whitelist: {services: [{service_id: web}]}").whitelist
    )

    assert (web.pattern, admin.pattern) == ("web", "admin-cli")
    assert Operation.ADMIN in admin.operations


def test_admin_can_be_taken_its_rights():
    text = "whitelist: {services: [{service_id: admin-cli, allowed_operations: []}]}"
    (admin,) = configuration.service_rules(read(text).whitelist)

    assert admin.operations == frozenset()


def test_others_may_not_ask_for_new_certificates_by_default():
    (others,) = configuration.pattern_rules(Settings().whitelist)

    assert others.pattern == "*"
    assert others.operations == {Operation.RENEW, Operation.REVOKE, Operation.DOWNLOAD}


def test_document_3_whitelist_is_read_as_it_stands():
    found = read(
        """
whitelist:
  services:
    - service_id: veritas-backend
      max_certificates: 3
      allowed_operations: [request, renew, revoke, download]
    - service_id: admin-cli
      max_certificates: 1
      allowed_operations: [request, renew, revoke, download, admin]
  patterns:
    - pattern: "test-*"
      max_certificates: 1
      allowed_operations: [request, renew, revoke]
"""
    )

    backend, admin = configuration.service_rules(found.whitelist)
    assert admin.max_certificates == 1
    assert (backend.pattern, backend.max_certificates) == ("veritas-backend", 3)
    assert configuration.pattern_rules(found.whitelist)[0].pattern == "test-*"


def test_built_in_profiles_are_always_there():
    assert list(configuration.profiles(Settings().profiles).values()) == list(BUILT_IN)


def test_profile_keeps_what_it_does_not_change():
    found = configuration.profiles(
        read(
            """
profiles:
  web:
    extends: client
    lifetime: 30d
    key_types: [rsa-2048]
    key_usage: [digitalSignature, keyEncipherment]
    names: ["*.web.example.internal"]
    subject: {organization: Example, country: DE}
    must_staple: true
"""
        ).profiles
    )["web"]

    assert found.extended_key_usages == (CLIENT_AUTH,)
    assert found.lifetime == 30 * DAY
    assert found.key_types == (KeyType.RSA_2048,)
    assert found.key_usages == {KeyUsage.DIGITAL_SIGNATURE}
    assert found.rsa_key_encipherment
    assert found.subject == (
        (SubjectAttribute.COUNTRY, "DE"),
        (SubjectAttribute.ORGANIZATION, "Example"),
    )
    assert found.ocsp_must_staple
    assert found.revocation_pointers
    assert not found.ocsp_no_check


def test_profile_of_a_built_in_name_extends_that_one():
    found = configuration.profiles(read("profiles: {client: {lifetime: 1d}}").profiles)["client"]

    assert (found.extended_key_usages, found.lifetime) == ((CLIENT_AUTH,), DAY)


def test_lifetime_of_ten_years_is_possible():
    text = "profiles: {device: {lifetime: 10y, lifetime_max: 10y}}"

    assert configuration.profiles(read(text).profiles)["device"].lifetime == 10 * YEAR


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://localhost:8080"),
        ("server: {names: [10.0.0.1, ca.example], http_port: 80}", "http://ca.example:80"),
        ("server: {names: ['::1']}", "http://[::1]:8080"),
        ("server: {public_http_url: 'http://pki.example/'}", "http://pki.example"),
    ],
)
def test_certificates_point_to_the_public_url(text, url):
    assert configuration.public_http_url(read(text).server) == url


# --- the configuration as text ---------------------------------------------------------------


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^( *)#(?=\S)", r"\1", text)


def test_template_says_the_defaults():
    assert read(template(Settings())) == Settings()


def test_template_with_every_key_uncommented_still_says_the_defaults():
    text = uncommented(template(Settings()))

    assert read(text) == Settings()
    assert set(yaml.read(text)["server"]) == set(plain(Settings().server))


def test_template_has_a_comment_above_every_key():
    lines = template(Settings()).splitlines()

    for above, line in itertools.pairwise(lines):
        if re.match(r" *#?[a-z_]+:", line):
            assert re.match(r" *# ", above), line


def test_template_leaves_changed_keys_in_force():
    changed = read(
        "server: {https_port: 9443, names: [ca.example]}\n"
        "whitelist: {services: [{service_id: a, profiles: [web]}], patterns: []}\n"
        "profiles: {web: {lifetime: 1d, subject: {country: DE}}}"
    )

    assert read(template(changed)) == changed


def test_show_reads_back_as_the_same_settings():
    changed = read("server: {https_port: 9443}\nprofiles: {web: {lifetime: 1d}}")

    assert read(show(changed)) == changed


def test_every_key_says_what_an_attacker_gains():
    rows = [line for line in reference().splitlines() if line.startswith("| `")]

    assert len(rows) > 40
    assert all(len(row.split(" | ")) == 4 and row.split(" | ")[3].strip(" |") for row in rows)


def test_reference_page_is_made_from_this_source():
    assert_made_from_source("configuration.md", reference())
