"""Fills an SQLite store with a million certificates or revocations, faster than issuing them.

The rows are what the server would have written, patched from one certificate that it did
write: serial, names, end of validity. Their signatures are the first one's and worth nothing.
"""

from __future__ import annotations

import os
import time
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import apsw

from bench.requests import DOMAIN
from mintmark.model.status import Reason
from mintmark.model.time import DAY
from mintmark.store import leaf
from mintmark.wire import certificate as wire_certificate
from mintmark.wire import crl, der

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BATCH = 20_000
DAYS = 90
SERVICES = 1000
OWN = 5
_FIRST = "n0000000"


@dataclass(frozen=True, slots=True)
class Pattern:
    """The certificate that all others are patched from, cut where they differ.

    Args:
        issuer: row number of its issuer.
        serial: to be replaced.
        not_after: its encoded end, to be replaced.
        octets: DER.
        leaf: of its audit record.
        profile: its profile.
    """

    issuer: int
    serial: bytes
    not_after: bytes
    octets: bytes
    leaf: bytes
    profile: str


def serial(number: int) -> bytes:
    """Return the serial of a bulk certificate: positive, 20 octets, rising."""
    return b"\x41" + number.to_bytes(7, "big") + b"bench serial"


def name(number: int) -> str:
    """Return the first name of a bulk certificate."""
    return f"n{number:07}.{DOMAIN}"


def service(number: int) -> str:
    """Return whose a bulk certificate is: every fifth belongs to the service of the bench."""
    return "bench" if number % OWN == 0 else f"service-{number % SERVICES:04}"


def pattern(database: Path) -> Pattern:
    """Return the pattern: a certificate named `n0000000…` that the server issued.

    Raises:
        LookupError: there is none.
    """
    connection = apsw.Connection(str(database))
    row = connection.execute(
        "SELECT c.issuer, c.serial, c.der, c.profile FROM certificates c JOIN certificate_names n"
        " ON n.certificate = c.id WHERE n.name = ?",
        (name(0),),
    ).fetchone()
    if row is None:
        raise LookupError(f"no certificate for {name(0)}")
    issuer, old, octets, profile = row
    for (record,) in connection.execute("SELECT leaf FROM audit ORDER BY id DESC"):
        if leaf.decode(record).certificate == old.hex():
            break
    connection.close()
    end = der.time(wire_certificate.parse(octets).not_after)
    return Pattern(issuer, old, end, octets, record, profile)


def certificates(database: Path, count: int) -> None:
    """Store certificates numbered from 1 on, with names, holdings and audit records."""
    first = pattern(database)
    connection = apsw.Connection(str(database))
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -200000")
    held: Counter[tuple[str, int]] = Counter()
    sequence = connection.execute("SELECT max(id) FROM certificates").get
    record = connection.execute("SELECT max(id) FROM audit").get
    for start in range(1, count + 1, BATCH):
        rows, names, leaves = [], [], []
        for number, not_after, octets, audit in _patched(
            first, range(start, min(start + BATCH, count + 1))
        ):
            id_ = sequence + number
            owner = service(number)
            rows.append(
                (id_, serial(number), first.issuer, owner, first.profile, not_after, octets)
            )
            names += [(name(number), id_), (f"www.{name(number)}", id_)]
            leaves.append((record + number, audit))
            held[owner, not_after // DAY] += 1
        with connection:
            connection.executemany(
                "INSERT INTO certificates VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, ?, NULL)", rows
            )
            connection.executemany("INSERT INTO certificate_names VALUES (?, ?)", names)
            connection.executemany("INSERT INTO audit VALUES (?, ?)", leaves)
    with connection:
        connection.executemany(
            "INSERT INTO holdings VALUES (?, ?, ?) ON CONFLICT (service, day)"
            " DO UPDATE SET active = active + excluded.active",
            [(*key, by) for key, by in held.items()],
        )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def _patched(first: Pattern, numbers: range) -> Iterator[tuple[int, int, bytes, bytes]]:
    """Yield number, not_after, DER and audit leaf."""
    today = int(time.time()) // DAY * DAY
    ends = [(today + day * DAY, der.time(today + day * DAY)) for day in range(1, DAYS + 1)]
    old_digest = b64encode(sha256(first.octets).digest())
    old_serial, old_first = first.serial.hex().encode(), _FIRST.encode()
    for number in numbers:
        not_after, end = ends[number % DAYS]
        new = serial(number)
        octets = (
            first.octets.replace(first.serial, new, 1)
            .replace(first.not_after, end, 1)
            .replace(old_first, b"n%07d" % number)
        )
        audit = first.leaf.replace(old_serial, new.hex().encode(), 1).replace(
            old_digest, b64encode(sha256(octets).digest())
        )
        yield number, not_after, octets, audit


def revocations(database: Path, issuer: str, count: int) -> None:
    """Store revocations of serials, half of them with a reason."""
    connection = apsw.Connection(str(database))
    connection.execute("PRAGMA synchronous = OFF")
    number = connection.execute("SELECT id FROM issuers WHERE issuer = ?", (issuer,)).get
    now = int(time.time())
    reasons = (Reason.UNSPECIFIED, Reason.KEY_COMPROMISE)
    for start in range(0, count, BATCH):
        rows = []
        for at in range(start, min(start + BATCH, count)):
            one, reason = b"\x42" + at.to_bytes(7, "big") + os.urandom(12), reasons[at % 2]
            entry = crl.entry(one, now, reason)
            rows.append((one, number, now, reason.value, now + DAYS * DAY, entry))
        with connection:
            connection.executemany("INSERT INTO revocations VALUES (?, ?, NULL, ?, ?, ?, ?)", rows)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
