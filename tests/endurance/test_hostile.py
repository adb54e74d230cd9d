"""Hostile clients against a real server: each is refused in words, and leaves nothing behind.

All tests share one server. When they are done, it is still the same process, its memory and its
descriptors are what they were, and its log has neither a traceback nor a secret.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from mintmark.wire import der, pem
from tests.endurance.servers import Client, Server, drained, make, serving, wait
from tests.interop.authority import Authority, Files

pytestmark = [pytest.mark.endurance, pytest.mark.xdist_group("hostile")]
PASSPHRASE = "correct horse battery staple"
PROMPT = 5.0  # seconds for an answer on a busy machine
MEMORY_KB = 60_000  # what all attacks together may cost; the server starts with about this much
SETTINGS = """
whitelist:
  services:
    - {service_id: storm, names: ['*.storm.internal'], certificates_per_hour: 0}
    - {service_id: victim, names: ['*.victim.internal'], certificates_per_hour: 0}
limits: {certificates_per_hour: 1000000}
"""
PUBLIC = {
    "/health", "/version", "/issuers", "/roots", "/openapi.json", "/ssh/authorities", "/sign-in",
}  # fmt: skip
LEAKS = re.compile(
    rb"Traceback|File \"|\.py\b|/tmp/|site-packages|PRIVATE KEY|BEGIN ENCRYPTED|sqlite|mintmark\.db"
)


def memory_of(pid: int) -> int:
    """Return the resident memory of a process in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])


def descriptors_of(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@pytest.fixture(scope="module")
def server(module_place: Path) -> Iterator[Server]:
    made = make(module_place / "ours", settings=SETTINGS, late_by="3d")
    made.authority.issue("expired", profile="client", lifetime="1h", late_by="2d")
    made.limit("header_timeout: 1s, body_timeout: 1s, idle_timeout: 5s")
    with serving(made):
        with made.connect(made.files) as client:
            assert client.ask("GET", "/certificates/").status == 200
        memory, descriptors, pid = memory_of(made.pid), descriptors_of(made.pid), made.pid
        yield made
        assert made.pid == pid
        assert made.daemon.process.poll() is None
        assert made.is_healthy()
        wait(lambda: descriptors_of(pid) <= descriptors + 2, "descriptors are given back", 10)
        assert memory_of(pid) - memory < MEMORY_KB
    log = made.log.read_text()
    assert "Traceback" not in log
    assert " ERROR " not in log
    assert PASSPHRASE not in log
    assert "PRIVATE KEY" not in log


@pytest.fixture(scope="module")
def victim(server: Server) -> Files:
    return server.authority.issue("victim", profile="client")


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.connect(server.files) as one:
        yield one


def assert_refused(answer, *statuses: int) -> None:
    """Assert a refusal in its form that tells nothing about the inside."""
    assert answer.status in statuses, answer.body
    assert not LEAKS.search(answer.body), answer.body
    document = answer.json
    assert document["status"] == answer.status
    assert document["type"].startswith("urn:mintmark:error:")
    assert document["detail"]


# --- requests ----------------------------------------------------------------------------------


def good_csr() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.DNSName("a.storm.internal")]), critical=False
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def weak_rsa_csr() -> bytes:
    key = rsa.generate_private_key(65537, 1024)
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def many_names_csr() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(f"n{number}.storm.internal") for number in range(1500)]
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def rsa_csr_of(modulus_octets: int, exponent: int) -> bytes:
    """Return a PKCS #10 request with an absurd RSA key, and a signature of nothing."""
    key = der.sequence(
        der.integer(int.from_bytes(b"\xc1" * modulus_octets, "big")), der.integer(exponent)
    )
    algorithm = der.sequence(bytes.fromhex("06092a864886f70d0101010500"))
    spki = der.sequence(algorithm, b"\x03" + der.length(len(key) + 1) + b"\0" + key)
    info = der.sequence(der.integer(0), der.sequence(), spki, b"\xa0\0")
    signature_algorithm = der.sequence(bytes.fromhex("06092a864886f70d01010b0500"))
    return der.sequence(info, signature_algorithm, b"\x03\x05\0abcd")


CSRS = {
    "nothing": lambda: b"",
    "text": lambda: b"this is not DER",
    "only a tag": lambda: b"\x30",
    "indefinite lengths, nested": lambda: b"\x30\x80" * 20_000,
    "definite lengths, nested": lambda: b"\x30\x83\x00\xff\xff" * 8000,
    "length of 2^64": lambda: b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff" + bytes(100),
    "length of length 127": lambda: b"\x30\xff" + bytes(1000),
    "endless OID": lambda: b"\x30\x82\x80\x00\x06\x82\x7f\xfc" + b"\x81" * 32764,
    "integer of 30 000 octets": lambda: b"\x30\x82\x75\x34\x02\x82\x75\x30" + b"\x7f" * 30_000,
    "truncated": lambda: good_csr()[:-20],
    "octets behind it": lambda: good_csr() + b"\0",
    "signature of another": lambda: flipped(good_csr(), -3),
    "key of another": lambda: flipped(good_csr(), 60),
    "weak RSA key": weak_rsa_csr,
    "RSA modulus of 200 000 bits": lambda: rsa_csr_of(25_000, 65537),
    "RSA exponent 1": lambda: rsa_csr_of(256, 1),
    "1500 names": many_names_csr,
}


@pytest.mark.parametrize("make_csr", CSRS.values(), ids=CSRS)
def test_csr_that_is_malformed_or_weak_is_refused_at_once(client, make_csr):
    text = pem.encode("CERTIFICATE REQUEST", make_csr()).decode()
    started = time.monotonic()
    answer = client.ask("POST", "/certificates/request", {"csr": text})
    assert time.monotonic() - started < PROMPT
    assert_refused(answer, 400, 413, 422)


def test_flipped_octets_of_a_csr_never_make_a_defect(client):
    csr, chance = good_csr(), random.Random(7)
    for _ in range(150):
        text = pem.encode("CERTIFICATE REQUEST", flipped(csr, chance.randrange(len(csr)))).decode()
        answer = client.ask("POST", "/certificates/request", {"csr": text})
        assert_refused(answer, 400, 422)


BODIES = {
    "deep arrays": b"[" * 60_000,
    "deep objects": b'{"a":' * 10_000,
    "deep inside a field": b'{"metadata": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "not JSON": b"\xff\xfe\0\0",
    "invalid UTF-8": b'{"service_name": "\xc3\x28"}',
    "lone surrogate": rb'{"service_name": "\ud800"}',
    "NUL": rb'{"service_name": "a\u0000b"}',
    "number beyond numbers": b'{"validity_days": 1e999999}',
    "digits without end": b'{"validity_days": ' + b"9" * 50_000 + b"}",
    "member twice": b'{"service_name": "a", "service_name": "b"}',
    "unknown member": b'{"is_admin": true}',
    "wrong types": b'{"san_dns": {"a": 1}}',
    "names without end": json.dumps({"san_dns": ["a.storm.internal"] * 3000}).encode(),
    "name without end": json.dumps({"san_dns": ["a" * 60_000]}).encode(),
    "common name of SQL": json.dumps({"common_name": "'; DROP TABLE certificates; --"}).encode(),
    "lifetime without end": b'{"lifetime": "999999999999y"}',
    "negative lifetime": b'{"validity_days": -1}',
    "top level text": b'"text"',
    "top level null": b"null",
    "empty": b"",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_body_that_is_malformed_is_refused_at_once(client, body):
    started = time.monotonic()
    answer = client.ask("POST", "/certificates/request", body)
    assert time.monotonic() - started < PROMPT
    assert_refused(answer, 400, 403, 413, 422)


def test_body_of_ten_megabytes_is_refused_before_it_is_read(server):
    head = b"POST /api/v1/certificates/request HTTP/1.1\r\nHost: localhost\r\n"
    with server.connect(server.files) as client:
        client.socket.sendall(head + b"Content-Length: 10485760\r\n\r\n")
        assert client.socket.recv(65536).startswith(b"HTTP/1.1 413 ")
    with server.connect(server.files) as client:
        client.socket.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            for _ in range(160):
                client.socket.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
        assert drained(client.socket).startswith(b"HTTP/1.1 413 ")


def test_header_without_end_is_refused(server):
    with server.connect() as client:
        with contextlib.suppress(OSError):
            client.socket.sendall(b"GET /api/v1/version HTTP/1.1\r\nX: " + b"a" * 1_000_000)
        assert drained(client.socket).startswith(b"HTTP/1.1 431 ")


def test_slow_clients_are_ended_and_hold_nobody_up(server):
    head = b"POST /api/v1/certificates/request HTTP/1.1\r\nHost: localhost\r\n"
    slow = []
    for number in range(200):
        if number % 3:
            sock = server.connect(server.files).socket
            sock.sendall(head if number % 3 == 1 else head + b"Content-Length: 100\r\n\r\n{")
        else:  # not even a handshake
            sock = socket.create_connection(("127.0.0.1", server.authority.https_port))
        slow.append(sock)
    end = time.monotonic() + 12  # a handshake may take ten seconds, a header or body one
    with server.connect(server.files) as client:
        while time.monotonic() < end:
            started = time.monotonic()
            assert client.ask("GET", "/certificates/").status == 200
            assert time.monotonic() - started < PROMPT
            for number, sock in enumerate(slow):
                if number % 3:  # one octet more, again and again
                    with contextlib.suppress(OSError):
                        sock.sendall(b"a")
            time.sleep(0.3)
    answers = []
    for sock in slow:
        sock.settimeout(5)
        with sock:
            answers.append(drained(sock))
    assert all(not answer or answer.startswith(b"HTTP/1.1 408 ") for answer in answers)
    assert sum(map(bool, answers)) > 50


def test_connections_that_are_dropped_give_their_descriptors_back(server):
    before = descriptors_of(server.pid)
    for _ in range(300):
        sock = socket.create_connection(("127.0.0.1", server.authority.https_port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # RST
        sock.sendall(b"\x16\x03\x01")
        sock.close()
    wait(lambda: descriptors_of(server.pid) <= before + 2, "descriptors are given back", 10)


# --- TLS ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(os.urandom(5000), id="noise"),
        pytest.param(b"\x16\x03\x01\xff\xff" + b"\1" * 70_000, id="record too long"),
        pytest.param(b"\x16\x03\x01\0\5\1\xff\xff\xff\xff", id="ClientHello too long"),
        pytest.param(b"\x80\x2e\1\0\2" + bytes(41), id="SSL 2"),
        pytest.param(b"\x15\x03\x01\0\2\2\x28" * 1000, id="alerts"),
        pytest.param(b"\x17\x03\x03\0\x10" + bytes(16), id="data before a handshake"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_garbage_instead_of_a_handshake_ends_the_connection(server, octets):
    with socket.create_connection(("127.0.0.1", server.authority.https_port), 15) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(octets)
            sock.shutdown(socket.SHUT_WR)
        assert len(drained(sock)) < 100


def test_plain_http_on_the_tls_port_is_told_so(server):
    with socket.create_connection(("127.0.0.1", server.authority.https_port), 15) as sock:
        sock.sendall(b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/1.1 400 " in drained(sock)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(server, version):
    context = server.context(server.files)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("localhost", server.authority.https_port)) as sock,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(sock, server_hostname="localhost")


def write(path: Path, certificate: x509.Certificate, key, chain: bytes = b"") -> Files:
    """Write a forged certificate as the files of a client."""
    path.mkdir()
    encoding = serialization.Encoding.PEM
    (path / "fullchain.pem").write_bytes(certificate.public_bytes(encoding) + chain)
    (path / "privkey.pem").write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Files(path)


def forged(original: x509.Certificate, issuer: x509.Name, key, signing_key) -> x509.Certificate:
    """Return a certificate with names, serial, dates and extensions of another."""
    builder = x509.CertificateBuilder(
        issuer, original.subject, key.public_key(), original.serial_number,
        original.not_valid_before_utc, original.not_valid_after_utc, list(original.extensions),
    )  # fmt: skip
    return builder.sign(signing_key, hashes.SHA256())


@pytest.fixture(scope="module")
def strangers(server: Server, victim: Files, module_place: Path) -> dict[str, Files]:
    """Certificates of every fate that are no credentials here."""
    foreign = Authority.create(module_place / "foreign")
    revoked = server.authority.issue("revoked", profile="client")
    server.mintmark("revoke", revoked.path)
    key = ec.generate_private_key(ec.SECP256R1())
    other = ec.generate_private_key(ec.SECP256R1())
    original = victim.certificate
    own = x509.load_pem_x509_certificate(server.authority.intermediate.read_bytes())
    leaf = serialization.load_pem_private_key(victim.key.read_bytes(), None)
    now = datetime.now(UTC)
    sub_ca = (
        x509.CertificateBuilder(original.subject, x509.Name([]), key.public_key(), 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("admin-cli")]), critical=True)
        .sign(leaf, hashes.SHA256())
    )
    return {
        "foreign": foreign.issue("storm", profile="client", offline=True),
        "expired": Files(server.authority.home / "expired"),
        "revoked": revoked,
        "self-signed": write(
            module_place / "self", forged(original, original.subject, key, key), key
        ),
        "same names and serial, signed by another": write(
            module_place / "same", forged(original, own.subject, key, other), key
        ),
        "signed by a leaf of ours": write(
            module_place / "leaf", sub_ca, key, victim.fullchain.read_bytes()
        ),
        "for servers": server.authority.issue("server.example.internal", profile="server"),
    }


@pytest.mark.parametrize(
    "fate",
    [
        "foreign",
        "expired",
        "revoked",
        "self-signed",
        "same names and serial, signed by another",
        "signed by a leaf of ours",
        "for servers",
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_certificate_that_is_no_credential_opens_nothing(server, strangers, fate, version):
    context = server.context(strangers[fate])
    context.maximum_version = version
    with Client(server.authority.https_port, context) as client:
        try:
            answer = client.ask("GET", "/certificates/")
        except OSError:  # an alert
            assert fate != "revoked"
            return
    assert_refused(answer, 401)


# --- ids ---------------------------------------------------------------------------------------


def routes_of_an_id(identity: str) -> list[tuple[str, str, object]]:
    return [
        ("GET", f"/certificates/{identity}", None),
        ("GET", f"/certificates/{identity}/download", None),
        ("POST", f"/certificates/{identity}/renew", None),
        ("POST", f"/certificates/{identity}/rekey", None),
        ("DELETE", f"/certificates/{identity}/revoke", None),
        ("POST", "/crl/revoke", {"certificate_id": identity}),
    ]


def test_certificates_of_others_answer_exactly_as_unknown_ones(server, client, victim):
    foreign, unknown = f"cert_{victim.serial:040x}", f"cert_{random.getrandbits(158):040x}"
    for known, guessed in zip(routes_of_an_id(foreign), routes_of_an_id(unknown), strict=True):
        answers = [client.ask(*known), client.ask(*guessed)]
        first, second = (
            (
                answer.status,
                answer.body.replace(identity.encode(), b"ID"),
                {name: value for name, value in answer.headers.items() if name != "date"},
            )
            for answer, identity in zip(answers, (foreign, unknown), strict=True)
        )
        assert first == second
        assert first[0] == 404
    assert server.ocsp(victim) == "good"


def test_services_of_others_answer_exactly_as_unknown_ones(client, victim):
    for known, guessed in zip(routes_of_an_id("victim"), routes_of_an_id("nobody"), strict=True):
        answers = [client.ask(*known), client.ask(*guessed)]
        assert [answer.status for answer in answers] == [404, 404]
        bodies = [
            answer.body.replace(name, b"ID")
            for answer, name in zip(answers, (b"victim", b"nobody"), strict=True)
        ]
        assert bodies[0] == bodies[1]


PATHS = [
    "..",
    "../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "%252e%252e%252f",
    "..%c0%af..%c0%afetc/passwd",
    "..\\..\\etc\\passwd",
    "%5c..%5c",
    "cert_%00",
    "cert_1/../../audit",
    "./audit",
    ";/../audit",
    "storm%0d%0aX-Injected:%201",
    "%ff%fe",
    "storm%2fdownload",
    "~root",
    "$(id)",
    "{{7*7}}",
    "'%20OR%20'1'='1",
    "a" * 7000,
]


@pytest.mark.parametrize("path", PATHS)
def test_path_that_means_to_leave_its_place_is_refused(server, path):
    for prefix in ("/api/v1/certificates/", "/api/v1/crl/check/", "/crl/", "/issuer/", "/"):
        target = f"GET {prefix}{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = server.raw(target.encode(), server.files)
        status = int(answer[9:12])
        assert status in {400, 404, 414}, answer
        assert not LEAKS.search(answer), answer
        assert b"root:" not in answer
        assert b"\r\nX-Injected" not in answer


def test_paths_of_files_lead_nowhere_on_the_plain_port(server):
    for path in ("/mintmark.db", "/root/key.pem", "/crl/../root/key.pem", "/issuer/key.pem",
                 "/passphrase", "/mintmark.yaml", "/audit/key.pem", "//etc/passwd",
                 "/crl/%2e%2e/mintmark.yaml"):  # fmt: skip
        answer = server.plain(path)
        assert answer.status in {400, 404}
        assert not LEAKS.search(answer.body)


# --- routes ------------------------------------------------------------------------------------


def test_without_a_certificate_only_public_routes_answer(server):
    document = server.api("/openapi.json").json
    walked = 0
    with server.connect() as client:
        for path, operations in document["paths"].items():
            place = path.replace("{serial}", f"{server.files.serial:040x}")
            below = re.sub(r"\{\w+\}", "storm", place).removeprefix("/api/v1")
            for method in ("get", "post", "put", "patch", "delete"):
                answer = client.ask(method.upper(), below, {} if method == "post" else None)
                if method not in operations:
                    assert answer.status == 405, (method, path)
                elif below in PUBLIC:
                    assert answer.status == 200, (method, path)
                else:
                    assert_refused(answer, 401)
                    walked += 1
    assert walked >= 12
    assert {path.removeprefix("/api/v1") for path in document["paths"]} >= PUBLIC


def test_token_that_is_guessed_is_refused_in_one_way(server):
    bodies = set()
    with server.connect() as client:
        for token in ("mmt_", "mmt_" + "A" * 43, "x" * 5000, "null"):
            answer = client.ask(
                "POST",
                "/certificates/request",
                {"san_dns": ["a.storm.internal"]},
                {"Authorization": f"Bearer {token}"},
            )
            assert_refused(answer, 401)
            bodies.add(answer.body)
    assert len(bodies) == 1
