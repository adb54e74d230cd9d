"""Nonces (RFC 8555 §6.5): made without a store, good once.

A nonce is its own time, encrypted and authenticated under a key that all servers of the
authority share; so whichever of them a client reaches next takes it, also after a restart.
Each process remembers what it took until that is too old anyway. What is left is a request
replayed to another process, or after a restart: it finds its work done already. Orders and
authorizations are named after the nonce that asked for them, changes of accounts burn it in the
store, and everything else is done at most once by its own state. ADR 0009 weighs this.
"""

from __future__ import annotations

import base64
import hmac
import struct
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mintmark.model.errors import Error
from mintmark.model.time import HOUR, Clock
from mintmark.protocol.acme.problem import ACMEError
from mintmark.wire import jose

LIFETIME: Final = HOUR
_PREFIX: Final = 6  # random octets that tell processes apart
_COUNTER: Final = 6  # octets
_CHUNK: Final = 4096  # nonces that one bitmap stands for
_TIME: Final = struct.Struct(">Q")  # milliseconds
_SIZE: Final = _PREFIX + _COUNTER + _TIME.size + 16
_TEXT: Final = len(jose.encode(bytes(_SIZE)))

Opened = tuple[bytes, float]
"""The initialization vector of a nonce, and when it was made."""


class Nonces:
    """Makes nonces and takes each of them once.

    Args:
        key: 32 octets that all servers of the authority share, to encrypt with.
        naming_key: 32 more, to derive ids with.
        clock: Unix seconds.
        entropy: random octets.
    """

    def __init__(
        self, key: bytes, naming_key: bytes, clock: Clock, entropy: Callable[[int], bytes]
    ) -> None:
        self._cipher: Final = AESGCM(key)
        self._naming_key: Final = naming_key
        self._clock: Final = clock
        self._prefix: Final = entropy(_PREFIX)
        self._counter = 0
        self._used: Final[dict[bytes, _Chunk]] = {}
        self._next_sweep = 0.0

    def make(self) -> str:
        """Return a new nonce.

        The initialization vector is this process's random prefix and a counter, so it does not
        repeat under the key (NIST SP 800-38D §8.2.1).
        """
        self._counter += 1
        vector = self._prefix + self._counter.to_bytes(_COUNTER)
        time = _TIME.pack(int(self._clock() * 1000))
        return jose.encode(vector + self._cipher.encrypt(vector, time, None))

    def check(self, text: str) -> Opened:
        """Open a nonce; it stays good until it is taken.

        Raises:
            ACMEError: badNonce when it is not ours, too old, or taken here before.
        """
        opened = self._open(text)
        vector, _ = opened
        chunk = self._used.get(vector[:-2] + _row(vector))
        if chunk is not None and chunk.has(vector):
            raise _bad("was used before")
        return opened

    def take(self, opened: Opened) -> None:
        """Take a nonce; it is good no more.

        Raises:
            ACMEError: badNonce when another request has taken it meanwhile.
        """
        vector, made = opened
        name = vector[:-2] + _row(vector)
        chunk = self._used.get(name)
        if chunk is None:
            self._sweep()
            chunk = self._used[name] = _Chunk()
        if not chunk.add(vector, made + LIFETIME):
            raise _bad("was used before")

    def name(self, text: str, purpose: str) -> str:
        """Return an id that nobody can guess and that only this nonce leads to.

        A replayed request makes the same ids, and the store has them already.
        """
        mac = hmac.digest(self._naming_key, f"{purpose}:{text}".encode(), "sha256")
        return identity(mac[:16])

    def burnable(self, text: str) -> tuple[bytes, int]:
        """Return what the store burns of a nonce, and when it may forget that.

        Raises:
            ACMEError: badNonce.
        """
        vector, made = self._open(text)
        return vector, int(made) + LIFETIME

    def _open(self, text: str) -> Opened:
        try:
            octets = jose.decode(text, "nonce") if len(text) == _TEXT else b""
            vector = octets[: _PREFIX + _COUNTER]
            (milliseconds,) = _TIME.unpack(
                self._cipher.decrypt(vector, octets[len(vector) :], None)
            )
        except (Error, InvalidTag, ValueError):
            raise _bad("was not made here") from None
        # One from the future was made before the clock was set back: it is still good.
        if self._clock() - milliseconds / 1000 > LIFETIME:
            raise _bad("is too old")
        return vector, milliseconds / 1000

    def _sweep(self) -> None:
        """Forget what is too old to be taken again."""
        now = self._clock()
        if now < self._next_sweep <= now + LIFETIME:
            return
        self._next_sweep = now + LIFETIME / 60
        for name in [name for name, chunk in self._used.items() if chunk.until < now]:
            del self._used[name]


class _Chunk:
    """The nonces taken of one run of a process's counter: a bit each."""

    __slots__ = ("_bits", "until")

    def __init__(self) -> None:
        self._bits: Final = bytearray(_CHUNK // 8)
        self.until = 0.0

    def has(self, vector: bytes) -> bool:
        place = int.from_bytes(vector[-2:]) % _CHUNK
        return bool(self._bits[place >> 3] >> (place & 7) & 1)

    def add(self, vector: bytes, until: float) -> bool:
        """Mark a nonce as taken; False if it was."""
        if self.has(vector):
            return False
        place = int.from_bytes(vector[-2:]) % _CHUNK
        self._bits[place >> 3] |= 1 << (place & 7)
        self.until = max(self.until, until)
        return True


def _row(vector: bytes) -> bytes:
    """Return which chunk of 4096 within its 65536 a counter falls into."""
    return bytes((vector[-2] >> 4,))


def identity(octets: bytes) -> str:
    """Return random octets as a part of a URL or service id: lower case letters and digits."""
    return base64.b32encode(octets).decode("ascii").rstrip("=").lower()


def _bad(why: str) -> ACMEError:
    return ACMEError(
        "badNonce", f"the nonce {why}", hint="take the one in this answer's Replay-Nonce header"
    )
