"""CRLs assembled by hand are byte for byte what the plain builder makes."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.model.status import Reason
from mintmark.wire import crl, der

ED25519 = der.sequence(der.oid("1.3.101.112"))
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Intermediate")])
KEY_ID = bytes(range(20))
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
REASON_FLAGS = {
    Reason.KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
    Reason.CA_COMPROMISE: x509.ReasonFlags.ca_compromise,
    Reason.AFFILIATION_CHANGED: x509.ReasonFlags.affiliation_changed,
    Reason.SUPERSEDED: x509.ReasonFlags.superseded,
    Reason.CESSATION_OF_OPERATION: x509.ReasonFlags.cessation_of_operation,
    Reason.PRIVILEGE_WITHDRAWN: x509.ReasonFlags.privilege_withdrawn,
}

serials = st.integers(min_value=1, max_value=2**159 - 1)
times = st.integers(min_value=0, max_value=3_000_000_000)
revocations = st.lists(st.tuples(serials, times, st.sampled_from(Reason)), max_size=8)


def _utc(seconds):
    return datetime.fromtimestamp(seconds, UTC)


def _built(entries, this_update, next_update, number):
    revoked = []
    for serial, at, reason in entries:
        builder = x509.RevokedCertificateBuilder(serial, _utc(at))
        if reason is not Reason.UNSPECIFIED:
            builder = builder.add_extension(x509.CRLReason(REASON_FLAGS[reason]), critical=False)
        revoked.append(builder.build())
    return (
        x509.CertificateRevocationListBuilder(
            issuer_name=NAME,
            last_update=_utc(this_update),
            next_update=_utc(next_update),
            revoked_certificates=revoked,
        )
        .add_extension(x509.AuthorityKeyIdentifier(KEY_ID, None, None), critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
        .sign(KEY, None)
    )


def _assembled(entries, this_update, next_update, number):
    joined = b"".join(
        crl.entry(serial.to_bytes(20, "big"), at, reason) for serial, at, reason in entries
    )
    tbs = crl.tbs_cert_list(
        NAME.public_bytes(), ED25519, this_update, next_update, number, KEY_ID, joined
    )
    return crl.cert_list(tbs, ED25519, KEY.sign(tbs))


@settings(max_examples=60, deadline=None)
@given(revocations, times, st.integers(min_value=1, max_value=10**7), serials)
def test_assembled_crl_equals_the_builders(entries, this_update, lifetime, number):
    parameters = entries, this_update, this_update + lifetime, number
    assert _assembled(*parameters) == _built(*parameters).public_bytes(Encoding.DER)


def test_empty_list_is_left_out():
    """RFC 5280 §5.1.2.6."""
    parsed = x509.load_der_x509_crl(_assembled([], 0, 3600, 1))
    assert len(parsed) == 0
    assert parsed.is_signature_valid(KEY.public_key())


def test_unspecified_is_said_by_saying_nothing():
    """RFC 5280 §5.3.1."""
    entry = crl.entry(b"\x40" * 20, 1_800_000_000, Reason.UNSPECIFIED)
    assert len(der.children(entry, 2, len(entry))) == 2


def test_revocation_after_2049_is_generalized_time():
    entry = crl.entry(b"\x40" * 20, 2_600_000_000, Reason.SUPERSEDED)
    assert b"\x18\x0f2052" in entry


@pytest.mark.parametrize("serial", [b"\x01", b"\x00" * 19 + b"\x80", b"\xff" * 20])
def test_serials_are_positive_and_minimal(serial):
    entry = crl.entry(serial, 0, Reason.UNSPECIFIED)
    _, _, content, end = der.children(entry, 2, len(entry))[0]
    assert int.from_bytes(entry[content:end], "big", signed=True) == int.from_bytes(serial, "big")


def test_many_entries_are_counted_by_a_parser():
    entries = [
        (number << 140 | number, 1_800_000_000, Reason.SUPERSEDED) for number in range(1, 5000)
    ]
    parsed = x509.load_der_x509_crl(_assembled(entries, 1_800_000_000, 1_800_086_400, 7))
    assert len(parsed) == 4999
    assert parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 7
