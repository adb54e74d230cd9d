"""A certificate read back: what we once signed, as values."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.wire import der as encode
from mintmark.wire.identifiers import from_general_name


@dataclass(frozen=True, slots=True)
class ParsedCertificate:
    """What a certificate says.

    Args:
        serial: content octets of the INTEGER, big endian.
        common_name: of the subject, empty if there is none.
        identifiers: subject alternative names in their order.
        not_before: Unix seconds.
        not_after: Unix seconds.
        spki: DER SubjectPublicKeyInfo.
    """

    serial: bytes
    common_name: str
    identifiers: tuple[Identifier, ...]
    not_before: int
    not_after: int
    spki: bytes


def parse(der: bytes) -> ParsedCertificate:
    """Parse a certificate of ours.

    Raises:
        Error: MALFORMED when it is not a certificate, or carries names that we never sign.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return ParsedCertificate(
            serial=serial_of(der),
            common_name=str(names[0].value) if names else "",
            identifiers=_identifiers(certificate),
            not_before=int(certificate.not_valid_before_utc.timestamp()),
            not_after=int(certificate.not_valid_after_utc.timestamp()),
            spki=spki_of(der),
        )
    except ValueError as error:
        raise _malformed(error) from error


def serial_of(der: bytes) -> bytes:
    """Return the content octets of the serial (RFC 5280 §4.1.2.2).

    Raises:
        Error: MALFORMED.
    """
    try:
        fields = _tbs_fields(der)
        _, _, start, end = fields[1]
        return der[start:end]
    except (ValueError, IndexError) as error:
        raise _malformed(error) from error


def spki_of(der: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo, exactly as certified (RFC 5280 §4.1.2.7).

    Raises:
        Error: MALFORMED.
    """
    try:
        _, start, _, end = _tbs_fields(der)[6]
        return der[start:end]
    except (ValueError, IndexError) as error:
        raise _malformed(error) from error


def _tbs_fields(der: bytes) -> list[tuple[int, int, int, int]]:
    """Return the fields of a v3 TBSCertificate, version first (RFC 5280 §4.1)."""
    _, certificate_start, _ = encode.read(der)
    _, tbs_start, tbs_end = encode.read(der, certificate_start)
    fields = encode.children(der, tbs_start, tbs_end)
    if fields[0][0] != 0xA0:
        raise ValueError("not a v3 certificate")
    return fields


def _identifiers(certificate: x509.Certificate) -> tuple[Identifier, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(from_general_name(name) for name in names.value)


def _malformed(error: Exception) -> Error:
    return Error(
        Kind.MALFORMED,
        f"this is not an X.509 certificate that can be read: {error}",
        hint="send one certificate, PEM or DER",
    )
