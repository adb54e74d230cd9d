"""The keys of OpenID providers: cached, rolled over, and gone for a while."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintmark.client.oidc import OpenIDProviders
from mintmark.client.oidc.metadata import MAX_BYTES, checked_url, discovery_url, parse
from mintmark.client.oidc.providers import AGE_DEFAULT, AGE_MIN, PAUSE, STALE
from mintmark.client.oidc.reach import Answer, Parts, tls_context
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import OIDCProvisioner
from mintmark.model.time import DAY

ISSUER = "https://idp.example.internal"
PEOPLE = OIDCProvisioner("people", ISSUER, "mintmark")


class Provider:
    """A provider that counts how often it is asked."""

    def __init__(self) -> None:
        self.kids = ["one"]
        self.asked = []
        self.headers = {}
        self.metadata = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"}
        self.down = False
        self.hangs = False
        self.answers = {}

    async def fetch(self, url: str, ca_certificates: str) -> Answer:
        self.asked.append(url)
        await asyncio.sleep(0)
        if self.down:
            raise Error(Kind.UNAVAILABLE, "connection refused")
        if url in self.answers:
            return self.answers[url]
        if url == f"{ISSUER}/.well-known/openid-configuration":
            return Answer(200, {}, json.dumps(self.metadata).encode())
        keys = [{"kty": "EC", "kid": kid} for kid in self.kids]
        return Answer(200, self.headers, json.dumps({"keys": keys}).encode())

    @property
    def rounds(self) -> int:
        return sum(url.endswith("/keys") for url in self.asked)


@pytest.fixture
def provider():
    return Provider()


@pytest.fixture
def providers(provider, clock):
    return OpenIDProviders(clock, fetch=provider.fetch, jitter=lambda: 0.0)


def kids(found) -> list[str]:
    return [one["kid"] for one in found.keys]


def test_keys_are_asked_for_once_and_then_remembered(providers, provider, run):
    first = run(providers.keys(PEOPLE))
    assert (first.issuer, kids(first)) == (ISSUER, ["one"])
    assert run(providers.keys(PEOPLE)) is first
    assert provider.rounds == 1


def test_many_at_once_ask_the_provider_once(providers, provider, run):
    async def many():
        return await asyncio.gather(*(providers.keys(PEOPLE) for _ in range(50)))

    assert len(set(map(id, run(many())))) == 1
    assert provider.rounds == 1


def test_keys_are_kept_as_long_as_cache_control_says(providers, provider, clock, run):
    provider.headers = {"cache-control": "public, max-age=7200, must-revalidate"}
    run(providers.keys(PEOPLE))
    clock.advance(7199)
    run(providers.keys(PEOPLE))
    assert provider.rounds == 1
    clock.advance(2)
    run(providers.keys(PEOPLE))
    assert provider.rounds == 2


@pytest.mark.parametrize(
    ("header", "age"),
    [
        ("", AGE_DEFAULT),
        ("no-store", AGE_DEFAULT),
        ("max-age=0", AGE_MIN),
        ("max-age=999999999", DAY),
        ("x-max-age=7200", AGE_DEFAULT),
        ("max-age=-5", AGE_DEFAULT),
    ],
)
def test_ages_are_kept_within_bounds(providers, provider, clock, run, header, age):
    provider.headers = {"cache-control": header}
    run(providers.keys(PEOPLE))
    clock.advance(age - 1)
    run(providers.keys(PEOPLE))
    assert provider.rounds == 1
    clock.advance(1)
    run(providers.keys(PEOPLE))
    assert provider.rounds == 2


def test_servers_that_started_together_do_not_ask_together(provider, clock, run):
    eager = OpenIDProviders(clock, fetch=provider.fetch, jitter=lambda: 1.0)
    run(eager.keys(PEOPLE))
    clock.advance(AGE_DEFAULT * 0.8)
    run(eager.keys(PEOPLE))
    assert provider.rounds == 2


def test_a_key_that_was_rolled_over_is_found(providers, provider, clock, run):
    run(providers.keys(PEOPLE))
    provider.kids = ["two"]
    clock.advance(PAUSE)
    assert kids(run(providers.keys(PEOPLE, missing="two"))) == ["two"]


def test_unknown_keys_do_not_make_us_ask_all_the_time(providers, provider, clock, run):
    run(providers.keys(PEOPLE))
    for number in range(100):
        run(providers.keys(PEOPLE, missing=f"forged-{number}"))
    assert provider.rounds == 1
    clock.advance(PAUSE)
    for number in range(100):
        run(providers.keys(PEOPLE, missing=f"forged-{number}"))
    assert provider.rounds == 2


def test_a_provider_that_is_down_locks_nobody_out_for_an_hour(providers, provider, clock, run):
    run(providers.keys(PEOPLE))
    provider.down = True
    clock.advance(AGE_DEFAULT + STALE - 1)
    assert kids(run(providers.keys(PEOPLE))) == ["one"]
    clock.advance(1)
    with pytest.raises(Error, match="existing certificates go on working") as refused:
        run(providers.keys(PEOPLE))
    assert refused.value.kind is Kind.UNAVAILABLE
    assert 0 < refused.value.retry_after <= PAUSE + 1
    provider.down = False
    clock.advance(PAUSE)
    assert kids(run(providers.keys(PEOPLE))) == ["one"]


def test_a_provider_that_is_down_is_asked_now_and_then_only(providers, provider, clock, run):
    provider.down = True
    for _ in range(20):
        with pytest.raises(Error, match="cannot be reached"):
            run(providers.keys(PEOPLE))
    assert len(provider.asked) == 1
    clock.advance(PAUSE)
    provider.down = False
    run(providers.keys(PEOPLE))


def test_a_clock_that_is_set_back_asks_again(providers, provider, clock, run):
    clock.advance(10 * DAY)
    run(providers.keys(PEOPLE))
    clock.advance(-10 * DAY)
    run(providers.keys(PEOPLE))
    assert provider.rounds == 2
    provider.down = True
    clock.advance(-DAY)
    assert run(providers.keys(PEOPLE))


def test_two_provisioners_of_one_provider_share_its_keys(providers, provider, run):
    run(providers.keys(PEOPLE))
    run(providers.keys(OIDCProvisioner("others", ISSUER, "another-client")))
    assert provider.rounds == 1


@pytest.mark.parametrize(
    "issuer", ["https://evil.example", f"{ISSUER}/other", "", None, 5, ["x"], ISSUER.upper()]
)
def test_a_provider_that_says_to_be_another_is_not_believed(providers, provider, run, issuer):
    provider.metadata["issuer"] = issuer
    with pytest.raises(Error) as refused:
        run(providers.keys(PEOPLE))
    assert refused.value.kind is Kind.UNAVAILABLE
    assert provider.rounds == 0


def test_an_issuer_may_end_with_a_slash(providers, provider, run):
    provider.metadata["issuer"] = f"{ISSUER}/"
    assert run(providers.keys(PEOPLE)).issuer == f"{ISSUER}/"


@pytest.mark.parametrize(
    "jwks_uri",
    ["http://idp.example.internal/keys", "file:///etc/passwd", "ftp://x/y", "https://", "", None,
     "https://user:secret@idp.example.internal/keys", "https://[::1/keys", "gopher://127.0.0.1/"],
)  # fmt: skip
def test_keys_come_over_https_only(providers, provider, run, jwks_uri):
    provider.metadata["jwks_uri"] = jwks_uri
    with pytest.raises(Error):
        run(providers.keys(PEOPLE))
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(302, {"location": "https://evil.example/keys"}, b""),
        Answer(500, {}, b"{}"),
        Answer(200, {}, b"<html>"),
        Answer(200, {}, b"[]"),
        Answer(200, {}, b"{}"),
        Answer(200, {}, b'{"keys": {}}'),
        Answer(200, {}, b'{"keys": [], "keys": []}'),
        Answer(200, {}, json.dumps({"keys": [{}] * 101}).encode()),
        Answer(200, {}, b"[" * 10_000),
    ],
)
def test_a_key_set_that_is_none_is_refused(providers, provider, run, answer):
    provider.answers[f"{ISSUER}/keys"] = answer
    with pytest.raises(Error) as refused:
        run(providers.keys(PEOPLE))
    assert refused.value.kind is Kind.UNAVAILABLE


def test_entries_of_a_key_set_that_are_no_keys_are_passed_over(providers, provider, run):
    body = b'{"keys": [1, null, "x", {"kid": "good"}]}'
    provider.answers[f"{ISSUER}/keys"] = Answer(200, {}, body)
    assert kids(run(providers.keys(PEOPLE))) == ["good"]


def test_an_answer_is_read_up_to_its_limit_only():
    parts = Parts()
    parts.add(b"x" * MAX_BYTES)
    with pytest.raises(Error, match="more than"):
        parts.add(b"x")


def test_roots_that_are_no_certificates_are_refused():
    with pytest.raises(Error, match="ca_certificates") as refused:
        tls_context("no PEM")
    assert refused.value.kind is Kind.CONFIGURATION


@pytest.mark.parametrize(
    "endpoint",
    [ISSUER, f"{ISSUER}/", f"{ISSUER}/.well-known/openid-configuration", "http://127.0.0.1:9401"],
)
def test_the_discovery_document_is_where_the_issuer_says(endpoint):
    assert discovery_url(endpoint).endswith("/.well-known/openid-configuration")
    assert discovery_url(endpoint).count("//") == 1


@pytest.mark.parametrize("inside", ["\x1b]0;hello\x07", "\x1b[2J", "\n", "\t", "\x7f", "\0", " "])
def test_a_url_has_nothing_for_a_terminal_in_it(inside):
    with pytest.raises(Error, match="is no https URL"):
        checked_url(f"https://idp.example.internal/{inside}auth", "it")


@pytest.mark.parametrize("endpoint", ["http://idp.example.internal", "idp.example.internal", ""])
def test_a_provider_without_https_is_refused_before_it_is_asked(providers, run, endpoint):
    with pytest.raises(Error):
        run(providers.keys(OIDCProvisioner("people", endpoint, "mintmark")))


@given(st.text(max_size=60))
def test_only_safe_urls_pass(text):
    for url in (text, f"http://{text}", f"https://{text}"):
        try:
            checked_url(url, "it")
        except Error:
            continue
        assert url.startswith(("https://", "http://127.", "http://localhost", "http://[::1]"))


@given(st.binary(max_size=200))
def test_any_discovery_document_is_read_or_refused(octets):
    with pytest.raises(Error):
        parse(octets, ISSUER)
