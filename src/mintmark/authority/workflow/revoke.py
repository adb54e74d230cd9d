"""Revoke: a serial is worth nothing from now on, and never again anything (design rule 4)."""

from __future__ import annotations

from typing import Final

from mintmark.authority.policy.approve import may_act_for
from mintmark.authority.workflow.authority import Authority
from mintmark.model.access import Operation, Requester
from mintmark.model.act import Act, AuditRecord
from mintmark.model.certificate import Certificate, Revocation, StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import BanKind, SSHBan, SSHCertificate
from mintmark.model.status import Reason

MAX_NOTE: Final = 256


async def revoke(
    authority: Authority,
    requester: Requester,
    stored: StoredCertificate,
    reason: Reason,
    *,
    proof: str = "",
    note: str = "",
) -> Revocation:
    """Revoke one certificate; OCSP and `crl/check` know it when this returns.

    A key revoked for compromise is blocked: no certificate is issued for it again, and an SSH
    key goes on the KRL itself.

    Args:
        authority: who revokes.
        requester: who asks.
        stored: the certificate.
        reason: for CRL and OCSP.
        proof: what gave the right to ask where the requester alone does not say it.
        note: why, in the requester's own words, for the audit log.

    Raises:
        Error: MALFORMED for a note that no log can carry, FORBIDDEN, or ALREADY_REVOKED.
    """
    certificate = stored.certificate
    may_act_for(requester, certificate.service, Operation.REVOKE)
    if reason is Reason.CA_COMPROMISE and not requester.is_admin:
        raise Error(
            Kind.FORBIDDEN,
            f"reason {reason.word!r} speaks of the issuer, not of this certificate",
            hint=f"use {Reason.KEY_COMPROMISE.word!r}",
        )
    if len(note) > MAX_NOTE or not note.isprintable():
        raise Error(
            Kind.MALFORMED, f"the reason's text is not of up to {MAX_NOTE} printable characters"
        )
    now = authority.clock()
    revocation = Revocation(
        certificate.serial, certificate.issuer, int(now), reason, certificate.not_after
    )
    compromised = reason is Reason.KEY_COMPROMISE
    await authority.store.commit(
        Act(
            audit=AuditRecord(
                "certificate.revoke",
                now,
                requester.service,
                certificate.serial,
                requester.address,
                {
                    "reason": reason.word,
                    "issuer": certificate.issuer,
                    **(
                        {"ssh": certificate.type.word}
                        if isinstance(certificate, SSHCertificate)
                        else {}
                    ),
                    **({"proof": proof} if proof else {}),
                    **({"note": note} if note else {}),
                    **({"provisioner": requester.provisioner} if requester.provisioner else {}),
                },
            ),
            revocations=(revocation,),
            blocked_key=certificate.spki_sha256 if compromised else None,
            bans=await _bans(authority, certificate, int(now)) if compromised else (),
            burns=requester.burns,
        )
    )
    return revocation


def revoked_already(serial: int) -> Error:
    """Return the refusal of a second revocation, in words that step clients know."""
    return Error(
        Kind.ALREADY_REVOKED, f"certificate with serial number '{serial}' is already revoked"
    )


async def _bans(authority: Authority, certificate: Certificate, now: int) -> tuple[SSHBan, ...]:
    """Return the ban on an SSH key that others know: further certificates of it may be out."""
    if not isinstance(certificate, SSHCertificate):
        return ()
    key = certificate.key_sha256
    if await authority.store.banned("", key) is not None:
        return ()
    return (SSHBan(BanKind.KEY, key, now, Reason.KEY_COMPROMISE),)
