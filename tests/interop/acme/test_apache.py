"""Apache's mod_md from Debian, as docs/how-to/acme-apache.md has it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.interop import pages
from tests.interop.acme.host import Host
from tests.interop.acme.issued import Issued
from tests.interop.acme.service import Service
from tests.interop.programs import Account, Daemon, Result, program, running, until
from tests.interop.tls import served_serial

pytestmark = pytest.mark.interop
PAGE = "how-to/acme-apache.md"
SITE = "/etc/apache2/sites-available/www.conf"
NAME = "www.example.internal"
MODULES = Path("/usr/lib/apache2/modules")
LOADED = (
    "mpm_event", "authz_core", "dir", "socache_shmcb", "ssl", "md",
)  # fmt: skip


class Apache:
    """Apache on a host.

    Args:
        host: where it runs.
        account: whom it runs as.
    """

    def __init__(self, host: Host, account: Account) -> None:
        if not (MODULES / "mod_md.so").exists():
            pytest.skip(f"{MODULES}/mod_md.so is missing (scripts/system-packages says how)")
        self.host = host
        self.account = account
        self.path = host.root / "apache"
        self.path.mkdir()
        host.words = {**host.words, "*:443": f"127.0.0.1:{host.service.https_port}"}
        html = host.path("/var/www/html")
        html.mkdir(parents=True)
        (html / "index.html").write_text("hello\n")

    @contextmanager
    def serving(self, site: str, *more: str) -> Iterator[Daemon]:
        """Run it until the certificate is there to be taken up, and for a block."""
        http, https = self.host.service.http_port, self.host.service.https_port
        modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED)
        user = f"User {self.account.user}\nGroup {self.account.group}" if not os.geteuid() else ""
        main = self.path / "httpd.conf"
        main.write_text(
            f"""
ServerRoot {self.path}
PidFile {self.path}/pid
DefaultRuntimeDir {self.path}
ServerName localhost
Listen 127.0.0.1:{http}
Listen 127.0.0.1:{https} https
{modules}
{user}
ErrorLog {self.path}/error.log
LogLevel info md:debug
StartServers 1
MDPortMap http:{http} https:{https}
MDCheckInterval 1s
MDInitialDelay 0
Include {self.host.write(SITE, site)}
"""
            + "\n".join(more)
        )
        self.path.chmod(0o777)
        command = (program("apache2"), "-D", "FOREGROUND", "-f", str(main))
        daemon = Daemon(command, self.path / "output.log")
        with running(daemon, self.staged):
            yield daemon

    def staged(self) -> Issued | None:
        """Return the certificate that waits for a reload."""
        job = self.path / "md" / "staging" / NAME / "job.json"
        try:
            finished = json.loads(job.read_bytes()).get("finished")
        except (OSError, ValueError):  # not there, or just being written
            return None
        return self._certificate("staging") if finished else None

    def current(self) -> Issued:
        """Return the certificate that was taken up."""
        return self._certificate("domains")

    def reload(self, daemon: Daemon) -> None:
        """Have it read its files again, and wait until it serves what was staged."""
        serial = until(self.staged, "Apache has a new certificate").serial
        daemon.signal(signal.SIGUSR1)
        until(lambda: self._served() == serial, "Apache serves what it took up")

    def said(self) -> str:
        """Return its error log."""
        return (self.path / "error.log").read_text(errors="replace")

    def _served(self) -> int | None:
        service = self.host.service
        try:
            return served_serial(service.https_port, None, name=NAME, ca=service.root)
        except OSError:  # the provisional certificate, or just between two processes
            return None

    def _certificate(self, folder: str) -> Issued:
        path = self.path / "md" / folder / NAME / "pubcert.secp256r1.pem"
        return Issued(self.host.service, path)


@pytest.fixture
def apache(fresh: Path, service: Service, nobody: Account) -> Apache:
    """Apache on a host of its own."""
    return Apache(Host(fresh, service), nobody)


def test_the_apache_page_works_as_it_is_written(apache: Apache, service: Service):
    host = apache.host
    host.wrap("curl", program("curl"), "--connect-to", f"::127.0.0.1:{service.https_port}")
    with ExitStack() as stack:
        daemons: list[Daemon] = []

        def systemctl(command: str) -> Result:
            match command.split()[1:]:
                case ["restart", "apache2"]:
                    site = pages.file(PAGE, SITE)
                    daemons.append(stack.enter_context(apache.serving(site)))
                case ["reload", "apache2"] if len(daemons) == 1:
                    apache.reload(daemons[0])
                    daemons.append(daemons[0])
                    found = apache.current().verify(NAME)
                    host.words = {**host.words, "the-certificate-id": found.id}
                case ["enable", "--now", "apache2-reload.timer"]:
                    host.start_unit("/etc/systemd/system/apache2-reload.service")
                case ["reload", "apache2"]:
                    daemons[0].signal(signal.SIGUSR1)
                case words:
                    pytest.fail(f"the page says {words}")
            return Result(0, "")

        def nothing(_: str) -> Result:
            return Result(0, "")

        host.handlers = {
            **host.handlers, "systemctl": systemctl,
            "a2enmod": nothing, "a2ensite": nothing,
        }  # fmt: skip
        host.follow(PAGE)
        assert apache.current().status() == "superseded"
        assert f"The Managed Domain {NAME} has been setup and changes will be" in apache.said()


@pytest.mark.parametrize("challenge", ["http-01", "tls-alpn-01"])
def test_apache_orders_and_renews_by_itself(apache: Apache, service: Service, challenge: str):
    site = pages.file(PAGE, SITE).replace("/acme/acme/", "/acme/brief/")
    site = site.replace("/etc/mintmark/ca.pem", str(apache.host.trust()))
    with apache.serving(site, f"MDCAChallenges {challenge}") as daemon:
        apache.reload(daemon)
        first = apache.current().verify(NAME).serial
        apache.reload(daemon)
        assert apache.current().verify(NAME).serial != first
    assert f"set up challenge '{challenge}' for {NAME}" in apache.said()


def test_apache_binds_its_account_to_a_key(apache: Apache, service: Service):
    host, title = apache.host, "/etc/apache2/sites-available/partners.conf"
    host.trust()
    key_id, hmac_key = service.external_key()
    host.words = {**host.words, "the-key-id": key_id, "the-hmac-key": hmac_key}
    first = "MDCertificateAuthority"
    site = pages.file(PAGE, SITE).replace(f"{first} https://pki", f"# {first} https://pki")
    with apache.serving(site + pages.file(PAGE, title)) as daemon:
        apache.reload(daemon)
        apache.current().verify(NAME)


def test_apache_renews_when_renewal_information_says_so(apache: Apache, service: Service):
    """RFC 9773: nothing is due until an operator moves the window."""
    site = pages.file(PAGE, SITE).replace("/etc/mintmark/ca.pem", str(apache.host.trust()))
    with apache.serving(site) as daemon:
        apache.reload(daemon)
        first = apache.current().verify(NAME).serial
        move = ("ca", "renew-now", "--name", NAME, "--over", "1s", "--reason", "a test")
        service.authority.mintmark(*move).succeeded()
        apache.reload(daemon)
        assert apache.current().verify(NAME).serial != first
