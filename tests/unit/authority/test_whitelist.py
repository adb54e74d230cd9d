"""The whitelist denies by default, and the first match decides."""

import pytest

from mintmark.authority.policy import whitelist as whitelist_module
from mintmark.authority.policy.whitelist import PREFIXES, Whitelist, prefix_of, service_id
from mintmark.model.access import Operation, ServiceRule
from mintmark.model.errors import Error, Kind

ALL = frozenset(Operation)
READ = frozenset({Operation.DOWNLOAD})


def test_an_unknown_service_may_do_nothing():
    assert Whitelist().rule("stranger").operations == frozenset()


def test_an_exact_entry_comes_before_any_pattern():
    whitelist = Whitelist([ServiceRule("test-1", READ)], [ServiceRule("test-*", ALL)])

    assert whitelist.rule("test-1").operations == READ
    assert whitelist.rule("test-2").operations == ALL


def test_the_first_matching_pattern_decides():
    whitelist = Whitelist(patterns=[ServiceRule("a-*", READ), ServiceRule("*", ALL)])

    assert whitelist.rule("a-1").operations == READ


def test_a_pattern_matches_the_whole_id():
    whitelist = Whitelist(patterns=[ServiceRule("test-*", ALL)])

    assert whitelist.rule("my-test-1").operations == frozenset()
    assert whitelist.rule("test").operations == frozenset()


@pytest.mark.parametrize("pattern", ["*", "a*", "*.acme.*", "acme*"])
def test_a_pattern_for_services_means_no_acme_account(pattern):
    """Anyone gets an account; rights that were meant for services are not given with it."""
    whitelist = Whitelist(patterns=[ServiceRule(pattern, ALL)])

    assert whitelist.rule("acme.acme.4xk2q").operations == frozenset()


def test_acme_accounts_are_meant_where_they_are_named():
    whitelist = Whitelist(
        [ServiceRule("acme.acme.one", ALL)],
        [ServiceRule("acme.lab.*", READ), ServiceRule("*", ALL)],
    )

    assert whitelist.rule("acme.acme.one").operations == ALL
    assert whitelist.rule("acme.lab.two").operations == READ
    assert whitelist.rule("acme.acme.two").operations == frozenset()
    assert whitelist.rule("acme").operations == ALL


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_ends_with_its_only_dot(prefix):
    assert prefix_of(f"{prefix}name.subject") == prefix_of(prefix) == prefix
    assert prefix_of(prefix[:-1]) == prefix_of(f"x{prefix}") == prefix_of(f".{prefix}") == ""


def test_what_was_said_of_a_service_is_remembered_and_strangers_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(whitelist_module, "_REMEMBERED", 2)
    whitelist = Whitelist(patterns=[ServiceRule("web-*", ALL)])

    assert whitelist.rule("web-1") is whitelist.rule("web-2")
    first = whitelist.rule("stranger")
    assert whitelist.rule("stranger") is first
    for number in range(3):
        assert not whitelist.rule(f"stranger-{number}").operations
    assert whitelist.rule("stranger") == first
    assert whitelist.rule("stranger") is not first
    assert whitelist.rule("web-1").operations == ALL


def test_case_cannot_make_two_services_of_one():
    """OpenBao CVE-2025-64761: a policy name in other case was taken for root."""
    with pytest.raises(Error) as refusal:
        service_id("Admin-CLI")

    assert refusal.value.kind is Kind.MALFORMED


@pytest.mark.parametrize("text", ["", "-a", "a-", "a b", "a/../b", "a\x00", "ä", "a" * 129, "*"])
def test_a_service_id_has_one_form(text):
    with pytest.raises(Error):
        service_id(text)
