"""Two servers on one PostgreSQL, as docs/how-to/postgresql-storage.md has it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.interop import cluster, pages
from tests.interop.authority import MINTMARK, Authority, Files
from tests.interop.programs import (
    Account,
    Daemon,
    Result,
    environment,
    free_port,
    program,
    running,
)

pytestmark = [pytest.mark.interop, pytest.mark.postgresql]
PAGE = "how-to/postgresql-storage.md"
ACCESS = "/etc/postgresql/15/main/pg_hba.conf"


@dataclass
class Pair:
    """Two servers of one authority.

    Args:
        first: the one that was made.
        second: the one that got a copy of its directory.
    """

    first: Authority
    second: Authority


def served(authority: Authority, stack: ExitStack) -> None:
    """Serve an authority until the stack ends."""
    command = (str(MINTMARK), "serve", "--passphrase-file", str(authority.passphrase))
    options = {"env": environment(**authority.here()), "cwd": authority.home}
    daemon = Daemon(command, authority.home.parent / "served.log", options)
    stack.enter_context(running(daemon, lambda: "try next" in daemon.said()))


@pytest.fixture(scope="module")
def pair(authority: Authority, place: Path, nobody: Account) -> Iterator[Pair]:
    """The authority that the page makes; the session's own certifies the database server."""
    program("initdb")
    root = place / "storage-page"
    port, https_port, http_port = (str(free_port()) for _ in range(3))
    words = {
        "--name pki.example.internal": (
            f"--name localhost --https-port {https_port} --http-port {http_port}"
        ),
        "sudo -u postgres psql": cluster.as_superuser(root, port),
        "local    all       postgres                peer": "local all postgres trust",
        "db.example.internal:5432": f"127.0.0.1:{port}",
    }
    sandbox = pages.Sandbox(root, words)
    files = authority.issue("db.example.internal", "--san", "127.0.0.1", profile="server")
    tls = files.copy(root / "tls").path
    nobody.owns(tls)
    trust = sandbox.path("/etc/mintmark/database-root.pem")
    trust.parent.mkdir(parents=True)
    shutil.copy(files.ca, trust)
    passphrase = trust.with_name("passphrase")
    shutil.copy(authority.passphrase, passphrase)
    hba = sandbox.path(ACCESS)
    hba.parent.mkdir(parents=True)
    hba.write_text("local all postgres trust\n")
    settings = (
        f"listen_addresses = '127.0.0.1'\nport = {port}\nssl = on\nhba_file = '{hba}'\n"
        f"ssl_cert_file = '{tls}/fullchain.pem'\nssl_key_file = '{tls}/privkey.pem'\n"
    )

    def copied(command: str) -> Result:
        assert command.startswith("tar --create")
        shutil.copytree(sandbox.path("/var/lib/mintmark"), root / "second" / "mintmark")
        return Result(0, "")

    sandbox.handlers = {"tar": copied}
    with ExitStack() as stack:
        stack.enter_context(cluster.postgresql(root, nobody, settings))
        sandbox.follow(PAGE)
        first = Authority(sandbox.path("/var/lib/mintmark"), int(https_port), int(http_port))
        second = Authority(root / "second" / "mintmark", free_port(), free_port())
        text = (second.directory / "mintmark.yaml").read_text()
        text = text.replace(https_port, str(second.https_port))
        text = text.replace(http_port, str(second.http_port))
        (second.directory / "mintmark.yaml").write_text(text)
        for one in (first, second):
            one.home.mkdir()
            shutil.copy(passphrase, one.passphrase)
            served(one, stack)
        yield Pair(first, second)


def test_what_one_server_issues_the_other_knows(pair: Pair):
    files = pair.first.issue("shared", profile="client")
    shown = pair.second.mintmark("show", f"cert_{files.serial:040x}", "--json").succeeded()
    assert '"service_name": "shared"' in shown


def test_what_one_server_revokes_the_other_refuses_at_once(pair: Pair):
    files = pair.first.issue("gone", profile="client")
    own = ("--cert", files.fullchain, "--key", files.key, "--ca", files.ca)

    def ask() -> Result:
        return pair.second.mintmark("show", "gone", "--server", server, *own)

    server = f"https://localhost:{pair.second.https_port}"
    ask().succeeded()
    pair.first.mintmark("revoke", files.path, "--reason", "superseded").succeeded()
    ask().refused("revoked")


def test_the_audit_log_of_both_servers_is_one(pair: Pair):
    for server in (pair.first, pair.second):
        server.issue(f"audited-{server.https_port}", profile="client")
    for server in (pair.first, pair.second):
        server.mintmark("audit", "verify").succeeded()
        server.mintmark("db", "check").succeeded()


def test_both_servers_publish_one_crl(pair: Pair):
    files: Files = pair.second.issue("listed", profile="client")
    pair.second.revoke(files)
    assert {crl.issuer for crl in pair.first.crls()} == {crl.issuer for crl in pair.second.crls()}
