"""Signing in: with a browser that comes back over loopback, and on another device."""

from __future__ import annotations

import hashlib
import json
import threading
import urllib.request
from urllib.error import HTTPError
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mintmark.client.oidc import authorization_code, device_code
from mintmark.client.oidc.loopback import Loopback
from mintmark.client.oidc.reach import Answer
from mintmark.client.ssh_documents import SignInProvider
from mintmark.model.errors import Error, Kind
from mintmark.wire import jose, jwt

ISSUER = "https://idp.example.internal"
KEY = ec.generate_private_key(ec.SECP256R1())
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def client(**more) -> SignInProvider:
    fields = {
        "name": "people",
        "configuration_endpoint": ISSUER,
        "client_id": "mintmark",
        "client_secret": "",
        "scopes": ["openid", "email", "groups"],
        "listen_address": "",
    }
    return SignInProvider(**(fields | more))


class Provider:
    """A provider, reached without a network."""

    def __init__(self) -> None:
        self.metadata = {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/keys",
            "authorization_endpoint": f"{ISSUER}/auth?tenant=1",
            "token_endpoint": f"{ISSUER}/token",
            "device_authorization_endpoint": f"{ISSUER}/device",
            "authorization_response_iss_parameter_supported": True,
        }
        self.claims = {"iss": ISSUER, "aud": "mintmark", "sub": "alice"}
        self.posted = []
        self.answers = []  # of the token endpoint, first one first; empty gives a token
        self.device = {
            "device_code": "secret-device-code",
            "user_code": "WDJB-MJHT",
            "verification_uri": f"{ISSUER}/go",
            "verification_uri_complete": f"{ISSUER}/go?code=WDJB-MJHT",
            "expires_in": 600,
            "interval": 5,
        }

    def get(self, url):
        assert url == f"{ISSUER}/.well-known/openid-configuration"
        return Answer(200, {}, json.dumps(self.metadata).encode())

    def post(self, url, form, basic=None):
        self.posted.append((url, form, basic))
        if url == f"{ISSUER}/device":
            return Answer(200, {}, json.dumps(self.device).encode())
        if self.answers:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return Answer(*answer[:1], {}, json.dumps(answer[1]).encode())
        token = jwt.sign({"kid": "one"}, self.claims, KEY)
        return Answer(200, {}, json.dumps({"id_token": token}).encode())


@pytest.fixture
def provider():
    return Provider()


class Browser:
    """A browser: it signs in and goes where the provider sends it.

    Args:
        provider: whose ID token will carry the nonce.
        changes: what differs on the way back.
        before: targets that it asks for first.
    """

    def __init__(self, provider, changes=None, before=()) -> None:
        self.provider, self.changes, self.before = provider, changes or {}, before
        self.pages, self.url = [], ""

    def __call__(self, url: str) -> None:
        self.url = url
        self.asked = dict(parse_qsl(urlsplit(url).query))
        self.provider.claims.setdefault("nonce", self.asked["nonce"])
        back = {"code": "secret-code", "state": self.asked["state"], "iss": ISSUER} | self.changes
        query = urlencode({name: value for name, value in back.items() if value is not None})
        targets = [*self.before, f"/?{query}"]
        self.thread = threading.Thread(target=self.visit, args=(targets,), daemon=True)
        self.thread.start()

    def visit(self, targets) -> None:
        for target in targets:
            self.pages.append(get(self.asked["redirect_uri"] + target))

    def finished(self):
        self.thread.join(5)
        return self.pages


def get(url, **headers):
    try:
        with _OPENER.open(urllib.request.Request(url, headers=headers), timeout=5) as answer:
            return answer.status, dict(answer.headers), answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read().decode()


def test_a_person_signs_in_with_a_browser(provider):
    browser = Browser(provider)
    token = authorization_code(client(), browser, reach=provider, patience=5)
    assert jwt.parse(token).claims["sub"] == "alice"
    asked = {name: value[0] for name, value in parse_qs(urlsplit(browser.url).query).items()}
    assert asked["tenant"] == "1"
    assert asked["scope"] == "openid email groups"
    assert asked["code_challenge_method"] == "S256"
    _, form, basic = provider.posted[-1]
    challenge = jose.encode(hashlib.sha256(form["code_verifier"].encode()).digest())
    assert asked["code_challenge"] == challenge
    assert (form["code"], form["client_id"], basic) == ("secret-code", "mintmark", None)
    assert form["redirect_uri"] == asked["redirect_uri"]
    assert urlsplit(asked["redirect_uri"]).hostname == "127.0.0.1"
    status, headers, page = browser.finished()[-1]
    assert status == 200
    assert "You can close this window" in page
    assert headers["cache-control"] == "no-store"
    assert "secret" not in page


def test_secrets_of_a_sign_in_are_never_the_same(provider):
    first, second = Browser(Provider()), Browser(Provider())
    for browser in (first, second):
        authorization_code(client(), browser, reach=browser.provider, patience=5)
    for name in ("state", "nonce", "code_challenge"):
        assert first.asked[name] != second.asked[name]
        assert len(first.asked[name]) == 43


def test_strays_neither_end_nor_take_over_a_sign_in(provider):
    strays = (
        "/favicon.ico",
        "/",
        "/?code=stolen",
        "/?code=stolen&state=wrong",
        "/?error=access_denied&state=",
        "/?code=stolen&state=%C3%A9",
        "/other?code=stolen",
    )
    browser = Browser(provider, before=strays)
    authorization_code(client(), browser, reach=provider, patience=5)
    statuses = [status for status, _, _ in browser.finished()]
    assert statuses == [404] * len(strays) + [200]
    assert [form["code"] for _, form, _ in provider.posted] == ["secret-code"]


def test_a_page_that_rebinds_a_name_to_loopback_is_not_listened_to():
    with Loopback("", "the-state") as loopback:
        url = f"{loopback.redirect_uri}/?code=x&state=the-state"
        thread = threading.Thread(target=get, args=(url,), kwargs={"Host": "evil.example"})
        thread.start()
        with pytest.raises(Error, match="nobody signed in"):
            loopback.wait(0.3)
        thread.join(5)


def test_a_parameter_given_twice_is_not_taken():
    with Loopback("", "s") as loopback:
        assert loopback._take("/?code=a&code=b&state=s", loopback._origin)[0] == 404
        assert loopback._take("/?state=s&code=a", loopback._origin)[0] == 200


@pytest.mark.parametrize("issuer", ["https://evil.example", "", None])
def test_a_code_of_another_provider_is_not_redeemed(provider, issuer):
    with pytest.raises(Error, match="another provider"):
        authorization_code(client(), Browser(provider, {"iss": issuer}), reach=provider, patience=5)
    assert not provider.posted


def test_a_provider_that_never_names_itself_need_not(provider):
    del provider.metadata["authorization_response_iss_parameter_supported"]
    browser = Browser(provider, {"iss": None})
    assert authorization_code(client(), browser, reach=provider, patience=5)


def test_a_person_who_says_no_is_believed(provider):
    changes = {"code": None, "error": "access_denied", "error_description": "no\x1b[2J thanks"}
    browser = Browser(provider, changes)
    with pytest.raises(Error, match="access_denied") as refused:
        authorization_code(client(), browser, reach=provider, patience=5)
    assert refused.value.kind is Kind.UNAUTHENTICATED
    assert "\x1b" not in refused.value.detail
    assert browser.finished()[-1][0] == 400


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"nonce": "another"}, "nonce"),
        ({"nonce": None}, "nonce"),
        ({"nonce": 5}, "nonce"),
        ({"iss": "https://evil.example"}, "another provider"),
        ({"aud": "another-client"}, "another client"),
        ({"aud": ["another-client"]}, "another client"),
    ],
)
def test_an_id_token_of_another_sign_in_is_refused(provider, claims, reason):
    provider.claims |= claims
    with pytest.raises(Error, match=reason):
        authorization_code(client(), Browser(provider), reach=provider, patience=5)


@pytest.mark.parametrize(
    "answer", [{}, {"id_token": 5}, {"id_token": "a.b"}, {"id_token": "a.b.c"}]
)
def test_an_answer_without_an_id_token_is_refused(provider, answer):
    provider.answers = [(200, answer)]
    with pytest.raises(Error, match="ID token"):
        authorization_code(client(), Browser(provider), reach=provider, patience=5)


def test_a_provider_that_refuses_a_code_is_quoted(provider):
    provider.answers = [(400, {"error": "invalid_grant"})]
    with pytest.raises(Error, match="invalid_grant") as refused:
        authorization_code(client(), Browser(provider), reach=provider, patience=5)
    assert "secret" not in refused.value.detail


def test_a_secret_goes_where_the_provider_wants_it(provider):
    secretive = client(client_secret="a secret/")
    authorization_code(secretive, Browser(provider), reach=provider, patience=5)
    assert provider.posted[-1][2] == ("mintmark", "a%20secret%2F")
    provider.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    del provider.claims["nonce"]
    authorization_code(secretive, Browser(provider), reach=provider, patience=5)
    _, form, basic = provider.posted[-1]
    assert (form["client_secret"], basic) == ("a secret/", None)


@pytest.mark.parametrize(
    "address", ["0.0.0.0:10000", "10.0.0.1:1", "evil.example:80", "127.0.0.1", ":70000", ":x", "::"]
)
def test_only_loopback_is_listened_on(address):
    with pytest.raises(Error, match="listen_address") as refused:
        Loopback(address, "s")
    assert refused.value.kind is Kind.CONFIGURATION


def test_a_port_in_use_is_told():
    with Loopback("", "s") as loopback:
        port = urlsplit(loopback.redirect_uri).port
        with pytest.raises(Error, match="cannot listen") as refused:
            Loopback(f"127.0.0.1:{port}", "s")
    assert refused.value.kind is Kind.CONFLICT


def test_nobody_is_waited_for_longer_than_said(provider):
    with pytest.raises(Error, match="nobody signed in"):
        authorization_code(client(), lambda _: None, reach=provider, patience=0.05)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint"])
def test_a_provider_without_the_flow_is_told(provider, name):
    del provider.metadata[name]
    with pytest.raises(Error, match="no sign-in with a browser"):
        authorization_code(client(), lambda _: None, reach=provider)


class Time:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, []

    def sleep(self, seconds) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def __call__(self) -> float:
        return self.now


def on_device(provider, time=None, **more):
    shown = []
    time = time or Time()
    token = device_code(client(**more), shown.append, reach=provider, sleep=time.sleep, clock=time)
    return token, shown[0]


PENDING = (400, {"error": "authorization_pending"})


def test_a_person_signs_in_on_another_device(provider):
    provider.answers = [PENDING, PENDING]
    time = Time()
    token, prompt = on_device(provider, time)
    assert jwt.parse(token).claims["sub"] == "alice"
    assert prompt.user_code == "WDJB-MJHT"
    assert prompt.verification_uri == f"{ISSUER}/go"
    assert time.slept == [5, 5, 5]
    assert provider.posted[0][1] == {"scope": "openid email groups", "client_id": "mintmark"}
    assert provider.posted[-1][1]["device_code"] == "secret-device-code"


def test_a_provider_that_wants_it_slower_gets_it_slower(provider):
    provider.answers = [(400, {"error": "slow_down"}), PENDING, (400, {"error": "slow_down"})]
    time = Time()
    on_device(provider, time)
    assert time.slept == [5, 10, 10, 15]


def test_a_provider_that_does_not_answer_is_asked_less_often(provider):
    provider.answers = [Error(Kind.UNAVAILABLE, "no answer"), PENDING]
    time = Time()
    on_device(provider, time)
    assert time.slept == [5, 10, 10]


@pytest.mark.parametrize("error", ["access_denied", "expired_token", "invalid_grant", "x" * 500])
def test_the_end_of_a_device_code_is_told(provider, error):
    provider.answers = [PENDING, (400, {"error": error})]
    with pytest.raises(Error, match=error[:50]) as refused:
        on_device(provider)
    assert refused.value.kind is Kind.UNAUTHENTICATED
    assert "secret" not in refused.value.detail


def test_a_device_code_is_not_asked_for_after_its_end(provider):
    provider.device["expires_in"] = 12
    provider.answers = [PENDING] * 100
    time = Time()
    with pytest.raises(Error, match="expired_token"):
        on_device(provider, time)
    assert time.slept == [5, 5]


@pytest.mark.parametrize("interval", [None, 0, -1, "5", 1.5, True])
def test_an_interval_that_is_none_is_five_seconds(provider, interval):
    provider.device["interval"] = interval
    time = Time()
    on_device(provider, time)
    assert time.slept == [5]


@pytest.mark.parametrize(
    "change",
    [
        {"user_code": None},
        {"device_code": None},
        {"verification_uri": None},
        {"verification_uri": "javascript:alert(1)"},
        {"verification_uri": "http://evil.example"},
        {"verification_uri_complete": "file:///etc/passwd"},
    ],
)
def test_a_prompt_that_could_harm_is_not_shown(provider, change):
    provider.device |= change
    with pytest.raises(Error) as refused:
        on_device(provider)
    assert refused.value.kind is Kind.UNAVAILABLE


def test_what_is_shown_cannot_move_the_cursor(provider):
    provider.device["user_code"] = "WD\x1b[2JJB"
    _, prompt = on_device(provider)
    assert prompt.user_code.isprintable()


def test_a_provider_without_the_device_flow_is_told(provider):
    del provider.metadata["device_authorization_endpoint"]
    with pytest.raises(Error, match="no sign-in on another device"):
        on_device(provider)
