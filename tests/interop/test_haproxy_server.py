"""HAProxy with `verify required` and `crl-file`, as docs/how-to/haproxy.md has it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop import pages
from tests.interop.authority import Authority, Files
from tests.interop.programs import (
    Account,
    Daemon,
    Result,
    free_port,
    listens,
    program,
    running,
    until,
)
from tests.interop.tls import Visitor, curl, served_serial

pytestmark = pytest.mark.interop
PAGE = "how-to/haproxy.md"
NAME = "edge.example.internal"
SETTINGS = "/etc/haproxy/haproxy.cfg"
FETCH = "/usr/local/bin/haproxy-crl"
LOADED = "Loading success"


@dataclass
class HAProxy:
    """A running HAProxy.

    Args:
        port: its TLS port.
        daemon: its master process.
        sandbox: where its files are.
    """

    port: int
    daemon: Daemon
    sandbox: pages.Sandbox

    @property
    def directory(self) -> Path:
        """Where its certificate and CRL are."""
        return self.sandbox.path("/etc/haproxy/tls")

    def curl(self, *, ca: Path, client: Files | None = None, name: str = NAME) -> Result:
        """Ask for / under a name, with curl."""
        return curl(self.port, name, ca=ca, client=client)

    def fetch_crl(self) -> str:
        """Carry out the page's script."""
        return self.sandbox.type(f"sh {FETCH}").succeeded()


def reload(daemon: Daemon) -> None:
    """Have HAProxy start a worker with its files as they are now."""
    before = daemon.said().count(LOADED)
    daemon.signal(signal.SIGUSR2)
    until(lambda: daemon.said().count(LOADED) > before, "HAProxy reloaded")


def start(sandbox: pages.Sandbox) -> AbstractContextManager[Daemon]:
    """Return a context in which HAProxy runs with the page's configuration."""
    socket = sandbox.path("/run/haproxy/admin.sock")
    socket.parent.mkdir(parents=True, exist_ok=True)
    command = (program("haproxy"), "-W", "-db", "-f", str(sandbox.path(SETTINGS)))
    daemon = Daemon(command, sandbox.root / "haproxy.log")
    port = int(sandbox.words["443"])
    return running(daemon, lambda: listens(port) and LOADED in daemon.said())


def words(authority: Authority, nobody: Account) -> dict[str, str]:
    """Return what the page's words mean in a test."""
    port = free_port()
    return {
        "http://pki.example.internal:8080": authority.http,
        "curl --cacert": f"curl --connect-to ::127.0.0.1:{port} --cacert",
        f"-connect {NAME}": "-connect 127.0.0.1",
        "user haproxy": f"user {nobody.user}",
        "group haproxy": f"group {nobody.group}",
        "443": str(port),
    }


@pytest.fixture(scope="module")
def haproxy(
    authority: Authority, place: Path, nobody: Account, crl_file: Path
) -> Iterator[HAProxy]:
    """HAProxy with the page's configuration."""
    program("haproxy")
    sandbox = pages.Sandbox(place / "haproxy", words(authority, nobody))
    files = authority.issue(NAME, "--san", "127.0.0.1", profile="server")
    directory = sandbox.path("/etc/haproxy/tls")
    install(files, directory)
    (directory / "crl.pem").write_bytes(crl_file.read_bytes())
    for title in (SETTINGS, FETCH):
        sandbox.write(title, pages.file(PAGE, title))
    with start(sandbox) as daemon:
        yield HAProxy(int(sandbox.words["443"]), daemon, sandbox)


def install(files: Files, directory: Path) -> None:
    """Put certificate, chain and key into one file, as the page does."""
    files.copy(directory)
    (directory / "site.pem").write_text(files.fullchain.read_text() + files.key.read_text())


def test_the_haproxy_page_works_as_it_is_written(
    place: Path, nobody: Account, authority: Authority
):
    program("haproxy")
    program("socat")
    sandbox = pages.Sandbox(
        place / "haproxy-page", words(authority, nobody), variables=authority.here()
    )
    pages.Systemd(sandbox, {"haproxy": (lambda: start(sandbox), reload)}).follow(PAGE)


def test_haproxy_accepts_a_good_client(haproxy: HAProxy, good: Files):
    assert haproxy.curl(ca=good.ca, client=good).succeeded() == "hello worker\n"


def test_haproxy_refuses_a_client_without_a_certificate(haproxy: HAProxy, good: Files):
    haproxy.curl(ca=good.ca).refused("certificate required")


def test_haproxy_refuses_a_client_of_another_authority(
    haproxy: HAProxy, good: Files, foreign: Files
):
    haproxy.curl(ca=good.ca, client=foreign).refused("alert unknown ca")


def test_haproxy_refuses_an_expired_client(haproxy: HAProxy, good: Files, expired: Files):
    haproxy.curl(ca=good.ca, client=expired).refused("alert certificate expired")


def test_haproxy_refuses_a_revoked_client(haproxy: HAProxy, good: Files, revoked: Files):
    haproxy.curl(ca=good.ca, client=revoked).refused("alert certificate revoked")


def test_curl_refuses_haproxy_under_another_name(haproxy: HAProxy, good: Files):
    answer = haproxy.curl(ca=good.ca, client=good, name="other.example.internal")
    answer.refused("no alternative certificate subject name matches")


def test_haproxy_serves_a_new_certificate_after_a_reload(
    haproxy: HAProxy, authority: Authority, good: Files
):
    before = served_serial(haproxy.port, good, name=NAME)
    files = authority.issue(NAME, "--san", "127.0.0.1", profile="server")
    install(files, haproxy.directory)
    assert served_serial(haproxy.port, good, name=NAME) == before
    reload(haproxy.daemon)
    until(lambda: served_serial(haproxy.port, good, name=NAME) == files.serial, "the new serial")


def test_haproxy_learns_of_a_revocation_without_a_reload(haproxy: HAProxy, authority: Authority):
    program("socat")
    files = authority.issue("leaving", profile="client")
    assert haproxy.curl(ca=files.ca, client=files).succeeded() == "hello leaving\n"
    authority.revoke(files)
    loaded = haproxy.daemon.said().count(LOADED)
    assert "Success!" in haproxy.fetch_crl()
    haproxy.curl(ca=files.ca, client=files).refused("alert certificate revoked")
    assert haproxy.daemon.said().count(LOADED) == loaded


def test_a_resumed_session_does_not_outlive_a_revocation_at_haproxy(
    haproxy: HAProxy, authority: Authority
):
    program("socat")
    files = authority.issue("returning", profile="client")
    visitor = Visitor(haproxy.port, files, NAME)
    assert "hello returning" in visitor.visit()
    assert "hello returning" in visitor.visit()
    authority.revoke(files)
    haproxy.fetch_crl()
    assert "hello" not in visitor.visit()
