"""The data types of SSH (RFC 4251 §5): each value has one encoding here, the shortest."""

from __future__ import annotations

import binascii
from typing import Final

from mintmark.model.errors import Error, Kind

UINT32_END: Final = 1 << 32
UINT64_END: Final = 1 << 64


def uint32(number: int) -> bytes:
    """Encode a number below 2^32.

    Raises:
        OverflowError: it is not.
    """
    return number.to_bytes(4)


def uint64(number: int) -> bytes:
    """Encode a number below 2^64.

    Raises:
        OverflowError: it is not.
    """
    return number.to_bytes(8)


def string(octets: bytes) -> bytes:
    """Encode octets with their length before them."""
    return len(octets).to_bytes(4) + octets


def mpint(number: int) -> bytes:
    """Encode a number that is not negative, as short as it goes.

    RFC 4251 §5: two's complement, so that a leading octet of 0x80 or more gets a zero before
    it; zero has no octets at all.
    """
    return string(number.to_bytes(number.bit_length() // 8 + 1) if number else b"")


class Reader:
    """Reads octets from the front and never past their end.

    Args:
        data: what to read.
        what: it is, for messages.
        kind: of the refusals.
    """

    __slots__ = ("_at", "_data", "_end", "_kind", "_what")

    def __init__(self, data: bytes, what: str = "SSH data", kind: Kind = Kind.MALFORMED) -> None:
        self._data: Final = data
        self._what: Final = what
        self._kind: Final = kind
        self._end: Final = len(data)
        self._at = 0

    @property
    def position(self) -> int:
        """How many octets were read."""
        return self._at

    @property
    def more(self) -> bool:
        """Whether octets are left."""
        return self._at < self._end

    def octets(self, count: int) -> bytes:
        """Read so many octets.

        Raises:
            Error: they end before.
        """
        stop = self._at + count
        if stop > self._end:
            raise self.refusal(
                f"ends in the middle: {count} octets are announced, {self._end - self._at} left"
            )
        octets = self._data[self._at : stop]
        self._at = stop
        return octets

    def uint8(self) -> int:
        """Read one octet."""
        return self.octets(1)[0]

    def uint32(self) -> int:
        """Read a number of four octets."""
        return int.from_bytes(self.octets(4))

    def uint64(self) -> int:
        """Read a number of eight octets."""
        return int.from_bytes(self.octets(8))

    def string(self) -> bytes:
        """Read octets that stand behind their length.

        Most of what is read is read here: only what ends too soon is left to `octets`.
        """
        data, start = self._data, self._at + 4
        stop = start + int.from_bytes(data[self._at : start])
        if stop > self._end:
            return self.octets(int.from_bytes(self.octets(4)))
        self._at = stop
        return data[start:stop]

    def text(self, name: str) -> str:
        """Read a string of UTF-8 without NUL, where C programs would stop reading.

        Args:
            name: of the field, for the message.

        Raises:
            Error: it is something else.
        """
        octets = self.string()
        try:
            text = octets.decode()
        except UnicodeDecodeError as error:
            raise self.refusal(f"has a {name} that is not UTF-8") from error
        if "\0" in text:
            raise self.refusal(f"has a {name} with a NUL in it")
        return text

    def mpint(self) -> int:
        """Read a number that is not negative and as short as it goes.

        Raises:
            Error: it is negative, or has octets that it does not need (RFC 4251 §5).
        """
        octets = self.string()
        if not octets:
            return 0
        if octets[0] & 0x80:
            raise self.refusal("has a negative number")
        if octets[0] == 0 and (len(octets) == 1 or not octets[1] & 0x80):
            raise self.refusal("has a number with needless zeros before it")
        return int.from_bytes(octets)

    def end(self) -> None:
        """Insist that everything was read.

        Raises:
            Error: octets are left.
        """
        if self._at != self._end:
            raise self.refusal(f"has {self._end - self._at} octets behind its end")

    def refusal(self, why: str, hint: str = "") -> Error:
        """Return a refusal of what is being read."""
        return Error(self._kind, f"{self._what} {why}", hint=hint)


def base64_octets(word: str, what: str, kind: Kind = Kind.MALFORMED) -> bytes:
    """Return the octets of standard base64 with padding, of which there is one spelling only.

    Args:
        word: the base64.
        what: it is, for the message.
        kind: of the refusal.

    Raises:
        Error: of that kind.
    """
    try:
        octets = binascii.a2b_base64(word.encode("ascii"), strict_mode=True)
    except ValueError:
        octets = b""
    if not octets or base64_text(octets) != word:
        raise Error(
            kind,
            f"{what} is not base64",
            hint="give it as it stands in the file, in one line and whole",
        )
    return octets


def base64_text(octets: bytes) -> str:
    """Return standard base64 with padding, as OpenSSH's files have it."""
    return binascii.b2a_base64(octets, newline=False).decode("ascii")
