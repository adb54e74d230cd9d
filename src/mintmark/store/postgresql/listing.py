"""Listing certificates, newest first, in time that does not grow with the inventory.

As on SQLite: an index keeps each service's, and each profile's, certificates by day of expiry
and inside a day newest first; another one those of SSH alone. Of the days that can match, only
those whose newest match belongs on the page are opened.
"""

from __future__ import annotations

from typing import Any, Final

from mintmark.model.status import Status
from mintmark.model.time import DAY
from mintmark.store.interface import FOREVER, CertificateFilter
from mintmark.store.rows import OF_KIND, STORED_CERTIFICATES, is_ssh

_BY_IDS: Final = f"SELECT {STORED_CERTIFICATES} WHERE c.id = ANY($1) ORDER BY c.id DESC"
BY_SERIAL: Final = f"SELECT {STORED_CERTIFICATES} WHERE c.serial = $1"

_REVOKED: Final = "EXISTS (SELECT 1 FROM revocations r WHERE r.certificate = c.id)"
_FATES: Final = {
    None: "",
    Status.REVOKED: f" AND {_REVOKED}",
    Status.ACTIVE: f" AND NOT {_REVOKED}",
    Status.EXPIRED: f" AND NOT {_REVOKED}",
}
# $1 below, $2 limit, $3 and $4 bounds of not_after, $5 service, $6 profile
_REST: Final = """
AND c.not_after BETWEEN $3::bigint AND $4::bigint
AND ($5::text IS NULL OR c.service = $5) AND ($6::text IS NULL OR c.profile = $6)
"""
_BY_NAME: Final = """
SELECT c.id FROM certificate_names n JOIN certificates c ON c.id = n.certificate
WHERE n.name = $7 AND n.certificate < $1 {rest} {fate}
ORDER BY n.certificate DESC LIMIT $2
"""
_BY_REVOCATION: Final = """
SELECT c.id FROM revocations r JOIN certificates c ON c.id = r.certificate
WHERE r.certificate < $1 {rest}
ORDER BY r.certificate DESC LIMIT $2
"""
_NEWEST: Final = """
SELECT c.id FROM certificates c WHERE c.id < $1 {rest} {fate} ORDER BY c.id DESC LIMIT $2
"""
# $7 values of the column, $8 and $9 the first and the last day
_BY_DAYS: Final = """
SELECT p.id FROM (
    SELECT v.value, days.day FROM unnest($7::text[]) AS v(value)
    CROSS JOIN LATERAL (
        WITH RECURSIVE found(day) AS (
            SELECT $8::bigint - 1
            UNION ALL
            SELECT (SELECT c.not_after / 86400 FROM certificates c
                    WHERE c.{column} = v.value {ssh} AND c.not_after / 86400 > found.day
                    AND c.not_after / 86400 <= $9::bigint ORDER BY c.not_after / 86400 LIMIT 1)
            FROM found WHERE found.day IS NOT NULL
        ) SELECT day FROM found WHERE day >= $8
    ) AS days
    CROSS JOIN LATERAL (
        SELECT c.id FROM certificates c
        WHERE c.{column} = v.value AND c.not_after / 86400 = days.day AND c.id < $1
        {rest} {fate} ORDER BY c.id DESC LIMIT 1
    ) AS newest
    ORDER BY newest.id DESC LIMIT $2
) AS d
CROSS JOIN LATERAL (
    SELECT c.id FROM certificates c
    WHERE c.{column} = d.value AND c.not_after / 86400 = d.day AND c.id < $1
    {rest} {fate} ORDER BY c.id DESC LIMIT $2
) AS p
ORDER BY p.id DESC LIMIT $2
"""
_RARE: Final = 5000
_PROFILES: Final = """
WITH RECURSIVE found(profile) AS (
    SELECT min(c.profile) FROM certificates c WHERE true {ssh}
    UNION ALL
    SELECT (SELECT min(c.profile) FROM certificates c WHERE c.profile > found.profile {ssh})
    FROM found WHERE found.profile IS NOT NULL
) SELECT profile FROM found WHERE profile IS NOT NULL
"""


async def page(
    connection: Any, matching: CertificateFilter, after: int | None, limit: int
) -> list[Any]:
    """Return rows of `STORED_CERTIFICATES`, newest first, below sequence `after`."""
    ids = await _ids(connection, matching, FOREVER if after is None else after, limit)
    return await connection.fetch(_BY_IDS, ids) if ids else []


async def _ids(connection: Any, matching: CertificateFilter, below: int, limit: int) -> list[int]:
    """Return ids by the narrowest index that the filter opens."""
    low, high = matching.expiry_bounds()
    values: list[Any] = [below, limit, low, high, matching.service, matching.profile]
    kind = OF_KIND[matching.kind]
    ssh = kind if is_ssh(matching.kind) else ""
    words = {"rest": f"{_REST} {kind}", "fate": _FATES[matching.status]}
    everything = matching.service is None and matching.profile is None and not ssh
    if matching.name is not None:
        query = _BY_NAME.format(**words)
        values.append(matching.name)
    elif (
        matching.status is Status.REVOKED
        and matching.service is None
        and not await _rare(connection, matching.profile, ssh)
    ):
        query = _BY_REVOCATION.format(**words)
    elif everything and (low, high) == (0, FOREVER):
        query = _NEWEST.format(**words)
    else:
        column, over = await _lanes(connection, matching, ssh)
        query = _BY_DAYS.format(column=column, ssh=ssh, **words)
        values += [over, low // DAY, high // DAY]
    return [row[0] for row in await connection.fetch(query, *values)]


async def _rare(connection: Any, profile: str | None, ssh: str) -> bool:
    """Whether few certificates have a profile or a kind: then it is narrower than revocations."""
    if profile is None and not ssh:
        return False
    narrowed, values = ("", []) if profile is None else ("AND c.profile = $1", [profile])
    sql = (
        "SELECT count(*) FROM (SELECT FROM certificates c"  # noqa: S608 - ours
        f" WHERE true {narrowed} {ssh} LIMIT {_RARE}) AS found"
    )
    return int(await connection.fetchval(sql, *values)) < _RARE


async def _lanes(connection: Any, matching: CertificateFilter, ssh: str) -> tuple[str, list[str]]:
    """Return the column, and its values, whose days are merged."""
    if matching.service is not None:
        return "service", [matching.service]
    if matching.profile is not None:
        return "profile", [matching.profile]
    return "profile", [row[0] for row in await connection.fetch(_PROFILES.format(ssh=ssh))]
