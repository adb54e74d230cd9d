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
    fields = _elements(tbs, start, end)
    if [field[0] for field in fields] != _TAGS or fields[0] != _VERSION_3:
        raise ValueError("not a v3 TBSCertificate with extensions and without unique ids")
    _, serial, signature, issuer, validity, subject, spki, tagged = fields
    front_end = end - len(tagged)
    _, list_start, _ = der.read(tbs, front_end)
    start_of_first, end_of_last = der.expect(tbs, list_start, end, der.SEQUENCE)
    if end_of_last != end:
        raise ValueError("octets after the extensions")
    return TBSFields(
        serial,
        signature,
        issuer,
        validity,
        subject,
        spki,
        extensions=_elements(tbs, start_of_first, end),
        front=tbs[start:front_end],
    )


def _elements(data: bytes, at: int, end: int) -> list[bytes]:
    """Return each element between two offsets, tag and length included.

    Every certificate is taken apart with this before it is signed: lengths of one octet, most
    of them, are read in place.

    Raises:
        ValueError: as `der.read`, or an element crosses `end`.
    """
    found = []
    while at < end - 1:
        size = data[at + 1]
        stop = at + 2 + size if size < 0x80 else der.read(data, at)[2]
        found.append(data[at:stop])
        at = stop
    if at != end:
        raise ValueError(f"DER value runs past its parent, which ends at octet {end}")
    return found


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
    at, end = der.expect(spki, 0, len(spki), der.SEQUENCE)
    _, algorithm_end = der.expect(spki, at, end, der.SEQUENCE)
    bits, stop = der.expect(spki, algorithm_end, end, der.BIT_STRING)
    if bits == stop or stop != end:
        raise ValueError("a subjectPublicKey without octets, or with something behind it")
    return spki[bits + 1 : stop]
