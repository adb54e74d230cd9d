"""Name rules: what a glob means, and what it must never mean."""

import pytest

from mintmark.authority.policy.names import NameRules
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType

DNS, IP = IdentifierType.DNS, IdentifierType.IP
EMAIL, URI = IdentifierType.EMAIL, IdentifierType.URI


@pytest.mark.parametrize(
    ("glob", "type_", "name", "allowed"),
    [
        ("db.example.internal", DNS, "db.example.internal", True),
        ("db.example.internal", DNS, "db.example.internal.evil.example", False),
        ("db.example.internal", DNS, "xdb.example.internal", False),
        ("db.example.internal", DNS, "dbxexample.internal", False),
        ("DB.Example.internal", DNS, "db.example.internal", True),
        ("*.example.internal", DNS, "db.example.internal", True),
        ("*.example.internal", DNS, "a.b.example.internal", False),
        ("*.example.internal", DNS, "example.internal", False),
        ("*.example.internal", DNS, "*.example.internal", True),
        ("**.example.internal", DNS, "a.b.example.internal", True),
        ("**.example.internal", DNS, "example.internal", False),
        ("db-*.example.internal", DNS, "db-7.example.internal", True),
        ("db-*.example.internal", DNS, "*.example.internal", False),
        ("db-*.example.internal", DNS, "db-7.x.example.internal", False),
        ("*", DNS, "localhost", True),
        ("*", DNS, "a.b", False),
        ("*", IP, "10.0.0.1", False),
        ("10.0.0.0/8", IP, "10.255.0.1", True),
        ("10.0.0.0/8", IP, "11.0.0.1", False),
        ("10.0.0.0/8", DNS, "10.example", False),
        ("127.0.0.1", IP, "127.0.0.1", True),
        ("fd00::/8", IP, "fd12::1", True),
        ("fd00::/8", IP, "10.0.0.1", False),
        ("*@example.com", EMAIL, "ops@example.com", True),
        ("*@example.com", EMAIL, "ops@sub.example.com", False),
        ("*@example.com", EMAIL, "a@b@example.com", False),
        ("spiffe://td/ns/*", URI, "spiffe://td/ns/web", True),
        ("spiffe://td/ns/*", URI, "spiffe://td/ns/web/sa/x", False),
        ("spiffe://td/**", URI, "spiffe://td/ns/web/sa/x", True),
        ("spiffe://td/**", URI, "spiffe://tdx/ns", False),
        ("spiffe://td.example/x", URI, "spiffe://tdxexample/x", False),
    ],
)
def test_a_glob_matches_exactly_what_it_says(glob, type_, name, allowed):
    assert NameRules([glob]).allow(Identifier(type_, name)) is allowed


def test_no_rules_allow_nothing():
    assert not NameRules([]).allow(Identifier(DNS, "a.example"))


@pytest.mark.parametrize("glob", ["", "a b", "a\n", "10.0.0.1/8", "bücher.example"])
def test_a_rule_that_cannot_mean_anything_is_refused(glob):
    with pytest.raises(Error) as refusal:
        NameRules([glob])

    assert refusal.value.kind is Kind.CONFIGURATION


def test_a_regular_expression_in_a_rule_is_only_text():
    rules = NameRules(["a.+.example", "(x|y).example"])

    assert not rules.allow(Identifier(DNS, "abc.example"))
    assert not rules.allow(Identifier(DNS, "x.example"))
