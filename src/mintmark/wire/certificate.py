"""A certificate read back: what we once signed, as values.

Lists read hundreds at a time, so the TBSCertificate is walked once (RFC 5280 §4.1) and nothing
is parsed that is not asked for.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import Final

from msgspec import Struct

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.time import DAY, HOUR, MINUTE
from mintmark.wire import der as encode
from mintmark.wire.general_names import parse_general_name

_COMMON_NAME: Final = encode.oid("2.5.4.3")
_SUBJECT_ALT_NAME: Final = encode.oid("2.5.29.17")
_EPOCH: Final = date(1970, 1, 1).toordinal()
_TIMES: Final = frozenset({encode.UTC_TIME, encode.GENERALIZED_TIME})

Element = tuple[int, int, int, int]
"""Tag, where the element starts, where its content starts, where it ends."""


class ParsedCertificate(Struct, frozen=True, gc=False):
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
        fields = _tbs_fields(der)
        _, serial, _, _, validity, subject, spki = fields[:7]
        not_before, not_after = _validity(der, validity)
        return ParsedCertificate(
            serial=der[serial[2] : serial[3]],
            common_name=_common_name(der, subject),
            identifiers=_identifiers(der, fields[7:]),
            not_before=not_before,
            not_after=not_after,
            spki=der[spki[1] : spki[3]],
        )
    except ValueError as error:
        raise _malformed(error) from error


def serial_of(der: bytes) -> bytes:
    """Return the content octets of the serial (RFC 5280 §4.1.2.2).

    Raises:
        Error: MALFORMED.
    """
    try:
        _, _, start, end = _tbs_fields(der)[1]
    except ValueError as error:
        raise _malformed(error) from error
    return der[start:end]


def spki_of(der: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo, exactly as certified (RFC 5280 §4.1.2.7).

    Raises:
        Error: MALFORMED.
    """
    try:
        _, start, _, end = _tbs_fields(der)[6]
    except ValueError as error:
        raise _malformed(error) from error
    return der[start:end]


def _tbs_fields(der: bytes) -> list[Element]:
    """Return the fields of a v3 TBSCertificate, version first (RFC 5280 §4.1)."""
    start, end = encode.expect(der, 0, len(der), encode.SEQUENCE)
    tbs, tbs_end = encode.expect(der, start, end, encode.SEQUENCE)
    fields = encode.children(der, tbs, tbs_end)
    if len(fields) < 7 or fields[0][0] != 0xA0:
        raise ValueError("not a v3 certificate")
    return fields


def _validity(der: bytes, validity: Element) -> tuple[int, int]:
    """Return both ends (RFC 5280 §4.1.2.5)."""
    times = encode.children(der, validity[2], validity[3])
    if len(times) != 2:
        raise ValueError("its validity has not two times")
    return _time(der, times[0]), _time(der, times[1])


def _time(der: bytes, element: Element) -> int:
    """Return a Time in Unix seconds; RFC 5280 §4.1.2.5 leaves it one form of each kind."""
    tag, _, start, end = element
    text = der[start:end]
    if tag == encode.UTC_TIME:  # §4.1.2.5.1: two digits mean 1950 to 2049
        text = (b"19" if text[:1] >= b"5" else b"20") + text
    if tag not in _TIMES or len(text) != 15 or not text[:14].isdigit() or text[14:] != b"Z":
        raise ValueError("its validity has no times in UTC with seconds")
    clock = int(text[8:14])
    return _midnight(text[:8]) + clock // 10000 * HOUR + clock // 100 % 100 * MINUTE + clock % 100


@lru_cache(maxsize=1024)
def _midnight(digits: bytes) -> int:
    """Return when a day begins in Unix seconds; certificates begin and end on few of them."""
    day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    return (day.toordinal() - _EPOCH) * DAY


def _common_name(der: bytes, subject: Element) -> str:
    """Return the subject's first common name, empty without one (RFC 5280 §4.1.2.6)."""
    for _, _, start, end in encode.children(der, subject[2], subject[3]):
        for _, _, attribute, stop in encode.children(der, start, end):
            if der.startswith(_COMMON_NAME, attribute, stop):
                _, text, _ = encode.read(der, attribute + len(_COMMON_NAME))
                return der[text:stop].decode()
    return ""


def _identifiers(der: bytes, optional: list[Element]) -> tuple[Identifier, ...]:
    """Return the subject alternative names (RFC 5280 §4.2.1.6)."""
    for tag, _, start, end in optional:
        if tag != 0xA3:
            continue
        list_start, list_end = encode.expect(der, start, end, encode.SEQUENCE)
        for _, _, extension, stop in encode.children(der, list_start, list_end):
            if der.startswith(_SUBJECT_ALT_NAME, extension, stop):
                return _names(der, extension + len(_SUBJECT_ALT_NAME), stop)
    return ()


def _names(der: bytes, at: int, end: int) -> tuple[Identifier, ...]:
    if der.startswith(encode.BOOLEAN_TRUE, at, end):
        at += len(encode.BOOLEAN_TRUE)
    value, value_end = encode.expect(der, at, end, encode.OCTET_STRING)
    start, stop = encode.expect(der, value, value_end, encode.SEQUENCE)
    names = encode.children(der, start, stop)
    return tuple([parse_general_name(tag, der[content:end]) for tag, _, content, end in names])


def _malformed(error: Exception) -> Error:
    return Error(
        Kind.MALFORMED,
        f"this is not an X.509 certificate that can be read: {error}",
        hint="send one certificate, PEM or DER",
    )
