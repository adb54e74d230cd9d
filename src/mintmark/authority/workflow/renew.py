"""Renew and rekey: a successor for a certificate, with the same names.

RFC 4949: renewal keeps the key, rekey brings a new one. Both are issued like any certificate;
nothing of the old one is taken but its names, its profile and, in a renewal, its key.
"""

from __future__ import annotations

from mintmark.authority.policy.approve import may_act_for
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.issue import issue
from mintmark.model.access import Operation, Requester
from mintmark.model.act import IdempotencyKey
from mintmark.model.certificate import Certificate, StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.request import IssuanceRequest, SubjectKey
from mintmark.model.time import timestamp
from mintmark.wire.spki import certified_key


async def renew(
    authority: Authority,
    requester: Requester,
    stored: StoredCertificate,
    *,
    lifetime: int | None = None,
    idempotency: IdempotencyKey | None = None,
) -> Certificate:
    """Issue a successor with the same key.

    Raises:
        Error: CONFLICT when it is revoked or expired; else as `issue`.
    """
    key = certified_key(stored.certificate.der)
    return await _succeed(
        authority, requester, stored, key, lifetime, idempotency, "certificate.renew"
    )


async def rekey(
    authority: Authority,
    requester: Requester,
    stored: StoredCertificate,
    key: SubjectKey,
    *,
    lifetime: int | None = None,
    idempotency: IdempotencyKey | None = None,
) -> Certificate:
    """Issue a successor with a new key.

    Raises:
        Error: BAD_PUBLIC_KEY when the key is not new; else as `renew`.
    """
    if key.sha256 == stored.certificate.spki_sha256:
        raise Error(
            Kind.BAD_PUBLIC_KEY,
            "the public key is the one that the certificate has already",
            hint="make a new key, or renew instead of rekey",
        )
    return await _succeed(
        authority, requester, stored, key, lifetime, idempotency, "certificate.rekey"
    )


async def _succeed(
    authority: Authority,
    requester: Requester,
    stored: StoredCertificate,
    key: SubjectKey,
    lifetime: int | None,
    idempotency: IdempotencyKey | None,
    action: str,
) -> Certificate:
    predecessor = stored.certificate
    may_act_for(requester, predecessor.service, Operation.RENEW)
    _check_alive(stored, authority.clock())
    request = IssuanceRequest(
        service=predecessor.service,
        profile=predecessor.profile,
        key=key,
        identifiers=predecessor.identifiers,
        common_name=predecessor.common_name,
        lifetime=_lifetime(authority, predecessor) if lifetime is None else lifetime,
        replaces=predecessor.serial,
        metadata=predecessor.metadata,
    )
    return await issue(
        authority,
        requester,
        request,
        idempotency=idempotency,
        operation=Operation.RENEW,
        action=action,
    )


def _check_alive(stored: StoredCertificate, now: float) -> None:
    """Refuse a successor for a certificate that is worth nothing any more."""
    if stored.revocation is not None:
        raise Error(
            Kind.CONFLICT,
            f"certificate {stored.certificate.id} is revoked "
            f"({stored.revocation.reason.word}, {timestamp(stored.revocation.revoked_at)})",
            hint="request a new certificate",
        )
    if now > stored.certificate.not_after:
        raise Error(
            Kind.CONFLICT,
            f"certificate {stored.certificate.id} expired at "
            f"{timestamp(stored.certificate.not_after)}",
            hint="request a new certificate",
        )


def _lifetime(authority: Authority, predecessor: Certificate) -> int | None:
    """Return the predecessor's lifetime if its profile still allows it, else the default."""
    profile = authority.policy.profiles.get(predecessor.profile)
    lifetime = predecessor.not_after - predecessor.not_before
    issuer_end = authority.issuing.issuer.not_after
    fits = authority.clock() + lifetime <= issuer_end
    if profile and fits and profile.lifetime_min <= lifetime <= profile.lifetime_max:
        return lifetime
    return None
