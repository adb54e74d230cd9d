"""Stopping, reloading and renewing under load: nobody who was being served notices."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from tests.endurance.journal import assert_kept
from tests.endurance.servers import (
    SETTINGS,
    Client,
    Server,
    drained,
    grows,
    make,
    serving,
    storming,
    wait,
)

pytestmark = pytest.mark.endurance
NEWCOMER = "    - {service_id: newcomer, names: ['*.newcomer.internal']}\n"


def begin_request(server: Server, name: str) -> tuple[ssl.SSLSocket, bytes]:
    """Send the head of a request that the server has read; return what is still to be sent."""
    body = json.dumps({"san_dns": [f"{name}.storm.internal"]}).encode()
    sock = server.connect(server.files).socket
    sock.sendall(
        b"POST /api/v1/certificates/request HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nExpect: 100-continue\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
    return sock, body


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("workers", [1, 2])
def test_requests_in_flight_are_answered_when_the_server_is_told_to_stop(place, workers):
    server = make(place, workers=workers)
    server.start()
    try:
        with storming(server) as journal:
            wait(grows(journal, 20), "certificates")
            begun = [begin_request(server, f"flying{number}") for number in range(4)]
            idle = server.connect(server.files).socket

            server.daemon.signal(signal.SIGTERM)
            wait(lambda: refuses(server.authority.https_port), "no more is accepted")

            for sock, body in begun:
                with sock:
                    sock.sendall(body)
                    answer = drained(sock).lower()
                    assert answer.startswith(b"http/1.1 201 ")
                    assert b"\r\nconnection: close\r\n" in answer
            with idle:
                assert drained(idle) == b""
            assert server.daemon.process.wait(15) == 0
            server.start()
            wait(grows(journal, 20), "certificates after the next start")
    finally:
        server.stop()
    assert "Traceback" not in server.log.read_text()
    assert_kept(server, journal)


def test_server_that_is_told_to_stop_waits_no_longer_for_slow_clients_than_ever(place):
    server = make(place)
    server.limit("body_timeout: 1s")
    with serving(server):
        sock, _ = begin_request(server, "never")
        server.daemon.signal(signal.SIGTERM)
        with sock:
            assert drained(sock).startswith(b"HTTP/1.1 408 ")
        assert server.daemon.process.wait(10) == 0


def test_whitelist_is_taken_up_on_sighup_without_losing_a_connection(place):
    server = make(place, workers=2)
    files = server.authority.issue("newcomer", profile="client", offline=True)
    settings = server.directory.settings_file

    def statuses() -> set[int]:
        """Ask often enough that both workers answer."""
        found = set()
        for number in range(12):
            with server.connect(files) as client:
                found.add(client.issue(f"n{number}.newcomer.internal").status)
        return found

    with serving(server), storming(server) as journal, server.connect(files) as client:
        assert client.issue("a.newcomer.internal").status == 403
        kept, workers = client.socket, server.children()

        settings.write_text(settings.read_text() + "whitelst: {}\n")
        server.daemon.signal(signal.SIGHUP)
        server.says("the configuration was not taken up", 2)
        assert statuses() == {403}

        settings.write_text(
            settings.read_text()
            .replace("whitelst: {}\n", "")
            .replace("  services:\n", f"  services:\n{NEWCOMER}")
        )
        server.daemon.signal(signal.SIGHUP)
        server.says("the configuration was taken up", 2)

        assert statuses() == {201}
        assert client.issue("b.newcomer.internal").status == 201
        assert client.socket is kept
        assert server.children() == workers
        wait(grows(journal, 20), "certificates")
    assert "did you mean 'whitelist'?" in server.log.read_text()
    assert_kept(server, journal)


def test_server_certificate_is_replaced_without_losing_a_connection(place):
    server = make(place, workers=2, settings=SETTINGS)
    with serving(server), storming(server) as journal:
        clients = [server.connect(server.files) for _ in range(8)]
        kept = [client.socket for client in clients]
        before, workers = serials_shown(server), server.children()
        assert len(before) == 1
        new = server.authority.issue(
            "localhost", "--san", "127.0.0.1", "--san", "::1", profile="server", offline=True
        )
        replace_own(server, new.path)

        server.daemon.signal(signal.SIGHUP)

        wait(lambda: serials_shown(server) == {new.serial}, "both workers show the new one")
        for client, sock in zip(clients, kept, strict=True):
            assert ask(client) == 200
            assert client.socket is sock
            client.close()
        assert server.children() == workers
        wait(grows(journal, 20), "certificates")
    assert_kept(server, journal)


def ask(client: Client) -> int:
    return client.ask("GET", "/certificates/?limit=1").status


def serials_shown(server: Server) -> set[int]:
    """Return the serials of the certificates that new connections see."""
    found = set()
    for _ in range(12):
        with server.connect() as client:
            der = client.socket.getpeercert(binary_form=True)
            found.add(x509.load_der_x509_certificate(der).serial_number)
    return found


def replace_own(server: Server, path: Path) -> None:
    """Put the files of an issued certificate where the server's own are."""
    own = server.directory.server
    for source, target in (
        ("privkey.pem", own.key),
        ("chain.pem", own.chain),
        ("cert.pem", own.certificate),
        ("fullchain.pem", own.fullchain),
    ):
        new = target.with_suffix(".new")
        shutil.copy(path / source, new)
        new.replace(target)
