"""Sign-in at an OpenID provider that others wrote: the npm package oidc-provider."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop.authority import MINTMARK, Authority
from tests.interop.programs import (
    Daemon,
    Result,
    environment,
    free_port,
    program,
    run,
    running,
    until,
)
from tests.interop.ssh.browser import browse
from tests.interop.ssh.host import require_openssh

pytestmark = pytest.mark.interop
SOURCE = Path(__file__).with_name("provider")
BROWSER = Path(__file__).with_name("browser.py")
OPERATORS = {"alice": ["operators"], "bob": ["guests"]}
# The provider is asked for its keys at most every 30 seconds.
PATIENCE = 60


@pytest.fixture(scope="module")
def installed(place: Path) -> Path:
    """The provider's program, in a directory that is thrown away."""
    program("node")
    path = place / "oidc-provider"
    shutil.copytree(SOURCE, path)
    done = run(program("npm"), "ci", "--no-audit", "--no-fund", cwd=path, seconds=120)
    if done.status:
        pytest.skip(f"oidc-provider cannot be installed: {done.text.strip()[-200:]}")
    return path


@dataclass(frozen=True)
class Stage:
    """An authority, and people who sign in at the provider beside it.

    Args:
        authority: the authority.
        program: the provider's program.
        port: where it listens.
    """

    authority: Authority
    program: Path
    port: int

    @contextlib.contextmanager
    def provider(
        self, people: Mapping[str, Sequence[str]] = OPERATORS, key: str = "first.key"
    ) -> Iterator[Daemon]:
        """Run the provider for the length of a block, with a key of this name."""
        command = (program("node"), "provider.mjs", str(self.port), json.dumps(people), key)
        log = self.program / "provider.log"
        log.unlink(missing_ok=True)
        daemon = Daemon(command, log, {"cwd": self.program})
        with running(daemon, lambda: "ready" in daemon.said()):
            yield daemon

    def login(self, user: str, key: str, *more: str) -> Result:
        """Sign in with a browser; key and certificate go into files."""
        variables = environment(
            BROWSER=f"{sys.executable} {BROWSER} {user} %s", **self.authority.here()
        )
        return run(
            MINTMARK, "ssh", "login", "--no-agent", "--force", "--out", key, *more,
            cwd=self.authority.home, env=variables,
        )  # fmt: skip


@pytest.fixture(scope="module")
def stage(installed: Path, place: Path) -> Iterator[Stage]:
    """The authority, with a provisioner for operators."""
    require_openssh()
    authority = Authority.create(place / "openid")
    made = Stage(authority, installed, free_port())
    with authority.serving():
        file = authority.home / "staff.yaml"
        file.write_text(
            f"{{type: oidc, configuration_endpoint: 'http://localhost:{made.port}', "
            "client_id: mintmark-cli, scopes: [openid, email, groups], groups: [operators]}\n"
        )
        authority.mintmark("provisioner", "add", "staff", "--file", file).succeeded()
        until(
            lambda: "staff" in authority.mintmark("provisioner", "list").succeeded(),
            "the provisioner is there",
        )
        yield made


def test_who_is_in_the_group_gets_a_certificate_and_others_do_not(stage: Stage):
    with stage.provider():
        text = stage.login("alice", "alice").succeeded()
        assert "certified alice@example.internal for alice, alice@example.internal" in text
        stage.login("bob", "bob").refused("is in no group")
        assert not (stage.authority.home / "bob").exists()


def test_a_code_is_typed_on_another_device(stage: Stage):
    with stage.provider():
        command = (str(MINTMARK), "ssh", "login", "--device", "--no-agent", "--out", "device")
        log = stage.authority.home / "device.log"
        options = {"cwd": stage.authority.home, "env": environment(**stage.authority.here())}
        daemon = Daemon(command, log, options)
        daemon.start(lambda: "or open http" in daemon.said())
        try:
            found = re.search(r"or open (\S+)", daemon.said())
            assert found
            browse("alice", found[1])
            assert daemon.process.wait(30) == 0, daemon.said()
        finally:
            daemon.stop()
    assert (stage.authority.home / "device-cert.pub").exists()


def test_a_provider_that_is_down_is_named_and_certificates_go_on(stage: Stage):
    with stage.provider():
        stage.login("alice", "kept").succeeded()
    stage.login("alice", "never").refused("no answer from the OpenID provider")
    told = stage.authority.mintmark("ssh", "inspect", "kept-cert.pub").succeeded()
    assert re.search(r"^status +valid$", told, re.MULTILINE)


def test_the_providers_keys_are_rolled_over_and_who_left_is_out(stage: Stage):
    with stage.provider():
        stage.login("alice", "before").succeeded()
    others = {"alice": ["guests"], "carol": ["operators"]}
    with stage.provider(others, "second.key"):
        until(lambda: stage.login("carol", "carol").status == 0, "the new key is known", PATIENCE)
        stage.login("alice", "after").refused("is in no group")
