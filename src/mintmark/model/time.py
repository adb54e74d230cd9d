"""Time comes in as an argument.

mintmark counts time in whole Unix seconds, UTC (`int`), as X.509 does: GeneralizedTime and
UTCTime carry no fraction (RFC 5280 §4.1.2.5). A `Clock` returns seconds with a fraction.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from mintmark.model.errors import Error, Kind

Clock = Callable[[], float]

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 365 * DAY


def timestamp(seconds: float) -> str:
    """Return RFC 3339 in UTC, whole seconds, as `2026-11-22T10:00:00Z`."""
    return _timestamp(int(seconds))


@lru_cache(maxsize=4096)  # what is made in the same second ends in the same second
def _timestamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_UNITS: Final = {"y": YEAR, "d": DAY, "h": HOUR, "m": MINUTE, "s": 1}
_DURATION: Final = re.compile(r"([0-9]{1,12})([ydhms])", re.ASCII)


def parse_duration(text: str) -> int:
    """Return the seconds that `90d`, `12h`, `5m`, `30s` or `10y` (of 365 days) says.

    Raises:
        Error: MALFORMED for anything else.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise Error(
            Kind.MALFORMED,
            f"'{text[:40]}' is not a duration",
            hint="write a whole number and one unit: 10y, 90d, 12h, 5m or 30s",
        )
    return int(match[1]) * _UNITS[match[2]]


def duration(seconds: int) -> str:
    """Return seconds in the largest unit that divides them, as `parse_duration` reads it."""
    unit = next((unit for unit, size in _UNITS.items() if seconds and seconds % size == 0), "s")
    return f"{seconds // _UNITS[unit]}{unit}"
