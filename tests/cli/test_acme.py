"""ACME in the operator's hand, without a server."""

from __future__ import annotations

import base64
import re
import time

import pytest

WEB = "web.example.internal"


def add(offline, *options):
    result = offline("acme", "eab", "add", *options, "--json")
    assert result.status == 0, result.err
    return result.json


def test_adding_a_key_prints_what_certbot_needs(offline):
    result = offline("acme", "eab", "add", "--name", "rack 7")
    assert result.status == 0, result.err
    key_id = re.search(r"^key id +([a-z2-7]{24})$", result.out, re.MULTILINE)
    hmac_key = re.search(r"^HMAC key +([A-Za-z0-9_-]{43})$", result.out, re.MULTILINE)
    assert key_id
    assert hmac_key
    assert (
        "REQUESTS_CA_BUNDLE=ca.pem certbot certonly --standalone "
        "--server https://localhost:8443/acme/acme/directory "
        f"--eab-kid {key_id[1]} --eab-hmac-key={hmac_key[1]} -d NAME"
    ) in result.out


def test_a_key_in_json_has_its_directory(offline):
    made = add(offline, "--name", "rack 7")
    assert made["directory"] == "https://localhost:8443/acme/acme/directory"
    assert made["name"] == "rack 7"
    assert len(base64.urlsafe_b64decode(made["hmac_key"] + "=")) == 32


def test_keys_are_listed_without_their_secrets(offline):
    made = add(offline)
    listed = offline("acme", "eab", "list")
    assert made["key_id"] in listed.out
    assert "unused" in listed.out
    assert made["hmac_key"] not in listed.out


def test_a_list_says_when_there_is_more(offline):
    for _ in range(3):
        add(offline)
    listed = offline("acme", "eab", "list", "--limit", "2")
    assert "there are more than 2" in listed.err
    assert len(offline("acme", "eab", "list", "--limit", "2", "--json").json["external_keys"]) == 2
    assert offline("acme", "eab", "list", "--provisioner", "x", "--json").json == {
        "external_keys": [],
        "more": False,
    }


def test_a_key_is_revoked_once(offline):
    key_id = add(offline)["key_id"]
    assert offline("acme", "eab", "revoke", key_id).status == 0
    again = offline("acme", "eab", "revoke", key_id)
    assert again.status == 1
    assert "revoked already" in again.err


def test_a_provisioner_that_is_not_there_is_refused(offline):
    result = offline("acme", "eab", "add", "--provisioner", "nope")
    assert result.status == 1
    assert "provisioners: acme" in result.err


@pytest.mark.parametrize("command", [("accounts",), ("paused",)])
def test_empty_lists_are_lists(offline, command):
    assert offline("acme", *command).status == 0
    assert offline("acme", *command, "--json").json["more"] is False


@pytest.mark.parametrize(
    "command",
    [("revoke-account", "nobody"), ("unpause", "nobody"), ("unpause", "nobody", WEB)],
)
def test_an_account_that_is_not_there_is_named(offline, command):
    result = offline("acme", *command)
    assert result.status == 1
    assert "there is no ACME account 'nobody'" in result.err


# --- renew-now ---------------------------------------------------------------------------------


def test_renewal_of_a_selection_is_asked_for(offline):
    for name in (WEB, "db.example.internal"):
        assert offline("issue", name).status == 0
    result = offline("ca", "renew-now", "--name", WEB, "--over", "2h", "--reason", "drill")
    assert result.status == 0, result.err
    assert "asked for the renewal of 1 certificate within 2h" in result.out
    later = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 2 * 86400))
    moved = offline("ca", "renew-now", "--issued-before", later, "--json").json
    assert moved["moved"] >= 2
    assert offline("ca", "renew-now", "--all", "--json").json["moved"] == moved["moved"]


def test_renewal_of_everything_is_not_what_nothing_means(offline):
    result = offline("ca", "renew-now")
    assert result.status == 2
    assert "say which certificates" in result.err


def test_an_empty_selection_is_an_error(offline):
    result = offline("ca", "renew-now", "--service", "typo")
    assert result.status == 1
    assert "no certificate" in result.err


def test_a_reason_may_be_a_url(offline):
    assert offline("issue", WEB).status == 0
    url = "https://wiki.example.internal/incident"
    assert offline("ca", "renew-now", "--service", WEB, "--reason", url).status == 0
    (record,) = offline("audit", "list", "--action", "acme.renewal-window.move", "--json").json[
        "records"
    ]
    assert record["details"]["explanation_url"] == url
