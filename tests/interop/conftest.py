"""One real authority for the whole run, and a certificate of every fate.

The authority was made three days ago and its expired certificate two days ago, by the real
command under a clock that is late (faketime): nothing of it is forged. Then it is served, now.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.authority import Authority, Files
from tests.interop.oidc.provider import OpenIDProvider
from tests.interop.programs import Account, account, program
from tests.places import reachable


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A directory that servers of other accounts can reach, with a short name for sockets."""
    with reachable() as path:
        yield path


@pytest.fixture(scope="session")
def nobody() -> Account:
    """The account that servers run as."""
    return account()


@pytest.fixture(scope="session")
def authority(place: Path) -> Iterator[Authority]:
    """The authority, served; without faketime its clock was always right."""
    can_be_late = shutil.which("faketime") is not None
    made = Authority.create(place / "authority", late_by="3d" if can_be_late else "")
    if can_be_late:
        made.issue("expired", profile="client", lifetime="1h", late_by="2d")
    with made.serving():
        yield made


@pytest.fixture(scope="session")
def good(authority: Authority) -> Files:
    """A client's certificate that everybody has to accept; its common name is `worker`."""
    return authority.issue("worker", profile="client")


@pytest.fixture(scope="session")
def expired(authority: Authority) -> Files:
    """A client's certificate that ended nearly two days ago."""
    program("faketime")
    return Files(authority.home / "expired")


@pytest.fixture(scope="session")
def revoked(authority: Authority) -> Files:
    """A client's certificate that was revoked, and whose serial is on the CRL."""
    files = authority.issue("revoked", profile="client")
    authority.revoke(files)
    return files


@pytest.fixture(scope="session")
def foreign(place: Path) -> Files:
    """A client's certificate of another authority, with the same name as the good one."""
    other = Authority.create(place / "other")
    return other.issue("worker", profile="client", offline=True)


@pytest.fixture(scope="session")
def crl_file(authority: Authority, revoked: Files, place: Path) -> Path:
    """The CRLs of all issuers, with the revoked certificate on one of them."""
    path = place / "crl.pem"
    path.write_bytes(authority.crl_pem())
    return path


@pytest.fixture(scope="session")
def openid(place: Path) -> Iterator[OpenIDProvider]:
    """The OpenID provider, running."""
    made = OpenIDProvider(place / "openid-provider")
    with made.serving():
        yield made


@pytest.fixture
def provider(openid: OpenIDProvider) -> Iterator[OpenIDProvider]:
    """The same; what a test has it say of Alice is forgotten."""
    yield openid
    openid.forget()
