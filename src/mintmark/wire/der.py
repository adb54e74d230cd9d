"""A DER writer of one screen (X.690), and a reader that only walks.

The writer exists because the hot paths assemble certificates, CRLs and OCSP responses from
pieces encoded beforehand (ADR 0003); whatever it makes is parsed back by `cryptography`
before it is used. The reader walks tags and lengths strictly and copies nothing it need not.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

BOOLEAN_TRUE: Final = b"\x01\x01\xff"
NULL: Final = b"\x05\x00"
SEQUENCE: Final = 0x30
SET: Final = 0x31
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
ENUMERATED: Final = 0x0A
UTF8_STRING: Final = 0x0C
PRINTABLE_STRING: Final = 0x13
IA5_STRING: Final = 0x16
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18

_OCTETS: Final = tuple(bytes((number,)) for number in range(256))


def length(size: int) -> bytes:
    """Return the definite-form length octets of `size` (X.690 §10.1: the shortest form)."""
    if size < 0x80:
        return _OCTETS[size]
    if size < 0x10000:
        low = _OCTETS[size & 0xFF]
        return b"\x81" + low if size < 0x100 else b"\x82" + _OCTETS[size >> 8] + low
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return _OCTETS[0x80 | len(octets)] + octets


def header(tag: int, size: int) -> bytes:
    """Return tag and length octets of a value of `size` octets."""
    return _OCTETS[tag] + length(size)


@lru_cache(maxsize=1024)  # what is issued has few sizes
def sequence_header(size: int) -> bytes:
    """Return tag and length octets of a SEQUENCE of `size` octets."""
    return header(SEQUENCE, size)


def tlv(tag: int, *parts: bytes) -> bytes:
    """Return tag, length and the concatenated `parts`."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return _OCTETS[tag] + _OCTETS[size] + content
    return b"".join((_OCTETS[tag], length(size), content))


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE of encoded `parts`."""
    return tlv(SEQUENCE, *parts)


def integer(value: int) -> bytes:
    """Return an INTEGER in the fewest octets (X.690 §8.3.2)."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def unsigned(magnitude: bytes) -> bytes:
    """Return an INTEGER from big endian octets of a number that is not negative."""
    content = magnitude.lstrip(b"\0")
    if not content or content[0] & 0x80:
        content = b"\0" + content
    return tlv(INTEGER, content)


def octet_string(content: bytes) -> bytes:
    """Return an OCTET STRING."""
    return tlv(OCTET_STRING, content)


def bit_string(content: bytes, unused: int = 0) -> bytes:
    """Return a BIT STRING whose last octet has `unused` unused bits."""
    return tlv(BIT_STRING, bytes((unused,)), content)


def named_bits(positions: frozenset[int]) -> bytes:
    """Return a BIT STRING of named bits, trailing zero bits removed (X.690 §11.2.2)."""
    if not positions:
        return bit_string(b"")
    highest = max(positions)
    octets = bytearray(highest // 8 + 1)
    for position in positions:
        octets[position // 8] |= 0x80 >> (position % 8)
    return bit_string(bytes(octets), 7 - highest % 8)


def oid(dotted: str) -> bytes:
    """Return an OBJECT IDENTIFIER.

    Raises:
        ValueError: `dotted` is not two or more numbers that X.690 §8.19 can encode.
    """
    arcs = [int(arc) for arc in dotted.split(".")]
    if len(arcs) < 2 or arcs[0] > 2 or min(arcs) < 0 or (arcs[0] < 2 and arcs[1] > 39):
        raise ValueError(f"{dotted!r} is not an object identifier")
    content = bytearray()
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        octets = [arc & 0x7F]
        while arc := arc >> 7:
            octets.append(0x80 | arc & 0x7F)
        content += bytes(reversed(octets))
    return tlv(OBJECT_IDENTIFIER, bytes(content))


@lru_cache(maxsize=4096)
def time(seconds: int) -> bytes:
    """Return a Time: UTCTime through 2049, GeneralizedTime after (RFC 5280 §4.1.2.5).

    Remembered, as what is signed within one second carries the same times.
    """
    moment = datetime.fromtimestamp(seconds, UTC)
    if 1950 <= moment.year < 2050:
        return tlv(UTC_TIME, moment.strftime("%y%m%d%H%M%SZ").encode())
    return generalized_time(seconds)


@lru_cache(maxsize=4096)
def generalized_time(seconds: int) -> bytes:
    """Return a GeneralizedTime in UTC without fraction (RFC 5280 §4.1.2.5.2)."""
    moment = datetime.fromtimestamp(seconds, UTC)
    # strftime does not pad years below 1000 on every C library.
    return tlv(GENERALIZED_TIME, f"{moment.year:04}{moment:%m%d%H%M%S}Z".encode())


def explicit(number: int, *parts: bytes) -> bytes:
    """Return `parts` under the constructed context tag `[number]`."""
    return tlv(0xA0 | number, *parts)


def implicit(number: int, content: bytes) -> bytes:
    """Return `content` under the primitive context tag `[number]`."""
    return tlv(0x80 | number, content)


def _long_length(data: bytes, start: int, first: int) -> tuple[int, int]:
    """Return where the content starts and its size, for a length of more than one octet."""
    end = start + (first & 0x7F)
    size = int.from_bytes(data[start:end], "big")
    smallest = _SMALLEST.get(first)
    if smallest is None or size < smallest or end > len(data):
        raise ValueError(f"DER length at octet {start - 1} is not definite and minimal")
    return end, size


# The smallest size that needs a length of two to five octets, by the first of them.
_SMALLEST: Final = {0x81: 0x80, 0x82: 0x100, 0x83: 0x10000, 0x84: 0x1000000}


def read(data: bytes, offset: int = 0) -> tuple[int, int, int]:
    """Read one tag and length at `offset`.

    Returns:
        The tag octet, where its content starts, and where it ends.

    Raises:
        ValueError: cut short, a long tag, an indefinite length, or a length not in its
            shortest form (X.690 §10.1).
    """
    try:
        tag, size = data[offset], data[offset + 1]
    except IndexError:
        raise ValueError(f"DER cut short at octet {offset}") from None
    start = offset + 2
    if size >= 0x80:
        start, size = _long_length(data, start, size)
    if tag & 0x1F == 0x1F:
        raise ValueError(f"DER tag at octet {offset} has more than one octet")
    end = start + size
    if end > len(data):
        raise ValueError(f"DER value at octet {offset} runs past the end")
    return tag, start, end


def expect(data: bytes, offset: int, limit: int, tag: int) -> tuple[int, int]:
    """Read one element that must have `tag` and must end at or before `limit`.

    Args:
        data: the octets.
        offset: where the element starts.
        limit: where its parent ends, at most the size of `data`.
        tag: its tag octet.

    Returns:
        Where its content starts, and where it ends.

    Raises:
        ValueError: as `read`, another tag, or it crosses `limit`.
    """
    start = offset + 2
    if start > limit or data[offset] != tag:
        raise ValueError(f"DER tag 0x{tag:02x} expected at octet {offset}")
    size = data[offset + 1]
    if size >= 0x80:
        start, size = _long_length(data, start, size)
    end = start + size
    if end > limit:
        raise ValueError(f"DER value at octet {offset} runs past its parent")
    return start, end


def children(data: bytes, start: int, end: int) -> list[tuple[int, int, int, int]]:
    """Return (tag, element start, content start, end) of each element between two offsets.

    Raises:
        ValueError: as `read`, or an element crosses `end`.
    """
    found = []
    while start < end:
        content = start + 2
        tag, size = data[start], data[start + 1] if content <= end else 0x80
        stop = content + size
        if size >= 0x80 or tag & 0x1F == 0x1F or stop > end:  # what is not short and simple
            tag, content, stop = read(data, start)
            if stop > end:
                raise ValueError(f"DER value at octet {start} runs past its parent")
        found.append((tag, start, content, stop))
        start = stop
    return found


def dotted(content: bytes) -> str:
    """Return the dotted form of an OBJECT IDENTIFIER's content (X.690 §8.19).

    Raises:
        ValueError: empty, cut short, padded, or an arc of more than 128 bits.
    """
    if not content or content[-1] & 0x80 or len(content) > 256:
        raise ValueError("DER object identifier is empty, cut short or too long")
    arcs: list[int] = []
    arc = size = 0
    for octet in content:
        if size == 0 and octet == 0x80:
            raise ValueError("DER object identifier has a padded arc")
        arc, size = arc << 7 | octet & 0x7F, size + 1
        if size > 19:
            raise ValueError("DER object identifier has an arc of more than 128 bits")
        if not octet & 0x80:
            arcs.append(arc)
            arc = size = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(str(number) for number in (first, arcs[0] - 40 * first, *arcs[1:]))
