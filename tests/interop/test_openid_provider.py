"""A real OpenID provider: people sign in, leave their group, and it rolls its keys over."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
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
from mintmark.client.ssh_documents import SignInProvider
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import GroupMapping, OIDCProvisioner
from mintmark.model.ssh import SSHRequest
from mintmark.model.time import HOUR, MINUTE
from mintmark.store.sqlite import SQLiteStore
from mintmark.wire import jwt
from mintmark.wire.ssh.key import from_public_key
from tests.interop.authority import MINTMARK, Authority
from tests.interop.oidc.browser import sign_in
from tests.interop.oidc.provider import OpenIDProvider
from tests.interop.programs import environment, program, run, until
from tests.unit.authority.token_world import World

pytestmark = pytest.mark.interop
SCOPES = ["openid", "email", "profile", "groups"]
BROWSER = Path(__file__).parent / "oidc" / "browser.py"


class Clock:
    """The time of now, and some seconds more."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> OpenIDProvider:
    """The provider; it is started where it is needed."""
    return OpenIDProvider(tmp_path_factory.mktemp("oidc"))


@pytest.fixture
def up(provider: OpenIDProvider) -> Iterator[OpenIDProvider]:
    """The provider, running."""
    provider.forget()
    with provider.serving():
        yield provider


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

    def __init__(self) -> None:
        self.page = ""

    def __call__(self, url: str) -> None:
        self.thread = threading.Thread(target=self._visit, args=(url,), daemon=True)
        self.thread.start()

    def _visit(self, url: str) -> None:
        self.page = sign_in("alice", url).text

    def shown(self) -> str:
        """Return the last page."""
        self.thread.join(10)
        return self.page


def code(provider: OpenIDProvider, client: str = "mintmark", secret: str = "") -> str:
    """Sign Alice in with a browser."""
    return authorization_code(at(provider, client, secret), Window(), patience=20)


def login(world: World, token: str):
    """Present an ID token and get a certificate, as `mintmark ssh login` does."""
    verified = world.ask(token, Purpose.SSH_SIGN)
    key = from_public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
    request = SSHRequest(verified.requester.service, "ssh-user", key)
    return world.run(issue_ssh(world.authority, verified.requester, request)).certificate


def refused(world: World, token: str) -> Error:
    """Present an ID token that has to be refused."""
    return world.refused(token, Purpose.SSH_SIGN)


def test_a_person_signs_in_with_a_browser_and_gets_a_certificate_for_16_hours(world, up):
    window = Window()
    token = authorization_code(at(up), window, patience=20)
    assert "You can close this window" in window.shown()
    certificate = login(world, token)
    assert certificate.principals == ("alice", "alice.l", "deploy")
    assert certificate.key_id == "alice@example.com"
    life = certificate.not_after - certificate.not_before
    assert 16 * HOUR <= life <= 16 * HOUR + 2 * MINUTE
    error = refused(world, token)
    assert "used up" in error.detail


def test_a_person_signs_in_on_another_device(world, up):
    prompts = []

    def show(prompt):
        prompts.append(prompt)
        sign_in("alice", prompt.complete_uri)

    token = device_code(at(up), show, sleep=lambda _: None)
    assert prompts[0].verification_uri.startswith(up.issuer)
    assert prompts[0].user_code in prompts[0].complete_uri
    assert "nonce" not in jwt.parse(token).claims
    assert login(world, token).principals == ("alice", "alice.l", "deploy")
    assert "used up" in refused(world, token).detail


def test_nobody_types_the_code_and_the_provider_says_so(up):
    times = iter(range(0, 10_000, 120))
    with pytest.raises(Error, match="expired_token"):
        device_code(at(up), lambda _: None, sleep=lambda _: None, clock=lambda: next(times))


@pytest.mark.parametrize(
    ("client", "secret"),
    [
        ("mintmark-rsa", ""),
        ("mintmark-pss", ""),
        ("mintmark-ed25519", ""),
        ("mintmark-secret", "public by protocol"),
    ],
)
def test_every_algorithm_and_a_secret_work(world, up, client, secret):
    world.provision(replace(people(up), client_id=client))
    assert login(world, code(up, client, secret))


def test_who_is_taken_out_of_the_group_is_refused_at_the_next_login(world, up):
    assert login(world, code(up))
    up.says(groups=["staff"])
    error = refused(world, code(up))
    assert error.kind is Kind.FORBIDDEN
    assert "operators" in error.detail
    up.says(groups=["operators"])
    assert login(world, code(up))


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
def test_what_the_provider_does_not_vouch_for_gives_nothing(world, up, claims):
    up.says(**claims)
    assert refused(world, code(up)).kind in {Kind.FORBIDDEN, Kind.BAD_TOKEN}


def test_a_huge_list_of_groups_is_read(world, up):
    up.says(groups=[f"group-{number:04}" for number in range(1500)] + ["operators"])
    assert login(world, code(up))


def test_an_id_token_for_another_client_is_not_ours(world, up):
    assert refused(world, code(up, "mintmark-rsa")).kind is Kind.BAD_TOKEN


def test_a_provider_rolls_its_keys_over(world, provider, clock):
    provider.forget()
    with provider.serving():
        assert login(world, code(provider))
        before = code(provider)
    with provider.serving():
        after = code(provider)
        clock.ahead += 31  # a provider is not asked more often
        assert login(world, after)
        assert refused(world, before).kind is Kind.BAD_TOKEN  # that key is gone


def test_a_provider_that_is_down_is_told_and_certificates_go_on(world, provider, clock):
    provider.forget()
    with provider.serving():
        certificate = login(world, code(provider))
        token = code(provider)
    assert login(world, token)  # keys are kept for a while
    with pytest.raises(Error, match="no answer from the OpenID provider"):
        code(provider)
    clock.ahead += 3 * HOUR
    error = refused(world, token)
    assert error.kind is Kind.UNAVAILABLE
    assert "existing certificates go on working until they expire" in error.detail
    assert error.retry_after
    stored = world.run(world.store.certificate(certificate.serial))
    assert stored.status(clock()).value == "active"
    clock.ahead = 31
    with provider.serving():
        assert login(world, code(provider))


# --- the real command against a real server ----------------------------------------------------


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenIDProvider]:
    """Another provider, which keeps its keys while the server is asked."""
    provider = OpenIDProvider(tmp_path_factory.mktemp("beside"))
    with provider.serving():
        yield provider


@pytest.fixture(scope="module")
def served(place: Path, beside: OpenIDProvider) -> Iterator[Authority]:
    """An authority that is served, whose people sign in at the provider."""
    authority = Authority.create(place / "signed-in")
    with authority.serving():
        file = authority.home / "people.json"
        file.write_text(
            json.dumps(
                {
                    "name": "people",
                    "type": "oidc",
                    "configuration_endpoint": beside.issuer,
                    "client_id": "mintmark",
                    "scopes": SCOPES,
                    "groups": ["operators"],
                    "mappings": [
                        {
                            "groups": ["operators"],
                            "principals": ["{email.local}"],
                            "ssh_profiles": ["ssh-user"],
                        }
                    ],
                }
            )
        )
        authority.mintmark("provisioner", "add", "people", "--file", file).succeeded()
        yield authority


def typed(authority: Authority, key: Path, *more: str) -> tuple[list[str], dict[str, str]]:
    """Return the command that a person types, and its surroundings."""
    browser = shlex.join((sys.executable, str(BROWSER), "alice"))
    command = (MINTMARK, "ssh", "login", "--no-agent", "--out", key, "--force", *more)
    return [str(part) for part in command], environment(
        **authority.here(), BROWSER=f"{browser} %s", PYTHONUNBUFFERED="1"
    )


def test_a_person_types_ssh_login(served, beside, tmp_path):
    beside.forget()
    key = tmp_path / "today"
    command, surroundings = typed(served, key)
    run(*command, env=surroundings).succeeded()
    shown = run(program("ssh-keygen"), "-L", "-f", f"{key}-cert.pub").succeeded()
    assert 'Key ID: "alice@example.com"' in shown
    beside.says(groups=["staff"])
    run(*command, env=surroundings).refused("is in no group")


def test_a_person_types_ssh_login_with_a_device(served, beside, tmp_path):
    beside.forget()
    key = tmp_path / "today"
    command, surroundings = typed(served, key, "--device")
    with subprocess.Popen(
        command, env=surroundings, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        said = ""

        def link() -> str | None:
            nonlocal said
            said += process.stdout.readline()
            found = re.search(r"or open (\S+)", said)
            return found[1] if found else None

        sign_in("alice", until(link, "the link is shown"))
        rest = process.communicate(timeout=30)[0]
    assert process.returncode == 0, said + rest
    assert (tmp_path / "today-cert.pub").exists()
