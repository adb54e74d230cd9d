"""PKCS #12 and PKCS #7 files, read back by their usual readers."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7, pkcs12
from cryptography.x509.oid import NameOID

from mintmark.model.errors import Error, Kind
from mintmark.wire import pkcs

KEY = ec.generate_private_key(ec.SECP256R1())


def certificate(name):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
        .sign(KEY, SHA256())
    )


LEAF, ISSUER = certificate("web"), certificate("Intermediate")
LEAF_DER, ISSUER_DER = LEAF.public_bytes(Encoding.DER), ISSUER.public_bytes(Encoding.DER)


def test_pkcs12_holds_key_certificate_and_chain():
    data = pkcs.pkcs12("wéb", KEY, LEAF_DER, [ISSUER_DER], b"secret")
    found = pkcs12.load_pkcs12(data, b"secret")
    assert found.key.private_numbers() == KEY.private_numbers()
    assert found.cert.certificate == LEAF
    assert found.cert.friendly_name == "wéb".encode()
    assert [extra.certificate for extra in found.additional_certs] == [ISSUER]
    with pytest.raises(ValueError, match="password"):
        pkcs12.load_pkcs12(data, b"other")


@pytest.mark.parametrize("password", [None, b"secret"])
def test_pkcs12_of_certificates_alone_may_go_without_a_password(password):
    data = pkcs.pkcs12("web", None, LEAF_DER, [ISSUER_DER], password)
    found = pkcs12.load_pkcs12(data, password)
    assert found.key is None
    assert LEAF in [extra.certificate for extra in found.additional_certs]


@pytest.mark.parametrize("password", [None, b"", b"\xff", b"x" * 1025])
def test_key_never_leaves_without_a_good_password(password):
    with pytest.raises(Error) as refused:
        pkcs.pkcs12("web", KEY, LEAF_DER, [], password)
    assert refused.value.kind is Kind.MALFORMED
    assert refused.value.detail.startswith("PKCS #12")


def test_pkcs7_holds_the_certificates():
    data = pkcs.pkcs7([LEAF_DER, ISSUER_DER])
    assert set(pkcs7.load_der_pkcs7_certificates(data)) == {LEAF, ISSUER}
