"""Time comes in as an argument.

mintmark counts time in whole Unix seconds, UTC (`int`), as X.509 does: GeneralizedTime and
UTCTime carry no fraction (RFC 5280 §4.1.2.5). A `Clock` returns seconds with a fraction.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], float]

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
YEAR = 365 * DAY


def timestamp(seconds: float) -> str:
    """Return RFC 3339 in UTC, whole seconds, as `2026-11-22T10:00:00Z`."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
