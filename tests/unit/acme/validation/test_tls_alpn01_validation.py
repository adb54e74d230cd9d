"""tls-alpn-01: RFC 8737, RFC 8738 §6, and certificates that are almost right."""

from __future__ import annotations

import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.protocol.acme.validation import tls_alpn01
from mintmark.wire.identifiers import parse_any
from tests.unit.acme.validation.certificates import certificate, digest, server_context
from tests.unit.acme.validation.world import KEY_AUTHORIZATION, assert_failed, assert_validated

NAME = "a.example.internal"
DAMAGED, _ = certificate(NAME, subject_key_id=True)


@pytest.fixture(autouse=True)
def _address(dns):
    dns.add(NAME, "A", "127.0.0.1")


@pytest.fixture
def check(world, tmp_path):
    def check(pair, *, name=NAME, protocols=("acme-tls/1",), configure=None, **settings):
        context = server_context(tmp_path, pair, *protocols)
        if configure:
            configure(context)
        port = world.web(b"", tls=context, host=settings.pop("host", "127.0.0.1"))
        return world.check("tls-alpn-01", name, tls_port=port, **settings)

    return check


def test_validation_certificate_is_valid(check):
    outcome = check(certificate(NAME))
    assert_validated(outcome)
    assert f"'{NAME}' with ALPN acme-tls/1 on 127.0.0.1:" in outcome.evidence


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_tls_do(check, version):
    def only(context):
        context.minimum_version = context.maximum_version = version

    assert_validated(check(certificate(NAME), configure=only))


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 2048),
        ec.generate_private_key(ec.SECP384R1()),
    ],
    ids=["rsa", "p-384"],
)
def test_other_keys_do(check, key):
    assert_validated(check(certificate(NAME, key=key)))


def test_name_in_upper_case_is_the_same_name(check):
    assert_validated(check(certificate(x509.DNSName(NAME.upper()))))


@pytest.mark.parametrize(
    ("address", "server_name"),
    [
        ("127.0.0.1", "1.0.0.127.in-addr.arpa"),
        ("::1", "1." + "0." * 31 + "ip6.arpa"),
    ],
)
def test_address_is_asked_for_by_its_reverse_name(check, address, server_name):
    asked = []

    def note(context):
        context.sni_callback = lambda sock, name, context: asked.append(name)

    assert_validated(check(certificate(address), name=address, configure=note, host=address))
    assert asked == [server_name]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), "no subject alternative name"),
        (("b.example.internal",), "'b.example.internal'"),
        ((NAME, "b.example.internal"), "and not for 'a.example.internal' alone"),
        (tuple(f"n{number}.example.internal" for number in range(200)), "more"),
        (("127.0.0.1",), "'127.0.0.1'"),
        ((x509.DNSName("*.example.internal"),), "'*.example.internal'"),
        ((x509.RFC822Name("a@example.internal"),), "'a@example.internal'"),
        ((x509.DNSName("x\x1b[2J\r\n"),), "\\x1b"),
        ((x509.DirectoryName(x509.Name([])),), "not for"),
    ],
    ids=["none", "another", "two", "many", "address", "wildcard", "e-mail", "control", "directory"],
)
def test_certificate_for_other_names_is_refused(check, names, said):
    outcome = check(certificate(*names))
    assert_failed(outcome, "incorrectResponse", said, "127.0.0.1:")
    assert len(outcome.detail) < 500


def test_certificate_for_another_address_is_refused(check):
    outcome = check(certificate("127.0.0.2"), name="127.0.0.1")
    assert_failed(outcome, "incorrectResponse", "'127.0.0.2'")


def test_reverse_name_in_place_of_an_address_is_refused(check):
    pair = certificate(x509.DNSName("1.0.0.127.in-addr.arpa"))
    assert_failed(check(pair, name="127.0.0.1"), "incorrectResponse", "in-addr.arpa")


def test_missing_critical_flag_is_refused(check):
    outcome = check(certificate(NAME, critical=False))
    assert_failed(outcome, "incorrectResponse", "not critical")


def test_missing_extension_is_refused(check):
    outcome = check(certificate(NAME, acme_identifier=False))
    assert_failed(outcome, "incorrectResponse", "no acmeIdentifier")


@pytest.mark.parametrize(
    "value",
    [digest(b"another"), digest()[2:], digest() + b"\0", b"\x04\x20", b"\x30\x22" + digest()],
    ids=["another", "bare", "with more", "cut", "wrapped"],
)
def test_other_digest_is_refused(check, value):
    outcome = check(certificate(NAME, value=value))
    assert_failed(outcome, "incorrectResponse", "acmeIdentifier that is not")


def test_certificate_signed_by_another_key_is_refused(check):
    other = ec.generate_private_key(ec.SECP256R1())
    outcome = check(certificate(NAME, signer=other))
    assert_failed(outcome, "incorrectResponse", "not signed by its own key")


def test_certificate_of_another_issuer_is_refused(check):
    outcome = check(certificate(NAME, issuer="Somebody"))
    assert_failed(outcome, "incorrectResponse", "does not sign itself")


def test_key_of_absurd_size_is_refused(check, monkeypatch):
    monkeypatch.setattr(tls_alpn01, "_MAX_RSA_BITS", 1024)
    key = rsa.generate_private_key(65537, 2048)
    assert_failed(check(certificate(NAME, key=key)), "incorrectResponse", "an RSA key of more")


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_damaged_certificate_is_described(data):
    good = DAMAGED.public_bytes(Encoding.DER)
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    octets = bytes(damaged)
    said = tls_alpn01.look(octets, parse_any(NAME), KEY_AUTHORIZATION.decode())
    assert said is None if octets == good else said


def test_repeated_extension_is_described():
    octets = DAMAGED.public_bytes(Encoding.DER).replace(b"\x55\x1d\x0e", b"\x55\x1d\x11")
    said = tls_alpn01.look(octets, parse_any(NAME), KEY_AUTHORIZATION.decode())
    assert said is not None
    assert said.startswith("cannot be read")


@pytest.mark.parametrize("octets", [b"", b"\x30\x00", b"x" * 100])
def test_what_is_no_certificate_is_described(octets):
    said = tls_alpn01.look(octets, parse_any(NAME), KEY_AUTHORIZATION.decode())
    assert said is not None
    assert said.startswith("cannot be read")


def test_other_protocol_is_refused(check):
    outcome = check(certificate(NAME), protocols=("h2", "http/1.1"))
    assert_failed(outcome, "tls", "no protocol")


def test_server_without_alpn_is_refused(check):
    assert_failed(check(certificate(NAME), protocols=()), "tls", "negotiated no protocol")


def test_server_that_speaks_no_tls_is_a_tls_failure(world):
    async def greet(reader, writer):
        writer.write(b"220 mail.example.internal ESMTP\r\n")
        await reader.read()

    outcome = world.check("tls-alpn-01", NAME, tls_port=world.web(greet))
    assert_failed(outcome, "tls", "wrong version number", "127.0.0.1:")


@pytest.mark.parametrize(
    ("number", "said"),
    [(70, "protocol version"), (112, "unrecognized name"), (120, "no application protocol")],
)
def test_alert_of_the_server_is_named(world, number, said):
    async def alert(reader, writer):
        await reader.read(5)
        writer.write(b"\x15\x03\x03\x00\x02\x02" + bytes((number,)))
        await reader.read()

    outcome = world.check("tls-alpn-01", NAME, tls_port=world.web(alert))
    assert_failed(outcome, "tls", said, "127.0.0.1:")


def test_silent_server_is_given_up(world):
    async def silence(reader, writer):
        await reader.read()

    port = world.web(silence)
    outcome = world.check("tls-alpn-01", NAME, tls_port=port, connect_timeout=0.1)
    assert_failed(outcome, "connection", "no TLS handshake within 0.1 s")


def test_server_that_hangs_up_is_a_connection_failure(world):
    async def hang_up(reader, writer):
        await reader.read(1)

    outcome = world.check("tls-alpn-01", NAME, tls_port=world.web(hang_up))
    assert_failed(outcome, "connection", "127.0.0.1:", "connection closed")


def test_refused_connection_is_a_connection_failure(world):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    outcome = world.check("tls-alpn-01", NAME, tls_port=port)
    assert_failed(outcome, "connection", f"on 127.0.0.1:{port} connection refused")


def test_wildcard_is_not_shown_by_it(world):
    outcome = world.check("tls-alpn-01", NAME, wildcard=True)
    assert_failed(outcome, "malformed", "wildcard")
