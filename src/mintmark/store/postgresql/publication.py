"""Issuers, CRLs, cursors and leases in PostgreSQL: what changes rarely."""

from __future__ import annotations

from typing import Any

from mintmark.model.errors import Error, Kind
from mintmark.model.issuer import Issuer
from mintmark.store import rows
from mintmark.store.interface import StoredCRL
from mintmark.store.ssh_rows import X509

_ISSUER = (
    "SELECT issuer, name, der, chain, root, spki_sha256, not_before, not_after, active FROM issuers"
)


async def add_issuer(connection: Any, issuer: Issuer, leaf: bytes) -> None:
    """Remember an issuer and the record that says so; nothing when it is known as it is."""
    async with connection.transaction():
        # The transaction id before any record id: see `unsequenced`.
        await connection.execute("SELECT pg_current_xact_id()")
        await connection.execute("LOCK TABLE issuers IN SHARE ROW EXCLUSIVE MODE")
        known = await connection.fetchrow(f"{_ISSUER} WHERE issuer = $1", issuer.id)
        if known is not None and rows.issuer(known) == issuer:
            return
        await connection.execute(
            "INSERT INTO issuers (issuer, name, der, chain, root, spki_sha256, not_before,"
            " not_after, active) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
            " ON CONFLICT (issuer) DO UPDATE SET name = excluded.name, der = excluded.der,"
            " chain = excluded.chain, root = excluded.root, not_before = excluded.not_before,"
            " not_after = excluded.not_after, active = excluded.active",
            *rows.issuer_row(issuer),
        )
        await connection.execute("INSERT INTO audit (leaf) VALUES ($1)", leaf)


async def issuers(connection: Any) -> list[Issuer]:
    """Return every X.509 issuer, oldest first."""
    found = await connection.fetch(f"{_ISSUER} WHERE kind = '{X509}' ORDER BY id")
    return [rows.issuer(row) for row in found]


async def latest_crl(connection: Any, issuer: str) -> StoredCRL | None:
    """Return the newest CRL of an issuer."""
    row = await connection.fetchrow(
        "SELECT i.issuer, number, this_update, next_update, entries, c.der"
        " FROM crls c JOIN issuers i ON i.id = c.issuer"
        " WHERE i.issuer = $1 ORDER BY number DESC LIMIT 1",
        issuer,
    )
    return None if row is None else StoredCRL(*row)


async def add_crl(connection: Any, crl: StoredCRL) -> bool:
    """Store a CRL whose number is above all before it, and drop the octets of those."""
    async with connection.transaction():
        issuer = await connection.fetchval(
            "SELECT id FROM issuers WHERE issuer = $1 FOR UPDATE", crl.issuer
        )
        if issuer is None:
            raise Error(Kind.INTERNAL, f"issuer '{crl.issuer}' is not in the store")
        newest = await connection.fetchval("SELECT max(number) FROM crls WHERE issuer = $1", issuer)
        if newest is not None and crl.number <= newest:
            return False
        await connection.execute(
            "UPDATE crls SET der = '' WHERE issuer = $1 AND number = $2", issuer, newest
        )
        await connection.execute(
            "INSERT INTO crls VALUES ($1, $2, $3, $4, $5, $6)",
            issuer,
            crl.number,
            crl.this_update,
            crl.next_update,
            crl.entries,
            crl.der,
        )
    return True


async def cursor(connection: Any, consumer: str) -> int:
    """Return how far a consumer has read the log."""
    found = await connection.fetchval("SELECT sequence FROM cursors WHERE consumer = $1", consumer)
    return int(found or 0)


async def move_cursor(connection: Any, consumer: str, sequence: int) -> None:
    """Remember how far a consumer has read; never backwards."""
    await connection.execute(
        "INSERT INTO cursors VALUES ($1, $2) ON CONFLICT (consumer)"
        " DO UPDATE SET sequence = greatest(cursors.sequence, excluded.sequence)",
        consumer,
        sequence,
    )


async def lease(connection: Any, name: str, holder: str, seconds: int, now: float) -> bool:
    """Take or keep a lease.

    One that ends later than it can have been given for was taken before the clock jumped back;
    if its holder is dead, nobody would have it until the clock is there again.
    """
    taken = await connection.fetchval(
        "INSERT INTO leases VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE"
        " SET holder = excluded.holder, expires_at = excluded.expires_at"
        " WHERE leases.holder = excluded.holder OR leases.expires_at < $4"
        " OR leases.expires_at > $5 RETURNING true",
        name,
        holder,
        now + seconds,
        now,
        now + 2 * seconds,
    )
    return taken is not None
