"""`mintmark provisioner`, without a server."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import stat
import sys

import click
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from mintmark.cli import key_pair
from mintmark.server import yaml
from mintmark.wire import jose, jwe

PASSWORD = "four random words, typed"
DEX = """\
name: dex
type: oidc
configuration_endpoint: https://auth.example.org
client_id: mintmark
scopes: [openid, email, groups]
groups: ['ccatobs:datacenter']
mappings:
- groups: ['ccatobs:datacenter']
  principals: ['{email.local}']
  ssh_profiles: [ssh-user]
  lifetime: 16h
"""
ENDPOINT = ("--type", "oidc", "--endpoint", "https://dex.example.org", "--client-id", "mm")


@pytest.fixture(autouse=True)
def _cheap_keys(monkeypatch):
    """What each guess at a password costs is tested where keys are encrypted."""
    monkeypatch.setitem(jwe.encrypt_key.__kwdefaults__, "iterations", 100_000)


@pytest.fixture
def password(tmp_path):
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    path.chmod(0o600)
    return path


def add(offline, *arguments):
    result = offline("provisioner", "add", *arguments, "--json")
    assert result.status == 0, result.err
    return result.json


def refused(result, words, status=1):
    assert result.status == status
    assert words in result.err
    return result


# --- jwk ---------------------------------------------------------------------------------------


def test_a_key_pair_is_made_here_and_its_password_shown_once(offline):
    result = offline("provisioner", "add", "robots", "--type", "jwk", "--generate-password")
    assert result.status == 0, result.err
    made_up = re.search(r"^password  (\S{32})$", result.out, re.MULTILINE)
    assert made_up
    assert "step ca token NAME --provisioner robots" in result.out
    shown = offline("provisioner", "show", "robots", "--json").json["provisioner"]
    assert f"key id    {shown['key']['kid']}" in result.out
    private = jwe.decrypt_key(shown["encrypted_key"], made_up[1].encode())
    assert jose.parse_private_jwk(private).jwk.document() == shown["key"]
    assert made_up[1] not in offline("provisioner", "show", "robots").out
    assert made_up[1] not in offline("audit", "list", "--json").out


def test_the_password_comes_from_a_file_or_the_environment(offline, password, monkeypatch):
    entries = [add(offline, "a", "--type", "jwk", "--password-file", password)]
    monkeypatch.setenv(key_pair.VARIABLE, PASSWORD)
    entries.append(add(offline, "b", "--type", "jwk"))
    for entry in entries:
        assert "password" not in entry
        assert jwe.decrypt_key(entry["provisioner"]["encrypted_key"], PASSWORD.encode())


def test_a_key_of_ones_own_is_taken(offline, tmp_path, password):
    key = ed25519.Ed25519PrivateKey.generate()
    path = tmp_path / "key.json"
    path.write_bytes(jose.private_jwk(key))
    path.chmod(0o600)
    entry = add(offline, "a", "--type", "jwk", "--jwk", path, "--password-file", password)
    public = jose.jwk_of(key.public_key()).document()
    assert entry["provisioner"]["key"] == public
    private = jwe.decrypt_key(entry["provisioner"]["encrypted_key"], PASSWORD.encode())
    assert jose.parse_private_jwk(private).jwk.document() == public
    path.write_text(json.dumps(public))
    entry = add(offline, "b", "--type", "jwk", "--jwk", path)
    assert "encrypted_key" not in entry["provisioner"]


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        pytest.param(None, ["--generate-password"], "cannot read", id="no file"),
        pytest.param("{", ["--generate-password"], "no JSON document", id="no JSON"),
        pytest.param('{"kty": "oct", "k": "AAAA"}', ["--generate-password"], "oct", id="HMAC"),
        pytest.param("public", ["--generate-password"], "nothing that a password", id="public"),
        pytest.param("private", ["--generate-password"], "has mode 0644", id="open to others"),
    ],
)
def test_a_key_that_cannot_be_taken_is_refused(offline, tmp_path, content, options, words):
    key = ed25519.Ed25519PrivateKey.generate()
    path = tmp_path / "key.json"
    content = {
        "public": json.dumps(jose.jwk_of(key.public_key()).document()),
        "private": jose.private_jwk(key).decode(),
    }.get(content, content)
    if content is not None:
        path.write_text(content)
        path.chmod(0o600 if "oct" in content else 0o644)
    result = offline("provisioner", "add", "a", "--type", "jwk", "--jwk", path, *options)
    refused(result, words)
    assert json.loads(jose.private_jwk(key))["d"] not in result.err


def test_a_password_is_asked_for_and_is_never_short(offline, tmp_path):
    refused(offline("provisioner", "add", "a", "--type", "jwk"), "needs a password")
    short = tmp_path / "short"
    short.write_text("12345678901")
    short.chmod(0o600)
    result = offline("provisioner", "add", "a", "--type", "jwk", "--password-file", short)
    refused(result, "has 11 characters; it needs 12")
    assert "12345678901" not in result.err
    short.write_bytes(b"\xff" * 20)
    result = offline("provisioner", "add", "a", "--type", "jwk", "--password-file", short)
    refused(result, "is not UTF-8")
    both = ("--generate-password", "--password-file", short)
    refused(offline("provisioner", "add", "a", "--type", "jwk", *both), "exclude each other")


def test_a_person_types_the_password_twice(monkeypatch):
    asked = []

    def prompt(text, **options):
        asked.append((text, options["hide_input"], options["confirmation_prompt"]))
        return PASSWORD

    monkeypatch.setattr(click, "prompt", prompt)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    pair = key_pair.key_pair(None, None, generate_password=False)
    assert asked == [("Password for the provisioner's key", True, "Once more")]
    assert jwe.decrypt_key(pair.encrypted_key, PASSWORD.encode())
    assert pair.password == ""


def test_rotation_makes_a_new_pair(offline, password):
    before = add(offline, "robots", "--type", "jwk", "--generate-password", "--name", "*.example")
    result = offline("provisioner", "rotate", "robots", "--password-file", password)
    assert result.status == 0, result.err
    assert "tokens of the old key are refused" in result.out
    after = offline("provisioner", "show", "robots", "--json").json
    assert after["version"] == before["version"] + 1
    assert after["provisioner"]["rules"] == {"names": ["*.example"]}
    assert after["provisioner"]["key"] != before["provisioner"]["key"]
    assert jwe.decrypt_key(after["provisioner"]["encrypted_key"], PASSWORD.encode())
    again = offline("provisioner", "rotate", "robots", "--generate-password", "--json")
    assert len(again.json["password"]) == 32
    stale = offline("provisioner", "rotate", "robots", "--generate-password", "--version", "1")
    refused(stale, "has version 3, not 1")


# --- oidc and the others -----------------------------------------------------------------------


def test_a_sign_in_is_added_by_options(offline, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("known-to-every-client\n")
    secret.chmod(0o600)
    options = (
        *("--client-secret-file", secret, "--group", "a:b", "--group", "a:c"),
        *("--domain", "example.org", "--admin", "ops@example.org", "--scope", "openid"),
        *("--scope", "groups", "--ssh-user-max", "16h", "--principal", "d-*"),
        *("--profile", "client", "--ssh-profile", "ssh-user"),
    )
    result = offline("provisioner", "add", "dex", *ENDPOINT, *options)
    assert result.status == 0, result.err
    assert "mintmark ssh login --provisioner dex" in result.out
    assert "client mm needs the redirect URI http://127.0.0.1" in result.out
    assert "known-to-every-client" not in result.out
    assert offline("provisioner", "show", "dex", "--json").json["provisioner"] == {
        "name": "dex",
        "type": "oidc",
        "configuration_endpoint": "https://dex.example.org",
        "client_id": "mm",
        "client_secret": "known-to-every-client",
        "scopes": ["openid", "groups"],
        "groups": ["a:b", "a:c"],
        "domains": ["example.org"],
        "admins": ["ops@example.org"],
        "claims": {"ssh_user": {"max": "16h"}},
        "rules": {
            "principals": ["d-*"],
            "profiles": ["client"],
            "ssh_profiles": ["ssh-user"],
        },
    }


def test_an_entry_in_a_file_is_added_shown_changed_and_replaced(offline, tmp_path):
    path = tmp_path / "dex.yaml"
    path.write_text(DEX)
    added = add(offline, "dex", "--file", path)
    assert added["provisioner"] == yaml.read(DEX)
    shown = offline("provisioner", "show", "dex")
    assert shown.out.startswith("# stored, version 1, changed 20")
    assert yaml.read(shown.out) == yaml.read(DEX)
    path.write_text(shown.out.replace("16h", "8h"))
    result = offline("provisioner", "replace", "dex", "--file", path, "--version", "1")
    assert result.status == 0, result.err
    assert "now version 2" in result.out
    again = offline("provisioner", "show", "dex", "--json").json
    assert again["provisioner"]["mappings"][0]["lifetime"] == "8h"
    stale = offline("provisioner", "replace", "dex", "--file", path, "--version", "1")
    refused(stale, "has version 2, not 1")


def test_options_go_over_a_file_which_may_be_json(offline, tmp_path):
    path = tmp_path / "x5c.json"
    entry = {"type": "x5c", "claims": {"renewal": False, "tls": {"min": "10m"}}}
    path.write_text(json.dumps(entry))
    added = add(offline, "x", "--file", path, "--tls-max", "2h", "--renewal-after-expiry")
    assert added["provisioner"]["claims"] == {
        "tls": {"max": "2h", "min": "10m"},
        "renewal": False,
        "renewal_after_expiry": True,
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        pytest.param(["--type", "acme", "--name", "*.example"], "/acme/x/directory", id="acme"),
        pytest.param(["--type", "x5c"], "--x5c-cert", id="x5c"),
        pytest.param(["--type", "sshpop"], "step ssh renew", id="sshpop"),
        pytest.param(["--type", "token"], "mintmark token NAME", id="token"),
    ],
)
def test_every_type_says_what_to_do_next(offline, options, words):
    result = offline("provisioner", "add", "x", *options)
    assert result.status == 0, result.err
    assert words in result.out


def test_an_acme_server_has_its_rules_in_no_section(offline):
    options = ("--name", "*.example", "--profile", "peer", "--renewal-after-expiry")
    added = add(offline, "x", "--type", "acme", *options)
    assert added["provisioner"] == {
        "name": "x",
        "type": "acme",
        "names": ["*.example"],
        "profiles": ["peer"],
        "renewal_after_expiry": True,
    }


def test_roots_are_read_from_their_file(offline, authority):
    root = authority / "root" / "cert.pem"
    added = add(offline, "x", "--type", "x5c", "--roots", root)
    assert added["provisioner"]["roots"] == root.read_text()


def test_the_list_says_where_each_stands(offline):
    add(offline, "x", "--type", "x5c")
    listed = offline("provisioner", "list")
    assert re.search(r"^acme +acme +configuration$", listed.out, re.MULTILINE)
    assert re.search(r"^x +x5c +stored +1 +20", listed.out, re.MULTILINE)
    names = [one["name"] for one in offline("provisioner", "list", "--json").json["provisioners"]]
    assert names == ["acme", "sshpop", "token", "x"]
    assert offline("provisioner", "show", "acme").out.startswith("# in the configuration\n")


def test_a_removed_one_is_gone(offline):
    add(offline, "x", "--type", "x5c")
    result = offline("provisioner", "remove", "x")
    assert result.status == 0, result.err
    assert "its tokens are refused" in result.out
    refused(offline("provisioner", "remove", "x"), "there is no provisioner 'x'")
    add(offline, "x", "--type", "x5c")
    assert offline("provisioner", "remove", "x", "--json").json["version"] == 3


def test_a_shadowed_one_is_told(offline, authority):
    add(offline, "x", "--type", "x5c")
    settings = authority / "mintmark.yaml"
    settings.write_text(f"{settings.read_text()}\nprovisioners: [{{name: x}}]\n")
    listed = offline("provisioner", "list")
    assert "stored provisioner x is not in force: there is a provisioner 'x' already" in listed.err
    assert offline("provisioner", "remove", "x").status == 0


def test_one_that_cannot_be_read_is_shown_with_its_problem(offline, authority):
    add(offline, "x", "--type", "x5c")
    with contextlib.closing(sqlite3.connect(authority / "mintmark.db")) as database, database:
        database.execute("UPDATE provisioners SET document = x'00' WHERE name = 'x'")
    shown = offline("provisioner", "show", "x")
    assert shown.status == 0, shown.err
    assert "# not in force: what is stored for 'x5c x 1' cannot be decrypted" in shown.out
    assert offline("provisioner", "remove", "x").status == 0


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x"], "nothing says of which type"),
        (["x", "--type", "x5c", "--endpoint", "https://a.example"], "--endpoint means nothing"),
        (["x", "--type", "acme", "--tls-max", "1h"], "--tls-max means nothing"),
        (["x", "--type", "sshpop", "--name", "a"], "--name means nothing"),
        (["x", "--type", "x5c", "--generate-password"], "has no key of its own"),
        (["x", "--type", "oidc"], "needs the key 'configuration_endpoint'"),
        (["../x", "--type", "x5c"], "'provisioner.name' is '../x'"),
        (["acme", "--type", "x5c"], "already"),
        (["x", "--type", "x5c", "--roots", "nowhere"], "cannot read 'nowhere'"),
        (["x", "--type", "x5c", "--profile", "servr"], "did you mean 'server'?"),
        (["x", "--file", "nowhere"], "cannot read 'nowhere'"),
        (["dex", "--file", "dex.yaml", "--type", "jwk"], "'type' in 'dex.yaml' is 'oidc'"),
        (["other", "--file", "dex.yaml"], "'name' in 'dex.yaml' is 'dex'"),
        (["x", "--file", "list.yaml"], "does not hold one entry"),
        (["x", "--file", "broken.yaml"], "'broken.yaml': line 1"),
    ],
)
def test_what_cannot_be_added_is_refused(offline, tmp_path, arguments, words):
    (tmp_path / "dex.yaml").write_text(DEX)
    (tmp_path / "list.yaml").write_text("[{name: x}]")
    (tmp_path / "broken.yaml").write_text("{a: 1, a: 2}")
    refused(offline("provisioner", "add", *arguments), words)
    assert len(offline("provisioner", "list", "--json").json["provisioners"]) == 3


def test_what_is_mistyped_is_wrong_usage(offline):
    refused(offline("provisioner", "add", "x", "--type", "saml"), "'saml'", status=2)
    refused(offline("provisioner", "add", "x", "--tls-max", "1"), "is not a duration", status=2)
    refused(offline("provisioner", "replace", "x"), "--file", status=2)
    refused(offline("provisioner", "remove", "x", "--version", "0"), "--version", status=2)


def test_a_configured_one_is_changed_in_its_file(offline):
    result = refused(offline("provisioner", "remove", "acme"), "stands in the configuration")
    assert "mintmark.yaml" in result.err


def test_a_secret_of_a_client_lies_in_a_file_of_its_own(offline, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o644)
    result = offline("provisioner", "add", "x", *ENDPOINT, "--client-secret-file", secret)
    refused(result, "has mode 0644")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o644
