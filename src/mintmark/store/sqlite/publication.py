"""Issuers, CRLs and leases in SQLite: what changes rarely and is read by publication."""

from __future__ import annotations

import apsw

from mintmark.model.errors import Error, Kind
from mintmark.model.issuer import Issuer
from mintmark.store import rows
from mintmark.store.interface import StoredCRL
from mintmark.store.ssh_rows import X509

_ISSUER = (
    "SELECT issuer, name, der, chain, root, spki_sha256, not_before, not_after, active FROM issuers"
)


def add_issuer(connection: apsw.Connection, issuer: Issuer, leaf: bytes) -> None:
    """Remember an issuer and the record that says so; nothing when it is known as it is."""
    row = rows.issuer_row(issuer)
    known = connection.execute(f"{_ISSUER} WHERE issuer = ?", (issuer.id,)).get
    if known is not None and rows.issuer(known) == issuer:
        return
    connection.execute(
        "INSERT INTO issuers (issuer, name, der, chain, root, spki_sha256, not_before, not_after,"
        " active) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (issuer) DO UPDATE"
        " SET name = excluded.name, der = excluded.der, chain = excluded.chain,"
        " root = excluded.root, not_before = excluded.not_before,"
        " not_after = excluded.not_after, active = excluded.active",
        row,
    )
    connection.execute("INSERT INTO audit (leaf) VALUES (?)", (leaf,))


def issuers(connection: apsw.Connection) -> list[Issuer]:
    """Return every X.509 issuer, oldest first."""
    found = connection.execute(f"{_ISSUER} WHERE kind = '{X509}' ORDER BY id")
    return [rows.issuer(row) for row in found]


def latest_crl(connection: apsw.Connection, issuer: str) -> StoredCRL | None:
    """Return the newest CRL of an issuer."""
    row = connection.execute(
        "SELECT i.issuer, number, this_update, next_update, entries, c.der"
        " FROM crls c JOIN issuers i ON i.id = c.issuer"
        " WHERE i.issuer = ? ORDER BY number DESC LIMIT 1",
        (issuer,),
    ).get
    return None if row is None else StoredCRL(*row)


def add_crl(connection: apsw.Connection, crl: StoredCRL) -> bool:
    """Store a CRL whose number is above all before it, and drop the octets of those."""
    issuer = connection.execute("SELECT id FROM issuers WHERE issuer = ?", (crl.issuer,)).get
    if issuer is None:
        raise Error(Kind.INTERNAL, f"issuer '{crl.issuer}' is not in the store")
    newest = connection.execute("SELECT max(number) FROM crls WHERE issuer = ?", (issuer,)).get
    if newest is not None and crl.number <= newest:
        return False
    connection.execute(
        "UPDATE crls SET der = x'' WHERE issuer = ? AND number = ?", (issuer, newest)
    )
    connection.execute(
        "INSERT INTO crls VALUES (?, ?, ?, ?, ?, ?)",
        (issuer, crl.number, crl.this_update, crl.next_update, crl.entries, crl.der),
    )
    return True


def lease(connection: apsw.Connection, name: str, holder: str, seconds: int, now: float) -> bool:
    """Take or keep a lease.

    One that ends later than it can have been given for was taken before the clock jumped back;
    if its holder is dead, nobody would have it until the clock is there again.
    """
    connection.execute(
        "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE"
        " SET holder = excluded.holder, expires_at = excluded.expires_at"
        " WHERE holder = excluded.holder OR expires_at < ? OR expires_at > ?",
        (name, holder, now + seconds, now, now + 2 * seconds),
    )
    return bool(
        connection.execute("SELECT holder FROM leases WHERE name = ?", (name,)).get == holder
    )
