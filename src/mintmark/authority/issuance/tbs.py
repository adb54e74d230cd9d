"""A TBSCertificate taken apart into its fields, as octets (RFC 5280 §4.1)."""

from __future__ import annotations

from dataclasses import dataclass

from mintmark.wire import der


@dataclass(slots=True)
class TBSFields:
    """The fields, each one element as it stands, tag and length included.

    Args:
        serial: INTEGER.
        signature: AlgorithmIdentifier of the signature to come.
        issuer: Name.
        validity: SEQUENCE of two Times.
        subject: Name.
        spki: SubjectPublicKeyInfo.
        extensions: the [3] element.
    """

    serial: bytes
    signature: bytes
    issuer: bytes
    validity: bytes
    subject: bytes
    spki: bytes
    extensions: bytes


def split(tbs: bytes) -> TBSFields:
    """Return the fields of a v3 TBSCertificate.

    Raises:
        ValueError: it is none, or carries issuerUniqueID or subjectUniqueID, which RFC 5280
            §4.1.2.8 forbids, or no extensions.
    """
    _, start, end = der.read(tbs)
    if end != len(tbs):
        raise ValueError("octets after the TBSCertificate")
    fields = der.children(tbs, start, end)
    tags = [field[0] for field in fields]
    if tags != [0xA0, der.INTEGER, *[der.SEQUENCE] * 5, 0xA3]:
        raise ValueError("not a v3 TBSCertificate with extensions and without unique ids")
    return TBSFields(*[tbs[at:stop] for _, at, _, stop in fields[1:]])


def split_certificate(certificate: bytes) -> TBSFields:
    """Return the fields of a certificate's TBSCertificate.

    Raises:
        ValueError: as `split`.
    """
    _, start, _ = der.read(certificate)
    _, _, end = der.read(certificate, start)
    return split(certificate[start:end])


def public_key_octets(spki: bytes) -> bytes:
    """Return subjectPublicKey, the content of a SubjectPublicKeyInfo's BIT STRING.

    Raises:
        ValueError: it is no SubjectPublicKeyInfo.
    """
    _, start, end = der.read(spki)
    (_, _, _, at), (tag, _, bits, stop) = der.children(spki, start, end)
    if tag != der.BIT_STRING or at >= stop:
        raise ValueError("not a SubjectPublicKeyInfo")
    return spki[bits + 1 : stop]
