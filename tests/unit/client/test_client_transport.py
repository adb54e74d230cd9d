"""The HTTPS transport: what it trusts, and what it says when nothing answers."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mintmark.client.transport import HTTPTransport
from mintmark.model.errors import Error, Kind


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        size = int(self.headers.get("content-length", 0))
        body = self.rfile.read(size) + b"|" + self.headers["user-agent"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *_):
        pass


class Quiet(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # refused handshakes are what these tests are about


@contextmanager
def serving(context=None):
    server = Quiet(("127.0.0.1", 0), Handler)
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        scheme = "https" if context else "http"
        yield f"{scheme}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a directory with two authorities and a certificate of each for 127.0.0.1."""
    directory = tmp_path_factory.mktemp("tls")
    now = datetime.now(UTC)
    for name in ("ours", "theirs"):
        root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} root")])

        def builder(subject, public_key, issuer=root_name):
            return (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(issuer)
                .public_key(public_key)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - timedelta(hours=1))
                .not_valid_after(now + timedelta(hours=1))
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
            )

        usage = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        root = (
            builder(root_name, root_key.public_key())
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(
                x509.KeyUsage(digital_signature=False, key_cert_sign=True, crl_sign=True, **usage),
                True,
            )
            .sign(root_key, hashes.SHA256())
        )
        leaf = (
            builder(x509.Name([]), key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), True
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False
            )
            .sign(root_key, hashes.SHA256())
        )
        (directory / f"{name}-ca.pem").write_bytes(root.public_bytes(Encoding.PEM))
        (directory / f"{name}.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
        (directory / f"{name}.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
    return directory


def server_context(files, name="ours", *, clients=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files / f"{name}.pem", files / f"{name}.key")
    if clients:
        context.load_verify_locations(files / "ours-ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def refused(transport, kind, path="/api/v1/health"):
    with transport, pytest.raises(Error) as caught:
        transport.request("GET", path)
    assert caught.value.kind is kind, caught.value
    assert caught.value.hint
    return f"{caught.value.detail} {caught.value.hint}"


def test_a_request_is_carried_with_its_body(files):
    with (
        serving(server_context(files)) as url,
        HTTPTransport(url, ca=files / "ours-ca.pem") as transport,
    ):
        answer = transport.request("POST", "/x", json={"a": 1})
    assert answer.status == 200
    assert answer.body.startswith(b'{"a":1}|mintmark/')


def test_environment_proxies_and_trust_stores_are_ignored(files, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(files / "theirs-ca.pem"))
    with (
        serving(server_context(files)) as url,
        HTTPTransport(url, ca=files / "ours-ca.pem") as transport,
    ):
        assert transport.request("GET", "/").status == 200


def test_nobody_listening_asks_whether_the_server_runs():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    transport = HTTPTransport(f"https://127.0.0.1:{port}", ca=None)
    assert "mintmark serve" in refused(transport, Kind.UNAVAILABLE)


def test_a_server_of_another_authority_is_not_trusted(files):
    with serving(server_context(files, "theirs")) as url:
        said = refused(HTTPTransport(url, ca=files / "ours-ca.pem"), Kind.CONFIGURATION)
    assert "--ca" in said


def test_a_server_under_another_name_is_not_trusted(files):
    with serving(server_context(files)) as url:
        other = url.replace("127.0.0.1", "localhost")
        said = refused(HTTPTransport(other, ca=files / "ours-ca.pem"), Kind.CONFIGURATION)
    assert "server.names" in said


def test_a_client_certificate_is_presented(files):
    with (
        serving(server_context(files, clients=True)) as url,
        HTTPTransport(
            url, files / "ours.pem", files / "ours.key", files / "ours-ca.pem"
        ) as transport,
    ):
        assert transport.request("GET", "/").status == 200


def test_a_client_certificate_of_another_authority_is_told(files):
    with serving(server_context(files, clients=True)) as url:
        transport = HTTPTransport(
            url, files / "theirs.pem", files / "theirs.key", files / "ours-ca.pem"
        )
        assert "client certificate" in refused(transport, Kind.UNAUTHENTICATED)


def test_a_plain_port_is_told(files):
    with serving() as url:
        transport = HTTPTransport(url.replace("http:", "https:"), ca=files / "ours-ca.pem")
        assert "HTTPS port" in refused(transport, Kind.CONFIGURATION)


@pytest.mark.parametrize("url", ["ftp://localhost", "localhost:8443", "https://[::1", "nonsense"])
def test_what_is_no_url_is_told(url):
    assert "https://localhost:8443" in refused(HTTPTransport(url), Kind.CONFIGURATION)


def test_files_that_cannot_be_used_are_named(files):
    missing = files / "missing.pem"
    url = "https://127.0.0.1:1"
    assert "missing.pem" in refused(HTTPTransport(url, ca=missing), Kind.CONFIGURATION)
    key, ca = files / "ours.key", files / "ours-ca.pem"
    assert "missing.pem" in refused(HTTPTransport(url, missing, key, ca), Kind.CONFIGURATION)
    other = files / "theirs.key"
    said = refused(HTTPTransport(url, files / "ours.pem", other, ca), Kind.CONFIGURATION)
    assert "theirs.key" in said
    assert "ours.key" in refused(HTTPTransport(url, ca=key), Kind.CONFIGURATION)


def test_a_silent_server_is_given_up(files):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        said = refused(HTTPTransport(url, ca=files / "ours-ca.pem", timeout=0.1), Kind.UNAVAILABLE)
    assert "no answer" in said


def test_an_endless_answer_is_cut(files, monkeypatch):
    monkeypatch.setattr("mintmark.client.transport.MAX_ANSWER", 4)
    with serving() as url:
        refused(HTTPTransport(url, ca=files / "ours-ca.pem"), Kind.TOO_LARGE)


def test_importing_the_client_does_not_import_httpx():
    import subprocess
    import sys

    code = "import sys, mintmark.client.api; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
