"""docs/how-to/step-clients.md, carried out as it is written."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from tests.interop import pages
from tests.interop.oidc.provider import OpenIDProvider
from tests.interop.programs import Result, environment, program
from tests.interop.step.service import Agent, Host, Service

pytestmark = pytest.mark.interop


def test_the_page_for_step_clients_works_as_it_is_written(
    place: Path, service: Service, provider: OpenIDProvider, host: Host, agent: Agent
):
    provider.says(email="alice@example.internal")
    root = place / "step-page"
    words = {
        "https://pki.example.internal:8443": service.url,
        "the-fingerprint": service.fingerprint,
    }
    page = pages.Sandbox(root, words, {}, {})
    programs = root / "bin"
    programs.mkdir(parents=True)
    scripts = {
        # Every host of the page has a home of its own.
        "step": 'export HOME="$PWD" STEPPATH="$PWD/.step"\n'
        f"export SSH_AUTH_SOCK={agent.path} SSL_CERT_FILE={provider.root}\n"
        f'exec {shlex.quote(program("step"))} "$@"',
        "xdg-open": f'{provider.browser} "$1" >/dev/null &',
    }
    for name, text in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    page.variables = {"PATH": f"{programs}:{environment()['PATH']}"}

    def copied(command: str) -> Result:
        source, _ = command.split()[1:]
        shutil.copy(page.host("pki") / source, page.host("web") / source)
        return Result(0, "")

    def mintmark(command: str) -> Result:
        arguments = shlex.split(command)[1:]
        here = page.host("pki")
        return service.authority.mintmark(
            *(str(here / one) if (here / one).is_file() else one for one in arguments)
        )

    page.handlers = {"scp": copied, "mintmark": mintmark}

    page.follow("how-to/step-clients.md")

    unit = page.path("/etc/systemd/system/step-renew.service").read_text()
    renew = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    early = page.type(renew.removeprefix("ExecStart=/usr/bin/"), "web")
    assert "not renewed" in early.succeeded()
    page.type("step ca renew web01.crt web01.key --force", "web").refused(
        "lacked necessary authorization"
    )
