"""The reference pages of ACME say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from mintmark.model.provisioner import ACMEProvisioner, ChallengeType
from mintmark.protocol.acme import account, background, nonce, order, problem, revocation
from mintmark.wire import jose

PAGES = Path(__file__).parents[3] / "docs" / "reference"


def page(name):
    return (PAGES / name).read_text("utf-8")


def test_every_error_type_has_its_row_with_its_status():
    rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", page("acme-errors.md"), re.MULTILINE))
    assert {word: int(status) for word, status in rows.items()} == problem.TYPES
    assert list(rows) == sorted(rows, key=list(problem.TYPES).index)


def test_every_challenge_is_explained():
    text = page("acme.md")
    for one in ChallengeType:
        assert f"| `{one.value}` |" in text, one


def test_limits_of_a_provisioner_stand_with_their_defaults():
    text = page("acme.md")
    defaults = ACMEProvisioner("acme")
    for name in (
        "max_identifiers",
        "orders_per_hour",
        "pending_authorizations",
        "failures_until_pause",
    ):
        assert re.search(rf"\| {getattr(defaults, name)} \| `{name}` \|", text), name
    assert f"| {account.ACCOUNTS_PER_HOUR} |" in text
    assert f"| {account.MAX_CONTACTS} |" in text
    assert f"| {account.CHANGES_PER_HOUR} | |" in text
    assert f"| {order.RENEWALS_PER_HOUR} | |" in text
    assert f"| {background.MOST_RUNNING} | |" in text
    assert f"({account.ORDERS_A_PAGE} a page" in text


def test_algorithms_times_and_reasons_are_the_ones_in_force():
    text = page("acme.md")
    for algorithm in jose.ALGORITHMS:
        assert algorithm in text
    assert f"{jose.RSA_BITS[0]} to {jose.RSA_BITS[1]} bits" in text
    assert nonce.LIFETIME == 3600  # "an hour"
    assert f"waits up to {background.PATIENCE} s" in text
    assert "after {}, {} and {} more seconds".format(*background.RETRIES) in text
    *most, last = map(str, sorted(revocation.REASONS))
    assert f"{', '.join(most)} or {last} (RFC 5280" in page("acme-errors.md")
