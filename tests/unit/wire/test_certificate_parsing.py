"""A certificate read back says what `cryptography` says of it, and junk never raises else."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from mintmark.model.errors import Error, Kind
from mintmark.model.profile import CLIENT, SERVER
from mintmark.wire import certificate
from mintmark.wire.general_names import from_general_name
from tests import pki

ISSUING = pki.pki().issuing
LEAF = pki.leaf(
    ISSUING,
    "a.example",
    "*.b.example",
    "10.0.0.1",
    "fd00::1",
    "x@c.example",
    "spiffe://td.example/x",
)


@pytest.mark.parametrize(
    "der",
    [
        LEAF.der,
        ISSUING.issuer.der,
        ISSUING.issuer.root,
        pki.leaf(ISSUING, "a.example", common_name="", profile=CLIENT).der,
        pki.leaf(ISSUING, "a.example", profile=SERVER, not_after=pki.NOW + 3600).der,
    ],
    ids=["leaf", "intermediate", "root", "no subject", "other end"],
)
def test_it_says_what_cryptography_says(der):
    parsed, other = certificate.parse(der), x509.load_der_x509_certificate(der)

    assert int.from_bytes(parsed.serial, "big") == other.serial_number
    assert parsed.not_before == other.not_valid_before_utc.timestamp()
    assert parsed.not_after == other.not_valid_after_utc.timestamp()
    assert parsed.spki == other.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    names = other.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert parsed.common_name == (names[0].value if names else "")
    try:
        sans = other.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        sans = []
    assert parsed.identifiers == tuple(map(from_general_name, sans))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (b"\x17\x0d500101000000Z", -631152000),
        (b"\x17\x0d491231235959Z", 2524607999),
        (b"\x18\x0f20500101000000Z", 2524608000),
        (b"\x18\x0f99991231235959Z", 253402300799),
    ],
)
def test_two_digits_of_a_year_turn_at_1950(text, seconds):
    """RFC 5280 §4.1.2.5.1."""
    assert certificate._time(text, (text[0], 0, 2, len(text))) == seconds


@pytest.mark.parametrize(
    "text",
    [
        b"\x17\x0b2601010000Z",
        b"\x17\x0d261301000000Z",
        b"\x17\x0d26010100000+Z",
        b"\x18\x1120260101000000.1Z",
        b"\x0c\x0d260101000000Z",
    ],
)
def test_other_forms_of_time_are_refused(text):
    with pytest.raises(ValueError, match=r"validity|month"):
        certificate._time(text, (text[0], 0, 2, len(text)))


@given(st.data())
def test_altered_octets_are_read_or_refused_and_nothing_else(data):
    der = bytearray(LEAF.der)
    for _ in range(data.draw(st.integers(1, 4))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    der = bytes(der[: data.draw(st.integers(0, len(der)))])

    for read in (certificate.parse, certificate.serial_of, certificate.spki_of):
        try:
            read(der)
        except Error as error:
            assert error.kind in {Kind.MALFORMED, Kind.REJECTED_IDENTIFIER}  # noqa: PT017
