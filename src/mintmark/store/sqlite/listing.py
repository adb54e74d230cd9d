"""Listing certificates, newest first, in time that does not grow with the inventory.

An index keeps each service's, and each profile's, certificates by day of expiry and inside a
day newest first; another one those of SSH alone. A page is a merge of the days that can match,
newest first, each opened only when its turn comes; so neither "expired" nor "expiring soon" has
to pass over all the others.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import apsw

from mintmark.model.status import Status
from mintmark.model.time import DAY
from mintmark.store.interface import FOREVER, CertificateFilter
from mintmark.store.rows import OF_KIND, STORED_CERTIFICATES, is_ssh
from mintmark.store.sqlite.connection import snapshot

_BY_IDS: Final = f"""
SELECT {STORED_CERTIFICATES} WHERE c.id IN (SELECT value FROM json_each(?)) ORDER BY c.id DESC
"""  # noqa: S608 - ours
BY_SERIAL: Final = f"SELECT {STORED_CERTIFICATES} WHERE c.serial = ?"

_REVOKED: Final = "EXISTS (SELECT 1 FROM revocations r WHERE r.certificate = c.id)"
_FATES: Final = {
    None: "",
    Status.REVOKED: f"AND {_REVOKED}",
    Status.ACTIVE: f"AND NOT {_REVOKED}",
    Status.EXPIRED: f"AND NOT {_REVOKED}",
}
_BOUNDS: Final = "AND c.not_after BETWEEN :low AND :high"
# The plus keeps these from opening an index of their own.
_SERVICE: Final = "AND +c.service = :service"
_PROFILE: Final = "AND +c.profile = :profile"

_BY_NAME: Final = """
SELECT c.id FROM certificate_names n CROSS JOIN certificates c ON c.id = n.certificate
WHERE n.name = :name AND n.certificate < :below {rest} ORDER BY n.certificate DESC
"""
_BY_REVOCATION: Final = """
SELECT c.id FROM revocations r CROSS JOIN certificates c ON c.id = r.certificate
WHERE r.certificate < :below {rest} ORDER BY r.certificate DESC
"""
_NEWEST: Final = "SELECT c.id FROM certificates c WHERE c.id < :below {rest} ORDER BY c.id DESC"
# Skips from day to day through the index, and takes of each the newest that matches.
_DAYS: Final = """
WITH RECURSIVE days(day) AS (
    SELECT :first - 1
    UNION ALL
    SELECT (SELECT c.not_after / 86400 FROM certificates c
            WHERE c.{column} = :value {ssh} AND c.not_after / 86400 > days.day
            AND c.not_after / 86400 <= :last ORDER BY c.not_after / 86400 LIMIT 1)
    FROM days WHERE days.day IS NOT NULL
)
SELECT days.day, (
    SELECT c.id FROM certificates c
    WHERE c.{column} = :value AND c.not_after / 86400 = days.day AND c.id < :below {rest}
    ORDER BY c.id DESC LIMIT 1
) FROM days WHERE days.day >= :first
"""  # which newest ones are NULL is seen afterwards: asked here, each would be looked up twice
_ONE_DAY: Final = """
SELECT c.id FROM certificates c
WHERE c.{column} = :value AND c.not_after / 86400 = :day AND c.id < :below {rest}
ORDER BY c.id DESC LIMIT :rows
"""
_STREAM_ROWS: Final = 64
_RARE: Final = 5000


def page(
    connection: apsw.Connection, matching: CertificateFilter, after: int | None, limit: int
) -> list[tuple[Any, ...]]:
    """Return rows of `STORED_CERTIFICATES`, newest first, below sequence `after`."""
    below = FOREVER if after is None else after
    with snapshot(connection):
        ids = list(islice(_ids(connection, matching, below), limit))
        return connection.execute(_BY_IDS, (str(ids),)).fetchall() if ids else []


def _ids(connection: apsw.Connection, matching: CertificateFilter, below: int) -> Iterator[int]:
    """Yield ids in falling order, by the narrowest index that the filter opens."""
    low, high = matching.expiry_bounds()
    unbounded = (low, high) == (0, FOREVER)
    values: dict[str, Any] = {
        "below": below,
        "low": low,
        "high": high,
        "service": matching.service,
        "profile": matching.profile,
        "name": matching.name,
    }
    bounds = "" if unbounded else _BOUNDS
    profile = _PROFILE if matching.profile is not None else ""
    service = _SERVICE if matching.service is not None else ""
    fate, kind = _FATES[matching.status], OF_KIND[matching.kind]
    if matching.name is not None:
        return _plain(connection, _BY_NAME, values, bounds, service, profile, kind, fate)
    if matching.service is not None:
        lanes = [matching.service]
        return _merged(connection, "service", lanes, matching, values, bounds, profile, fate)
    if matching.status is Status.REVOKED and not _rare(connection, matching):
        return _plain(connection, _BY_REVOCATION, values, bounds, profile, kind)
    if matching.profile is None and unbounded and not is_ssh(matching.kind):
        return _plain(connection, _NEWEST, values, kind, fate)
    lanes = _profiles(connection, matching) if matching.profile is None else [matching.profile]
    return _merged(connection, "profile", lanes, matching, values, bounds, fate)


def _plain(
    connection: apsw.Connection, query: str, values: dict[str, Any], *rest: str
) -> Iterator[int]:
    rows = connection.execute(query.format(rest=" ".join(rest)), values)
    return (row[0] for row in rows)


def _rare(connection: apsw.Connection, matching: CertificateFilter) -> bool:
    """Whether few certificates have a profile or a kind: then it is narrower than revocations."""
    profile = matching.profile
    ssh = OF_KIND[matching.kind] if is_ssh(matching.kind) else ""
    if profile is None and not ssh:
        return False
    narrowed = "AND c.profile = :profile" if profile is not None else ""
    sql = (
        "SELECT count(*) FROM (SELECT 1 FROM certificates c"  # noqa: S608 - ours
        f" WHERE true {narrowed} {ssh} LIMIT {_RARE})"
    )
    return int(connection.execute(sql, {"profile": profile}).get) < _RARE


def _profiles(connection: apsw.Connection, matching: CertificateFilter) -> list[str]:
    """Return the distinct profiles, or those of a kind of SSH, by skipping through their index."""
    kind = OF_KIND[matching.kind] if is_ssh(matching.kind) else ""
    found: list[str] = []
    profile = ""
    while profile is not None:
        profile = connection.execute(
            f"SELECT min(profile) FROM certificates c WHERE profile > ? {kind}",  # noqa: S608 - ours
            (profile,),
        ).get
        if profile is not None:
            found.append(profile)
    return found


def _merged(
    connection: apsw.Connection,
    column: str,
    lanes: list[str],
    matching: CertificateFilter,
    values: dict[str, Any],
    *rest: str,
) -> Iterator[int]:
    """Merge the days of some values of a column, newest certificate first."""
    kind = OF_KIND[matching.kind]
    words = {
        "column": column,
        "ssh": kind if is_ssh(matching.kind) else "",
        "rest": " ".join((*rest, kind)),
    }
    first, last = values["low"] // DAY, values["high"] // DAY
    days = _DAYS.format(**words)
    # Negated, because heapq gives the smallest.
    heap = [
        (-newest, lane, day)
        for lane in lanes
        for day, newest in connection.execute(
            days, {**values, "value": lane, "first": first, "last": last}
        )
        if newest is not None
    ]
    heapq.heapify(heap)
    one_day = _ONE_DAY.format(**words)
    streams: dict[tuple[str, int], Iterator[int]] = {}
    while heap:
        negated, lane, day = heap[0]
        yield -negated
        stream = streams.get((lane, day))
        if stream is None:
            here = {**values, "value": lane, "day": day, "below": -negated}
            stream = streams[lane, day] = _day(connection, one_day, here)
        following = next(stream, 0)
        if following:
            heapq.heapreplace(heap, (-following, lane, day))
        else:
            heapq.heappop(heap)


def _day(connection: apsw.Connection, query: str, values: dict[str, Any]) -> Iterator[int]:
    """Yield the ids of one value and day below one, newest first, more at a time each time."""
    values["rows"] = 2
    while True:
        ids = [row[0] for row in connection.execute(query, values)]
        yield from ids
        if len(ids) < values["rows"]:
            return
        values["below"], values["rows"] = ids[-1], _STREAM_ROWS
