"""lego from Debian, as docs/how-to/acme-lego.md has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.acme.host import Host, webroot
from tests.interop.acme.issued import Issued
from tests.interop.acme.service import Service
from tests.interop.programs import program

pytestmark = pytest.mark.interop
PAGE = "how-to/acme-lego.md"


def equip(host: Host) -> None:
    """Install lego on a host."""
    http, tls = (f"127.0.0.1:{one}" for one in (host.service.http_port, host.service.https_port))
    host.wrap("lego", program("lego"), "--http.port", http, "--tls.port", tls)


@pytest.fixture(scope="module")
def host(place: Path, service: Service) -> Host:
    """A host with lego."""
    made = Host(place / "lego", service)
    equip(made)
    made.variables = {**made.variables, "LEGO_CA_CERTIFICATES": str(service.root)}
    return made


def lego(*arguments: str, provisioner: str = "acme") -> str:
    """Return a command line."""
    directory = f"https://pki.example.internal:8443/acme/{provisioner}/directory"
    return " ".join(("lego", f"--server {directory} --path . --accept-tos", *arguments))


def issued(path: Path, service: Service, name: str) -> Issued:
    """Return a certificate that lego keeps."""
    return Issued(service, path / "certificates" / f"{name}.crt")


def test_the_lego_page_works_as_it_is_written(place: Path, service: Service):
    host = Host(place / "lego-page", service)
    equip(host)
    host.follow(PAGE)
    assert host.did() == ["reload nginx"]
    path = host.path("/var/lib/lego")
    found = issued(path, service, "www.example.internal").verify("www.example.internal")
    assert found.status() == "good"
    wildcard = issued(path, service, "_.apps.example.internal")
    wildcard.verify("*.apps.example.internal", "apps.example.internal")
    archived = next((path / "archives").glob("*shop.example.internal.crt"))
    assert Issued(service, archived).verify("shop.example.internal").status() == "superseded"


def test_lego_orders_by_http_renews_with_its_key_and_revokes(host: Host, service: Service):
    one = "--email a@example.internal --http --domains one.example.internal"
    both = f"{one} --domains two.example.internal"
    host.type(lego(both, "run")).succeeded()
    first = issued(host.home, service, "one.example.internal")
    first.verify("one.example.internal", "two.example.internal")
    serial, key = first.serial, first.certificate.public_key()

    host.type(lego(both, "renew --days 400 --reuse-key --no-random-sleep")).succeeded()
    second = issued(host.home, service, "one.example.internal")
    second.verify("one.example.internal", "two.example.internal")
    assert second.serial != serial
    assert second.certificate.public_key() == key

    kept = host.home / "kept.pem"
    kept.write_bytes(second.path.read_bytes())
    host.type(lego(one, "revoke --reason 5")).succeeded()
    assert Issued(service, kept).status() == "cessationOfOperation"


@pytest.mark.parametrize("key", ["rsa2048", "ec384"])
def test_lego_orders_by_tls_for_keys_of_other_kinds(host: Host, service: Service, key: str):
    name = f"{key}.example.internal"
    host.type(lego(f"--email a@example.internal -k {key} --tls --domains {name} run")).succeeded()
    issued(host.home, service, name).verify(name)


def test_lego_tells_a_person_why_a_name_fails(host: Host, service: Service):
    with webroot(host.home / "www", service.http_port):
        options = "--http --http.webroot elsewhere --domains wrong.example.internal"
        (host.home / "elsewhere").mkdir()
        said = host.type(lego("--email a@example.internal", options, "run"))
    reason = said.refused("urn:ietf:params:acme:error:incorrectResponse")
    assert (
        f"http://wrong.example.internal:{service.http_port}/.well-known/acme-challenge/" in reason
    )
    assert "127.0.0.1" in reason
    assert "404" in reason
