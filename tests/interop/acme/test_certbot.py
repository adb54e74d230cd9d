"""certbot 5 from PyPI, as docs/how-to/acme-certbot.md has it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.interop.acme.host import Host
from tests.interop.acme.issued import Issued
from tests.interop.acme.service import Service

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("certbot")]
PAGE = "how-to/acme-certbot.md"
REQUIREMENTS = Path(__file__).parents[3] / "requirements" / "acme-clients.txt"
DONE = "Successfully received certificate"


@pytest.fixture(scope="module")
def certbot(place: Path) -> Path:
    """certbot, in an environment that is thrown away."""
    path = place / "certbot-environment"
    subprocess.run([sys.executable, "-m", "venv", path], check=True)
    # The package index is reached as this environment says; certbot runs without it.
    installed = subprocess.run(
        [
            path / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check",
            "--require-hashes", "--requirement", REQUIREMENTS,
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"certbot cannot be installed: {installed.stderr.strip()[-200:]}")
    return path / "bin" / "certbot"


def equip(host: Host, certbot: Path) -> None:
    """Install certbot on a host."""
    host.wrap(
        "certbot", certbot,
        "--config-dir", host.path("/etc/letsencrypt"),
        "--work-dir", host.path("/var/lib/letsencrypt"),
        "--logs-dir", host.path("/var/log/letsencrypt"),
        "--http-01-port", str(host.service.http_port),
        XDG_CONFIG_HOME=str(host.root / "etc"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def host(place: Path, service: Service, certbot: Path) -> Host:
    """A host whose certbot has an account."""
    made = Host(place / "certbot", service)
    equip(made, certbot)
    made.variables = {**made.variables, "REQUESTS_CA_BUNDLE": str(service.root)}
    made.write(
        "/etc/letsencrypt/cli.ini",
        f"server = {service.directory()}\nagree-tos = true\nnon-interactive = true\n"
        "register-unsafely-without-email = true\n",
    )
    made.type("certbot register").succeeded()
    return made


def issued(host: Host, name: str) -> Issued:
    """Return a certificate of the host."""
    live = host.path(f"/etc/letsencrypt/live/{name}")
    return Issued(host.service, live / "fullchain.pem")


def test_the_certbot_page_works_as_it_is_written(place: Path, service: Service, certbot: Path):
    host = Host(place / "certbot-page", service)
    host.words["10.0.0.7"] = "127.0.0.1"
    equip(host, certbot)
    host.follow(PAGE)
    assert host.did() == ["reload nginx"] * 3
    assert issued(host, "www.example.internal").verify("www.example.internal").status() == "good"
    wildcard = {"*.apps.example.internal", "apps.example.internal"}
    assert issued(host, "apps.example.internal").verify(*wildcard).status() == "good"
    issued(host, "127.0.0.1").verify("127.0.0.1")
