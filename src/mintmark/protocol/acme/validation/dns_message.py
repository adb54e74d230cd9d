"""DNS messages of one question (RFC 1035 §4), as much of them as validation needs.

The reader is our own because answers come from whoever holds the name: a general parser takes
half a minute over 64 kB of well-formed malice, and this one a few milliseconds. It looks at
the answer section only, at a bounded number of records, and at names of bounded work. There is
no EDNS: what does not fit into 512 octets is asked for again over TCP, which is hard to spoof
and never comes in fragments.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

A: Final = 1
CNAME: Final = 5
TXT: Final = 16
AAAA: Final = 28
TYPES: Final = {A: "A", AAAA: "AAAA", TXT: "TXT"}

NOERROR: Final = 0
NXDOMAIN: Final = 3
RCODES: Final = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED"}

MAX_RECORDS: Final = 512
MAX_CHAIN: Final = 10
_HEADER: Final = struct.Struct("!6H")
_RECORD: Final = struct.Struct("!HHIH")
_IN: Final = 1
_TRUNCATED: Final = 0x0200
_RECURSION_DESIRED: Final = 0x0100
_MAX_NAME: Final = 255  # RFC 1035 §2.3.4
_MAX_JUMPS: Final = 16  # of compression in one name; servers need one or two


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered to one question.

    Args:
        rcode: RFC 1035 §4.1.1.
        truncated: whether the rest has to be fetched over TCP.
        name: in wire form, where the chain of aliases in this message ends.
        rdata: of the records of the asked type at that name.
    """

    rcode: int
    truncated: bool
    name: bytes
    rdata: tuple[bytes, ...]


def encode_name(text: str) -> bytes:
    """Return a name in wire form, lower case (RFC 1035 §3.1, RFC 4343).

    Raises:
        ValueError: it is not a name, or longer than 255 octets.
    """
    labels = text.lower().removesuffix(".").encode("ascii").split(b".")
    if not all(0 < len(label) < 64 for label in labels):
        raise ValueError(f"{text!r} has a label of no or more than 63 octets")
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(name) > _MAX_NAME:
        raise ValueError(f"{text!r} is longer than {_MAX_NAME} octets")
    return name


def decode_name(name: bytes) -> str:
    """Return a name in wire form as text without a trailing dot, whatever its octets."""
    labels = []
    offset = 0
    while size := name[offset]:
        labels.append(name[offset + 1 : offset + 1 + size].decode("ascii", "backslashreplace"))
        offset += 1 + size
    return ".".join(labels)


def query(identity: int, name: bytes, type: int) -> bytes:  # noqa: A002 - the RFC's word
    """Return a recursive query of one question."""
    header = _HEADER.pack(identity, _RECURSION_DESIRED, 1, 0, 0, 0)
    return header + name + struct.pack("!HH", type, _IN)


def answers(reply: bytes, asked: bytes) -> bool:
    """Whether a message is a reply to the query `asked`: its id and its very question.

    Everything else is noise, or somebody who guesses.
    """
    return (
        len(reply) >= len(asked)
        and reply[:2] == asked[:2]
        and reply[2] & 0xF8 == 0x80  # a response, and to a standard query
        and reply[4:6] == b"\0\1"
        and reply[12 : len(asked)].lower() == asked[12:].lower()
    )


def parse(reply: bytes, asked: bytes) -> Reply:
    """Read a reply to the query `asked`, following aliases within it.

    Raises:
        ValueError: it is not a reply to it, is cut short, has more than 512 records, or its
            aliases form a loop or too long a chain.
    """
    if not answers(reply, asked):
        raise ValueError("the message is not a reply to the question")
    flags, count = _HEADER.unpack_from(reply)[1], _HEADER.unpack_from(reply)[3]
    name, wanted = asked[12:-4].lower(), int.from_bytes(asked[-4:-2])
    rcode = flags & 0x000F
    if flags & _TRUNCATED:
        return Reply(rcode, True, name, ())
    if count > MAX_RECORDS:
        raise ValueError(f"the answer has {count} records, the limit is {MAX_RECORDS}")
    aliases, found = _records(reply, len(asked), count, wanted)
    chain = [name]
    while name in aliases and name not in found:
        name = aliases[name]
        if name in chain:
            raise ValueError(f"its aliases (CNAME) form a loop at '{decode_name(name)}'")
        chain.append(name)
        if len(chain) > MAX_CHAIN:
            raise ValueError(f"its aliases (CNAME) are a chain of more than {MAX_CHAIN}")
    return Reply(rcode, False, name, tuple(found.get(name, ())))


def _records(
    data: bytes, offset: int, count: int, wanted: int
) -> tuple[dict[bytes, bytes], dict[bytes, list[bytes]]]:
    """Return the aliases and the RDATA of the wanted type, by owner name."""
    aliases: dict[bytes, bytes] = {}
    found: dict[bytes, list[bytes]] = {}
    for _ in range(count):
        owner, offset = _name(data, offset)
        start = offset + _RECORD.size
        if start > len(data):
            raise ValueError(f"the message is cut short at octet {offset}")
        kind, kind_class, _, size = _RECORD.unpack_from(data, offset)
        offset = start + size
        if offset > len(data):
            raise ValueError(f"the message is cut short at octet {start}")
        if kind_class != _IN:
            continue
        if kind == wanted:
            found.setdefault(owner, []).append(data[start:offset])
        elif kind == CNAME:
            aliases.setdefault(owner, _name(data, start)[0])
    return aliases, found


def _name(data: bytes, offset: int) -> tuple[bytes, int]:
    """Return the name at an offset in lower case wire form, and where it ends (§4.1.4)."""
    labels: list[bytes] = []
    size = 1
    end = jumps = 0
    lowest = offset
    while True:
        if offset >= len(data):
            raise ValueError("a name runs past the end of the message")
        length = data[offset]
        if length >= 0xC0:
            end = end or offset + 2
            pointer = int.from_bytes(data[offset : offset + 2]) & 0x3FFF
            jumps += 1
            if pointer >= lowest or jumps > _MAX_JUMPS:
                raise ValueError(f"a name at octet {offset} does not point backwards")
            offset = lowest = pointer
            continue
        if length > 63:
            raise ValueError(f"a label at octet {offset} has an unknown type")
        if not length:
            return b"".join(labels) + b"\0", end or offset + 1
        size += 1 + length
        if size > _MAX_NAME:
            raise ValueError(f"a name is longer than {_MAX_NAME} octets")
        labels.append(data[offset : offset + 1 + length].lower())
        offset += 1 + length


def address(rdata: bytes) -> str:
    """Return the address of an A or AAAA record as text.

    Raises:
        ValueError: neither 4 nor 16 octets.
    """
    if len(rdata) not in {4, 16}:
        raise ValueError(f"an address record has {len(rdata)} octets")
    return str(ipaddress.ip_address(rdata))


def text(rdata: bytes) -> bytes:
    """Return the strings of a TXT record, joined (RFC 1035 §3.3.14, RFC 8555 §8.4).

    Raises:
        ValueError: a string runs past the end.
    """
    strings = []
    offset = 0
    while offset < len(rdata):
        end = offset + 1 + rdata[offset]
        strings.append(rdata[offset + 1 : end])
        offset = end
    if offset != len(rdata):
        raise ValueError("a TXT record is cut short")
    return b"".join(strings)
