"""SSH's rows and provisioners in PostgreSQL: conditions read, acts written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mintmark.model.act import Act
from mintmark.model.certificate import Certificate
from mintmark.model.ssh import SSHAuthority, SSHBan, StoredKRL
from mintmark.store import ssh_rows
from mintmark.store.ssh_conditions import SSHConditions

_SERIALS: Final = 20_000

_BANNED: Final = "SELECT value, kind FROM ssh_bans WHERE value = ANY($1::bytea[])"
_VERSIONS: Final = "SELECT name, version FROM provisioners WHERE name = ANY($1)"
_NEW_HOSTS: Final = """
INSERT INTO ssh_hosts
SELECT n.principal, c.not_after, c.id FROM unnest($1::text[], $2::bytea[]) AS n(principal, serial)
JOIN certificates c ON c.serial = n.serial
"""
_NEW_BANS: Final = """
INSERT INTO ssh_bans (value, kind, banned_at, reason)
SELECT * FROM unnest($1::bytea[], $2::text[], $3::bigint[], $4::smallint[])
"""
_SET_PROVISIONER: Final = """
INSERT INTO provisioners VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO UPDATE
SET type = excluded.type, document = excluded.document, version = excluded.version,
updated_at = excluded.updated_at
"""
# $1 now, $2 after, $3 limit. Skips from principal to principal, and leaves out those that no
# certificate speaks for now.
_HOSTS: Final = """
WITH RECURSIVE hosts(principal) AS (
    SELECT min(principal) FROM ssh_hosts WHERE principal > $2
    UNION ALL
    SELECT (SELECT min(principal) FROM ssh_hosts h WHERE h.principal > hosts.principal)
    FROM hosts WHERE hosts.principal IS NOT NULL
)
SELECT principal FROM hosts WHERE principal IS NOT NULL AND EXISTS (
    SELECT FROM ssh_hosts h WHERE h.principal = hosts.principal AND h.not_after >= $1
    AND NOT EXISTS (SELECT FROM revocations r WHERE r.certificate = h.certificate)
) LIMIT $3
"""
HOST: Final = """
SELECT EXISTS (
    SELECT FROM ssh_hosts h WHERE principal = $1 AND not_after >= $2
    AND NOT EXISTS (SELECT FROM revocations r WHERE r.certificate = h.certificate)
)
"""
BAN: Final = f"{ssh_rows.BANS} WHERE (value, kind) IN (($1, $2), ($3, $4)) LIMIT 1"
_KRL_SERIALS: Final = f"""
SELECT i.issuer, r.serial FROM issuers i JOIN revocations r ON r.issuer = i.id
WHERE i.kind != '{ssh_rows.X509}' AND r.entry = '' AND r.not_after >= $1
AND (i.issuer COLLATE "C", r.serial) > ($2, $3)
ORDER BY i.issuer COLLATE "C", r.serial LIMIT $4
"""  # noqa: S608 - ours


async def read_conditions(connection: Any, conditions: SSHConditions) -> None:
    """Fill in the facts about bans and provisioners."""
    if conditions.banned:
        values = [value for value, _ in conditions.banned]
        for value, kind in await connection.fetch(_BANNED, values):
            # An id can have the octets of a key's hash; then only one of the two is asked for.
            if (value, kind) in conditions.banned:
                conditions.banned[value, kind] = True
    if conditions.provisioners:
        names = list(conditions.provisioners)
        conditions.provisioners.update(await connection.fetch(_VERSIONS, names))


async def write_hosts(connection: Any, certificates: Sequence[Certificate]) -> int:
    """Write the principals of stored host certificates; return how many rows."""
    hosts = [(host, one.serial) for one in certificates for host in ssh_rows.host_names(one)]
    if hosts:
        await connection.execute(
            _NEW_HOSTS, [host for host, _ in hosts], [serial for _, serial in hosts]
        )
    return len(hosts)


async def write(connection: Any, acts: Sequence[Act]) -> int:
    """Write bans and provisioners of admitted acts; return how many rows."""
    bans = [ssh_rows.ban_row(ban) for act in acts for ban in act.bans]
    if bans:
        await connection.execute(_NEW_BANS, *(list(column) for column in zip(*bans, strict=True)))
    changed = [
        ssh_rows.provisioner_row(act.provisioner) for act in acts if act.provisioner is not None
    ]
    if changed:
        await connection.executemany(_SET_PROVISIONER, changed)
    return len(bans) + len(changed)


async def add_authority(connection: Any, authority: SSHAuthority, leaf: bytes) -> None:
    """Remember a CA key and the record that says so; nothing when it is known."""
    issuer, kind, blob, spki_sha256 = ssh_rows.authority_row(authority)
    async with connection.transaction():
        # The transaction id before any record id: see `unsequenced`.
        await connection.execute("SELECT pg_current_xact_id()")
        await connection.execute("LOCK TABLE issuers IN SHARE ROW EXCLUSIVE MODE")
        known = await connection.fetchval("SELECT kind FROM issuers WHERE issuer = $1", issuer)
        if known is not None:
            ssh_rows.require_same(authority, known)
            return
        await connection.execute(
            "INSERT INTO issuers (issuer, name, der, chain, root, spki_sha256, not_before,"
            " not_after, active, kind) VALUES ($1, '', $2, '', '', $3, 0, 0, true, $4)",
            issuer,
            blob,
            spki_sha256,
            kind,
        )
        await connection.execute("INSERT INTO audit (leaf) VALUES ($1)", leaf)


async def authorities(connection: Any) -> list[Any]:
    """Return every CA key, oldest first."""
    found = await connection.fetch(f"{ssh_rows.AUTHORITIES} ORDER BY id")
    return [ssh_rows.authority(row) for row in found]


async def hosts(connection: Any, now: int, after: str | None, limit: int) -> list[str]:
    """Return principals of good host certificates, sorted."""
    found = await connection.fetch(_HOSTS, now, after or "", limit)
    return [row[0] for row in found]


async def bans(connection: Any) -> list[SSHBan]:
    """Return every ban, oldest first."""
    found = await connection.fetch(f"{ssh_rows.BANS} ORDER BY place")
    return [ssh_rows.ban(row) for row in found]


async def krl_serials(not_after_from: int, connection: Any, before: Any | None) -> list[Any]:
    """Return (authority id, serial) of revoked certificates behind one, some at a time."""
    issuer, serial = before or ("", b"")
    found = await connection.fetch(_KRL_SERIALS, not_after_from, issuer, serial, _SERIALS)
    return list(found)


async def add_krl(connection: Any, krl: StoredKRL) -> bool:
    """Store a KRL whose number is above all before it, and drop the octets of those."""
    async with connection.transaction():
        await connection.execute("LOCK TABLE krls IN SHARE ROW EXCLUSIVE MODE")
        newest = await connection.fetchval("SELECT max(number) FROM krls")
        if newest is not None and krl.number <= newest:
            return False
        await connection.execute("UPDATE krls SET octets = '' WHERE number = $1", newest)
        await connection.execute(
            "INSERT INTO krls (number, generated_at, entries, octets) VALUES ($1, $2, $3, $4)",
            krl.number,
            krl.generated_at,
            krl.entries,
            krl.octets,
        )
    return True
