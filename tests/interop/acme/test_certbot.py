"""certbot 5 from PyPI, as docs/how-to/acme-certbot.md has it."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.interop.acme.host import Host, webroot
from tests.interop.acme.issued import Issued
from tests.interop.acme.service import Service
from tests.interop.programs import program, until

pytestmark = pytest.mark.interop
PAGE = "how-to/acme-certbot.md"
REQUIREMENTS = Path(__file__).parents[3] / "requirements" / "acme-clients.txt"


@pytest.fixture(scope="module")
def certbot(place: Path) -> Path:
    """certbot, in an environment that is thrown away."""
    path = place / "certbot-environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
    # The package index is reached as this environment says; certbot runs without it.
    installed = subprocess.run(
        [
            sys.executable, "-m", "pip", "--python", path / "bin" / "python", "install", "--quiet",
            "--disable-pip-version-check", "--no-compile",
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


def webroot_order(host: Host, name: str, *more: str) -> str:
    """Return the command that orders by the host's web server."""
    path = host.path("/var/www/html")
    return " ".join(("certbot certonly --webroot -w", str(path), "-d", name, *more))


def test_certbot_orders_by_the_web_server_that_is_there(host: Host, service: Service):
    with webroot(host.path("/var/www/html"), service.http_port):
        host.type(webroot_order(host, "web.example.internal")).succeeded()
    issued(host, "web.example.internal").verify("web.example.internal")


def test_certbot_orders_for_rsa_keys_and_named_profiles(host: Host):
    options = "--standalone --key-type rsa --rsa-key-size 2048 --required-profile server"
    host.type(f"certbot certonly {options} -d rsa.example.internal").succeeded()
    key = issued(host, "rsa.example.internal").verify("rsa.example.internal").certificate
    assert key.public_key().key_size == 2048


def test_certbot_is_refused_a_profile_that_is_not_there(host: Host):
    options = "--standalone --required-profile nosuch -d profile.example.internal"
    host.type(f"certbot certonly {options}").refused("nosuch")


def test_certbot_renews_when_renewal_information_says_so(host: Host, service: Service):
    """RFC 9773: nothing is due until an operator moves the window."""
    name = "ari.example.internal"
    host.type(f"certbot certonly --standalone -d {name}").succeeded()
    first = issued(host, name).serial
    move = ("ca", "renew-now", "--name", name, "--over", "0s", "--reason", "a test")
    assert "not due" in host.type(f"certbot renew --cert-name {name}").succeeded()
    service.authority.mintmark(*move).succeeded()
    renewal = host.path(f"/etc/letsencrypt/renewal/{name}.conf")

    def renewed() -> bool:
        # certbot asks at most as often as the answer's Retry-After says; this one forgets that.
        text = renewal.read_text()
        assert "ari_retry_after" in text
        renewal.write_text(re.sub(r"ari_retry_after = .*", "", text))
        host.type(f"certbot renew --cert-name {name} --no-random-sleep-on-renew").succeeded()
        return issued(host, name).verify(name).serial != first

    until(renewed, "the window, a second long, has begun")  # certbot picks a moment in it


def test_certbot_is_told_that_an_account_needs_a_key(host: Host, service: Service):
    register = f"certbot register --server {service.directory('partners')}"
    said = host.type(register).refused("external account binding", "externalAccountRequired")
    assert "--eab-kid" in said


def test_a_key_that_bound_an_account_binds_no_other(host: Host, service: Service):
    key_id, hmac_key = service.external_key()
    order = (
        f"certbot certonly --standalone --server {service.directory('partners')} "
        f"--eab-kid {key_id} --eab-hmac-key={hmac_key} -d partner.example.internal"
    )
    host.type(order).succeeded()
    issued(host, "partner.example.internal").verify("partner.example.internal")
    host.type(f"certbot unregister --server {service.directory('partners')}").succeeded()
    host.type(f"{order} --force-renewal").refused("used", "bound")


def test_two_clients_at_once_get_a_certificate_each_for_one_name(host: Host, service: Service):
    name, path = "both.example.internal", host.path("/var/www/html")
    host.wrap("lego", program("lego"), LEGO_CA_CERTIFICATES=str(service.root))
    lego = (
        f"lego --server {service.directory()} --path lego --accept-tos --email a@example.internal "
        f"--http --http.webroot {path} --domains {name} run"
    )
    commands = (webroot_order(host, name), lego)
    with webroot(path, service.http_port), ThreadPoolExecutor() as pool:
        for result in pool.map(host.type, commands):
            result.succeeded()
    ours = issued(host, name).verify(name)
    theirs = Issued(service, host.home / "lego" / "certificates" / f"{name}.crt").verify(name)
    assert ours.serial != theirs.serial
    assert (ours.status(), theirs.status()) == ("good", "good")
