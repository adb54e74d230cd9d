"""One authority for step clients, and a host for each test."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.acme import nameserver as dns
from tests.interop.acme.nameserver import Nameserver
from tests.interop.authority import Authority
from tests.interop.oidc.provider import STEP, STEP_SECRET, OpenIDProvider
from tests.interop.programs import Account, Daemon, free_port, program, running
from tests.interop.step.service import Agent, Host, Service, jwk_entry


@pytest.fixture(scope="session")
def nameserver(place: Path, nobody: Account) -> Iterator[Nameserver]:
    """The DNS server of example.internal."""
    program("step")
    with dns.serving(place / "step-nameserver", nobody) as served:
        yield served


@pytest.fixture(scope="session")
def service(place: Path, nameserver: Nameserver, openid: OpenIDProvider) -> Iterator[Service]:
    """The authority, served.

    Certificates of the provisioner `brief` may be short, and are renewed after they expired;
    those of `servers` are no client's.
    """
    port = free_port()
    brief = {
        "claims": {"tls": {"min": "1m", "default": "2m", "max": "1h"}, "renewal_after_expiry": True}
    }
    provisioners = [
        jwk_entry("admin"),
        jwk_entry("brief") | brief,
        jwk_entry("servers") | {"rules": {"profiles": ["server"]}},
        {"name": "sshpop", "type": "sshpop"},
        {"name": "hosts", "type": "x5c", "rules": {"names": ["*.example.internal"]}},
        {"name": "acme", "profiles": ["peer"]},
        {
            "name": "people",
            "type": "oidc",
            "configuration_endpoint": openid.issuer,
            "client_id": STEP,
            "client_secret": STEP_SECRET,
            "groups": ["operators"],
            "ca_certificates": openid.root.read_text(),
        },
    ]
    settings = {
        "acme": {"validation": {"http_port": port, "resolvers": [nameserver.address]}},
        "provisioners": provisioners,
    }
    # JSON is YAML; each section stands on a line of its own.
    text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in settings.items())
    late_by = "1d" if shutil.which("faketime") else ""
    authority = Authority.create(place / "step", late_by=late_by, settings=text)
    with authority.serving():
        yield Service(authority, port)


@pytest.fixture
def fresh_path(place: Path) -> Path:
    """An empty directory."""
    return Path(tempfile.mkdtemp(dir=place))


@pytest.fixture
def fresh(service: Service, place: Path) -> Host:
    """A host that knows nothing yet."""
    return Host(Path(tempfile.mkdtemp(dir=place)), service)


@pytest.fixture
def host(fresh: Host) -> Host:
    """A host that trusts the authority."""
    return fresh.bootstrap()


@pytest.fixture
def agent(host: Host) -> Iterator[Agent]:
    """An agent that the host's `step` finds."""
    path = host.home / "agent"
    command = (program("ssh-agent"), "-D", "-a", str(path))

    def answers() -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path)) == 0

    with running(Daemon(command, host.home / "agent.log"), answers):
        host.variables["SSH_AUTH_SOCK"] = str(path)
        yield Agent(path)
