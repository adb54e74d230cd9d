"""SSH in a person's hand, without a server: files, refusals, and what is said."""

from __future__ import annotations

import json
import re
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from msgspec import structs

from mintmark.cli import ssh_config, ssh_renewing, ssh_trust
from mintmark.cli.options import Place
from mintmark.cli.ssh_files import SSHFiles, read_certificate, read_private_key
from mintmark.client.api import APIClient
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHCertificateType
from mintmark.wire.ssh import certificate as certificates
from mintmark.wire.ssh import key as keys
from mintmark.wire.ssh import krl
from mintmark.wire.ssh.certificate import FOREVER, Fields

DAY = 86400


@pytest.fixture(autouse=True)
def stranger(monkeypatch, tmp_path):
    """Somebody who knows no server yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def certified(offline, name="alice", *more):
    result = offline("ssh", "user", name, *more, "--json")
    assert result.status == 0, result.err
    return result.json


def public(key):
    return keys.from_public_key(key.public_key())


def forge(path, *, after=0, before=FOREVER, serial=7, key=None, **more):
    """Write a certificate of a CA that nobody knows."""
    key = key or ed25519.Ed25519PrivateKey.generate()
    ca = ed25519.Ed25519PrivateKey.generate()
    said = {"key_id": "k", "principals": ("p",), "critical_options": (), "extensions": ()} | more
    fields = Fields(
        type=SSHCertificateType.USER,
        key=public(key),
        serial=serial,
        valid_after=after,
        valid_before=before,
        authority=public(ca),
        nonce=b"n" * 32,
        **said,
    )
    tbs = certificates.encode_tbs(fields)
    blob = certificates.encode(tbs, fields.authority.blob, ca.sign(tbs))
    path.write_text(f"{certificates.line(blob)}\n")
    return fields


# --- user and host -----------------------------------------------------------------------------


def test_a_new_key_is_certified_and_written_for_its_owner_alone(offline, tmp_path):
    made = certified(offline)
    assert made["files"] == ["alice", "alice.pub", "alice-cert.pub"]
    assert (made["key_id"], made["principals"], made["type"]) == ("alice", ["alice"], "user")
    assert (tmp_path / "alice").stat().st_mode & 0o777 == 0o600
    fields = read_certificate(tmp_path / "alice-cert.pub").fields
    key = read_private_key(tmp_path / "alice")
    assert fields.key.blob == public(key).blob
    assert (tmp_path / "alice.pub").read_text() == f"{keys.line(public(key))} alice\n"


def test_principals_key_id_and_lifetime_are_asked_for(offline):
    made = certified(
        offline, "alice", "--principal", "deploy", "--principal", "root", "--key-id", "alice, ops",
        "--lifetime", "10m",
    )  # fmt: skip
    assert (made["key_id"], made["principals"]) == ("alice, ops", ["deploy", "root"])


def test_a_certificate_is_written_beside_the_key_that_is_there(offline, tmp_path):
    key = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "host_key.pub").write_text(f"{keys.line(public(key))}\n")
    result = offline("ssh", "host", "web01.example.internal", "--public-key", "host_key.pub")
    assert result.status == 0, result.err
    assert "wrote host_key-cert.pub" in result.out
    fields = read_certificate(tmp_path / "host_key-cert.pub").fields
    assert (fields.type.word, fields.principals) == ("host", ("web01.example.internal",))
    assert not (tmp_path / "host_key").exists()


def test_a_key_is_not_overwritten_by_accident(offline, tmp_path):
    certified(offline)
    before = (tmp_path / "alice").read_bytes()
    again = offline("ssh", "user", "alice")
    assert again.status == 1
    assert "'alice' exists already" in again.err
    assert (tmp_path / "alice").read_bytes() == before
    certified(offline, "alice", "--force")
    assert (tmp_path / "alice").read_bytes() != before


def test_a_certificate_is_not_certified(offline, tmp_path):
    certified(offline)
    result = offline("ssh", "user", "bob", "--public-key", "alice-cert.pub")
    assert result.status == 1
    assert "a certificate" in result.err
    assert "where a bare public key is expected" in result.err
    assert not (tmp_path / "alice-cert-cert.pub").exists()


def test_an_answer_for_another_key_is_not_written(offline, tmp_path, monkeypatch):
    forge(tmp_path / "other-cert.pub")
    line = (tmp_path / "other-cert.pub").read_text()
    ask = APIClient.request_ssh_certificate
    monkeypatch.setattr(
        APIClient,
        "request_ssh_certificate",
        lambda *given, **more: structs.replace(ask(*given, **more), certificate=line),
    )
    result = offline("ssh", "user", "alice")
    assert result.status == 1
    assert "and not for our key" in result.err
    assert not list(tmp_path.glob("alice*"))


@pytest.mark.parametrize("principal", ["a,b", "*", "two words", "", "x\ny"])
def test_principals_that_mean_more_than_they_say_are_refused(offline, tmp_path, principal):
    result = offline("ssh", "user", "alice", "--principal", principal)
    assert result.status == 1
    assert not (tmp_path / "alice").exists()


def test_a_name_that_is_no_service_needs_one(offline):
    result = offline("ssh", "user", "alice liddell")
    assert result.status == 1
    assert "--service" in result.err


def test_two_credentials_are_one_too_many(offline, tmp_path):
    (tmp_path / "t").touch()
    result = offline("ssh", "user", "x", "--token-file", "t", "--provisioner", "p")
    assert result.status == 2


def test_a_token_is_not_for_whoever_opens_the_directory(offline):
    result = offline("ssh", "user", "x", "--provisioner", "p")
    assert result.status == 1
    assert "--offline is for the administrator" in result.err


# --- list, inspect, revoke ---------------------------------------------------------------------


def test_certificates_are_listed_and_narrowed(offline):
    certified(offline, "alice", "--principal", "deploy")
    certified(offline, "bob")
    assert offline("ssh", "host", "web01.example.internal").status == 0

    def listed(*more):
        found = offline("ssh", "list", *more, "--json").json["certificates"]
        return [one["key_id"] for one in found]

    assert listed() == ["web01.example.internal", "bob", "alice"]
    assert listed("--type", "user") == ["bob", "alice"]
    assert listed("--principal", "deploy") == ["alice"]
    assert listed("--key-id", "bob") == ["bob"]
    assert listed("--status", "revoked") == []
    assert listed("--expiring", "1d") == ["bob", "alice"]
    text = offline("ssh", "list", "--limit", "1")
    assert text.out.splitlines()[0].split()[0] == "TYPE"
    assert "there are more than 1" in text.err


def test_a_certificate_is_inspected(offline):
    made = certified(offline, "alice", "--principal", "deploy")
    found = offline("ssh", "inspect", "alice-cert.pub", "--json").json
    assert found["certificate_id"] == made["certificate_id"]
    assert found["serial_number"] == made["serial_number"]
    assert (found["status"], found["trusted"], found["revoked"]) == ("valid", True, False)
    assert found["authority"].endswith(made["authority_fingerprint"])
    assert offline("ssh", "revoke", made["serial_number"]).status == 0
    assert offline("ssh", "inspect", "alice-cert.pub", "--json").json["status"] == "revoked"


def test_certificates_are_inspected_without_a_server(run, tmp_path):
    forge(tmp_path / "x-cert.pub", after=1, before=2, extensions=(("permit-pty", ""),))
    result = run("ssh", "inspect", "x-cert.pub")
    assert result.status == 0
    assert "not known: no server is known here yet" in result.err
    assert re.search(r"^status +expired$", result.out, re.MULTILINE)
    assert re.search(r"^trusted +not known$", result.out, re.MULTILINE)


def test_what_an_agent_lists_is_inspected(run, tmp_path):
    fields = forge(tmp_path / "x-cert.pub")
    text = f"{keys.line(fields.key)} a bare key\n{(tmp_path / 'x-cert.pub').read_text()}"
    found = run("ssh", "inspect", "-", "--json", stdin=text.encode()).json
    assert (found["key_id"], found["valid_before"]) == ("k", None)


def test_a_certificate_of_the_far_future_is_inspected(run, tmp_path):
    forge(tmp_path / "x-cert.pub", after=FOREVER - 2, before=FOREVER - 1)
    result = run("ssh", "inspect", "x-cert.pub")
    assert result.status == 0
    assert re.search(r"^status +not yet valid$", result.out, re.MULTILINE)


def test_hostile_texts_of_a_certificate_do_not_reach_the_terminal(run, tmp_path):
    forge(tmp_path / "x-cert.pub", key_id="\x1b[2J", principals=("a\nb\x9b",))
    result = run("ssh", "inspect", "x-cert.pub")
    assert not set(result.out) & set("\x1b\x9b")


def test_a_forged_certificate_is_not_inspected_as_if_it_were_one(run, tmp_path):
    forge(tmp_path / "x-cert.pub")
    parsed = read_certificate(tmp_path / "x-cert.pub")
    blob = bytearray(parsed.blob)
    blob[parsed.tbs.index(b"n" * 32)] ^= 1
    (tmp_path / "x-cert.pub").write_text(certificates.line(bytes(blob)))
    result = run("ssh", "inspect", "x-cert.pub")
    assert result.status == 1
    assert "does not verify" in result.err


def test_a_file_without_a_certificate_is_named_as_one(run, tmp_path):
    (tmp_path / "x").write_text("hello\n")
    result = run("ssh", "inspect", "x")
    assert result.status == 1
    assert "no SSH certificate" in result.err


@pytest.mark.parametrize("by", ["file", "serial", "id"])
def test_a_certificate_is_revoked_once(offline, by):
    made = certified(offline)
    target = {
        "file": "alice-cert.pub",
        "serial": made["serial_number"],
        "id": made["certificate_id"],
    }[by]
    result = offline("ssh", "revoke", target, "--reason", "key-compromise")
    assert f"revoked {made['certificate_id']} (key-compromise)" in result.out
    assert offline("ssh", "revoke", target).status == 1


def test_a_key_id_and_a_key_are_banned(offline):
    certified(offline)
    assert "banned key id alice" in offline("ssh", "revoke", "--key-id", "alice").out
    assert "banned key SHA256:" in offline("ssh", "revoke", "--public-key", "alice.pub").out
    refused = offline("ssh", "user", "alice", "--public-key", "alice.pub")
    assert refused.status == 1


@pytest.mark.parametrize("arguments", [(), ("1", "--key-id", "x")])
def test_exactly_one_thing_is_revoked(run, arguments):
    result = run("ssh", "revoke", *arguments)
    assert result.status == 2
    assert "name one of" in result.err


@pytest.mark.parametrize("target", ["no/such-cert.pub", "18446744073709551616", "..", "nothing"])
def test_what_is_no_certificate_is_not_revoked(offline, target):
    assert offline("ssh", "revoke", target).status == 1


# --- renew -------------------------------------------------------------------------------------


def test_two_thirds_of_the_life_have_to_be_over(tmp_path):
    fields = forge(tmp_path / "x-cert.pub", after=1000, before=1300)
    assert ssh_renewing.due_at(fields) == 1200
    endless = forge(tmp_path / "x-cert.pub")
    assert ssh_renewing.due_at(endless) == FOREVER


def test_nothing_happens_before_a_certificate_is_due(run, tmp_path):
    now = int(time.time())
    forge(tmp_path / "x-cert.pub", after=now - DAY, before=now + DAY)
    before = (tmp_path / "x-cert.pub").read_bytes()
    told = run("ssh", "renew", "x-cert.pub")
    assert (told.status, "is not due before" in told.out) == (0, True)
    quiet = run("ssh", "renew", "--timer", "x-cert.pub", "--reload", "false")
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")
    assert run("ssh", "renew", "x-cert.pub", "--json").json["renewed"] is False
    assert (tmp_path / "x-cert.pub").read_bytes() == before


def test_a_reload_that_is_owed_is_made_up_for(run, tmp_path):
    now = int(time.time())
    forge(tmp_path / "x-cert.pub", after=now - DAY, before=now + DAY)
    owed = tmp_path / ".x-cert.pub.reload"
    owed.touch()
    failed = run("ssh", "renew", "--timer", "x-cert.pub", "--reload", "false")
    assert (failed.status, owed.exists()) == (1, True)
    assert "'false' ended with status 1" in failed.err
    assert run("ssh", "renew", "--timer", "x-cert.pub", "--reload", "no-such-program").status == 1
    done = run("ssh", "renew", "--timer", "x-cert.pub", "--reload", "touch reloaded")
    assert (done.status, owed.exists()) == (0, False)
    assert (tmp_path / "reloaded").exists()


def test_a_reload_is_no_shell(run, tmp_path):
    now = int(time.time())
    forge(tmp_path / "x-cert.pub", after=now - DAY, before=now + DAY)
    (tmp_path / ".x-cert.pub.reload").touch()
    assert run("ssh", "renew", "x-cert.pub", "--reload", "touch a; touch b").status == 0
    assert (tmp_path / "a;").exists()


def due(tmp_path, key=None):
    now = int(time.time())
    forge(tmp_path / "x-cert.pub", after=now - DAY, before=now + 60, key=key)
    return ("ssh", "renew", "x-cert.pub", "--server", "https://localhost:1")


def test_a_renewal_needs_the_key_beside_the_certificate(run, tmp_path):
    line = due(tmp_path)
    assert "'x' cannot be read" in run(*line).err
    SSHFiles(tmp_path / "x").write_key(ed25519.Ed25519PrivateKey.generate(), "")
    assert "for another key than" in run(*line).err
    (tmp_path / "x").chmod(0o644)
    assert "mode 0644" in run(*line).err


def test_a_server_that_is_down_leaves_the_certificate_alone(run, tmp_path):
    key = ed25519.Ed25519PrivateKey.generate()
    line = due(tmp_path, key)
    SSHFiles(tmp_path / "x").write_key(key, "")
    before = (tmp_path / "x-cert.pub").read_bytes()
    result = run(*line, "--timer")
    assert result.status == 1
    assert "cannot connect" in result.err
    assert (tmp_path / "x-cert.pub").read_bytes() == before


def test_a_file_that_is_not_named_like_a_certificate_is_not_renewed(run, tmp_path):
    forge(tmp_path / "x.pub")
    result = run("ssh", "renew", "x.pub")
    assert result.status == 1
    assert "ends in -cert.pub" in result.err


# --- config ------------------------------------------------------------------------------------


def test_configuration_is_shown(offline):
    client = offline("ssh", "config", "--hosts", "*.example.internal", "--json").json
    assert client["known_hosts"].startswith("@cert-authority *.example.internal ssh-ed25519 ")
    assert client["ssh_config"].startswith("Host *.example.internal\n")
    host = offline("ssh", "config", "--host", "--json").json
    assert host["user_ca.pub"].startswith("ssh-ed25519 ")
    assert host["user_ca.pub"].split()[1] != client["known_hosts"].split()[3]
    assert "HostCertificate /etc/ssh/ssh_host_ed25519_key-cert.pub\n" in host["mintmark.conf"]
    assert "AuthorizedPrincipalsFile /etc/ssh/auth_principals/%u\n" in host["mintmark.conf"]
    text = offline("ssh", "config", "--host")
    assert "# mintmark.conf\nHostKey " in text.out


def test_a_pattern_of_hosts_stays_one(offline):
    assert offline("ssh", "config", "--hosts", "* ssh-ed25519 AAAA").status == 1


def test_a_refresh_needs_to_know_where(run):
    assert run("ssh", "config", "--refresh").status == 2


def test_a_list_of_revoked_keys_is_never_replaced_by_an_older_one(tmp_path):
    def at(number):
        return krl.encode(number, 1, [], ["x"], [])

    ssh_config._write_krl(tmp_path, at(5))
    with pytest.raises(Error, match=r"number 4, the one in .* 5") as caught:
        ssh_config._write_krl(tmp_path, at(4))
    assert caught.value.kind is Kind.CONFLICT
    assert (tmp_path / "revoked.krl").read_bytes() == at(5)
    ssh_config._write_krl(tmp_path, at(6))
    assert (tmp_path / "revoked.krl").read_bytes() == at(6)


@pytest.mark.parametrize("octets", [b"", b"<html>", b"SSHKRL\n\0"])
def test_what_is_no_list_of_revoked_keys_is_not_written(tmp_path, octets):
    with pytest.raises(Error):
        ssh_config._write_krl(tmp_path, octets)
    assert not (tmp_path / "revoked.krl").exists()


def test_a_broken_list_is_replaced_by_a_good_one(tmp_path):
    (tmp_path / "revoked.krl").write_bytes(b"half of it")
    good = krl.encode(1, 1, [], ["x"], [])
    ssh_config._write_krl(tmp_path, good)
    assert (tmp_path / "revoked.krl").read_bytes() == good


# --- the CA keys -------------------------------------------------------------------------------


def generations(offline):
    found = offline("ssh", "ca", "--json").json["authorities"]
    return sorted((one["type"], one["generation"]) for one in found)


def test_a_ca_key_is_rolled_over_in_three_steps(authority, run, offline):
    del authority
    assert generations(offline) == [("host", "active"), ("user", "active")]
    made = run("ssh", "rollover", "host")
    assert made.status == 0, made.err
    assert "made the next SSH host CA key SHA256:" in made.out
    assert "ssh rollover host --activate" in made.out
    assert ("host", "next") in generations(offline)
    assert len(offline("ssh", "config", "--json").json["known_hosts"].splitlines()) == 2
    assert "signs from now on" in run("ssh", "rollover", "host", "--activate").out
    assert ("host", "previous") in generations(offline)
    gone = run("ssh", "rollover", "host", "--retire")
    assert "is not trusted any more" in gone.out
    assert generations(offline) == [("host", "active"), ("user", "active")]


def test_steps_of_a_rollover_are_taken_one_by_one(authority, run):
    del authority
    assert run("ssh", "rollover", "user", "--activate", "--retire").status == 2
    assert "no next SSH user CA key" in run("ssh", "rollover", "user", "--activate").err
    assert "no previous SSH user CA key" in run("ssh", "rollover", "user", "--retire").err


def test_keys_that_are_there_are_not_made_again(authority, run):
    del authority
    result = run("ssh", "init")
    assert result.status == 1
    assert "has SSH CA keys already" in result.err


# --- which server ------------------------------------------------------------------------------


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A person's own configuration, and a root that the server says it has."""
    monkeypatch.setattr(ssh_trust, "fetch_root", lambda server, fingerprint: f"{server} root\n")
    return tmp_path / "config" / "mintmark"


def test_a_server_is_remembered_after_it_was_known_by_its_fingerprint(home, tmp_path):
    nowhere = tmp_path / "nowhere"
    with pytest.raises(Error, match="no server is known here yet"):
        ssh_trust.known(Place(nowhere))
    first = ssh_trust.known(Place(nowhere, server="https://ca:8443/"), "ab" * 32)
    assert (first.server, first.ca) == ("https://ca:8443", home / "ca.pem")
    assert ssh_trust.known(Place(nowhere)) == first
    same = ssh_trust.known(Place(nowhere, server="https://ca:8443"))
    assert same.ca == home / "ca.pem"
    other = ssh_trust.known(Place(nowhere, server="https://other:8443"))
    assert other.ca is None


def test_what_the_options_say_stands_before_what_is_remembered(home, tmp_path, authority):
    ssh_trust.known(Place(tmp_path / "nowhere", server="https://ca:8443"), "ab" * 32)
    own = Place(authority)
    assert ssh_trust.known(own) == own
    named = Place(tmp_path / "named", is_default=False)
    assert ssh_trust.known(named) == named


def test_a_fingerprint_without_a_server_is_refused(home, tmp_path):
    with pytest.raises(Error, match="--server is missing"):
        ssh_trust.known(Place(tmp_path), "ab" * 32)
    assert not home.exists()


def test_json_of_a_refusal_is_json(run):
    result = run("ssh", "list", "--json")
    assert json.loads(result.out)["error"]["kind"] == "configuration"
