"""Caddy from Debian, as docs/how-to/acme-caddy.md has it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.interop import pages
from tests.interop.acme.host import Host
from tests.interop.acme.issued import Issued
from tests.interop.acme.service import Service
from tests.interop.programs import Account, Daemon, Result, environment, program, running, until
from tests.interop.tls import served_serial

pytestmark = pytest.mark.interop
PAGE = "how-to/acme-caddy.md"
NAME = "www.example.internal"
# What a test needs beside the page: other ports, and no waiting for what is done each hour.
MORE = """
	admin off
	http_port {service.http_port}
	https_port {service.https_port}
	default_bind 127.0.0.1
	ocsp_interval 1s
	renew_interval 1s
"""


class Caddy:
    """Caddy on a host.

    Args:
        host: where it runs.
        account: whom it runs as.
    """

    def __init__(self, host: Host, account: Account) -> None:
        self.host = host
        self.account = account
        self.home = host.path("/var/lib/caddy")
        self.home.mkdir(parents=True)
        account.owns(self.home)

    @contextmanager
    def serving(self, title: str, text: str) -> Iterator[Daemon]:
        """Run it with a Caddyfile until its site has a certificate, and for a block."""
        more = MORE.format(service=self.host.service)
        configuration = self.host.write(title, text.replace("{", "{" + more, 1))
        command = (program("caddy"), "run", "--adapter", "caddyfile", "--config")
        options = {
            "env": environment(HOME=str(self.home), XDG_DATA_HOME="", XDG_CONFIG_HOME=""),
            **self.account.popen,
        }
        log = self.host.root / "caddy.log"
        daemon = Daemon((*command, str(configuration)), log, options)
        with running(daemon, self.certificate):
            yield daemon

    def certificate(self) -> Issued | None:
        """Return the site's certificate, when there is one."""
        found = self.home.glob(f".local/share/caddy/certificates/*/{NAME}/{NAME}.crt")
        return next((Issued(self.host.service, one) for one in found), None)


@pytest.fixture
def caddy(fresh: Path, service: Service, nobody: Account) -> Caddy:
    """Caddy on a host of its own."""
    return Caddy(Host(fresh, service), nobody)


def site(host: Host, provisioner: str, option: str) -> str:
    """Return a Caddyfile with one site."""
    return f"""{{
}}
{NAME} {{
	tls {{
		issuer acme {{
			dir {host.service.directory(provisioner)}
			trusted_roots {host.trust()}
			{option}
		}}
	}}
	respond "hello"
}}
"""


def test_the_caddy_page_works_as_it_is_written(caddy: Caddy, service: Service):
    host = caddy.host
    host.wrap("curl", program("curl"), "--connect-to", f"::127.0.0.1:{service.https_port}")
    title = "/etc/caddy/Caddyfile"
    serials = []
    with ExitStack() as stack:

        def systemctl(command: str) -> Result:
            match command.split()[1:]:
                case ["stop", "caddy"]:
                    found = caddy.certificate()
                    assert found.verify(NAME).status() == "superseded"
                    serials.append(found.serial)
                    stack.close()
                case ["restart" | "start", "caddy"]:
                    stack.enter_context(caddy.serving(title, pages.file(PAGE, title)))
                    host.words = {**host.words, "the-certificate-id": caddy.certificate().id}
                case words:
                    pytest.fail(f"the page says {words}")
            return Result(0, "")

        host.handlers = {**host.handlers, "systemctl": systemctl}
        host.follow(PAGE)
        until(lambda: caddy.certificate().serial not in serials, "Caddy replaced it")
        assert caddy.certificate().verify(NAME).status() == "good"


def test_caddy_binds_its_account_to_a_key(caddy: Caddy, service: Service):
    host, title = caddy.host, "/etc/caddy/Caddyfile.partners"
    host.trust()
    key_id, hmac_key = service.external_key()
    host.words = {**host.words, "the-key-id": key_id, "the-hmac-key": hmac_key}
    with caddy.serving(title, pages.file(PAGE, title)):
        caddy.certificate().verify(NAME)


def test_caddy_orders_through_port_443_alone(caddy: Caddy, service: Service):
    host, title = caddy.host, "/etc/caddy/Caddyfile.443"
    host.trust()
    with caddy.serving(title, pages.file(PAGE, title)) as daemon:
        found = caddy.certificate().verify(NAME)
        until(
            lambda: (
                served_serial(service.https_port, None, name=NAME, ca=service.root) == found.serial
            ),
            "Caddy serves it",
        )
    assert '"challenge_type":"tls-alpn-01"' in daemon.said()
    assert '"challenge_type":"http-01"' not in daemon.said()


def test_caddy_orders_through_port_80_alone_and_renews_by_itself(caddy: Caddy):
    text = site(caddy.host, "brief", "disable_tlsalpn_challenge")
    with caddy.serving("/etc/caddy/Caddyfile", text) as daemon:
        first = caddy.certificate().serial
        until(lambda: caddy.certificate().serial != first, "Caddy renewed it")
        caddy.certificate().verify(NAME)
    assert '"challenge_type":"http-01"' in daemon.said()
    assert '"challenge_type":"tls-alpn-01"' not in daemon.said()
