"""A laptop with two authorities: `step context`, and what depends on which one is meant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.authority import Authority
from tests.interop.step.service import Host, Service, jwk_entry, names

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def other(place: Path) -> Iterator[Service]:
    """Another authority."""
    settings = f"provisioners: {json.dumps([jwk_entry('admin')])}\n"
    authority = Authority.create(place / "step-other", settings=settings)
    with authority.serving():
        yield Service(authority, 0)


def bootstrap(host: Host, service: Service, context: str) -> None:
    host.step(
        "ca", "bootstrap", "--context", context, "--ca-url", service.url,
        "--fingerprint", service.fingerprint,
    ).succeeded()  # fmt: skip


def test_two_authorities_side_by_side(fresh, service, other):
    bootstrap(fresh, service, "one")
    bootstrap(fresh, other, "two")
    assert {"one", "two"} <= set(fresh.step("context", "list").succeeded().split())

    for context, issuer in (("one", service), ("two", other)):
        fresh.step("context", "select", context).succeeded()
        assert fresh.step("ca", "health").succeeded() == "ok\n"
        assert names(fresh.obtain()) == {"web.example.internal"}
        fresh.service = issuer
        fresh.verify()


def test_a_certificate_of_one_authority_is_nothing_to_the_other(fresh, service, other):
    bootstrap(fresh, service, "one")
    bootstrap(fresh, other, "two")
    fresh.step("context", "select", "one").succeeded()
    fresh.obtain()

    renew = ("ca", "renew", "web.crt", "web.key", "--force", "--context", "two")

    fresh.step(*renew).refused("unknown certificate authority", "bad certificate")
    fresh.step(*renew, "--mtls=false").refused("lacked necessary authorization")


def test_ssh_config_says_which_authority_is_meant(fresh, service, other):
    bootstrap(fresh, service, "one")
    bootstrap(fresh, other, "two")

    told = fresh.step(
        "ssh", "config", "--context", "two", "--set", "User=alice", "--dry-run"
    ).succeeded()

    assert 'Match exec "step ssh check-host --context two %h"' in told
    assert "step ssh proxycommand --context two %r %h %p" in told
    key = (other.authority.directory / "ssh" / "host.pub").read_text().split()[1]
    assert key in told
