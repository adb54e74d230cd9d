"""Redis with `tls-auth-clients yes`, as docs/how-to/redis.md has it."""

from __future__ import annotations

import ssl
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
    environment,
    free_port,
    listens,
    program,
    run,
    running,
    until,
)
from tests.interop.tls import served_serial

pytestmark = pytest.mark.interop
PAGE = "how-to/redis.md"
NAME = "redis.example.internal"
PASSWORD = "replace-this-with-a-long-random-password"
# What redis-cli says when the server ends the handshake, or what the server says it was.
CLOSED = ("Server closed the connection", "alert", "Connection reset", "Error:")


@dataclass
class Redis:
    """A running Redis.

    Args:
        port: its TLS port.
        daemon: its process.
        directory: where its certificate is.
    """

    port: int
    daemon: Daemon
    directory: Path

    def cli(self, *command: str, ca: Path, client: Files | None = None) -> Result:
        """Send a command with redis-cli; it ends with status 1 when it is not answered."""
        shown = ("--cert", client.fullchain, "--key", client.key) if client else ()
        return run(
            program("redis-cli"), "-e", "-h", "127.0.0.1", "-p", str(self.port), "--tls",
            "--sni", NAME, "--cacert", ca, *shown, *command,
            env=environment(REDISCLI_AUTH=PASSWORD),
        )  # fmt: skip


def words(nobody: Account) -> dict[str, str]:
    """Return what the page's words mean in a test."""
    port = str(free_port())
    return {
        f"redis-cli -h {NAME}": f"redis-cli -e -h 127.0.0.1 -p {port}",
        f"-connect {NAME}": "-connect 127.0.0.1",
        "-o redis -g redis": f"-o {nobody.user} -g {nobody.group}",
        "6379": port,
    }


@pytest.fixture(scope="module")
def redis(authority: Authority, place: Path, nobody: Account) -> Iterator[Redis]:
    """Redis with the page's configuration."""
    program("redis-server")
    sandbox = pages.Sandbox(place / "redis", words(nobody))
    files = authority.issue(NAME, "--san", "127.0.0.1", profile="server")
    directory = files.copy(sandbox.path("/etc/redis/tls")).path
    nobody.owns(directory)
    with start(sandbox, nobody) as daemon:
        yield Redis(int(sandbox.words["6379"]), daemon, directory)


def start(sandbox: pages.Sandbox, nobody: Account) -> AbstractContextManager[Daemon]:
    """Return a context in which Redis runs with the page's configuration."""
    title = "/etc/redis/redis.conf"
    configuration = sandbox.write(title, pages.file(PAGE, title) + "loglevel verbose\nsave ''\n")
    port = int(sandbox.words["6379"])
    daemon = Daemon(
        (program("redis-server"), str(configuration)),
        sandbox.root / "redis.log",
        {"cwd": "/", **nobody.popen},
    )
    return running(daemon, lambda: listens(port))


def test_the_redis_page_works_as_it_is_written(place: Path, nobody: Account, authority: Authority):
    program("redis-server")
    variables = {**authority.here(), "REDISCLI_AUTH": PASSWORD}
    sandbox = pages.Sandbox(place / "redis-page", words(nobody), variables=variables)

    def never(_: Daemon) -> None:
        pytest.fail("Redis needs no reload")

    pages.Systemd(sandbox, {"redis-server": (lambda: start(sandbox, nobody), never)}).follow(PAGE)


def test_redis_accepts_a_good_client(redis: Redis, good: Files):
    assert redis.cli("PING", ca=good.ca, client=good).succeeded().strip() == "PONG"


def test_redis_refuses_a_client_without_a_certificate(redis: Redis, good: Files):
    redis.cli("PING", ca=good.ca).refused(*CLOSED)
    assert "peer did not return a certificate" in redis.daemon.said()


def test_redis_refuses_a_client_of_another_authority(redis: Redis, good: Files, foreign: Files):
    redis.cli("PING", ca=good.ca, client=foreign).refused(*CLOSED)
    assert "certificate verify failed" in redis.daemon.said()


def test_redis_refuses_an_expired_client(redis: Redis, good: Files, expired: Files):
    redis.cli("PING", ca=good.ca, client=expired).refused(*CLOSED)
    assert "certificate verify failed" in redis.daemon.said()


def test_redis_lets_a_revoked_client_in_as_its_page_warns(
    redis: Redis, good: Files, revoked: Files
):
    assert redis.cli("PING", ca=good.ca, client=revoked).succeeded().strip() == "PONG"
    text = (pages.DOCUMENTS / PAGE).read_text()
    assert "Redis reads no CRL" in text


def test_redis_cli_refuses_a_server_of_another_authority(redis: Redis, foreign: Files, good: Files):
    redis.cli("PING", ca=foreign.ca, client=good).refused("certificate verify failed")


def test_a_client_that_compares_names_refuses_redis_under_another_name(redis: Redis, good: Files):
    assert served_serial(redis.port, good, name=NAME)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        served_serial(redis.port, good, name="other.example.internal")


def test_redis_serves_a_new_certificate_without_a_restart(
    redis: Redis, authority: Authority, good: Files, nobody: Account
):
    before = served_serial(redis.port, good, name=NAME)
    files = authority.issue(NAME, "--san", "127.0.0.1", profile="server")
    assert files.serial != before
    nobody.owns(files.copy(redis.directory).path)
    settings = (
        "tls-cert-file", str(redis.directory / "fullchain.pem"),
        "tls-key-file", str(redis.directory / "privkey.pem"),
    )  # fmt: skip
    answer = redis.cli("CONFIG", "SET", *settings, ca=good.ca, client=good).succeeded()
    assert answer.strip() == "OK"
    assert served_serial(redis.port, good, name=NAME) == files.serial


def test_redis_keeps_its_certificate_when_the_new_one_is_broken(
    redis: Redis, authority: Authority, good: Files, tmp_path: Path
):
    before = served_serial(redis.port, good, name=NAME)
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    settings = ("tls-cert-file", str(broken), "tls-key-file", str(redis.directory / "privkey.pem"))
    answer = redis.cli("CONFIG", "SET", *settings, ca=good.ca, client=good)
    answer.refused("Unable to update TLS configuration")
    assert served_serial(redis.port, good, name=NAME) == before


def test_haproxy_before_redis_refuses_the_revoked_client(
    authority: Authority,
    place: Path,
    nobody: Account,
    good: Files,
    revoked: Files,
    crl_file: Path,
):
    port, root = free_port(), place / "redis-behind"
    sandbox = pages.Sandbox(root, {"6379": str(port)})
    files = authority.issue("front", "--san", "127.0.0.1", profile="server")
    tls = files.copy(sandbox.path("/etc/haproxy/tls")).path
    (tls / "site.pem").write_text(files.fullchain.read_text() + files.key.read_text())
    (tls / "crl.pem").write_bytes(crl_file.read_bytes())
    socket = sandbox.path("/run/redis/redis.sock")
    socket.parent.mkdir(parents=True)
    title = "/etc/redis/behind-haproxy.conf"
    redis_conf = sandbox.write(title, pages.file(PAGE, title))
    title = "/etc/haproxy/redis.cfg"
    haproxy_cfg = sandbox.write(title, pages.file(PAGE, title))
    nobody.owns(root)
    behind = Daemon(
        (program("redis-server"), str(redis_conf), "--save", ""),
        root / "redis.log",
        {"cwd": "/", **nobody.popen},
    )
    before = Daemon(
        (program("haproxy"), "-db", "-f", str(haproxy_cfg)), root / "haproxy.log", nobody.popen
    )
    with running(behind, socket.exists), running(before, lambda: listens(port)):
        front = Redis(port, before, tls)
        assert front.cli("PING", ca=good.ca, client=good).succeeded().strip() == "PONG"
        front.cli("PING", ca=good.ca, client=revoked).refused(*CLOSED)
        front.cli("PING", ca=good.ca).refused(*CLOSED)


def test_redis_replicates_with_a_peer_certificate(
    authority: Authority, place: Path, nobody: Account
):
    root = place / "redis-replica"
    files = authority.issue("replicated", "--san", "127.0.0.1", profile="peer")
    tls = files.copy(root / "tls")
    nobody.owns(root)
    ports = free_port(), free_port()

    def server(port: int, *more: str) -> AbstractContextManager[Daemon]:
        command = (
            program("redis-server"), "--port", "0", "--tls-port", str(port),
            "--bind", "127.0.0.1", "--save", "", "--tls-replication", "yes",
            "--tls-cert-file", str(tls.fullchain), "--tls-key-file", str(tls.key),
            "--tls-ca-cert-file", str(tls.ca), *more,
        )  # fmt: skip
        daemon = Daemon(command, root / f"{port}.log", {"cwd": str(root), **nobody.popen})
        return running(daemon, lambda: listens(port))

    replica_of = ("--replicaof", "127.0.0.1", str(ports[0]))
    with server(ports[0]) as primary, server(ports[1], *replica_of) as replica:
        until(lambda: "Finished with success" in replica.said(), "the replica is in step")
        assert "certificate verify failed" not in primary.said()
