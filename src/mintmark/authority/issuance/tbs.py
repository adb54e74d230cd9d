"""A TBSCertificate taken apart into its fields, as octets (RFC 5280 §4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
        extensions: each Extension of the [3] element.
        front: everything before the [3] element.
    """

    serial: bytes
    signature: bytes
    issuer: bytes
    validity: bytes
    subject: bytes
    spki: bytes
    extensions: list[bytes]
    front: bytes


def split(tbs: bytes) -> TBSFields:
    """Return the fields of a v3 TBSCertificate.

    Raises:
        ValueError: it is none, or carries issuerUniqueID or subjectUniqueID, which RFC 5280
            §4.1.2.8 forbids, or no extensions.
    """
    start, end = der.expect(tbs, 0, len(tbs), der.SEQUENCE)
    if end != len(tbs):
        raise ValueError("octets after the TBSCertificate")
    fields = der.children(tbs, start, end)
    if [field[0] for field in fields] != _TAGS or not tbs.startswith(_VERSION_3, start):
        raise ValueError("not a v3 TBSCertificate with extensions and without unique ids")
    _, front_end, list_start, list_end = fields[-1]
    inner_start, inner_end = der.expect(tbs, list_start, list_end, der.SEQUENCE)
    if inner_end != list_end:
        raise ValueError("octets after the extensions")
    serial, signature, issuer, validity, subject, spki = [
        tbs[at:stop] for _, at, _, stop in fields[1:-1]
    ]
    return TBSFields(
        serial,
        signature,
        issuer,
        validity,
        subject,
        spki,
        extensions=[tbs[at:stop] for _, at, _, stop in der.children(tbs, inner_start, inner_end)],
        front=tbs[start:front_end],
    )


_VERSION_3: Final = der.explicit(0, der.integer(2))
_TAGS: Final = [0xA0, der.INTEGER, *[der.SEQUENCE] * 5, 0xA3]


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


def attributes(name: bytes) -> list[tuple[bytes, int, bytes]]:
    """Return the attributes of a Name whose RDNs have one each: OID element, tag, content.

    Raises:
        ValueError: it is no Name, or an RDN has several attributes.
    """
    found = []
    at, end = der.expect(name, 0, len(name), der.SEQUENCE)
    while at < end:
        start, at = der.expect(name, at, end, der.SET)
        start, stop = der.expect(name, start, at, der.SEQUENCE)
        _, oid_end = der.expect(name, start, stop, der.OBJECT_IDENTIFIER)
        tag, content, value_end = der.read(name, oid_end)
        if not value_end == stop == at:
            raise ValueError("an RDN of several attributes")
        found.append((name[start:oid_end], tag, name[content:value_end]))
    return found
