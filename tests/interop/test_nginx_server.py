"""nginx with `ssl_verify_client on` and `ssl_crl`, as docs/how-to/nginx.md has it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
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
PAGE = "how-to/nginx.md"
NAME = "www.example.internal"
SITE = "/etc/nginx/conf.d/www.conf"
OCSP = "/etc/nginx/snippets/ocsp.conf"
REFUSAL = "400 The SSL certificate error"


@dataclass
class Nginx:
    """A running nginx.

    Args:
        port: its TLS port.
        daemon: its process.
        directory: where its certificate and CRL are.
    """

    port: int
    daemon: Daemon
    directory: Path

    def curl(self, *, ca: Path, client: Files | None = None, name: str = NAME) -> Result:
        """Ask for / under a name, with curl."""
        return curl(self.port, name, ca=ca, client=client)


def reload(daemon: Daemon) -> None:
    """Have nginx read its files again, and wait until its new workers run."""
    started = "start worker process "
    before = daemon.said().count(started)
    daemon.signal(signal.SIGHUP)
    until(lambda: daemon.said().count(started) > before, "nginx reloaded")


def configure(sandbox: pages.Sandbox, nobody: Account) -> Path:
    """Write the file that Debian has around the page's, and return it."""
    temporary = "".join(
        f"  {kind}_temp_path {sandbox.root}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = f"user {nobody.user} {nobody.group};\n" if os.geteuid() == 0 else ""
    main = sandbox.root / "nginx.conf"
    main.write_text(
        f"daemon off;\npid {sandbox.root}/nginx.pid;\nerror_log stderr notice;\n{user}"
        f"worker_processes 1;\nevents {{}}\nhttp {{\n  access_log off;\n"
        f"  error_log {sandbox.root}/error.log info;\n{temporary}"
        f"  include {sandbox.path('/etc/nginx/conf.d')}/*.conf;\n}}\n"
    )
    return main


def start(sandbox: pages.Sandbox, nobody: Account) -> AbstractContextManager[Daemon]:
    """Return a context in which nginx runs."""
    main = configure(sandbox, nobody)
    command = (program("nginx"), "-p", str(sandbox.root), "-c", str(main))
    daemon = Daemon(command, sandbox.root / "nginx.log")
    return running(daemon, lambda: listens(int(sandbox.words["443"])))


def words(authority: Authority, root: Path) -> dict[str, str]:
    """Return what the page's words mean in a test."""
    port = free_port()
    return {
        "http://pki.example.internal:8080": authority.http,
        "curl --cacert": f"curl --connect-to ::127.0.0.1:{port} --cacert",
        f"-connect {NAME}": "-connect 127.0.0.1",
        "nginx -t": f"nginx -t -p {root} -c {root}/nginx.conf",
        "443": str(port),
    }


@pytest.fixture(scope="module")
def nginx(authority: Authority, place: Path, nobody: Account, crl_file: Path) -> Iterator[Nginx]:
    """nginx with the page's configuration."""
    program("nginx")
    root = place / "nginx"
    sandbox = pages.Sandbox(root, words(authority, root))
    files = authority.issue(NAME, "--san", "127.0.0.1", profile="server")
    directory = files.copy(sandbox.path("/etc/nginx/tls")).path
    (directory / "crl.pem").write_bytes(crl_file.read_bytes())
    sandbox.write(SITE, pages.file(PAGE, SITE))
    with start(sandbox, nobody) as daemon:
        yield Nginx(int(sandbox.words["443"]), daemon, directory)


def reason(nginx: Nginx) -> str:
    """Return why nginx refused certificates, from its error log."""
    return (nginx.directory.parents[2] / "error.log").read_text()


def test_the_nginx_page_works_as_it_is_written(place: Path, nobody: Account, authority: Authority):
    program("nginx")
    root = place / "nginx-page"
    sandbox = pages.Sandbox(root, words(authority, root), variables=authority.here())
    configure(sandbox, nobody)
    pages.Systemd(sandbox, {"nginx": (lambda: start(sandbox, nobody), reload)}).follow(PAGE)


def test_nginx_accepts_a_good_client(nginx: Nginx, good: Files):
    assert nginx.curl(ca=good.ca, client=good).succeeded() == "hello CN=worker\n"


def test_nginx_refuses_a_client_without_a_certificate(nginx: Nginx, good: Files):
    assert "No required SSL certificate was sent" in nginx.curl(ca=good.ca).text


def test_nginx_refuses_a_client_of_another_authority(nginx: Nginx, good: Files, foreign: Files):
    assert REFUSAL in nginx.curl(ca=good.ca, client=foreign).text
    assert "(3:unable to get certificate CRL)" in reason(nginx)


def test_nginx_refuses_an_expired_client(nginx: Nginx, good: Files, expired: Files):
    assert REFUSAL in nginx.curl(ca=good.ca, client=expired).text
    assert "(10:certificate has expired)" in reason(nginx)


def test_nginx_refuses_a_revoked_client(nginx: Nginx, good: Files, revoked: Files):
    assert REFUSAL in nginx.curl(ca=good.ca, client=revoked).text
    assert "(23:certificate revoked)" in reason(nginx)


def test_curl_refuses_nginx_under_another_name(nginx: Nginx, good: Files):
    answer = nginx.curl(ca=good.ca, client=good, name="other.example.internal")
    answer.refused("no alternative certificate subject name matches")


def test_curl_refuses_a_server_of_another_authority(nginx: Nginx, good: Files, foreign: Files):
    nginx.curl(ca=foreign.ca, client=good).refused("unable to get local issuer certificate")


def test_nginx_serves_a_new_certificate_after_a_reload(
    nginx: Nginx, authority: Authority, good: Files
):
    before = served_serial(nginx.port, good, name=NAME)
    files = authority.issue(NAME, "--san", "127.0.0.1", profile="server")
    files.copy(nginx.directory)
    assert served_serial(nginx.port, good, name=NAME) == before
    reload(nginx.daemon)
    until(lambda: served_serial(nginx.port, good, name=NAME) == files.serial, "the new serial")


def test_nginx_learns_of_a_revocation_with_the_next_crl(nginx: Nginx, authority: Authority):
    files = authority.issue("leaving", profile="client")
    assert nginx.curl(ca=files.ca, client=files).succeeded() == "hello CN=leaving\n"
    authority.revoke(files)
    (nginx.directory / "crl.pem").write_bytes(authority.crl_pem())
    reload(nginx.daemon)
    until(lambda: REFUSAL in nginx.curl(ca=files.ca, client=files).text, "nginx refuses it")


def test_a_resumed_session_does_not_outlive_a_revocation_at_nginx(
    nginx: Nginx, authority: Authority
):
    files = authority.issue("returning", profile="client")
    visitor = Visitor(nginx.port, files, NAME)
    assert "hello CN=returning" in visitor.visit()
    assert "hello CN=returning" in visitor.visit()
    authority.revoke(files)
    (nginx.directory / "crl.pem").write_bytes(authority.crl_pem())
    reload(nginx.daemon)
    until(lambda: "hello" not in visitor.visit(), "nginx refuses it")


@contextmanager
def asking_ocsp(
    authority: Authority, root: Path, nobody: Account, responder: str
) -> Iterator[Nginx]:
    """Run nginx with the page's configuration for OCSP in place of the one for CRLs."""
    program("nginx")
    here = words(authority, root) | {"http://pki.example.internal:8080": responder}
    sandbox = pages.Sandbox(root, here)
    sandbox.write(OCSP, pages.file(PAGE, OCSP))
    files = authority.issue(NAME, "--san", "127.0.0.1", profile="server")
    files.copy(sandbox.path("/etc/nginx/tls"))
    site = pages.file(PAGE, SITE)
    crl = "ssl_crl /etc/nginx/tls/crl.pem;"
    assert crl in site
    sandbox.write(SITE, site.replace(crl, f"include {OCSP};"))
    with start(sandbox, nobody) as daemon:
        yield Nginx(int(sandbox.words["443"]), daemon, sandbox.path("/etc/nginx/tls"))


def test_nginx_that_asks_ocsp_refuses_at_the_next_connection(
    authority: Authority, place: Path, nobody: Account
):
    client = authority.issue("watched", profile="client")
    with asking_ocsp(authority, place / "nginx-ocsp", nobody, authority.http) as nginx:
        assert nginx.curl(ca=client.ca, client=client).succeeded() == "hello CN=watched\n"
        authority.mintmark("revoke", client.path, "--reason", "superseded").succeeded()
        assert REFUSAL in nginx.curl(ca=client.ca, client=client).text
        assert "certificate revoked" in reason(nginx)


def test_nginx_that_cannot_ask_ocsp_refuses_everybody(
    authority: Authority, place: Path, nobody: Account, good: Files
):
    nowhere = f"http://127.0.0.1:{free_port()}"
    with asking_ocsp(authority, place / "nginx-deaf", nobody, nowhere) as nginx:
        assert REFUSAL in nginx.curl(ca=good.ca, client=good).text
