"""Times as Go programs write them: `24h0m0s`, and `TimeDuration`, which is either that or a time.

A `TimeDuration` is empty or a duration of nothing for unset, an RFC 3339 time, or a duration that
counts from a moment, mostly now, and may be negative.
"""

from __future__ import annotations

import re
from datetime import datetime
from fractions import Fraction
from typing import Final

from mintmark.model.errors import Error, Kind
from mintmark.model.time import HOUR, MINUTE

_MAX_LENGTH: Final = 64
_NANOSECONDS_MAX: Final = (1 << 63) - 1  # a duration is an int64 there
_END_OF_TIME: Final = 253402300799  # 9999-12-31T23:59:59Z (RFC 5280 §4.1.2.5)
_UNSET: Final = "0001-01-01T00:00:00Z"  # old clients send their zero time
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "\N{MICRO SIGN}s": 10**3,
    "\N{GREEK SMALL LETTER MU}s": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART: Final = rf"([0-9]+\.?[0-9]*|\.[0-9]+)({'|'.join(_UNITS)})"
_PARTS: Final = re.compile(_PART, re.ASCII)
_DURATION: Final = re.compile(rf"[-+]?(?:{_PART})+", re.ASCII)
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)


def parse_go_duration(text: str) -> int:
    """Return the whole seconds of a Go duration, cut towards zero.

    Raises:
        Error: MALFORMED for what is none, or does not fit.
    """
    return _seconds(_nanoseconds(text))


def _seconds(nanoseconds: int) -> int:
    seconds = abs(nanoseconds) // 10**9
    return -seconds if nanoseconds < 0 else seconds


def _nanoseconds(text: str) -> int:
    if text in {"0", "+0", "-0"}:
        return 0
    if len(text) > _MAX_LENGTH or not _DURATION.fullmatch(text):
        raise _no_duration(text)
    total = sum(
        int(Fraction(number.removesuffix(".")) * _UNITS[unit])
        for number, unit in _PARTS.findall(text)
    )
    if total > _NANOSECONDS_MAX:
        raise _no_duration(text)
    return -total if text.startswith("-") else total


def moment(text: str | None, now: int) -> int | None:
    """Return the Unix second that a `TimeDuration` means, None for unset.

    Args:
        text: as it was sent.
        now: Unix seconds that a duration counts from.

    Raises:
        Error: MALFORMED for anything else, and for times before 1970 or after 9999.
    """
    if not text or text == _UNSET:
        return None
    if _TIME.fullmatch(text):
        seconds = _of_time(text)
    elif nanoseconds := _nanoseconds(text):
        seconds = now + _seconds(nanoseconds)
    else:  # the zero value of Go programs
        return None
    if not 0 <= seconds <= _END_OF_TIME:
        raise Error(Kind.MALFORMED, f"time {text!r} is outside 1970 to 9999")
    return seconds


def _of_time(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        raise _no_duration(text) from None


def _no_duration(text: str) -> Error:
    return Error(
        Kind.MALFORMED,
        f"{text[:_MAX_LENGTH]!r} is neither an RFC 3339 time nor a duration",
        hint="write 2026-11-22T10:00:00Z, 24h, 90m or 1h30m",
    )


def go_duration(seconds: int) -> str:
    """Return seconds, not negative, as Go writes them: `24h0m0s`, `5m0s`, `30s`."""
    hours, rest = divmod(seconds, HOUR)
    minutes, rest = divmod(rest, MINUTE)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
