"""A real OpenID provider: people sign in, leave their group, and it rolls its keys over."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mintmark.authority.workflow.ssh import issue_ssh
from mintmark.authority.workflow.tokens import Purpose
from mintmark.client.oidc import OpenIDProviders, authorization_code, device_code
from mintmark.client.oidc.reach import Reach
from mintmark.client.ssh_documents import SignInProvider
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import GroupMapping, OIDCProvisioner
from mintmark.model.ssh import SSHRequest
from mintmark.model.time import HOUR, MINUTE
from mintmark.store.sqlite import SQLiteStore
from mintmark.wire import jwt
from mintmark.wire.ssh.key import from_public_key
from tests.interop.oidc.provider import OpenIDProvider
from tests.unit.authority.token_world import World

pytestmark = pytest.mark.interop
SCOPES = ["openid", "email", "profile", "groups"]


class Clock:
    """The time of now, and some seconds more."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def own(tmp_path: Path) -> OpenIDProvider:
    """A provider that the test starts and ends."""
    return OpenIDProvider(tmp_path / "provider")


@pytest.fixture
def clock() -> Clock:
    """A clock that can run ahead."""
    return Clock()


@pytest.fixture
def world(tmp_path: Path, clock: Clock, run, provider: OpenIDProvider) -> Iterator[World]:
    """An authority whose people sign in at the provider."""
    store = SQLiteStore(tmp_path / "mintmark.db", clock)
    run(store.open())
    made = World(store, clock, run, (people(provider),))
    made.authority.providers = OpenIDProviders(clock)
    yield made
    run(store.close())


def people(provider: OpenIDProvider) -> OIDCProvisioner:
    """Return the provisioner of the operators among them."""
    return OIDCProvisioner(
        "people",
        provider.issuer,
        "mintmark",
        groups=("operators",),
        domains=("example.com",),
        ca_certificates=provider.root.read_text(),
        mappings=(
            GroupMapping(
                ("operators",),
                principals=("{email.local}", "{preferred_username}", "deploy"),
                ssh_profiles=("ssh-user",),
                lifetime=16 * HOUR,
            ),
        ),
    )


def at(provider: OpenIDProvider, client: str = "mintmark", secret: str = "") -> SignInProvider:
    """Return the provider as a server tells the CLI of it."""
    return SignInProvider(
        name="people",
        configuration_endpoint=provider.issuer,
        client_id=client,
        client_secret=secret,
        scopes=SCOPES,
        listen_address="",
    )


class Window:
    """A browser window in which Alice signs in."""

    def __init__(self, provider: OpenIDProvider) -> None:
        self._provider = provider
        self.page = ""

    def __call__(self, url: str) -> None:
        self.thread = threading.Thread(target=self._visit, args=(url,), daemon=True)
        self.thread.start()

    def _visit(self, url: str) -> None:
        self.page = self._provider.sign_in(url)

    def shown(self) -> str:
        """Return the last page."""
        self.thread.join(10)
        return self.page


def code(provider: OpenIDProvider, client: str = "mintmark", secret: str = "") -> str:
    """Sign Alice in with a browser."""
    return authorization_code(
        at(provider, client, secret), Window(provider), reach=reach(provider), patience=20
    )


def reach(provider: OpenIDProvider) -> Reach:
    """Return how the CLI reaches the provider."""
    return Reach(provider.root.read_text())


def login(world: World, token: str):
    """Present an ID token and get a certificate, as `mintmark ssh login` does."""
    verified = world.ask(token, Purpose.SSH_SIGN)
    key = from_public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    request = SSHRequest(verified.requester.service, "ssh-user", key)
    return world.run(issue_ssh(world.authority, verified.requester, request)).certificate


def refused(world: World, token: str) -> Error:
    """Present an ID token that has to be refused."""
    return world.refused(token, Purpose.SSH_SIGN)


def test_a_person_signs_in_with_a_browser_and_gets_a_certificate_for_16_hours(world, provider):
    window = Window(provider)
    token = authorization_code(at(provider), window, reach=reach(provider), patience=20)
    assert "You can close this window" in window.shown()
    certificate = login(world, token)
    assert certificate.principals == ("alice", "alice.l", "deploy")
    assert certificate.key_id == "alice@example.com"
    life = certificate.not_after - certificate.not_before
    assert 16 * HOUR <= life <= 16 * HOUR + 2 * MINUTE
    error = refused(world, token)
    assert "used up" in error.detail


def test_a_person_signs_in_on_another_device(world, provider):
    prompts = []

    def show(prompt):
        prompts.append(prompt)
        provider.sign_in(prompt.complete_uri)

    token = device_code(at(provider), show, reach=reach(provider), sleep=lambda _: None)
    assert prompts[0].verification_uri.startswith(provider.issuer)
    assert prompts[0].user_code in prompts[0].complete_uri
    assert "nonce" not in jwt.parse(token).claims
    assert login(world, token).principals == ("alice", "alice.l", "deploy")
    assert "used up" in refused(world, token).detail


def test_nobody_types_the_code_and_the_provider_says_so(provider):
    times = iter(range(0, 10_000, 120))
    with pytest.raises(Error, match="expired_token"):
        device_code(
            at(provider),
            lambda _: None,
            reach=reach(provider),
            sleep=lambda _: None,
            clock=lambda: next(times),
        )


@pytest.mark.parametrize(
    ("client", "secret"),
    [
        ("mintmark-rsa", ""),
        ("mintmark-pss", ""),
        ("mintmark-ed25519", ""),
        ("mintmark-secret", "public by protocol"),
    ],
)
def test_every_algorithm_and_a_secret_work(world, provider, client, secret):
    world.provision(replace(people(provider), client_id=client))
    assert login(world, code(provider, client, secret))


def test_who_is_taken_out_of_the_group_is_refused_at_the_next_login(world, provider):
    assert login(world, code(provider))
    provider.says(groups=["staff"])
    error = refused(world, code(provider))
    assert error.kind is Kind.FORBIDDEN
    assert "operators" in error.detail
    provider.says(groups=["operators"])
    assert login(world, code(provider))


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False},
        {"email": "alice@evil-example.com"},
        {"email": None},
        {"groups": "operators"},
        {"groups": None},
        {"groups": []},
    ],
)
def test_what_the_provider_does_not_vouch_for_gives_nothing(world, provider, claims):
    provider.says(**claims)
    assert refused(world, code(provider)).kind in {Kind.FORBIDDEN, Kind.BAD_TOKEN}


def test_a_huge_list_of_groups_is_read(world, provider):
    provider.says(groups=[f"group-{number:04}" for number in range(1500)] + ["operators"])
    assert login(world, code(provider))


def test_an_id_token_for_another_client_is_not_ours(world, provider):
    assert refused(world, code(provider, "mintmark-rsa")).kind is Kind.BAD_TOKEN


def test_a_provider_rolls_its_keys_over(world, own, clock):
    world.provision(people(own))
    with own.serving():
        assert login(world, code(own))
        before = code(own)
    with own.serving():
        after = code(own)
        clock.ahead += 31  # a provider is not asked more often
        assert login(world, after)
        assert refused(world, before).kind is Kind.BAD_TOKEN  # that key is gone


def test_a_provider_that_is_down_is_told_and_certificates_go_on(world, own, clock):
    world.provision(people(own))
    with own.serving():
        certificate = login(world, code(own))
        token = code(own)
    assert login(world, token)  # keys are kept for a while
    with pytest.raises(Error, match="no answer from the OpenID provider"):
        code(own)
    clock.ahead += 3 * HOUR
    error = refused(world, token)
    assert error.kind is Kind.UNAVAILABLE
    assert "existing certificates go on working until they expire" in error.detail
    assert error.retry_after
    stored = world.run(world.store.certificate(certificate.serial))
    assert stored.status(clock()).value == "active"
    clock.ahead = 31
    with own.serving():
        assert login(world, code(own))
