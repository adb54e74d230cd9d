"""`Store` on PostgreSQL; see `mintmark.store.interface` for what each method promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from typing import Any, Final

from mintmark.model.act import Act, IdempotentAnswer, Token
from mintmark.model.audit import Checkpoint, StoredAudit
from mintmark.model.certificate import Revocation, StoredCertificate
from mintmark.model.issuer import Issuer
from mintmark.model.status import CertificateKind, Status
from mintmark.store import leaf as leaves
from mintmark.store import rows
from mintmark.store.consistency import unrecorded
from mintmark.store.interface import CertificateFilter, CertificateStatus, StoredCRL
from mintmark.store.postgresql import audit, check, listing, publication
from mintmark.store.postgresql.lookup import Fate
from mintmark.store.postgresql.ssh_store import PostgreSQLSSH

_PAGE: Final = 1000
_CRL_ROWS: Final = 20_000


class PostgreSQLStore(PostgreSQLSSH):
    """What the CA remembers, in one PostgreSQL database.

    Args:
        dsn: `postgresql://user@host:port/database`.
        clock: Unix seconds, for rate limits.
        password: beside the URL, so that it need not be in it.
    """

    async def check(self) -> list[str]:
        """Return what is wrong with the database, as sentences."""
        found = await self._long(check.check)
        return found + await unrecorded(self)

    async def commit(self, act: Act) -> None:
        """Make the act durable."""
        await self._open_parts().writer.put(act)

    async def certificate(self, serial: bytes) -> StoredCertificate | None:
        """Return one certificate by serial."""
        row = await self._read(lambda c: c.fetchrow(listing.BY_SERIAL, serial))
        return None if row is None else rows.stored_certificate(row)

    async def current(self, service: str, now: int) -> StoredCertificate | None:
        """Return the service's newest X.509 certificate that is neither revoked nor expired."""
        active = CertificateFilter(
            now=now, service=service, status=Status.ACTIVE, kind=CertificateKind.X509
        )
        found = await self.certificates(active, after=None, limit=1)
        return found[0] if found else None

    async def certificates(
        self, matching: CertificateFilter, *, after: int | None, limit: int
    ) -> list[StoredCertificate]:
        """Return up to `limit` certificates, newest first, below sequence `after`."""
        found = await self._read(lambda c: listing.page(c, matching, after, limit))
        return [rows.stored_certificate(row) for row in found]

    async def revocation(self, serial: bytes) -> Revocation | None:
        """Return the revocation of a serial."""
        fate = await self._open_parts().fates.get(serial)
        return None if fate is None else fate[1]

    async def statuses(self, issuer: str, serials: Sequence[bytes]) -> list[CertificateStatus]:
        """Return what OCSP answers for serials of an issuer, in that order."""
        fates = self._open_parts().fates
        found = await asyncio.gather(*map(fates.get, serials))
        return [_status(issuer, fate) for fate in found]

    async def key_blocked(self, spki_sha256: bytes) -> bool:
        """Whether a key must not be certified again."""
        return await self._open_parts().blocked.get(spki_sha256) is not None

    async def idempotent(self, key_sha256: bytes) -> IdempotentAnswer | None:
        """Return what was answered under an idempotency key."""
        row = await self._read(
            lambda c: c.fetchrow(
                "SELECT request_sha256, serial FROM idempotency WHERE key_sha256 = $1", key_sha256
            )
        )
        return None if row is None else IdempotentAnswer(*row)

    async def token(self, sha256: bytes) -> Token | None:
        """Return an unused token, expired or not."""
        row = await self._read(lambda c: c.fetchrow(f"{rows.TOKENS} WHERE sha256 = $1", sha256))
        return None if row is None else rows.token(row)

    async def add_issuer(self, issuer: Issuer, audit: Act) -> None:
        """Remember an issuer together with an act that says so."""
        leaf = leaves.encode(audit)
        await self._write(lambda c: publication.add_issuer(c, issuer, leaf))

    async def issuers(self) -> list[Issuer]:
        """Return every X.509 issuer that ever signed, oldest first."""
        return await self._read(publication.issuers)

    async def latest_crl(self, issuer: str) -> StoredCRL | None:
        """Return the newest CRL of an issuer."""
        return await self._read(lambda c: publication.latest_crl(c, issuer))

    async def add_crl(self, crl: StoredCRL) -> bool:
        """Publish a CRL; False, and nothing stored, if that number exists already."""
        return await self._long(lambda c: publication.add_crl(c, crl))

    def crl_entries(self, issuer: str, not_after_from: int) -> Iterator[bytes]:
        """Yield encoded CRL entries, by serial, of revoked certificates."""
        for page in self._snapshot(partial(_entries, issuer, not_after_from)):
            for row in page:
                yield row[0]

    async def audit(
        self, *, before: int | None, limit: int, service: str | None, action: str | None
    ) -> tuple[list[StoredAudit], int | None]:
        """Return records, newest first, with id below `before`, and the id to go on from."""
        return await self._read(lambda c: audit.page(c, before, limit, service, action))

    async def audit_records(self, ids: Sequence[tuple[int, int]]) -> list[StoredAudit]:
        """Return records by inclusive id ranges, in that order."""
        return await self._read(lambda c: audit.records(c, ids))

    async def unsequenced(self, limit: int) -> tuple[tuple[int, int], ...]:
        """Return id ranges of committed records that are in no checkpoint yet."""
        return await self._read(lambda c: audit.unsequenced(c, limit))

    async def latest_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint."""
        return await self._read(audit.latest)

    async def checkpoints(self, *, after: int, limit: int) -> list[Checkpoint]:
        """Return checkpoints with sequence above `after`, oldest first."""
        return await self._read(lambda c: audit.checkpoints(c, after, limit))

    async def add_checkpoint(self, checkpoint: Checkpoint) -> bool:
        """Store a checkpoint; False, and nothing stored, if that sequence exists already."""
        return await self._write(lambda c: audit.add_checkpoint(c, checkpoint))

    async def cursor(self, consumer: str) -> int:
        """Return how far a consumer has read the log."""
        return await self._read(lambda c: publication.cursor(c, consumer))

    async def move_cursor(self, consumer: str, sequence: int) -> None:
        """Remember how far a consumer has read; never backwards."""
        await self._write(lambda c: publication.move_cursor(c, consumer, sequence))

    async def lease(self, name: str, holder: str, seconds: int, now: float) -> bool:
        """Take or keep a lease; False while another holder has it."""
        return await self._write(lambda c: publication.lease(c, name, holder, seconds, now))

    async def tidy(self, now: int) -> int:
        """Delete what has expired; return how many rows."""
        return await self._write(lambda c: check.tidy(c, now)) + await self._tidy_ended(now)

    async def all_audit(self) -> AsyncIterator[StoredAudit]:
        """Yield every audit record by id."""
        after = 0
        while page := await self._read(partial(audit.following, after=after, limit=_PAGE)):
            for record in page:
                yield record
            after = page[-1].id

    async def certificate_digests(
        self, *, after: int, limit: int
    ) -> list[tuple[int, bytes, bytes]]:
        """Return (sequence, serial, SHA-256 of the DER) above sequence `after`, oldest first."""
        return await self._read(lambda c: check.digests(c, after, limit))

    async def count(self) -> dict[str, int]:
        """Return how many certificates, revocations, audit records and tokens there are."""
        return await self._read(check.count)


def _status(issuer: str, fate: Fate | None) -> CertificateStatus:
    issued_by, revocation = fate or (None, None)
    if revocation is not None and revocation.issuer == issuer:
        return CertificateStatus(issued=True, revocation=revocation)
    return CertificateStatus(issued=issued_by == issuer, revocation=None)


async def _entries(
    issuer: str, not_after_from: int, connection: Any, before: Any | None
) -> list[Any]:
    found = await connection.fetch(
        "SELECT entry, serial FROM revocations WHERE serial > $3 AND not_after >= $2"
        " AND issuer = (SELECT id FROM issuers WHERE issuer = $1) ORDER BY serial LIMIT $4",
        issuer,
        not_after_from,
        b"" if before is None else before[1],
        _CRL_ROWS,
    )
    return list(found)
