"""Certificates in the containers that other tools ask for: PKCS #12 and certs-only PKCS #7."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
)
from cryptography.hazmat.primitives.serialization import pkcs7 as cms
from cryptography.hazmat.primitives.serialization import pkcs12 as pfx

from mintmark.model.errors import Error, Kind

MAX_PASSWORD_BYTES = 1024


def pkcs12(
    name: str,
    key: Any | None,
    cert_der: bytes,
    chain_ders: Iterable[bytes],
    password: bytes | None,
) -> bytes:
    """Return a PKCS #12 file (RFC 7292).

    Args:
        name: friendly name of the certificate.
        key: its private key as `cryptography` has it, or None for certificates alone.
        cert_der: the certificate.
        chain_ders: the certificates above it, nearest first.
        password: encrypts the file (PBES2 with AES-256, RFC 8018) and its MAC; None leaves
            it in the clear, which is refused when there is a key in it.

    Raises:
        Error: MALFORMED without a password that can protect the key, or with a bad one.
    """
    return pfx.serialize_key_and_certificates(
        name.encode(),
        key,
        x509.load_der_x509_certificate(cert_der),
        [x509.load_der_x509_certificate(der) for der in chain_ders],
        _encryption(password, key),
    )


def _encryption(password: bytes | None, key: Any | None) -> KeySerializationEncryption:
    """Return how the file is encrypted."""
    if password is None and key is None:
        return NoEncryption()
    if not password or len(password) > MAX_PASSWORD_BYTES:
        raise Error(
            Kind.MALFORMED,
            f"PKCS #12 needs a password of 1 to {MAX_PASSWORD_BYTES} octets",
            hint="a file without a private key may also go without a password",
        )
    try:
        password.decode()  # RFC 7292 Appendix B.1 makes a BMPString of it
    except UnicodeDecodeError as error:
        raise Error(Kind.MALFORMED, "PKCS #12 password is not UTF-8") from error
    return BestAvailableEncryption(password)


def pkcs7(ders: Iterable[bytes]) -> bytes:
    """Return a certs-only SignedData (RFC 5652 §5.1, RFC 8551 §3.2.2) of certificates."""
    certificates = [x509.load_der_x509_certificate(der) for der in ders]
    return cms.serialize_certificates(certificates, Encoding.DER)
