"""Serial numbers as texts: decimal, as OpenSSH and step write them, or hexadecimal after `0x`."""

from __future__ import annotations

import re
from typing import Final

# 20 octets (RFC 5280 §4.1.2.2), or an unsigned number of 64 bits in SSH.
_SERIAL: Final = re.compile(r"[0-9]{1,49}|0[xX][0-9a-fA-F]{1,40}", re.ASCII)


def number(text: str) -> int | None:
    """Return the number that a text writes, None if it writes none."""
    if not _SERIAL.fullmatch(text):
        return None
    return int(text, 16 if text[:2] in {"0x", "0X"} else 10)
