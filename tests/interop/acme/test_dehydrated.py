"""dehydrated from Debian, as docs/how-to/acme-dehydrated.md has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.acme.host import Host, webroot
from tests.interop.acme.issued import Issued
from tests.interop.acme.service import Service
from tests.interop.programs import program

pytestmark = pytest.mark.interop
PAGE = "how-to/acme-dehydrated.md"


def equip(host: Host) -> None:
    """Install dehydrated on a host."""
    program("nsupdate")
    host.path("/var/lib/dehydrated").mkdir(parents=True)  # the package makes it
    configuration = host.path("/etc/dehydrated/config")
    host.wrap("dehydrated", program("dehydrated"), "--config", configuration)


@pytest.fixture(scope="module")
def host(place: Path, service: Service) -> Host:
    """A host whose dehydrated has an account."""
    made = Host(place / "dehydrated", service)
    equip(made)
    challenges = made.path("/var/www/html/.well-known/acme-challenge")
    challenges.mkdir(parents=True)
    made.write(
        "/etc/dehydrated/config",
        f'CA="{service.directory()}"\nCURL_OPTS="--cacert {service.root}"\n'
        f"BASEDIR={made.home}\nWELLKNOWN={challenges}\n"
        "ACCOUNT_KEY_ALGO=secp384r1\nKEY_ALGO=prime256v1\n",
    )
    made.type("dehydrated --register --accept-terms").succeeded()
    return made


def issued(host: Host, name: str) -> Issued:
    """Return a certificate of the host."""
    return Issued(host.service, host.home / "certs" / name / "fullchain.pem")


def test_the_dehydrated_page_works_as_it_is_written(place: Path, service: Service):
    host = Host(place / "dehydrated-page", service)
    equip(host)
    with webroot(host.path("/var/www/html"), service.http_port):
        host.follow(PAGE)
    assert set(host.did()) == {"reload nginx"}
    certificates = host.path("/var/lib/dehydrated/certs")
    current = Issued(service, certificates / "www.example.internal" / "fullchain.pem")
    assert current.verify("www.example.internal", "shop.example.internal").status() == "good"
    (old,) = current.path.parent.glob("cert-*.pem-revoked")
    assert Issued(service, old).status() == "revoked"
    wildcard = Issued(service, certificates / "apps" / "fullchain.pem")
    wildcard.verify("*.apps.example.internal", "apps.example.internal")


def test_dehydrated_orders_renews_and_revokes(host: Host, service: Service):
    order = "dehydrated --cron --domain one.example.internal"
    with webroot(host.path("/var/www/html"), service.http_port):
        host.type(order).succeeded()
        found = issued(host, "one.example.internal")
        serial = found.verify("one.example.internal").serial
        host.type(f"{order} --force").succeeded()
    assert found.verify("one.example.internal").serial != serial
    host.type(f"dehydrated --revoke {found.path.with_name('cert.pem')}").succeeded()
    assert found.status() == "revoked"


def test_dehydrated_has_a_request_signed_with_the_whole_chain(host: Host, service: Service):
    """With `--full-chain` it fetches the issuers from where the certificate says they are."""
    host.type(
        "openssl req -new -newkey rsa:2048 -nodes -keyout csr.key -subj / "
        "-addext subjectAltName=DNS:csr.example.internal -out request.csr 2>/dev/null"
    ).succeeded()
    with webroot(host.path("/var/www/html"), service.http_port):
        signed = "dehydrated --signcsr request.csr --full-chain > signed.pem"
        host.type(signed).succeeded()
    Issued(service, host.home / "signed.pem").verify("csr.example.internal")


def test_dehydrated_updates_and_gives_up_its_account(host: Host):
    host.type("dehydrated --account").succeeded()
    host.type("dehydrated --deactivate").succeeded()
