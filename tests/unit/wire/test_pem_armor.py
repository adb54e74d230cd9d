"""PEM armor against RFC 7468 and the standard library."""

import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.model.errors import Error, Kind
from mintmark.wire import pem


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=400), max_size=4))
def test_what_is_armored_is_read_back(ders):
    assert pem.decode(pem.CERTIFICATE, pem.certificates(ders)) == ders


@settings(max_examples=50, deadline=None)
@given(st.binary(min_size=1, max_size=400))
def test_armor_is_what_the_standard_library_writes(octets):
    assert pem.certificate(octets).decode() == ssl.DER_cert_to_PEM_cert(octets)


def test_lines_have_64_characters():
    lines = pem.csr(bytes(100)).splitlines()
    assert lines[0] == b"-----BEGIN CERTIFICATE REQUEST-----"
    assert [len(line) for line in lines[1:-1]] == [64, 64, 8]


@pytest.mark.parametrize(
    ("writer", "label"),
    [
        (pem.certificate, "CERTIFICATE"),
        (pem.csr, "CERTIFICATE REQUEST"),
        (pem.crl, "X509 CRL"),
        (pem.private_key, "PRIVATE KEY"),
        (pem.pkcs7, "PKCS7"),
    ],
)
def test_each_writer_has_its_label(writer, label):
    assert writer(b"abc") == pem.encode(label, b"abc")


def test_other_blocks_and_text_around_are_skipped():
    data = (
        b"Certificate Request:\n    Data: ...\n"
        + pem.private_key(b"secret")
        + pem.csr(b"request")
        + b"\ntrailing text"
    )
    assert pem.decode(pem.CSR, data) == [b"request"]
    assert pem.decode(pem.CERTIFICATE, data) == []


def test_windows_line_ends_and_one_line_bodies_are_read():
    assert pem.decode(pem.CSR, pem.csr(bytes(99)).replace(b"\n", b"\r\n")) == [bytes(99)]
    joined = b"-----BEGIN CERTIFICATE REQUEST-----YWJj-----END CERTIFICATE REQUEST-----"
    assert pem.decode(pem.CSR, joined) == [b"abc"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"YWJj", id="no end line"),
        pytest.param(b"YWJ\n-----END CERTIFICATE-----", id="padding missing"),
        pytest.param(b"YW!j\n-----END CERTIFICATE-----", id="not base64"),
        pytest.param(b"YWI=YWI=\n-----END CERTIFICATE-----", id="padding inside"),
        pytest.param(b"=YWJj\n-----END CERTIFICATE-----", id="padding first"),
        pytest.param(b"Proc-Type: 4\n\nYWJj\n-----END CERTIFICATE-----", id="RFC 1421 header"),
        pytest.param(b"\xff\xfe\n-----END CERTIFICATE-----", id="not ASCII"),
    ],
)
def test_broken_blocks_are_refused(body):
    with pytest.raises(Error) as refused:
        pem.decode(pem.CERTIFICATE, b"-----BEGIN CERTIFICATE-----\n" + body)
    assert refused.value.kind is Kind.MALFORMED
