"""TLS: who gets in, who does not, and what changes while connections live."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
import warnings

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.profile import CLIENT, PEER, SERVER
from mintmark.model.time import DAY
from mintmark.server.tls import ServerTLS, TLSSettings
from mintmark.wire.http import Response
from tests.pki import leaf, pki, private_key
from tests.unit.server.http_world import Client, get, message, reset, serving

NOW = int(time.time())


def pem(*ders):
    return b"".join(
        x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ders
    ).decode()


def key_pem(encryption=None):
    return (
        private_key(KeyType.EC_P256, 100)
        .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
        .decode()
    )


class Files:
    """A hierarchy, and its certificates as files."""

    def __init__(self, directory, number=0):
        directory.mkdir()
        self.directory = directory
        self.pki = pki(now=NOW - 10 * DAY, number=number, name=f"Example {number}")
        self.anchors = (self.pki.root_der, self.pki.issuer.der)
        self.key = directory / "key.pem"
        self.key.write_text(key_pem())

    def chain(self, name, *names, with_intermediate=True, **options):
        options = {"not_before": NOW - 3600, **options}
        certificate = leaf(self.pki.issuing, *names, **options)
        path = self.directory / f"{name}.pem"
        path.write_text(pem(certificate.der, *([self.pki.issuer.der] * with_intermediate)))
        return path

    def settings(self, name="server", anchors=None):
        return TLSSettings(self.chain(name, "localhost"), self.key, anchors or self.anchors)

    def client(self, certificate=None, **options):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.pki.root_der)
        if certificate:
            context.load_cert_chain(certificate, self.key)
        for name, value in options.items():
            setattr(context, name, value)
        return context


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path / "ours")


@pytest.fixture
def other(tmp_path):
    return Files(tmp_path / "other", number=1)


def whoami(request):
    peer = request.peer
    name = ""
    if peer.certificate:
        subject = x509.load_der_x509_certificate(peer.certificate).subject
        name = subject.rfc4514_string()
    return Response(200, f"{peer.tls} {name}".encode() + request.body)


def connect(world, context):
    sock = world.sock()
    try:
        wrapped = context.wrap_socket(sock, server_hostname="localhost")
    except BaseException:
        sock.close()
        raise
    client = Client(wrapped)
    world.clients.append(client)
    return client


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificate_reaches_the_application(files, version):
    certificate = files.chain("client", "web.example", profile=CLIENT)
    context = files.client(certificate, maximum_version=version)
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        client = connect(world, context)
        expected = version.name.replace("_", ".").encode() + b" CN=web.example"
        for _ in range(3):
            assert client.send(get()).answer()[2] == expected


def test_leaf_alone_verifies_too(files):
    certificate = files.chain("client", "web.example", profile=CLIENT, with_intermediate=False)
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        client = connect(world, files.client(certificate))
        assert client.send(get()).answer()[2] == b"TLSv1.3 CN=web.example"


def test_intermediate_is_a_trust_anchor_of_its_own_and_its_siblings_are_not(files, other):
    certificate = files.chain("client", "web.example", profile=CLIENT)
    foreign = other.chain("client", "web.example", profile=CLIENT)
    settings = files.settings(anchors=(files.pki.issuer.der,))
    with serving(whoami, tls=ServerTLS(settings)) as world:
        assert connect(world, files.client(certificate)).send(get()).answer()[0] == 200
        with pytest.raises(ssl.SSLError, match="unknown ca"):
            connect(world, files.client(foreign)).send(get()).answer()


def test_client_certificate_below_an_expired_intermediate_fails_the_handshake(tmp_path):
    old = Files(tmp_path / "old")
    old.pki = pki(now=NOW - 10 * DAY, lifetime=9 * DAY)
    short = {"not_before": NOW - 9 * DAY, "not_after": NOW - 2 * DAY}
    certificate = old.chain("client", "web.example", profile=CLIENT, **short)
    anchors = (old.pki.root_der, old.pki.issuer.der)
    files = Files(tmp_path / "ours", number=1)
    with serving(whoami, tls=ServerTLS(files.settings(anchors=anchors))) as world:
        context = files.client(certificate)
        with pytest.raises(ssl.SSLError, match="certificate expired"):
            connect(world, context).send(get()).answer()


def test_certificate_of_the_peer_profile_is_a_client_s_too(files):
    certificate = files.chain("peer", "web.example", profile=PEER)
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        assert connect(world, files.client(certificate)).send(get()).answer()[0] == 200


def test_client_without_certificate_is_anonymous(files):
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        client = connect(world, files.client())
        assert client.send(get()).answer()[2] == b"TLSv1.3 "
        assert client.sock.selected_alpn_protocol() is None


def test_alpn_chooses_http_1_1(files):
    context = files.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        assert connect(world, context).sock.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(
    ("case", "alert"),
    [
        ("expired", "certificate expired"),
        ("not yet valid", "bad certificate"),
        ("foreign", "unknown ca"),
        ("self-signed", "unknown ca"),
        ("for servers only", "unsupported certificate"),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificate_that_does_not_verify_fails_the_handshake(
    files, other, case, alert, version
):
    past = {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY}
    future = {"not_before": NOW + DAY, "not_after": NOW + 2 * DAY}
    certificate = {
        "expired": lambda: files.chain("x", "web.example", profile=CLIENT, **past),
        "not yet valid": lambda: files.chain("x", "web.example", profile=CLIENT, **future),
        "foreign": lambda: other.chain("x", "web.example", profile=CLIENT),
        "self-signed": lambda: self_signed(files),
        "for servers only": lambda: files.chain("x", "web.example", profile=SERVER),
    }[case]()
    seen = []
    with serving(seen.append, tls=ServerTLS(files.settings())) as world:
        with pytest.raises(ssl.SSLError, match=alert):
            connect(world, files.client(certificate, maximum_version=version)).send(get()).answer()
        world.until(lambda: not world.connections.tasks)
    assert not seen


def self_signed(files):
    key = private_key(KeyType.EC_P256, 100)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "web.example")])
    when = [x509.load_der_x509_certificate(files.pki.root_der)]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(when[0].not_valid_before_utc)
        .not_valid_after(when[0].not_valid_after_utc)
        .sign(key, x509.load_der_x509_certificate(files.pki.root_der).signature_hash_algorithm)
    )
    path = files.directory / "self.pem"
    path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return path


def test_tls_1_1_and_weak_ciphers_are_refused(files):
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old = files.client()
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
            old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError, match="protocol version"):
            connect(world, old)
        for ciphers in ("ECDHE+SHA256:ECDHE+SHA384", "AES128-GCM-SHA256"):  # CBC; no secrecy
            weak = files.client(maximum_version=ssl.TLSVersion.TLSv1_2)
            weak.set_ciphers(ciphers)
            with pytest.raises(ssl.SSLError, match="handshake failure"):
                connect(world, weak)
        assert connect(world, files.client()).send(get()).answer()[0] == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_ticket_resumes_a_session(files, version):
    context = files.client(maximum_version=version)
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        client = connect(world, context)
        client.send(get()).answer()
        session = client.sock.session
        assert session is None or not session.has_ticket


def test_cached_sessions_are_forgotten_before_they_are_many(files, monkeypatch, caplog):
    monkeypatch.setattr("mintmark.server.tls._SESSIONS_MAX", 4)
    tls = ServerTLS(files.settings())
    first = tls.context
    context = files.client(maximum_version=ssl.TLSVersion.TLSv1_2)
    with serving(whoami, tls=tls) as world:
        for _ in range(4):
            connect(world, context).send(get()).answer()
        assert tls.context is not first
        assert tls.context.session_stats()["number"] <= 1
        second = tls.context
        files.key.write_text("being replaced")
        for _ in range(4):
            connect(world, context).send(get()).answer()
        assert tls.context is second
    assert "not forgotten" in caplog.text


def test_context_without_sessions_is_kept(files, monkeypatch):
    monkeypatch.setattr("mintmark.server.tls._SESSIONS_MAX", 1)
    tls = ServerTLS(files.settings())
    context = tls.context
    with serving(whoami, tls=tls) as world:
        for _ in range(3):
            assert connect(world, files.client()).send(get()).answer()[0] == 200
    assert tls.context is context


def test_reload_changes_new_connections_and_spares_old_ones(files, other):
    tls = ServerTLS(files.settings())
    certificate = files.chain("client", "web.example", profile=CLIENT)
    theirs = other.chain("client", "theirs.example", profile=CLIENT)
    with serving(whoami, tls=tls) as world:
        old = connect(world, files.client(certificate))
        assert old.send(get()).answer()[2].endswith(b"CN=web.example")
        world.call(tls.reload, other.settings())
        # The new certificate and the new trust anchors, at once and without the old ones.
        new = connect(world, other.client(theirs))
        assert new.send(get()).answer()[2].endswith(b"CN=theirs.example")
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(world, files.client())
        outdated = other.client()
        outdated.load_cert_chain(certificate, files.key)
        with pytest.raises(ssl.SSLError, match="unknown ca"):
            connect(world, outdated).send(get()).answer()
        assert old.send(get()).answer()[2].endswith(b"CN=web.example")


def test_reload_of_bad_files_keeps_the_old_context(files, tmp_path):
    tls = ServerTLS(files.settings())
    context = tls.context
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_text(key_pem(BestAvailableEncryption(b"passphrase")))
    foreign = tmp_path / "foreign.pem"
    foreign.write_bytes(
        private_key(KeyType.EC_P256, 101).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
    )
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    chain = files.chain("server", "localhost")
    for bad, text in (
        (TLSSettings(tmp_path / "missing.pem", files.key, ()), "no such file"),
        (TLSSettings(chain, tmp_path / "missing.pem", ()), "no such file"),
        (TLSSettings(empty, files.key, ()), "cannot serve TLS"),
        (TLSSettings(chain, encrypted, ()), "cannot serve TLS"),
        (TLSSettings(chain, foreign, ()), "mismatch"),
        (TLSSettings(chain, files.key, (b"not DER",)), "trust anchors"),
    ):
        with pytest.raises(Error, match=f"(?i){text}") as caught:
            tls.reload(bad)
        assert caught.value.kind is Kind.CONFIGURATION
    assert tls.context is context


def test_request_in_many_records_and_many_in_one(files):
    body = b"x" * 60_000
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        client = connect(world, files.client())
        for octet in message("POST", "/", "Content-Length: 2", body=b"ab"):
            client.send(bytes((octet,)))
        assert client.answer()[2] == b"TLSv1.3 ab"
        client.send(message("POST", "/", f"Content-Length: {len(body)}", body=body) * 3)
        for _ in range(3):
            assert client.answer()[2] == b"TLSv1.3 " + body


def test_large_answer_arrives_whole_over_tls(files):
    body = bytes(range(256)) * 6_000
    with serving(lambda _: Response(200, body), tls=ServerTLS(files.settings())) as world:
        client = connect(world, files.client())
        assert client.send(get()).answer()[2] == body


def test_last_answer_is_followed_by_close_notify(files):
    context = files.client()
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        for request in (get("/", "Connection: close"), b"nonsense\r\n\r\n"):
            sock = context.wrap_socket(
                world.sock(), server_hostname="localhost", suppress_ragged_eofs=False
            )
            client = Client(sock)
            client.send(request).answer()
            assert client.is_closed()
            client.close()


def test_client_s_close_notify_ends_after_the_answers(files):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = files.client().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with serving(whoami, tls=ServerTLS(files.settings())) as world, world.sock() as sock:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        client.write(get())
        with pytest.raises(ssl.SSLWantReadError):
            client.unwrap()
        sock.sendall(outgoing.read())
        while data := sock.recv(65536):
            incoming.write(data)
        assert client.read().endswith(b"TLSv1.3 ")
        world.until(lambda: not len(world.connections))


def test_refusal_is_readable_over_tls_while_the_body_is_still_sent(files):
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        client = connect(world, files.client())
        client.send(message("POST", "/", "Content-Length: 1000000"), b"x" * 1_000_000)
        assert client.answer()[0] == 413


def test_reset_while_answers_are_written_over_tls_is_no_defect(files, caplog):
    clients = []

    async def app(_):
        await asyncio.sleep(0)
        if clients:
            reset(clients.pop())
        return Response(200, bytes(300_000))

    with serving(app, tls=ServerTLS(files.settings())) as world:
        client = connect(world, files.client())
        clients.append(client)
        client.send(get() * 5 + b"nonsense")
        world.until(lambda: not clients)
        world.until(lambda: not len(world.connections))
    assert caplog.text == ""


def test_stalled_handshake_is_ended_after_its_time(files):
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        silent, half = world.client(), world.client(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03")
        world.until(lambda: len(world.connections) == 2)
        world.advance(9)
        assert len(world.connections) == 2
        world.advance(2)
        assert silent.is_closed()
        assert half.is_closed()
        world.until(lambda: not len(world.connections))


def test_garbage_instead_of_a_handshake_is_ended(files):
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        for garbage in (b"\xff" * 100, b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"SSH-2.0-x\r\n"):
            client = world.client(garbage)
            while client.sock.recv(4096):
                pass  # an alert
            client.close()
        world.until(lambda: not len(world.connections))
        assert connect(world, files.client()).send(get()).answer()[0] == 200


def test_garbage_after_the_handshake_is_ended(files):
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        client = connect(world, files.client())
        client.send(get()).answer()
        with socket.socket(fileno=client.sock.detach()) as raw:
            raw.settimeout(5)
            raw.sendall(b"\x17\x03\x03\0\x20" + b"x" * 32)
            world.until(lambda: not len(world.connections))


def test_plain_http_on_the_tls_port_is_told_so(files):
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        status, _, body = world.client(get()).answer()
        assert status == 400
        assert b"speaks HTTPS" in body


def test_connection_too_many_costs_no_handshake(files):
    with serving(whoami, tls=ServerTLS(files.settings()), connections_per_address=1) as world:
        world.client()
        world.until(lambda: len(world.connections) == 1)
        second = world.client()
        assert second.is_closed()
        assert len(world.connections) == 1


def test_stop_ends_handshakes_and_idle_connections(files):
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        idle, stalled = connect(world, files.client()), world.client(b"\x16")
        world.until(lambda: len(world.connections) == 2)
        world.run(world.listener.stop(1))
        assert idle.is_closed()
        assert stalled.is_closed()


def test_connections_that_come_together_are_accepted_together(files):
    with serving(whoami, tls=ServerTLS(files.settings())) as world:

        async def come_together():
            clients = [world.sock() for _ in range(16)]
            turns = 0
            while len(world.connections) < len(clients):
                await asyncio.sleep(0)
                turns += 1
            for client in clients:
                client.close()
            return turns

        assert world.run(come_together()) < 8


def test_nothing_listens_any_more_after_the_end(files):
    with serving(whoami, tls=ServerTLS(files.settings())) as world:
        world.client().close()
    with pytest.raises(ConnectionRefusedError):
        world.sock()
