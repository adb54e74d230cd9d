"""The contract of storage, in one reading; SQLite and PostgreSQL stand behind it.

Writing goes through `commit` alone: an `Act` is durable when it returns (synchronous=FULL,
fsync), and nothing of it is stored when it raises. Acts that arrive together share one
database transaction (group commit); each still succeeds or fails by itself. Conditions of an
act are decided inside that transaction, so they hold over all processes on one database.

Reads see every act whose `commit` has returned, in this process and in others on the same
database. Certificate, revocation and audit rows are never updated or deleted; triggers in the
schema refuse it.

Every method raises `Error(UNAVAILABLE)` with `retry_after` while the database cannot be
reached, is full or is read-only, and works again by itself afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mintmark.model.act import Act, IdempotentAnswer, Token
from mintmark.model.audit import Checkpoint, StoredAudit
from mintmark.model.certificate import Revocation, StoredCertificate
from mintmark.model.issuer import Issuer
from mintmark.model.status import CertificateKind, Status
from mintmark.store.acme import ACMEStore
from mintmark.store.ssh import ProvisionerStore, SSHStore

FOREVER: Final = 1 << 62
"""Above every time and every sequence."""


@dataclass(frozen=True, slots=True)
class CertificateFilter:
    """Which certificates to list; every field narrows, None and empty do not.

    Args:
        service: exact service id.
        profile: exact profile name.
        status: at `now`.
        name: exact common name or subject alternative name, canonical; of an SSH certificate
            its key id or a principal.
        expires_before: Unix seconds; not_after <= this and >= `now`.
        now: Unix seconds, for `status` and `expires_before`.
        kind: X.509, or SSH user or host certificates.
    """

    now: int
    service: str | None = None
    profile: str | None = None
    status: Status | None = None
    name: str | None = None
    expires_before: int | None = None
    kind: CertificateKind | None = None

    def expiry_bounds(self) -> tuple[int, int]:
        """Return the bounds of not_after that it asks for, both inclusive."""
        low, high = 0, FOREVER
        if self.status is Status.ACTIVE:
            low = self.now
        elif self.status is Status.EXPIRED:
            high = self.now - 1
        if self.expires_before is not None:
            low, high = max(low, self.now), min(high, self.expires_before)
        return low, high


@dataclass(frozen=True, slots=True)
class StoredCRL:
    """A published CRL.

    Args:
        issuer: issuer id.
        number: CRL number (RFC 5280 §5.2.3), rising by publication, never reused.
        this_update: Unix seconds.
        next_update: Unix seconds.
        entries: how many certificates it lists.
        der: the CRL; empty in histories.
    """

    issuer: str
    number: int
    this_update: int
    next_update: int
    entries: int
    der: bytes = b""


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """What OCSP needs to know of a serial: whether we issued it, and its revocation."""

    issued: bool
    revocation: Revocation | None


@dataclass(slots=True)
class Statistics:
    """What acts and used nonces have cost one store; other processes' work is not in it.

    Args:
        commits: transactions of acts, waited for until they were on the disk.
        unwaited: transactions of nonces, which wait for no disk.
        rows: rows inserted, replaced or deleted in either.
    """

    commits: int = 0
    unwaited: int = 0
    rows: int = 0


class Store(ACMEStore, SSHStore, ProvisionerStore, Protocol):
    """What the CA remembers."""

    async def open(self) -> None:
        """Connect, check the schema version, measure the cost of a durable commit.

        Raises:
            Error: CONFIGURATION when the schema is newer than this program, or older and
                `migrate` has not been run (SQLite migrates by itself at `open`).
        """

    async def close(self) -> None:
        """Finish pending commits and disconnect."""

    async def migrate(self) -> list[str]:
        """Bring the schema up to date; return the names of the migrations applied."""

    async def check(self) -> list[str]:
        """Return what is wrong with the database, as sentences; empty when all is well.

        Looks at the database's own integrity check, the schema version, foreign keys, that
        every certificate parses, is of its issuer's kind and has its audit record, that
        revocations, counts of active certificates, SSH hosts and ACME orders agree with the
        certificates, and that CRL and KRL numbers rise.
        """

    async def commit(self, act: Act) -> None:
        """Make the act durable.

        Raises:
            Error: RATE_LIMITED with `retry_after`, FORBIDDEN (quota, banned key id), BAD_TOKEN,
                CONFLICT (idempotency key or ban exists, or a change does not follow what is
                stored), ALREADY_REVOKED, BAD_PUBLIC_KEY (blocked, banned), UNAVAILABLE.
        """

    async def certificate(self, serial: bytes) -> StoredCertificate | None:
        """Return one certificate by serial."""

    async def current(self, service: str, now: int) -> StoredCertificate | None:
        """Return the service's newest X.509 certificate that is neither revoked nor expired."""

    async def certificates(
        self, matching: CertificateFilter, *, after: int | None, limit: int
    ) -> list[StoredCertificate]:
        """Return up to `limit` certificates, newest first, below sequence `after`."""

    async def revocation(self, serial: bytes) -> Revocation | None:
        """Return the revocation of a serial; the hot path of authentication."""

    async def statuses(self, issuer: str, serials: Sequence[bytes]) -> list[CertificateStatus]:
        """Return what OCSP answers for serials of an issuer, in that order; its hot path."""

    async def key_blocked(self, spki_sha256: bytes) -> bool:
        """Whether a key must not be certified again."""

    async def idempotent(self, key_sha256: bytes) -> IdempotentAnswer | None:
        """Return what was answered under an idempotency key."""

    async def token(self, sha256: bytes) -> Token | None:
        """Return an unused token, expired or not."""

    async def add_issuer(self, issuer: Issuer, audit: Act) -> None:
        """Remember an issuer together with an act that says so; repeating it is harmless."""

    async def issuers(self) -> list[Issuer]:
        """Return every X.509 issuer that ever signed, oldest first."""

    async def latest_crl(self, issuer: str) -> StoredCRL | None:
        """Return the newest CRL of an issuer."""

    async def add_crl(self, crl: StoredCRL) -> bool:
        """Publish a CRL; False, and nothing stored, if that number exists already.

        Older CRLs keep their numbers and times; their DER goes.
        """

    def crl_entries(self, issuer: str, not_after_from: int) -> Iterator[bytes]:
        """Yield encoded CRL entries (`wire.crl.entry`), by serial, of revoked certificates.

        Certificates with not_after < `not_after_from` are left out. Called in a worker
        thread: a million entries take their time. It uses a connection of its own.
        """

    async def audit(
        self, *, before: int | None, limit: int, service: str | None, action: str | None
    ) -> tuple[list[StoredAudit], int | None]:
        """Return records, newest first, with id below `before`, and the id to go on from.

        A filter looks at a bounded number of records a call; the second value says where to
        go on, and is None at the end, so that a page can be empty and not the last.
        """

    async def audit_records(self, ids: Sequence[tuple[int, int]]) -> list[StoredAudit]:
        """Return records by inclusive id ranges, in that order."""

    async def unsequenced(self, limit: int) -> tuple[tuple[int, int], ...]:
        """Return id ranges of committed records that are in no checkpoint yet, up to `limit`."""

    async def latest_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint."""

    async def checkpoints(self, *, after: int, limit: int) -> list[Checkpoint]:
        """Return checkpoints with sequence above `after`, oldest first."""

    async def add_checkpoint(self, checkpoint: Checkpoint) -> bool:
        """Store a checkpoint; False, and nothing stored, if that sequence exists already."""

    async def cursor(self, consumer: str) -> int:
        """Return how far a consumer has read the log: a checkpoint's sequence, 0 at first."""

    async def move_cursor(self, consumer: str, sequence: int) -> None:
        """Remember how far a consumer has read; never backwards."""

    async def lease(self, name: str, holder: str, seconds: int, now: float) -> bool:
        """Take or keep a lease; False while another holder has it."""

    async def tidy(self, now: int) -> int:
        """Delete what has expired; return how many rows.

        Tokens, idempotency keys, rate states, leases and counts of days gone by at once; what
        ACME remembers as `mintmark.store.acme` says, used tokens and principals of SSH hosts
        as little at a time.
        """

    def all_audit(self) -> AsyncIterator[StoredAudit]:
        """Yield every audit record by id, for verification."""

    async def certificate_digests(
        self, *, after: int, limit: int
    ) -> list[tuple[int, bytes, bytes]]:
        """Return (sequence, serial, SHA-256 of the DER) above sequence `after`, oldest first."""

    async def count(self) -> dict[str, int]:
        """Return how many certificates, revocations, audit records and tokens there are."""

    def statistics(self) -> Statistics:
        """Return how much was written so far."""
