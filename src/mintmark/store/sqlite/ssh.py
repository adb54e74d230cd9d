"""SSH's rows and provisioners in SQLite: conditions read, acts written, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw

from mintmark.model.act import Act
from mintmark.model.ssh import BanKind, SSHAuthority, SSHBan, StoredKRL
from mintmark.store import ssh_rows
from mintmark.store.sqlite.connection import mark_found
from mintmark.store.ssh_conditions import SSHConditions

USED: Final = "SELECT sha256 FROM used_tokens WHERE sha256 = ?"
_BANNED: Final = "SELECT value, kind FROM ssh_bans WHERE value = ? AND kind = ?"
_VERSION: Final = "SELECT version FROM provisioners WHERE name = ?"
_SET_PROVISIONER: Final = """
INSERT INTO provisioners VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE
SET type = excluded.type, document = excluded.document, version = excluded.version,
updated_at = excluded.updated_at
"""
# Skips from principal to principal, and leaves out those that no certificate speaks for now.
_HOSTS: Final = """
WITH RECURSIVE hosts(principal) AS (
    SELECT min(principal) FROM ssh_hosts WHERE principal > :after
    UNION ALL
    SELECT (SELECT min(principal) FROM ssh_hosts h WHERE h.principal > hosts.principal)
    FROM hosts WHERE hosts.principal IS NOT NULL
)
SELECT principal FROM hosts WHERE principal IS NOT NULL AND EXISTS (
    SELECT 1 FROM ssh_hosts h WHERE h.principal = hosts.principal AND h.not_after >= :now
    AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.certificate = h.certificate)
) LIMIT :limit
"""
HOST: Final = """
SELECT 1 FROM ssh_hosts h WHERE principal = ? AND not_after >= ?
AND NOT EXISTS (SELECT 1 FROM revocations r WHERE r.certificate = h.certificate) LIMIT 1
"""
# Of one key: two hashes of 32 octets, and behind them the key id.
BARRED: Final = f"""
SELECT ?1
WHERE EXISTS (SELECT 1 FROM blocked_keys WHERE spki_sha256 = substr(?1, 1, 32))
OR EXISTS (SELECT 1 FROM ssh_bans
    WHERE value = substr(?1, 33, 32) AND kind = '{BanKind.KEY.value}')
OR EXISTS (SELECT 1 FROM ssh_bans
    WHERE value = substr(?1, 65) AND kind = '{BanKind.KEY_ID.value}')
"""  # noqa: S608 - ours
BAN: Final = f"{ssh_rows.BANS} WHERE (value = ? AND kind = ?) OR (value = ? AND kind = ?)"
KRL_SERIALS: Final = f"""
SELECT i.issuer, r.serial FROM issuers i CROSS JOIN revocations r ON r.issuer = i.id
WHERE i.kind != '{ssh_rows.X509}' AND r.entry = x'' AND r.not_after >= ?
ORDER BY i.issuer, r.serial
"""  # noqa: S608 - ours


def read_conditions(connection: apsw.Connection, conditions: SSHConditions) -> None:
    """Fill in the facts about used tokens, bans and provisioners."""
    mark_found(connection, USED, conditions.used)
    if conditions.banned:
        for key in connection.executemany(_BANNED, list(conditions.banned)):
            conditions.banned[key] = True
    for name in conditions.provisioners:
        conditions.provisioners[name] = connection.execute(_VERSION, (name,)).get or 0


def write(connection: apsw.Connection, acts: Sequence[Act]) -> None:
    """Write used tokens, bans and provisioners of admitted acts."""
    used = [(act.burns.sha256, act.burns.expires_at) for act in acts if act.burns is not None]
    if used:
        connection.executemany("INSERT INTO used_tokens (sha256, expires_at) VALUES (?, ?)", used)
    bans = [ssh_rows.ban_row(ban) for act in acts for ban in act.bans]
    if bans:
        connection.executemany(
            "INSERT INTO ssh_bans (value, kind, banned_at, reason) VALUES (?, ?, ?, ?)", bans
        )
    changed = [
        ssh_rows.provisioner_row(act.provisioner) for act in acts if act.provisioner is not None
    ]
    if changed:
        connection.executemany(_SET_PROVISIONER, changed)


def add_authority(connection: apsw.Connection, authority: SSHAuthority, leaf: bytes) -> None:
    """Remember a CA key and the record that says so; nothing when it is known."""
    issuer, kind, blob, spki_sha256 = ssh_rows.authority_row(authority)
    known = connection.execute("SELECT kind FROM issuers WHERE issuer = ?", (issuer,)).get
    if known is not None:
        ssh_rows.require_same(authority, known)
        return
    connection.execute(
        "INSERT INTO issuers (issuer, name, der, chain, root, spki_sha256, not_before, not_after,"
        " active, kind) VALUES (?, '', ?, x'', x'', ?, 0, 0, 1, ?)",
        (issuer, blob, spki_sha256, kind),
    )
    connection.execute("INSERT INTO audit (leaf) VALUES (?)", (leaf,))


def hosts(connection: apsw.Connection, now: int, after: str | None, limit: int) -> list[str]:
    """Return principals of good host certificates, sorted."""
    values = {"now": now, "after": after or "", "limit": limit}
    return [row[0] for row in connection.execute(_HOSTS, values)]


def bans(connection: apsw.Connection) -> list[SSHBan]:
    """Return every ban, oldest first."""
    found = connection.execute(f"{ssh_rows.BANS} ORDER BY place")
    return [ssh_rows.ban(row) for row in found]


def add_krl(connection: apsw.Connection, krl: StoredKRL) -> bool:
    """Store a KRL whose number is above all before it, and drop the octets of those."""
    newest = connection.execute("SELECT max(number) FROM krls").get
    if newest is not None and krl.number <= newest:
        return False
    connection.execute("UPDATE krls SET octets = x'' WHERE number = ?", (newest,))
    connection.execute(
        "INSERT INTO krls (number, generated_at, entries, octets) VALUES (?, ?, ?, ?)",
        (krl.number, krl.generated_at, krl.entries, krl.octets),
    )
    return True
