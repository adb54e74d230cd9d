"""Key revocation lists as OpenSSH's PROTOCOL.krl writes them, format version 1.

One list names certificates by authority and serial, certificates by key id under whatever
authority, and keys by their SHA-256. What `sshd` cannot load locks everybody out, so nothing is
written here that OpenSSH's reader refuses: no serial 0, no long bitmap, no signature section.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHPublicKey
from mintmark.wire.ssh.certificate import Fields
from mintmark.wire.ssh.encoding import UINT64_END, Reader, mpint, string, uint64

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_BITMAP: Final = 16384  # bits: OpenSSH reads no longer mpint (SSHBUF_MAX_BIGNUM)

_MAGIC: Final = b"SSHKRL\n\0"
_VERSION: Final = 1
_CERTIFICATES, _KEYS, _SHA1S, _SIGNATURE, _SHA256S, _EXTENSION = 1, 2, 3, 4, 5, 255
_LIST, _RANGE, _BITMAP, _KEY_IDS, _CERTIFICATE_EXTENSION = 0x20, 0x21, 0x22, 0x23, 0x39
_WHAT: Final = "KRL"

# How many octets each way to write serials takes, type and lengths included.
_LISTED: Final = 8
_RANGE_SIZE: Final = 21
_BITMAP_SIZE: Final = 18  # and one for each 8 serials that it spans
_NEAR: Final = 8 * _LISTED  # a serial this far on is cheaper in the same bitmap than in the list
_LONG_RUN: Final = 8 * (_RANGE_SIZE + _BITMAP_SIZE)  # dearer in a bitmap than as a range
_SPAN: Final = 8192  # bits that we write in one bitmap


@dataclass(frozen=True, slots=True)
class Revoked:
    """Certificates that one section names.

    Args:
        authority: blob of the key that signed them; empty for whatever key.
        serials: named one by one.
        ranges: (first, last), both named.
        bitmaps: (offset, bits): bit N names the serial offset + N.
        key_ids: named by key id.
    """

    authority: bytes
    serials: frozenset[int]
    ranges: tuple[tuple[int, int], ...]
    bitmaps: tuple[tuple[int, int], ...]
    key_ids: frozenset[str]

    def names(self, certificate: Fields) -> bool:
        """Whether it names a certificate; nothing names serial 0, which says there is none."""
        if self.authority not in {b"", certificate.authority.blob}:
            return False
        serial = certificate.serial
        if certificate.key_id in self.key_ids or (serial and serial in self.serials):
            return True
        return bool(serial) and (
            any(first <= serial <= last for first, last in self.ranges)
            or any(
                0 <= serial - offset < MAX_BITMAP and bits >> (serial - offset) & 1
                for offset, bits in self.bitmaps
            )
        )


@dataclass(frozen=True, slots=True)
class KRL:
    """A key revocation list, read.

    Args:
        number: its version, which rises.
        generated_at: Unix seconds.
        comment: for people.
        certificates: certificates, by section.
        keys: blobs of keys.
        key_sha1s: SHA-1 of blobs of keys.
        key_sha256s: SHA-256 of blobs of keys.
    """

    number: int
    generated_at: int
    comment: str = ""
    certificates: tuple[Revoked, ...] = ()
    keys: frozenset[bytes] = field(default=frozenset())
    key_sha1s: frozenset[bytes] = field(default=frozenset())
    key_sha256s: frozenset[bytes] = field(default=frozenset())

    def revokes(self, subject: Fields | SSHPublicKey) -> bool:
        """Whether `sshd` with this list refuses a certificate or a key.

        A certificate goes with its key, and with the key of the authority that signed it.
        """
        if isinstance(subject, SSHPublicKey):
            return self._names_key(subject)
        return (
            self._names_key(subject.key)
            or self._names_key(subject.authority)
            or any(revoked.names(subject) for revoked in self.certificates)
        )

    def _names_key(self, key: SSHPublicKey) -> bool:
        return (
            key.sha256 in self.key_sha256s
            or key.blob in self.keys
            or (
                bool(self.key_sha1s)
                and hashlib.sha1(key.blob, usedforsecurity=False).digest() in self.key_sha1s
            )
        )


def encode(
    number: int,
    generated_at: int,
    serials: Iterable[tuple[bytes, Iterable[int]]],
    key_ids: Iterable[str] = (),
    key_sha256s: Iterable[bytes] = (),
    comment: str = "",
) -> bytes:
    """Return a KRL; order and repetitions of what it is given make no difference.

    Args:
        number: its version.
        generated_at: Unix seconds.
        serials: of revoked certificates, by the blob of the key that signed them.
        key_ids: of revoked certificates, whoever signed them.
        key_sha256s: SHA-256 of the blobs of keys.
        comment: for people.

    Raises:
        Error: MALFORMED for a serial of 0 or above 2^64-1, a key id that is empty or has a NUL
            in it, and a digest that is none: `sshd` could not load the list.
    """
    sections = [
        _section(_CERTIFICATES, string(authority) + string(b"") + body)
        for authority, numbers in serials
        if (body := _serials(numbers))
    ]
    if names := sorted({_key_id(one) for one in key_ids}):
        body = _section(_KEY_IDS, b"".join(map(string, names)))
        sections.append(_section(_CERTIFICATES, string(b"") + string(b"") + body))
    if digests := sorted(set(key_sha256s)):  # PROTOCOL.krl §4: in numeric order
        if any(len(digest) != 32 for digest in digests):
            raise _cannot("a SHA-256 that has not 32 octets")
        sections.append(_section(_SHA256S, b"".join(map(string, digests))))
    return b"".join(
        (
            _MAGIC,
            _VERSION.to_bytes(4),
            uint64(number),
            uint64(generated_at),
            uint64(0),  # flags
            string(b""),  # reserved
            string(comment.encode()),
            *sections,
        )
    )


def parse(octets: bytes) -> KRL:
    """Read a KRL.

    Raises:
        Error: MALFORMED or TOO_LARGE; also for a signature section, which OpenSSH refuses too,
            and for a critical extension.
    """
    if len(octets) > MAX_BYTES:
        raise Error(Kind.TOO_LARGE, f"KRL has {len(octets)} octets, the limit is {MAX_BYTES}")
    reader = Reader(octets, _WHAT)
    if reader.octets(min(8, len(octets))) != _MAGIC:
        raise reader.refusal("expected, and this does not begin as one does")
    if (version := reader.uint32()) != _VERSION:
        raise reader.refusal(f"has format version {version}, version {_VERSION} is known")
    number, generated_at = reader.uint64(), reader.uint64()
    reader.uint64()  # flags: none are defined
    reader.string()  # reserved, to be ignored
    comment = reader.text("comment")
    certificates: list[Revoked] = []
    keys: dict[int, set[bytes]] = {_KEYS: set(), _SHA1S: set(), _SHA256S: set()}
    while reader.more:
        kind, data = reader.uint8(), reader.string()
        if kind == _CERTIFICATES:
            certificates.append(_read_certificates(data))
        elif kind in keys:
            keys[kind].update(_read_keys(kind, data))
        elif kind == _EXTENSION:
            _skip_extension(data)
        else:
            raise reader.refusal(
                f"has a section of type {kind}" + (" (signature)" if kind == _SIGNATURE else ""),
                hint="sections of certificates, keys and fingerprints are known",
            )
    return KRL(
        number,
        generated_at,
        comment,
        tuple(certificates),
        frozenset(keys[_KEYS]),
        frozenset(keys[_SHA1S]),
        frozenset(keys[_SHA256S]),
    )


# --- writing -------------------------------------------------------------------------------------


def _section(kind: int, data: bytes) -> bytes:
    return bytes((kind,)) + string(data)


def _key_id(text: str) -> bytes:
    try:
        octets = text.encode()
    except UnicodeEncodeError as error:
        raise _cannot("a key id that is not Unicode") from error
    if not octets or b"\0" in octets:
        raise _cannot("a key id that is empty or has a NUL in it")
    return octets


def _serials(numbers: Iterable[int]) -> bytes:
    """Return the sections of serials, each serial written where it takes least."""
    serials = sorted(set(numbers))
    if not serials:
        return b""
    if serials[0] < 1 or serials[-1] >= UINT64_END:
        raise _cannot(f"the serials {serials[0]} to {serials[-1]}: 1 to 2^64-1 can be named")
    listed: list[int] = []
    packed: list[bytes] = []
    for cluster in _clusters(_runs(serials)):
        first, last = cluster[0][0], cluster[-1][1]
        count = sum(high - low + 1 for low, high in cluster)
        as_bitmap = _BITMAP_SIZE + (last - first + 1) // 8
        as_range = _RANGE_SIZE if len(cluster) == 1 else as_bitmap + 1
        if count * _LISTED <= min(as_bitmap, as_range):
            listed.extend(number for low, high in cluster for number in range(low, high + 1))
        elif as_range <= as_bitmap:
            packed.append(_section(_RANGE, uint64(first) + uint64(last)))
        else:
            bits = 0
            for low, high in cluster:
                bits |= (1 << high - first + 1) - (1 << low - first)
            packed.append(_section(_BITMAP, uint64(first) + mpint(bits)))
    if listed:
        packed.insert(0, _section(_LIST, struct.pack(f">{len(listed)}Q", *listed)))
    return b"".join(packed)


def _runs(serials: list[int]) -> Iterator[tuple[int, int]]:
    """Yield (first, last) of serials that follow each other without a gap."""
    first = last = serials[0]
    for serial in serials:
        if serial > last + 1:
            yield first, last
            first = serial
        last = serial
    yield first, last


def _clusters(runs: Iterable[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield runs that one bitmap could hold, and long runs by themselves."""
    cluster: list[tuple[int, int]] = []
    for run in runs:
        first, last = run
        if last - first >= _LONG_RUN:
            if cluster:
                yield cluster
            yield [run]
            cluster = []
        elif cluster and (first - cluster[-1][1] > _NEAR or last - cluster[0][0] >= _SPAN):
            yield cluster
            cluster = [run]
        else:
            cluster.append(run)
    if cluster:
        yield cluster


def _cannot(what: str) -> Error:
    return Error(Kind.MALFORMED, f"a KRL cannot carry {what}")


# --- reading -------------------------------------------------------------------------------------


def _read_keys(kind: int, data: bytes) -> list[bytes]:
    """Read keys (§3), or digests of them, which stand in numeric order (§4)."""
    reader = Reader(data, "KRL's section of keys")
    found: list[bytes] = []
    size = {_SHA1S: 20, _SHA256S: 32}.get(kind)
    while reader.more or not found:
        octets = reader.string()
        if size is not None and (len(octets) != size or (found and octets <= found[-1])):
            raise reader.refusal(f"has a digest twice, not in order or not of {size} octets")
        found.append(octets)
    return found


def _read_certificates(data: bytes) -> Revoked:
    reader = Reader(data, "KRL's section of certificates")
    authority = reader.string()
    reader.string()  # reserved, to be ignored
    serials: set[int] = set()
    ranges: list[tuple[int, int]] = []
    bitmaps: list[tuple[int, int]] = []
    key_ids: set[str] = set()
    while reader.more:
        kind, part = reader.uint8(), reader.string()
        inner = Reader(part, "KRL's list of certificates")
        if kind == _LIST:
            serials.update(_read_list(part))
        elif kind == _RANGE:
            ranges.append(_read_range(inner))
        elif kind == _BITMAP:
            bitmaps.append(_read_bitmap(inner))
        elif kind == _KEY_IDS:
            while inner.more:
                key_ids.add(inner.text("key id"))
        elif kind == _CERTIFICATE_EXTENSION:
            _skip_extension(part)
        else:
            raise reader.refusal(f"has a part of type {kind:#x}, which is not known")
    return Revoked(authority, frozenset(serials), tuple(ranges), tuple(bitmaps), frozenset(key_ids))


def _read_list(data: bytes) -> Iterable[int]:
    if len(data) % 8:
        raise Error(Kind.MALFORMED, "KRL's list of serials ends in the middle of one")
    return struct.unpack(f">{len(data) // 8}Q", data)


def _read_range(reader: Reader) -> tuple[int, int]:
    first, last = reader.uint64(), reader.uint64()
    reader.end()
    if first > last:
        raise reader.refusal(f"has a range from {first} to {last}")
    return first, last


def _read_bitmap(reader: Reader) -> tuple[int, int]:
    offset, bits = reader.uint64(), reader.mpint()
    reader.end()
    length = bits.bit_length()
    if length > MAX_BITMAP or offset + length > UINT64_END:
        raise reader.refusal(
            f"has a bitmap of {length} bits from {offset}, the limits are {MAX_BITMAP} and 2^64"
        )
    return offset, bits


def _skip_extension(data: bytes) -> None:
    """Pass over an extension that may be passed over (§2.5, §5)."""
    reader = Reader(data, "KRL's extension")
    name, critical = reader.text("name"), reader.uint8()
    reader.string()
    reader.end()
    if critical:
        raise reader.refusal(f"{name[:64]!r} is critical and not known")
