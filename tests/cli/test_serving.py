"""The main job as a person does it: `mintmark up`, then its commands, word for word."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from tests.cli.conftest import Run, run_command

WEB = "web.example.internal"


@dataclass(frozen=True, slots=True)
class Served:
    """A running `mintmark up`.

    Args:
        place: where it was started; the authority is in ./mintmark below.
        said: what it printed.
        https: port.
        http: port.
        process: of the server.
    """

    place: Path
    said: str
    https: int
    http: int
    process: subprocess.Popen[str]

    @property
    def url(self) -> str:
        return f"https://localhost:{self.https}"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def start(place: Path, *arguments: object) -> tuple[subprocess.Popen[str], str]:
    """Start a server and return what it prints once it serves."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("MINTMARK_")
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "mintmark", *map(str, arguments)],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if " revoke " in line:  # the last line of the welcome
            break
    return process, "".join(said)


def stop(process: subprocess.Popen[str]) -> str:
    """Stop a server and return what it wrote to its log."""
    process.send_signal(signal.SIGTERM)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    return log


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("served")
    https, http = free_port(), free_port()
    process, said = start(place, "up", "--https-port", https, "--http-port", http)
    assert process.poll() is None, process.communicate()[1]
    yield Served(place, said, https, http, process)
    log = stop(process)
    assert "Traceback" not in log


@pytest.fixture
def here(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run commands as the administrator, in a directory of the test's own."""
    monkeypatch.setenv("MINTMARK_DIR", str(served.place / "mintmark"))
    return run_command


@pytest.fixture
def host(served: Served, tmp_path: Path) -> Path:
    """Another machine: no authority's directory, only its root."""
    place = tmp_path / "host"
    place.mkdir()
    shutil.copy(served.place / "mintmark" / "root" / "cert.pem", place / "ca.pem")
    return place


def test_up_prints_fingerprint_urls_and_three_commands(served):
    root = served.place / "mintmark" / "root" / "cert.pem"
    openssl = ["openssl", "x509", "-in", root, "-noout", "-sha256", "-fingerprint"]
    printed = subprocess.run(openssl, check=True, capture_output=True, text=True).stdout

    assert printed.strip().partition("=")[2] in served.said
    assert f"https://localhost:{served.https}/api/v1" in served.said
    assert f"http://localhost:{served.http}" in served.said
    assert served.said.count("\n  ") == 3


def test_up_says_where_the_passphrase_it_made_up_is(served):
    file = served.place / "mintmark" / "passphrase"

    assert "passphrase of the CA keys: in mintmark/passphrase" in served.said
    assert file.read_text().strip() not in served.said
    assert file.stat().st_mode & 0o777 == 0o600


def test_printed_commands_work_as_printed(served):
    commands = [line.strip() for line in served.said.splitlines() if line.startswith("  ")]

    for command in commands:
        done = subprocess.run(
            shlex.split(command), cwd=served.place, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), command


def test_life_of_a_certificate(here, served):
    assert here("issue", WEB, "--san", "127.0.0.1").status == 0
    assert here("verify", WEB, "--name", "127.0.0.1").status == 0
    assert here("renew", WEB).status == 0
    assert here("rekey", WEB).status == 0
    verified = here("verify", WEB)
    assert verified.status == 0, verified.out
    assert "not revoked (OCSP)" in verified.out
    assert here("list", "--service", WEB, "--json").json["certificates"][0]["replaces"]
    assert here("revoke", WEB).status == 0

    verified = here("verify", WEB)
    assert verified.status == 1
    assert "FAIL  revocation" in verified.out


def test_server_itself_is_verified(here, served):
    result = here("verify", f"localhost:{served.https}")

    assert (result.status, result.err) == (0, "")
    assert "ok    name        valid for localhost" in result.out


def test_server_under_another_name_is_not(here, served):
    result = here("verify", f"127.0.0.1:{served.https}", "--name", WEB, "--json")

    assert result.status == 1
    assert [one["question"] for one in result.json["findings"] if not one["fine"]] == ["name"]


def test_port_without_tls_is_said_to_be(here, served):
    result = here("verify", f"localhost:{served.http}")

    assert result.status == 1
    assert f"no TLS with localhost:{served.http}" in result.err


def test_host_enrols_with_a_token_and_renews_by_itself(here, served, host, monkeypatch):
    made = here("token", "web", "--san", WEB, "--out", host / "token")
    assert made.status == 0, made.err
    monkeypatch.delenv("MINTMARK_DIR")
    monkeypatch.chdir(host)
    there = ("--server", served.url)

    enrolled = run_command("issue", WEB, "--token-file", "token", *there, "--ca", "ca.pem")
    assert enrolled.status == 0, enrolled.err
    assert run_command("renew", WEB, *there).status == 0
    assert run_command("rekey", WEB, *there).status == 0
    assert run_command("verify", WEB).status == 0
    again = run_command("issue", "b.example", "--token-file", "token", *there, "--ca", "ca.pem")
    assert again.status == 1
    assert "the token is unknown, used up or expired" in again.err


def test_service_cannot_act_for_others(here, served, host, monkeypatch):
    assert here("issue", WEB, "--out", host / "web").status == 0
    other = here("issue", "other.example.internal", "--json").json["certificate_id"]
    monkeypatch.delenv("MINTMARK_DIR")
    monkeypatch.chdir(host)
    as_web = (
        *("--server", served.url, "--ca", "ca.pem"),
        *("--cert", "web/fullchain.pem", "--key", "web/privkey.pem"),
    )

    assert run_command("list", "--json", *as_web).json["certificates"][0]["service_name"] == WEB
    for command in ("revoke", "renew", "show"):
        refused = run_command(command, other, *as_web)
        assert refused.status == 1
        assert "there is no certificate" in refused.err
    assert run_command("token", "evil", *as_web).status == 1


def test_revoked_service_is_locked_out_at_the_next_request(here, served, host, monkeypatch):
    assert here("issue", WEB, "--out", host / "web").status == 0
    assert here("revoke", host / "web").status == 0
    result = run_command(
        *("list", "--server", served.url, "--ca", host / "ca.pem"),
        *("--cert", host / "web/fullchain.pem", "--key", host / "web/privkey.pem"),
    )

    assert result.status == 1
    assert "revoked" in result.err


def test_stranger_is_refused(served, host):
    result = run_command("list", "--server", served.url, "--ca", host / "ca.pem")

    assert result.status == 1
    assert "mintmark: error:" in result.err


def test_server_of_another_authority_is_not_trusted(served, made):
    result = run_command("list", "--server", served.url, "--dir", made)

    assert result.status == 1
    assert "cannot be trusted" in result.err


def test_offline_works_beside_the_server(here, served):
    assert here("issue", "offline.example.internal", "--offline").status == 0

    assert here("show", "cert_0000000000000000000000000000000000000000").status == 1
    listed = here("list", "--service", "offline.example.internal", "--json").json
    assert len(listed["certificates"]) == 1


def test_second_server_on_the_same_ports_is_refused(here, served):
    result = here("serve")

    assert result.status == 1
    assert f"cannot listen on '127.0.0.1' port {served.https}" in result.err


def test_up_does_not_reshape_an_authority_that_exists(here, served):
    result = here("up", "--https-port", "9443")

    assert result.status == 1
    assert "options cannot shape it" in result.err
    assert "--https-port" in result.err


def test_health_is_asked_of_the_server(here):
    assert here("health", "--json").json["status"] == "ok"


def test_server_speaks_tls_1_3_with_its_chain(served):
    context = ssl.create_default_context(
        cadata=(served.place / "mintmark" / "root" / "cert.pem").read_text()
    )
    with (
        socket.create_connection(("localhost", served.https), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.version() == "TLSv1.3"


def test_altered_audit_record_is_found(here, served, tmp_path):
    import apsw

    assert here("issue", "audited.example.internal").status == 0
    copy = tmp_path / "copy"
    shutil.copytree(served.place / "mintmark", copy)
    assert run_command("audit", "verify", "--dir", copy).status == 0
    database = apsw.Connection(str(copy / "mintmark.db"))
    names = [
        row[0] for row in database.execute("select name from sqlite_master where type='trigger'")
    ]
    for name in names:
        database.execute(f"drop trigger {name}")
    database.execute(
        "update audit set leaf = cast(replace(cast(leaf as text), 'issuer.add', 'issuer.adD') "
        "as blob) where id = 1"
    )
    database.close()
    result = run_command("audit", "verify", "--dir", copy)

    assert result.status == 1
    assert "record 1" in result.err or "records 1" in result.err


def test_serve_takes_the_passphrase_from_a_file(made, tmp_path):
    directory = tmp_path / "mintmark"
    shutil.copytree(made, directory)
    secret = tmp_path / "secret"
    (directory / "passphrase").rename(secret)
    (directory / "mintmark.yaml").write_text(
        f"server: {{https_port: {free_port()}, http_port: {free_port()}}}"
    )
    refused = run_command("serve")
    assert "the CA keys need their passphrase" in refused.err
    process, said = start(tmp_path, "serve", "--passphrase-file", "secret", "--workers", "2")

    assert "https://localhost:" in said
    assert "passphrase" not in said
    certificate = x509.load_pem_x509_certificate((directory / "server" / "cert.pem").read_bytes())
    assert certificate.subject
    stop(process)
