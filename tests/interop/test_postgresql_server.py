"""PostgreSQL with `clientcert=verify-full` and `ssl_crl_file`, as its how-to page has it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop import cluster, pages
from tests.interop.authority import Authority, Files
from tests.interop.programs import (
    Account,
    Daemon,
    Result,
    free_port,
    program,
    run,
    until,
)
from tests.interop.tls import served_serial

pytestmark = [pytest.mark.interop, pytest.mark.postgresql]
PAGE = "how-to/postgresql.md"
NAME = "postgres.example.internal"
SETTINGS = "/etc/postgresql/15/main/conf.d/tls.conf"
ACCESS = "/etc/postgresql/15/main/pg_hba.conf"
MAP = "/etc/postgresql/15/main/pg_ident.conf"
LOADED = "received SIGHUP, reloading configuration files"


@dataclass
class PostgreSQL:
    """A running PostgreSQL.

    Args:
        port: on which it listens.
        daemon: its process.
        directory: where its certificate and CRL are.
    """

    port: int
    daemon: Daemon
    directory: Path

    def psql(
        self,
        *,
        ca: Path,
        client: Files | None = None,
        name: str = NAME,
        role: str = "worker",
        more: str = "",
    ) -> Result:
        """Ask who one is, with psql."""
        shown = f"sslcert={client.fullchain} sslkey={client.key}" if client else "sslcert=none"
        return run(
            program("psql"), "--tuples-only", "--no-align",
            "--command", "SELECT current_user",
            f"host={name} hostaddr=127.0.0.1 port={self.port} dbname=postgres user={role} "
            f"sslmode=verify-full sslrootcert={ca} {shown} {more}",
        )  # fmt: skip


def reload(daemon: Daemon) -> None:
    """Have PostgreSQL read its files again, and wait until its log says so."""
    before = daemon.said().count(LOADED)
    daemon.signal(signal.SIGHUP)
    until(lambda: daemon.said().count(LOADED) > before, "PostgreSQL reloaded")


def start(sandbox: pages.Sandbox, nobody: Account) -> AbstractContextManager[Daemon]:
    """Return a context in which PostgreSQL runs with the page's configuration."""
    settings = (
        f"port = {sandbox.words['5432']}\nhba_file = '{sandbox.path(ACCESS)}'\n"
        f"ident_file = '{sandbox.path(MAP)}'\n"
        f"include = '{sandbox.path(SETTINGS)}'\n"
    )
    return cluster.postgresql(sandbox.root, nobody, settings)


def words(authority: Authority, nobody: Account, root: Path) -> dict[str, str]:
    """Return what the page's words mean in a test; the superuser's local account is not there."""
    port = str(free_port())
    return {
        "http://pki.example.internal:8080": authority.http,
        "-o postgres -g postgres": f"-o {nobody.user} -g {nobody.group}",
        "local    all       postgres                peer": "local all postgres trust",
        "sudo -u postgres psql": cluster.as_superuser(root, port),
        f"-connect {NAME}": "-connect 127.0.0.1",
        "5432": port,
    }


@pytest.fixture(scope="module")
def postgresql(
    authority: Authority, place: Path, nobody: Account, crl_file: Path
) -> Iterator[PostgreSQL]:
    """PostgreSQL with the page's configuration, and the role that the good certificate names."""
    program("initdb")
    root = place / "postgresql"
    sandbox = pages.Sandbox(root, words(authority, nobody, root))
    files = authority.issue(NAME, "--san", "127.0.0.1", profile="server")
    directory = files.copy(sandbox.path("/etc/postgresql/tls")).path
    (directory / "crl.pem").write_bytes(crl_file.read_bytes())
    nobody.owns(directory)
    for title in (SETTINGS, ACCESS, MAP):
        sandbox.write(title, pages.file(PAGE, title))
    with start(sandbox, nobody) as daemon:
        for role in ("worker", "revoked", "expired", "leaving"):
            sandbox.type(f"sudo -u postgres psql -c 'CREATE ROLE {role} LOGIN'").succeeded()
        yield PostgreSQL(int(sandbox.words["5432"]), daemon, directory)


def test_the_postgresql_page_works_as_it_is_written(
    place: Path, nobody: Account, authority: Authority
):
    program("initdb")
    root = place / "postgresql-page"
    here = words(authority, nobody, root)
    variables = {**authority.here(), "PGHOSTADDR": "127.0.0.1", "PGPORT": here["5432"]}
    sandbox = pages.Sandbox(root, here, variables=variables)
    pages.Systemd(sandbox, {"postgresql": (lambda: start(sandbox, nobody), reload)}).follow(PAGE)


def test_postgresql_accepts_a_good_client(postgresql: PostgreSQL, good: Files):
    assert postgresql.psql(ca=good.ca, client=good).succeeded() == "worker\n"


def test_postgresql_refuses_a_client_without_a_certificate(postgresql: PostgreSQL, good: Files):
    postgresql.psql(ca=good.ca).refused("connection requires a valid client certificate")


def test_postgresql_refuses_a_client_as_another_role(postgresql: PostgreSQL, good: Files):
    answer = postgresql.psql(ca=good.ca, client=good, role="postgres")
    answer.refused('certificate authentication failed for user "postgres"')


def test_postgresql_refuses_a_client_of_another_authority(
    postgresql: PostgreSQL, good: Files, foreign: Files
):
    postgresql.psql(ca=good.ca, client=foreign).refused("alert unknown ca")


def test_postgresql_refuses_an_expired_client(postgresql: PostgreSQL, good: Files, expired: Files):
    answer = postgresql.psql(ca=good.ca, client=expired, role="expired")
    answer.refused("alert certificate expired")


def test_postgresql_refuses_a_revoked_client(postgresql: PostgreSQL, good: Files, revoked: Files):
    answer = postgresql.psql(ca=good.ca, client=revoked, role="revoked")
    answer.refused("alert certificate revoked")


def test_psql_refuses_postgresql_under_another_name(postgresql: PostgreSQL, good: Files):
    answer = postgresql.psql(ca=good.ca, client=good, name="other.example.internal")
    answer.refused('does not match host name "other.example.internal"')


def test_psql_refuses_a_server_of_another_authority(
    postgresql: PostgreSQL, good: Files, foreign: Files
):
    postgresql.psql(ca=foreign.ca, client=good).refused("certificate verify failed")


def test_psql_checks_the_server_against_the_crl(
    postgresql: PostgreSQL, good: Files, crl_file: Path
):
    answer = postgresql.psql(ca=good.ca, client=good, more=f"sslcrl={crl_file}")
    assert answer.succeeded() == "worker\n"


def test_postgresql_serves_a_new_certificate_after_a_reload(
    postgresql: PostgreSQL, authority: Authority, good: Files, nobody: Account
):
    def served() -> int:
        return served_serial(postgresql.port, good, name=NAME, postgresql=True)

    before = served()
    files = authority.issue(NAME, "--san", "127.0.0.1", profile="server")
    nobody.owns(files.copy(postgresql.directory).path)
    assert served() == before
    reload(postgresql.daemon)
    until(lambda: served() == files.serial, "the new serial")


def test_postgresql_learns_of_a_revocation_with_the_next_crl(
    postgresql: PostgreSQL, authority: Authority
):
    files = authority.issue("leaving", profile="client")

    def ask() -> Result:
        return postgresql.psql(ca=files.ca, client=files, role="leaving")

    assert ask().succeeded() == "leaving\n"
    authority.revoke(files)
    (postgresql.directory / "crl.pem").write_bytes(authority.crl_pem())
    reload(postgresql.daemon)
    until(lambda: "alert certificate revoked" in ask().text, "PostgreSQL refuses it")
