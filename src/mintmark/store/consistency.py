"""Is a database whole, and what in it has expired? Asked of either kind of database.

The certificates and the audit log have to tell the same story. A certificate and its record
are one commit, so both streams run in nearly the same order and what waits for its other half
stays small, however long they are.
"""

from __future__ import annotations

from typing import Final

from mintmark.model.errors import Error
from mintmark.model.time import DAY
from mintmark.store import leaf as leaves
from mintmark.store import ssh_rows
from mintmark.store.interface import Store
from mintmark.wire.certificate import serial_of

_ROWS: Final = 1000
_NAMED: Final = 20
# What is wrong, with how many there are of it.
QUESTIONS: Final = {
    "{} valid ACME orders name a certificate that is not there": """
        SELECT count(*) FROM acme_orders o WHERE certificate IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM certificates c WHERE c.serial = o.certificate)""",
    "{} certificates are of another kind than their issuer": """
        SELECT count(*) FROM certificates c JOIN issuers i ON i.id = c.issuer
        WHERE i.kind != coalesce(c.kind, 'x509')""",
    "{} revocations do not agree with their certificate": """
        SELECT count(*) FROM revocations r JOIN certificates c ON c.serial = r.serial
        WHERE c.issuer != r.issuer OR c.id IS DISTINCT FROM r.certificate""",
    "{} counts of active certificates do not agree with the certificates": """
        SELECT count(*) FROM (SELECT service, not_after / 86400 AS day, count(*) FILTER (WHERE
            NOT EXISTS (SELECT 1 FROM revocations WHERE certificate = c.id)
            AND NOT EXISTS (SELECT 1 FROM certificates r WHERE r.replaces = c.serial)) AS active
            FROM certificates c GROUP BY 1, 2) AS counted
        LEFT JOIN holdings h USING (service, day)
        WHERE counted.active != coalesce(h.active, 0)""",
    "{} principals of SSH hosts do not agree with their certificate": """
        SELECT count(*) FROM ssh_hosts h LEFT JOIN certificates c ON c.id = h.certificate
        WHERE c.kind IS DISTINCT FROM 'ssh-host' OR c.not_after != h.not_after""",
    "{} KRLs have a number that is not above the one published before": """
        SELECT count(*) FROM (SELECT number, lag(number) OVER (ORDER BY place) AS before
        FROM krls) AS numbered WHERE number <= before""",
}


class Match:
    """Pairs issuance records with certificate rows as both stream by.

    Args:
        store: whose certificates are read.

    Attributes:
        matched: how many pairs were found.
        differing: (record id, serial) of pairs that disagree.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._after = 0
        self._rows: dict[bytes, tuple[int, bytes]] = {}
        self._records: dict[bytes, tuple[int, bytes]] = {}
        self.matched = 0
        self.differing: list[tuple[int, bytes]] = []

    def record(self, id_: int, leaf: leaves.Leaf) -> None:
        """Take in a record; those that issued nothing are passed over."""
        for serial, digest in leaf.issued().items():
            row = self._rows.pop(serial, None)
            if row is None:
                self._records[serial] = (id_, digest)
            else:
                self._compare(id_, serial, row[1], digest)

    async def read_rows(self, *, to_the_end: bool = False) -> None:
        """Read certificates until every record so far has its row, or there are no more."""
        while self._records or to_the_end:
            rows = await self._store.certificate_digests(after=self._after, limit=_ROWS)
            for sequence, serial, digest in rows:
                record = self._records.pop(serial, None)
                if record is None:
                    self._rows[serial] = (sequence, digest)
                else:
                    self._compare(record[0], serial, record[1], digest)
            if not rows:
                return
            self._after = rows[-1][0]

    def _compare(self, id_: int, serial: bytes, one: bytes, other: bytes) -> None:
        self.matched += 1
        if one != other:
            self.differing.append((id_, serial))

    @property
    def position(self) -> int:
        """Sequence of the last certificate read."""
        return self._after

    def without_row(self) -> list[tuple[int, bytes]]:
        """Return (record id, serial) of issuances whose certificate is not there."""
        return [(id_, serial) for serial, (id_, _) in self._records.items()]

    def without_record(self, up_to: int) -> list[bytes]:
        """Return serials of certificates up to a sequence that no record speaks of."""
        return [serial for serial, (sequence, _) in self._rows.items() if sequence <= up_to]


async def unrecorded(store: Store) -> list[str]:
    """Return where certificates and audit records disagree, as sentences."""
    match = Match(store)
    found: list[str] = []
    # Certificates first: whatever is read here has its record by now.
    await match.read_rows(to_the_end=True)
    up_to = match.position
    async for record in store.all_audit():
        try:
            match.record(record.id, leaves.decode(record.leaf))
        except ValueError:
            found.append(f"audit record {record.id} cannot be read")
    await match.read_rows()
    found += [
        f"certificate 'cert_{serial.hex()}' has no audit record"
        for serial in match.without_record(up_to)
    ]
    found += [
        f"certificate 'cert_{serial.hex()}' of audit record {id_} is not in the database"
        for id_, serial in match.without_row()
    ]
    found += [
        f"certificate 'cert_{serial.hex()}' is not the one that audit record {id_} speaks of"
        for id_, serial in match.differing
    ]
    return found[:_NAMED]


def expired(now: int) -> tuple[tuple[str, int], ...]:
    """Return which rows have expired, `{}` in place of a bound, and that bound."""
    return (
        ("tokens WHERE expires_at < {}", now),
        ("idempotency WHERE expires_at < {}", now),
        ("leases WHERE expires_at < {}", now),
        ("rates WHERE arrival < {}", now * 1_000_000),
        ("holdings WHERE day < {} AND active = 0", now // DAY - 1),
    )


def unreadable(serial: bytes, der: bytes, kind: str | None) -> list[str]:
    """Return what is wrong with a stored certificate by itself, as sentences."""
    if kind is not None:
        try:
            ssh_rows.parse(serial, der, kind)
        except Error as error:
            return [error.detail]
        return []
    try:
        found = serial_of(der)
    except Error:
        return [f"certificate 'cert_{serial.hex()}' cannot be read"]
    if int.from_bytes(found, "big") != int.from_bytes(serial, "big"):
        return [f"certificate 'cert_{serial.hex()}' is stored under another serial"]
    return []
