"""An act: everything that has to become durable together, or not at all.

Design rule 3: a certificate, its audit record and what others must hear of it are one commit.
The audit log is also the outbox: publication reads it in tree order (ADR 0005).
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from mintmark.model.access import Burn
from mintmark.model.acme import Change
from mintmark.model.certificate import Certificate, Revocation
from mintmark.model.identifiers import Identifier
from mintmark.model.provisioner import StoredProvisioner
from mintmark.model.ssh import SSHBan


class AuditRecord(Struct, frozen=True, gc=False):
    """One line of the audit log, never with a secret in it.

    Args:
        action: what happened, as `certificate.request`, `certificate.revoke`, `token.create`.
        time: Unix seconds with a fraction; stored in milliseconds.
        service: who did it.
        certificate: serial of the certificate it is about, or None.
        address: where the request came from; empty for local acts.
        details: further facts: short texts and numbers, JSON.
    """

    action: str
    time: float
    service: str
    certificate: bytes | None = None
    address: str = ""
    details: dict[str, Any] = {}


class RateClaim(Struct, frozen=True, gc=False):
    """A claim on a rate limit (GCRA), granted or refused with the commit.

    Args:
        key: what is limited, as `service:web` or `total`.
        per_hour: how many acts an hour; also the burst.
    """

    key: str
    per_hour: int


class Quota(Struct, frozen=True, gc=False):
    """A bound on active certificates of one service, checked with the commit.

    Active: not expired, not revoked, and not replaced by a renewal or rekey.
    """

    service: str
    max_certificates: int


class IdempotencyKey(Struct, frozen=True, gc=False):
    """A requester's own name for a request, so that a retry is answered, not repeated.

    Args:
        key_sha256: SHA-256 over service and header value.
        request_sha256: SHA-256 of the request body: another body under the same key is an
            error of the requester.
        expires_at: Unix seconds; the key may be forgotten after that.
    """

    key_sha256: bytes
    request_sha256: bytes
    expires_at: int


class IdempotentAnswer(Struct, frozen=True, gc=False):
    """What the store remembers under an idempotency key."""

    request_sha256: bytes
    serial: bytes


class Token(Struct, frozen=True, gc=False):
    """A one-time enrolment token, as stored: only its hash.

    Args:
        sha256: SHA-256 of the token's text.
        service: the service it enrols.
        identifiers: names its certificate may carry beside those of the whitelist.
        profiles: profiles it is good for; empty allows those of the whitelist.
        expires_at: Unix seconds.
        principals: of an SSH user certificate that it may ask for.
    """

    sha256: bytes
    service: str
    identifiers: tuple[Identifier, ...]
    profiles: tuple[str, ...]
    expires_at: int
    principals: tuple[str, ...] = ()


class Act(Struct, frozen=True, gc=False):
    """What one commit makes durable.

    The conditions (`rates`, `quota`, `burns_token`, `idempotency`, the revocation's novelty)
    are decided inside the commit, atomically over all processes; if one fails, nothing of the
    act is stored and the store raises the matching `Error`.

    Args:
        audit: the audit record; without it nothing happens (design rule 8) but changes to
            ACME's objects, whose steps towards a certificate need none.
        certificate: a new certificate, X.509 or SSH, or None; BAD_PUBLIC_KEY if its key is
            blocked.
        companions: further new certificates of the same request, under the same conditions.
        revocations: new revocations; revoking a revoked serial fails with ALREADY_REVOKED.
        blocked_key: SHA-256 of an SPKI never to be certified again, or None.
        rates: claims on rate limits, all granted or the act fails with RATE_LIMITED.
        quota: bound on certificates of the service, FORBIDDEN when full.
        token: a new one-time token.
        burns_token: SHA-256 of the token used up by this act; BAD_TOKEN if it is unknown,
            used or expired at `audit.time`.
        burns: a signed token used up by this act; BAD_TOKEN if it was used before.
        bans: key ids and keys for the KRL; CONFLICT if one is banned already.
        provisioner: added, changed or removed; CONFLICT when its version does not follow the
            stored one.
        idempotency: remembered with the certificate; CONFLICT if the key exists already.
        changes: ACME objects to be written; CONFLICT when a version does not follow the
            stored one, when another account has the key of an account, or when an external
            account key is bound to another account.

    Raises:
        ValueError: what must be recorded comes without a record, or companions without a first
            certificate.
    """

    audit: AuditRecord | None = None
    certificate: Certificate | None = None
    companions: tuple[Certificate, ...] = ()
    revocations: tuple[Revocation, ...] = ()
    blocked_key: bytes | None = None
    rates: tuple[RateClaim, ...] = ()
    quota: Quota | None = None
    token: Token | None = None
    burns_token: bytes | None = None
    burns: Burn | None = None
    bans: tuple[SSHBan, ...] = ()
    provisioner: StoredProvisioner | None = None
    idempotency: IdempotencyKey | None = None
    changes: tuple[Change, ...] = ()

    def __post_init__(self) -> None:
        if self.companions and self.certificate is None:
            raise ValueError("companions accompany a certificate")
        if self.audit is None and (
            self.certificate is not None
            or self.revocations
            or self.blocked_key is not None
            or self.token is not None
            or self.burns_token is not None
            or self.burns is not None
            or self.bans
            or self.provisioner is not None
            or not self.changes
        ):
            raise ValueError("an act needs an audit record unless it only changes ACME's objects")

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """Every new certificate, companions behind the first one."""
        if self.certificate is None:
            return ()
        return (self.certificate, *self.companions) if self.companions else (self.certificate,)
