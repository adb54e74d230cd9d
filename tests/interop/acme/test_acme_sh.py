"""acme.sh, as docs/how-to/acme-acme-sh.md has it.

Debian 12 has no package of it; conftest.py leaves this file out where it is missing.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop.acme.host import Host
from tests.interop.acme.issued import Issued
from tests.interop.acme.service import Service
from tests.interop.programs import program

pytestmark = pytest.mark.interop
PAGE = "how-to/acme-acme-sh.md"


def equip(host: Host) -> None:
    """Install acme.sh on a host."""
    program("socat")
    program("nsupdate")
    service = host.service
    host.wrap(
        "acme.sh", program("acme.sh"), "--home", host.home, "--listen-v4",
        "--httpport", str(service.http_port), "--tlsport", str(service.https_port),
    )  # fmt: skip


def issued(host: Host, name: str) -> Issued:
    """Return a certificate of the host."""
    return Issued(host.service, host.home / f"{name}_ecc" / "fullchain.cer")


def test_the_acme_sh_page_works_as_it_is_written(place: Path, service: Service):
    host = Host(place / "acme-sh-page", service)
    host.words["NSUPDATE_SERVER_PORT=53"] = f"NSUPDATE_SERVER_PORT={service.nameserver.port}"
    equip(host)
    host.follow(PAGE)
    assert host.did() == ["reload nginx"] * 2
    name = "www.example.internal"
    assert issued(host, name).verify(name).status() == "superseded"
    installed = Issued(service, host.path("/etc/nginx/tls/fullchain.pem"))
    assert installed.serial == issued(host, name).serial
    issued(host, "shop.example.internal").verify("shop.example.internal")
    wildcard = issued(host, "*.apps.example.internal")
    wildcard.verify("*.apps.example.internal", "apps.example.internal")


def test_acme_sh_orders_for_addresses_and_named_profiles(place: Path, service: Service):
    host = Host(place / "acme-sh", service)
    equip(host)
    common = f"--server {service.directory()} --ca-bundle {host.trust()}"
    host.type(f"acme.sh --register-account {common}").succeeded()
    order = f"acme.sh --issue --standalone {common} --cert-profile server -d 127.0.0.1"
    host.type(order).succeeded()
    issued(host, "127.0.0.1").verify("127.0.0.1")
    host.type(f"acme.sh --deactivate-account {common}").succeeded()
