"""`Store` on SQLite; see `mintmark.store.interface` for what each method promises.

Reads of one row happen in the loop: they take a few microseconds and never suspend, but for those
that all issuances need, `key_blocked` and `token_used`: theirs are done together. Lists and scans
run in a thread with a connection of its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw

from mintmark.model.act import Act, IdempotentAnswer, Token
from mintmark.model.audit import Checkpoint, StoredAudit
from mintmark.model.certificate import Revocation, StoredCertificate
from mintmark.model.issuer import Issuer
from mintmark.model.status import CertificateKind, Reason, Status
from mintmark.model.time import Clock
from mintmark.store import leaf as leaves
from mintmark.store import rows
from mintmark.store.consistency import unrecorded
from mintmark.store.interface import CertificateFilter, CertificateStatus, StoredCRL
from mintmark.store.sqlite import audit, listing, publication
from mintmark.store.sqlite.check import check, count, digests, tidy
from mintmark.store.sqlite.commit import BLOCKED
from mintmark.store.sqlite.connection import connect, explain, snapshot
from mintmark.store.sqlite.lookup import Lookup
from mintmark.store.sqlite.ssh_store import SQLiteSSH

_PAGE: Final = 1000

# These two are asked at every request and every OCSP answer. Subqueries run only when there is
# a row; a join would open its tables each time, for twice the price. The second always has a
# row, so that one run over many serials answers them in their order.
_REVOCATION: Final = """
SELECT (SELECT issuer FROM issuers WHERE id = r.issuer), revoked_at, reason, not_after
FROM revocations r WHERE serial = ?
"""
_STATUS: Final = """
SELECT (SELECT (SELECT issuer FROM issuers WHERE id = c.issuer)
        FROM certificates c WHERE serial = ?1),
       (SELECT 1 FROM revocations WHERE serial = ?1)
"""
_GOOD: Final = CertificateStatus(issued=True, revocation=None)
_UNKNOWN: Final = CertificateStatus(issued=False, revocation=None)


class SQLiteStore(SQLiteSSH):
    """What the CA remembers, in one SQLite file.

    Args:
        path: of the file; it is made at `open` if there is none.
        clock: Unix seconds, for rate limits.
        threaded: whether commits leave the loop; None measures the disk at `open`.
    """

    def __init__(self, path: str | Path, clock: Clock, *, threaded: bool | None = None) -> None:
        super().__init__(path, clock, threaded=threaded)
        self._blocked = Lookup(self._reader, BLOCKED)

    async def check(self) -> list[str]:
        """Return what is wrong with the database, as sentences."""
        return await self._scan(check) + await unrecorded(self)

    async def commit(self, act: Act) -> None:
        """Make the act durable."""
        await self._open_writer().put(act)

    async def certificate(self, serial: bytes) -> StoredCertificate | None:
        """Return one certificate by serial."""
        row = self._row(listing.BY_SERIAL, (serial,))
        return None if row is None else rows.stored_certificate(row)

    async def current(self, service: str, now: int) -> StoredCertificate | None:
        """Return the service's newest X.509 certificate that is neither revoked nor expired."""
        active = CertificateFilter(
            now=now, service=service, status=Status.ACTIVE, kind=CertificateKind.X509
        )
        found = self._reader.attempt(lambda c: listing.page(c, active, None, 1))
        return rows.stored_certificate(found[0]) if found else None

    async def certificates(
        self, matching: CertificateFilter, *, after: int | None, limit: int
    ) -> list[StoredCertificate]:
        """Return up to `limit` certificates, newest first, below sequence `after`."""
        found = await self._list(lambda c: listing.page(c, matching, after, limit))
        return [rows.stored_certificate(row) for row in found]

    async def revocation(self, serial: bytes) -> Revocation | None:
        """Return the revocation of a serial."""
        return self._revocation(serial)

    def _revocation(self, serial: bytes) -> Revocation | None:
        row = self._row(_REVOCATION, (serial,))
        return None if row is None else Revocation(serial, row[0], row[1], Reason(row[2]), row[3])

    async def statuses(self, issuer: str, serials: Sequence[bytes]) -> list[CertificateStatus]:
        """Return what OCSP answers for serials of an issuer, in that order."""
        values = [(serial,) for serial in serials]
        if len(values) > 1:
            found = self._reader.attempt(partial(_together, _STATUS, values))
        else:
            found = self._rows(_STATUS, values)
        good = (issuer, None)
        return [
            _GOOD if row == good else self._status(issuer, serial, *row)
            for serial, row in zip(serials, found, strict=True)
        ]

    def _status(
        self, issuer: str, serial: bytes, issued_by: str | None, revoked: int | None
    ) -> CertificateStatus:
        if revoked:
            revocation = self._revocation(serial)
            if revocation is not None and revocation.issuer == issuer:
                return CertificateStatus(issued=True, revocation=revocation)
        return _GOOD if issued_by == issuer else _UNKNOWN

    async def key_blocked(self, spki_sha256: bytes) -> bool:
        """Whether a key must not be certified again."""
        return await self._blocked.has(spki_sha256)

    async def idempotent(self, key_sha256: bytes) -> IdempotentAnswer | None:
        """Return what was answered under an idempotency key."""
        row = self._row(
            "SELECT request_sha256, serial FROM idempotency WHERE key_sha256 = ?", (key_sha256,)
        )
        return None if row is None else IdempotentAnswer(*row)

    async def token(self, sha256: bytes) -> Token | None:
        """Return an unused token, expired or not."""
        row = self._row(f"{rows.TOKENS} WHERE sha256 = ?", (sha256,))
        return None if row is None else rows.token(row)

    async def add_issuer(self, issuer: Issuer, audit: Act) -> None:
        """Remember an issuer together with an act that says so."""
        leaf = leaves.encode(audit)
        await self._work(lambda c: publication.add_issuer(c, issuer, leaf))

    async def issuers(self) -> list[Issuer]:
        """Return every X.509 issuer that ever signed, oldest first."""
        return self._reader.attempt(publication.issuers)  # type: ignore[no-any-return]

    async def latest_crl(self, issuer: str) -> StoredCRL | None:
        """Return the newest CRL of an issuer."""
        return await self._scan(lambda c: publication.latest_crl(c, issuer))

    async def add_crl(self, crl: StoredCRL) -> bool:
        """Publish a CRL; False, and nothing stored, if that number exists already."""
        return await self._work(lambda c: publication.add_crl(c, crl))

    def crl_entries(self, issuer: str, not_after_from: int) -> Iterator[bytes]:
        """Yield encoded CRL entries, by serial, of revoked certificates."""
        try:
            connection = connect(self._path)
            try:
                for row in connection.execute(
                    "SELECT entry FROM revocations WHERE not_after >= ?"
                    " AND issuer = (SELECT id FROM issuers WHERE issuer = ?) ORDER BY serial",
                    (not_after_from, issuer),
                ):
                    yield row[0]
            finally:
                connection.close(True)
        except apsw.Error as error:
            raise explain(error) from error

    async def audit(
        self, *, before: int | None, limit: int, service: str | None, action: str | None
    ) -> tuple[list[StoredAudit], int | None]:
        """Return records, newest first, with id below `before`, and the id to go on from."""
        return await self._scan(lambda c: audit.page(c, before, limit, service, action))

    async def audit_records(self, ids: Sequence[tuple[int, int]]) -> list[StoredAudit]:
        """Return records by inclusive id ranges, in that order."""
        return self._reader.attempt(  # type: ignore[no-any-return]
            lambda c: audit.records(c, ids)
        )

    async def unsequenced(self, limit: int) -> tuple[tuple[int, int], ...]:
        """Return id ranges of committed records that are in no checkpoint yet."""
        return self._reader.attempt(  # type: ignore[no-any-return]
            lambda c: audit.unsequenced(c, limit)
        )

    async def latest_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint."""
        return self._reader.attempt(audit.latest)  # type: ignore[no-any-return]

    async def checkpoints(self, *, after: int, limit: int) -> list[Checkpoint]:
        """Return checkpoints with sequence above `after`, oldest first."""
        return await self._scan(lambda c: audit.checkpoints(c, after, limit))

    async def add_checkpoint(self, checkpoint: Checkpoint) -> bool:
        """Store a checkpoint; False, and nothing stored, if that sequence exists already."""
        return await self._work(lambda c: audit.add_checkpoint(c, checkpoint))

    async def cursor(self, consumer: str) -> int:
        """Return how far a consumer has read the log."""
        row = self._row("SELECT sequence FROM cursors WHERE consumer = ?", (consumer,))
        return 0 if row is None else int(row[0])

    async def move_cursor(self, consumer: str, sequence: int) -> None:
        """Remember how far a consumer has read; never backwards."""
        await self._work(
            lambda c: c.execute(
                "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (consumer)"
                " DO UPDATE SET sequence = max(sequence, excluded.sequence)",
                (consumer, sequence),
            )
        )

    async def lease(self, name: str, holder: str, seconds: int, now: float) -> bool:
        """Take or keep a lease; False while another holder has it."""
        return await self._work(lambda c: publication.lease(c, name, holder, seconds, now))

    async def tidy(self, now: int) -> int:
        """Delete what has expired; return how many rows."""
        return await self._work(lambda c: tidy(c, now)) + await self._tidy_ended(now)

    async def all_audit(self) -> AsyncIterator[StoredAudit]:
        """Yield every audit record by id."""
        after = 0
        while page := await self._scan(partial(audit.following, after=after, limit=_PAGE)):
            for record in page:
                yield record
            after = page[-1].id

    async def certificate_digests(
        self, *, after: int, limit: int
    ) -> list[tuple[int, bytes, bytes]]:
        """Return (sequence, serial, SHA-256 of the DER) above sequence `after`, oldest first."""
        return await self._scan(lambda c: digests(c, after, limit))

    async def count(self) -> dict[str, int]:
        """Return how many certificates, revocations, audit records and tokens there are."""
        return await self._scan(count)


def _together(
    sql: str, values: Sequence[tuple[Any, ...]], connection: apsw.Connection
) -> list[tuple[Any, ...]]:
    """Return the rows for each set of values; the lock costs more than finding them."""
    with snapshot(connection):
        return list(connection.executemany(sql, values))
