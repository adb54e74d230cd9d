"""Serials: unguessable, positive, 20 octets, in the order of time.

RFC 5280 §4.1.2.2 wants a positive integer of at most 20 octets, unique per issuer. The time
in front keeps the store's index append-mostly; uniqueness is the store's constraint.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mintmark.model.time import Clock

SERIAL_OCTETS: Final = 20
TIME_OCTETS: Final = 6
RANDOM_OCTETS: Final = SERIAL_OCTETS - TIME_OCTETS  # 112 bits; design rule 4 asks for 96

# Sets the second highest bit and leaves the highest clear: positive, and never a leading zero
# octet that DER would drop. Milliseconds reach that bit in the year 4199.
_MARK: Final = 0x40 << 8 * (TIME_OCTETS - 1)


def new_serial(clock: Clock, entropy: Callable[[int], bytes]) -> bytes:
    """Return a fresh serial: six octets of Unix milliseconds, fourteen random ones."""
    milliseconds = int(clock() * 1000)
    return (milliseconds | _MARK).to_bytes(TIME_OCTETS, "big") + entropy(RANDOM_OCTETS)
