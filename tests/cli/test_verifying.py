"""`mintmark verify` on files: what is wrong is found, and said with its remedy."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from tests.cli.conftest import Run

WEB = Path("web.example.internal")
OTHER = Path("other.example.internal")


@pytest.fixture
def issued(offline: Run) -> Run:
    """Two certificates of one authority in their directories."""
    for directory in (WEB, OTHER):
        assert offline("issue", directory).status == 0
    return offline


def wrong(run: Run, *arguments: object) -> dict[str, str]:
    """Return the wrong answers by question."""
    result = run("verify", *arguments, "--json")
    findings = result.json["findings"]
    assert result.status == (0 if all(one["fine"] for one in findings) else 1)
    return {one["question"]: one["answer"] for one in findings if not one["fine"]}


def test_right_files_are_right(issued):
    assert wrong(issued, WEB) == {}
    assert wrong(issued, WEB / "fullchain.pem") == {}


def test_key_of_another_certificate_is_found(issued):
    shutil.copy(OTHER / "privkey.pem", WEB / "privkey.pem")

    assert wrong(issued, WEB) == {"key": "belongs to another certificate"}


def test_key_that_others_can_read_is_found(issued):
    (WEB / "privkey.pem").chmod(0o644)
    result = issued("verify", WEB)

    assert "FAIL  mode" in result.out
    assert f"chmod 600 '{WEB}/privkey.pem'" in result.out


def test_key_that_a_group_shares_is_fine(issued):
    (WEB / "privkey.pem").chmod(0o640)

    assert wrong(issued, WEB) == {}


def test_broken_key_is_found(issued):
    (WEB / "privkey.pem").write_text("broken")

    assert set(wrong(issued, WEB)) == {"key"}


def test_missing_key_is_remarked(issued):
    (WEB / "privkey.pem").unlink()
    result = issued("verify", WEB)

    assert result.status == 0
    assert "so the key was not looked at" in result.err


def test_fullchain_of_another_certificate_is_found(issued):
    shutil.copy(OTHER / "fullchain.pem", WEB / "fullchain.pem")

    assert set(wrong(issued, WEB)) == {"fullchain"}


def test_missing_chain_is_found(issued):
    (WEB / "chain.pem").unlink()

    assert {"path", "fullchain"} <= set(wrong(issued, WEB))


def test_root_of_another_authority_is_found(issued, run, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery staple")
    secret.chmod(0o600)
    assert run("init", "--dir", "foreign", "--passphrase-file", secret).status == 0

    shutil.copy("foreign/root/cert.pem", WEB / "ca.pem")
    assert set(wrong(issued, WEB)) == {"anchors"}
    assert {"path", "revocation"} <= set(wrong(issued, WEB, "--ca", "foreign/root/cert.pem"))


def test_name_and_purpose_are_asked_for(issued):
    assert wrong(issued, WEB, "--name", str(WEB), "--purpose", "server") == {}
    assert set(wrong(issued, WEB, "--name", str(OTHER))) == {"name"}


def test_revocation_can_be_left_out(issued):
    assert issued("revoke", WEB).status == 0

    assert set(wrong(issued, WEB)) == {"revocation"}
    assert wrong(issued, WEB, "--no-revocation") == {}


def test_without_a_server_revocation_is_not_known(issued, run):
    answer = wrong(run, WEB)["revocation"]

    assert answer.startswith("not known: http://localhost:8080/ocsp: ")


def test_directory_of_a_host_trusts_its_own_anchors(issued, run):
    assert set(wrong(run, WEB, "--dir", "nowhere")) == {"revocation"}


def test_nothing_to_trust_is_an_error(issued, run):
    result = run("verify", WEB / "cert.pem", "--dir", "nowhere")

    assert result.status == 1
    assert "there is no trust anchor" in result.err


@pytest.mark.parametrize("target", ["nowhere", "a/b", "host:port", "host:123456"])
def test_target_that_is_nothing_is_an_error(issued, target):
    assert "is no directory, no file and no HOST:PORT" in issued("verify", target).err


def test_file_with_something_else_is_an_error(issued):
    Path("text").write_text("hello")
    Path("der").write_bytes(b"\x30\x03\x02\x01\x01")

    for name in ("text", "der"):
        result = issued("verify", name)
        assert result.status == 1
        assert name in result.err


def test_host_that_does_not_answer_is_an_error(issued):
    assert "no TLS with 127.0.0.1:1: connection refused" in issued("verify", "127.0.0.1:1").err


# --- servers -----------------------------------------------------------------------------------

Serve = Callable[..., str]


@pytest.fixture
def serve(issued) -> Iterator[Serve]:
    """Answer one connection with the certificate of `WEB`, behind a greeting if there is one."""
    threads: list[Thread] = []

    def start(asked: bytes = b"", greeting: bytes = b"", *, chain: str = "fullchain.pem") -> str:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(WEB / chain, WEB / "privkey.pem")
        listening = socket.create_server(("127.0.0.1", 0))

        def answer() -> None:
            with listening, listening.accept()[0] as plain:
                if asked:
                    assert plain.recv(len(asked)) == asked
                    plain.sendall(greeting)
                if greeting in (b"", b"S"):
                    with context.wrap_socket(plain, server_side=True) as secure:
                        secure.recv(1)

        threads.append(Thread(target=answer))
        threads[-1].start()
        return f"127.0.0.1:{listening.getsockname()[1]}"

    yield start
    for thread in threads:
        thread.join(5)


POSTGRESQL = bytes((0, 0, 0, 8, 4, 210, 22, 47))


def test_server_is_verified_for_the_name_it_is_called_by(issued, serve):
    assert wrong(issued, serve(), "--name", str(WEB)) == {}
    assert set(wrong(issued, serve())) == {"name"}


def test_server_that_forgets_its_chain_is_found(issued, serve):
    found = wrong(issued, serve(chain="cert.pem"), "--name", str(WEB))

    assert set(found) == {"path", "revocation"}


def test_revoked_server_is_found(issued, serve):
    assert issued("revoke", WEB).status == 0

    assert set(wrong(issued, serve(), "--name", str(WEB))) == {"revocation"}


def test_postgresql_begins_tls_in_its_own_protocol(issued, serve):
    target = serve(POSTGRESQL, b"S")

    assert wrong(issued, target, "--starttls", "postgresql", "--name", str(WEB)) == {}


def test_postgresql_without_tls_is_an_error(issued, serve):
    result = issued("verify", serve(POSTGRESQL, b"N"), "--starttls", "postgresql")

    assert result.status == 1
    assert "does not offer tls" in result.err
