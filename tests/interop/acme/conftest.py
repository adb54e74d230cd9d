"""One authority for ACME clients, and the DNS server that it asks."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.acme import nameserver as dns
from tests.interop.acme.nameserver import Nameserver
from tests.interop.acme.service import Service
from tests.interop.authority import Authority
from tests.interop.programs import Account, free_port

# Not in every release of the systems that the tests run on.
collect_ignore = [] if shutil.which("acme.sh") else ["test_acme_sh.py"]


@pytest.fixture(scope="session")
def nameserver(place: Path, nobody: Account) -> Iterator[Nameserver]:
    """The DNS server of example.internal."""
    with dns.serving(place / "nameserver", nobody) as served:
        yield served


@pytest.fixture
def fresh(place: Path) -> Path:
    """A directory of a test's own."""
    path = Path(tempfile.mkdtemp(dir=place))
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def service(place: Path, nameserver: Nameserver) -> Iterator[Service]:
    """The authority, served.

    Its provisioner `partners` wants external account binding; certificates of `brief` are due
    for renewal when they are issued: of 80 minutes, 60 lie in the past.
    """
    http_port, https_port = free_port(), free_port()
    authority = Authority.create(
        place / "acme",
        settings=f"""
acme:
  validation:
    http_port: {http_port}
    https_port: {https_port}
    resolvers: ["{nameserver.address}"]
provisioners:
  - name: acme
  - name: partners
    external_account_binding: true
  - name: many
    orders_per_hour: 0
  - name: brief
    lifetime: 80m
issuer: {{backdate: 1h}}
""",
    )
    with authority.serving():
        yield Service(authority, nameserver, http_port, https_port)
