"""dns-persist-01: draft-ietf-acme-dns-persist-02."""

from __future__ import annotations

import pytest

from mintmark.protocol.acme.validation.dns_persist01 import (
    account_hash,
    account_hash_prefix,
    parse,
)
from tests.unit.acme.validation.world import (
    ACCOUNT,
    NOW,
    THUMBPRINT,
    assert_failed,
    assert_validated,
)

DOMAIN = "a.example.internal"
NAME = f"_validation-persist.{DOMAIN}"
ISSUER = "ca.example.internal"
PREFIX = "https://ca.example.internal:8443/acme/acme/account-hash/"
URI = PREFIX + account_hash(DOMAIN, THUMBPRINT, ACCOUNT)
FORMER = "A" * 43
RECORD = f"{ISSUER}; accounturi={URI}"


def persist(world, **options):
    options = {"issuer_domain_names": ("other.example.internal", ISSUER), "token": ""} | options
    return world.check("dns-persist-01", DOMAIN, **options)


def test_hash_is_as_in_the_draft():
    # draft-ietf-acme-dns-persist-02 §10.2.
    url = "https://ca.example/acct/123"
    expected = "sha-256/5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw"
    assert account_hash("example.com", THUMBPRINT, url) == expected
    expected = "sha-256/NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug"
    assert account_hash("*", THUMBPRINT, url) == expected


def test_prefix_follows_the_account_url():
    assert account_hash_prefix(ACCOUNT) == PREFIX


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        f"{ISSUER};accounturi={URI}",
        f" \t{ISSUER} ;\taccounturi = {URI} ",
        f"{ISSUER.upper()}.; accounturi={URI}",
        f"{ISSUER}; unknown=x; accounturi={URI}; policy=other",
        f"{ISSUER}; accounturi={PREFIX}{account_hash('*', THUMBPRINT, ACCOUNT)}",
        f"{ISSUER}; accounturi={URI}; policy=wildcard",
    ],
)
def test_record_that_names_us_and_the_account_is_valid(world, record):
    world.dns.add(NAME, "TXT", record.encode())
    outcome = persist(world)
    assert_validated(outcome)
    assert outcome.valid_until is None


def test_record_among_those_of_others_is_found(world):
    records = (b"", b"junk", b"other.authority.example; accounturi=x; accounturi=y")
    world.dns.add(NAME, "TXT", *records, f"{ISSUER}; accounturi={PREFIX}x".encode())
    world.dns.add(NAME, "TXT", RECORD.encode())
    assert_validated(persist(world))


def test_record_of_a_former_key_is_valid(world):
    uri = PREFIX + account_hash(DOMAIN, FORMER, ACCOUNT)
    world.dns.add(NAME, "TXT", f"{ISSUER}; accounturi={uri}".encode())
    assert_validated(persist(world, former=(FORMER,)))
    assert_failed(persist(world), "unauthorized", "another account", URI)


def test_wildcard_needs_its_policy(world):
    world.dns.add(NAME, "TXT", RECORD.encode())
    assert_failed(persist(world, wildcard=True), "unauthorized", "policy=wildcard")


@pytest.mark.parametrize("policy", ["wildcard", "WildCard"])
def test_wildcard_with_its_policy_is_valid(world, policy):
    world.dns.add(NAME, "TXT", f"{RECORD}; policy={policy}".encode())
    assert_validated(persist(world, wildcard=True))


def test_end_of_the_record_is_told(world):
    until = int(NOW) + 60
    world.dns.add(NAME, "TXT", f"{RECORD}; persistUntil={until}".encode())
    assert persist(world).valid_until == until


def test_expired_record_is_refused(world):
    world.dns.add(NAME, "TXT", f"{RECORD}; persistUntil={int(NOW) - 1}".encode())
    assert_failed(persist(world), "unauthorized", "which has passed")


def test_account_url_of_earlier_drafts_is_answered_with_the_hash(world):
    world.dns.add(NAME, "TXT", f"{ISSUER}; accounturi={ACCOUNT}".encode())
    assert_failed(persist(world), "malformed", "the account's URL", f"accounturi={URI}'")


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (ISSUER, "no parameters"),
        (f"{ISSUER};", "no 'accounturi'"),
        (f"{ISSUER}; policy=wildcard", "no 'accounturi'"),
        (f"{RECORD};", "not 'tag=value'"),
        (f"{RECORD}; =x", "not 'tag=value'"),
        (f"{RECORD}; policy", "not 'tag=value'"),
        (f"{RECORD}; po licy=wildcard", "not 'tag=value'"),
        (f"{RECORD}; accounturi={URI}", "twice"),
        (f"{RECORD}; ACCOUNTURI={URI}", "twice"),
        (f"{RECORD}; persistUntil=", "not a number"),
        (f"{RECORD}; persistUntil=-1", "not a number"),
        (f"{RECORD}; persistUntil=1e9", "not a number"),
        (f"{RECORD}; persistUntil=9999999999999999", "not a number"),
        (f"{RECORD}; persistUntil=1; persistUntil=2", "twice"),
        (f"{ISSUER}; accounturi={PREFIX}sha-512/{'A' * 43}", "accounturi is not"),
        (f"{ISSUER}; accounturi={URI}=", "accounturi is not"),
        (f"{ISSUER}; accounturi={URI[:-1]}", "accounturi is not"),
        (f"{ISSUER}; accounturi=https://other.example/x", "accounturi is not"),
        (f"{ISSUER}; accounturi={URI}\x00", "not 'tag=value'"),
    ],
)
def test_broken_record_is_malformed(world, record, said):
    world.dns.add(NAME, "TXT", record.encode())
    outcome = persist(world)
    assert_failed(outcome, "malformed", said)
    assert outcome.detail.isprintable()


def test_record_of_another_account_is_unauthorized(world):
    uri = PREFIX + account_hash(DOMAIN, THUMBPRINT, ACCOUNT + "d")
    world.dns.add(NAME, "TXT", f"{ISSUER}; accounturi={uri}".encode())
    assert_failed(persist(world), "unauthorized", "another account", URI)


def test_record_for_another_name_is_unauthorized(world):
    uri = PREFIX + account_hash("b.example.internal", THUMBPRINT, ACCOUNT)
    world.dns.add(NAME, "TXT", f"{ISSUER}; accounturi={uri}".encode())
    assert_failed(persist(world), "unauthorized", URI)


@pytest.mark.parametrize("record", [b"", b"other.example; accounturi=x", b"\xff\xfe; x"])
def test_no_record_of_ours_says_which_would_do(world, record):
    world.dns.add(NAME, "TXT", record)
    outcome = persist(world, wildcard=True)
    expected = f"'other.example.internal; accounturi={URI}; policy=wildcard'"
    assert_failed(outcome, "unauthorized", "nothing that names this authority", expected)


def test_missing_name_is_a_dns_failure(world):
    assert_failed(persist(world), "dns", NAME, "NXDOMAIN")


def test_authority_without_a_name_blames_itself(world):
    assert_failed(persist(world, issuer_domain_names=()), "serverInternal", "issuer domain name")


def test_record_of_64_kb_is_refused_quickly(world):
    world.dns.add(NAME, "TXT", (RECORD + "; x=" + "-" * 60000).encode())
    assert_validated(persist(world))
    world.dns.remove(NAME, "TXT")
    world.dns.add(NAME, "TXT", (RECORD + ";" + "a-" * 30000).encode())
    assert_failed(persist(world), "malformed", "not 'tag=value'")


def test_tags_of_any_case_are_known():
    assert parse(b"x; AccountURI=y; PersistUntil=5; POLICY=Wildcard").until == 5
