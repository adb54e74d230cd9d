"""Listing certificates, newest first, in time that does not grow with the inventory.

An index keeps each service's, and each profile's, certificates by day of expiry and inside a
day newest first. A page is a merge of the days that can match, newest first, each opened only
when its turn comes; so neither "expired" nor "expiring soon" has to pass over all the others.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import apsw

from mintmark.model.certificate import Status
from mintmark.model.time import DAY
from mintmark.store.interface import FOREVER, CertificateFilter

COLUMNS: Final = """
c.id, c.serial, i.issuer, c.service, c.profile, c.replaces, c.metadata, c.der,
(SELECT serial FROM certificates WHERE replaces = c.serial ORDER BY id DESC LIMIT 1),
r.revoked_at, r.reason, r.not_after
FROM certificates c JOIN issuers i ON i.id = c.issuer
LEFT JOIN revocations r ON r.certificate = c.id
"""
_BY_ID: Final = f"SELECT {COLUMNS} WHERE c.id = ?"
BY_SERIAL: Final = f"SELECT {COLUMNS} WHERE c.serial = ?"
_STREAM_ROWS: Final = 64


def page(
    connection: apsw.Connection, matching: CertificateFilter, after: int | None, limit: int
) -> list[tuple[Any, ...]]:
    """Return rows of `COLUMNS`, newest first, below sequence `after`."""
    below = FOREVER if after is None else after
    ids = islice(_matching_ids(connection, matching, below), limit)
    return [connection.execute(_BY_ID, (id_,)).get for id_ in ids]


def _matching_ids(
    connection: apsw.Connection, matching: CertificateFilter, below: int
) -> Iterator[int]:
    candidates, certain = _candidates(connection, matching, below)
    for id_ in candidates:
        if _fate_matches(connection, matching, id_) and (
            certain or _row_matches(connection, matching, id_)
        ):
            yield id_


def _candidates(
    connection: apsw.Connection, matching: CertificateFilter, below: int
) -> tuple[Iterator[int], bool]:
    """Return ids in falling order by the narrowest index that the filter opens.

    The second value says whether that index has checked all but the revocation.
    """
    low, high = bounds = matching.expiry_bounds()
    unbounded = bounds == (0, FOREVER)
    if matching.name is not None:
        rows = connection.execute(
            "SELECT certificate FROM certificate_names WHERE name = ? AND certificate < ?"
            " ORDER BY certificate DESC",
            (matching.name, below),
        )
        return (row[0] for row in rows), False
    if matching.service is not None:
        days = _days(connection, "service", matching.service, low, high)
        return _merged(connection, "service", days, bounds, below), matching.profile is None
    if matching.status is Status.REVOKED:
        rows = connection.execute(
            "SELECT certificate FROM revocations WHERE certificate < ? ORDER BY certificate DESC",
            (below,),
        )
        return (row[0] for row in rows), matching.profile is None and unbounded
    if matching.profile is None and unbounded:
        rows = connection.execute(
            "SELECT id FROM certificates WHERE id < ? ORDER BY id DESC", (below,)
        )
        return (row[0] for row in rows), True
    profiles = _profiles(connection) if matching.profile is None else [matching.profile]
    days = [day for profile in profiles for day in _days(connection, "profile", profile, low, high)]
    return _merged(connection, "profile", days, bounds, below), True


def _fate_matches(connection: apsw.Connection, matching: CertificateFilter, id_: int) -> bool:
    if matching.status is None:
        return True
    found = connection.execute("SELECT 1 FROM revocations WHERE certificate = ?", (id_,)).get
    return (found is not None) is (matching.status is Status.REVOKED)


def _row_matches(connection: apsw.Connection, matching: CertificateFilter, id_: int) -> bool:
    service, profile, not_after = connection.execute(
        "SELECT service, profile, not_after FROM certificates WHERE id = ?", (id_,)
    ).get
    low, high = matching.expiry_bounds()
    return (
        matching.service in (None, service)
        and matching.profile in (None, profile)
        and low <= not_after <= high
    )


def _profiles(connection: apsw.Connection) -> list[str]:
    """Return the distinct profiles by skipping through their index."""
    found: list[str] = []
    profile = connection.execute("SELECT min(profile) FROM certificates").get
    while profile is not None:
        found.append(profile)
        profile = connection.execute(
            "SELECT min(profile) FROM certificates WHERE profile > ?", (profile,)
        ).get
    return found


def _days(
    connection: apsw.Connection, column: str, value: str, low: int, high: int
) -> list[tuple[str, int]]:
    """Return the days of expiry that occur with a value, by skipping through their index."""
    found: list[tuple[str, int]] = []
    day = low // DAY - 1
    while day is not None:
        day = connection.execute(
            f"SELECT not_after / 86400 FROM certificates"  # noqa: S608 - column is ours
            f" WHERE {column} = ? AND not_after / 86400 > ? AND not_after / 86400 <= ?"
            f" ORDER BY not_after / 86400 LIMIT 1",
            (value, day, high // DAY),
        ).get
        if day is not None:
            found.append((value, day))
    return found


def _merged(
    connection: apsw.Connection,
    column: str,
    days: list[tuple[str, int]],
    bounds: tuple[int, int],
    below: int,
) -> Iterator[int]:
    """Merge days, newest certificate first."""
    streams = [_day(connection, column, day, bounds, below) for day in days]
    # Negated, because heapq gives the smallest.
    heap = [(-first, at) for at, stream in enumerate(streams) if (first := next(stream, 0))]
    heapq.heapify(heap)
    while heap:
        negated, at = heap[0]
        yield -negated
        following = next(streams[at], 0)
        if following:
            heapq.heapreplace(heap, (-following, at))
        else:
            heapq.heappop(heap)


def _day(
    connection: apsw.Connection,
    column: str,
    day: tuple[str, int],
    bounds: tuple[int, int],
    below: int,
) -> Iterator[int]:
    """Yield the ids of one value and day, newest first, some at a time."""
    rows_asked = 1  # most days only show their newest
    while True:
        rows = connection.execute(
            f"SELECT id FROM certificates"  # noqa: S608 - column is ours
            f" WHERE {column} = ? AND not_after / 86400 = ? AND id < ?"
            f" AND not_after BETWEEN ? AND ? ORDER BY id DESC LIMIT ?",
            (*day, below, *bounds, rows_asked),
        )
        ids = [row[0] for row in rows]
        yield from ids
        if len(ids) < rows_asked:
            return
        below, rows_asked = ids[-1], _STREAM_ROWS
