"""Issue: from a request to a certificate that is on record.

RFC 4949, "issue". Six steps; nothing leaves before the last (design rule 3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from mintmark.authority.issuance.approval import Approval
from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.issuance.leaf import draft_leaf, issue_leaf
from mintmark.authority.issuance.serial import new_serial
from mintmark.authority.policy.approve import approve
from mintmark.authority.workflow.authority import Authority
from mintmark.model.access import Credential, Operation, Requester
from mintmark.model.acme import Change
from mintmark.model.act import Act, AuditRecord, IdempotencyKey, Quota, RateClaim
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.model.request import IssuanceRequest


async def issue(
    authority: Authority,
    requester: Requester,
    request: IssuanceRequest,
    *,
    idempotency: IdempotencyKey | None = None,
    operation: Operation = Operation.REQUEST,
    action: str = "certificate.request",
    changes: Callable[[Certificate], tuple[Change, ...]] | None = None,
) -> Certificate:
    """Issue one certificate and return it once it is durable.

    Args:
        authority: who issues.
        requester: who asks, authenticated.
        request: what is asked for.
        idempotency: the requester's own name for this request, if it gave one.
        operation: what the whitelist must allow; RENEW for renewals and rekeys.
        action: the word in the audit log.
        changes: returns what else becomes durable with the certificate, such as the order that
            it completes; None for nothing.

    Raises:
        Error: whatever policy, lints, limits or storage refuse.
    """
    await authority.stages.decide
    now = authority.clock()
    issuing = authority.issuing

    # 1. Policy looks at who asks and at every final name, key and date.
    approval = approve(
        authority.policy, requester, request, operation=operation, issuer=issuing.issuer, now=now
    )

    # 2. A requester over its limit is refused before anything is signed.
    claims = authority.limits.claims(requester, request.service)
    authority.refusals.check(claims, now)

    # 3. A key that was revoked for compromise is never certified again.
    if await authority.store.key_blocked(request.key.sha256):
        raise Error(
            Kind.BAD_PUBLIC_KEY,
            "the public key was revoked for key compromise",
            hint="make a new key",
        )

    # 4. Encode, lint, sign, parse back.
    certificate = await sign_approved(authority, issuing, approval)

    # 5. Certificate and audit record become durable together, with what they use up.
    act = _act(requester, certificate, claims, idempotency, action, now)
    if changes is not None:
        act = replace(act, changes=changes(certificate))
    try:
        await authority.store.commit(act)
    except Error as error:
        authority.refusals.remember(claims, error, now)
        raise

    # 6. Only now may it leave.
    return certificate


async def sign_approved(
    authority: Authority, issuing: IssuingKey, approval: Approval
) -> Certificate:
    """Return the signed certificate of an approval, not yet on record.

    Keys that sign slowly do it in a thread, so that they hold nobody up.
    """
    serial = new_serial(authority.clock, authority.entropy)
    draft = draft_leaf(approval, issuing, serial)
    if issuing.signer.slow:
        return await asyncio.to_thread(issue_leaf, draft, issuing)
    await authority.stages.sign
    return issue_leaf(draft, issuing)


def _act(
    requester: Requester,
    certificate: Certificate,
    claims: tuple[RateClaim, ...],
    idempotency: IdempotencyKey | None,
    action: str,
    now: float,
) -> Act:
    bound = requester.rule.max_certificates
    return Act(
        audit=issuance_record(requester, certificate, action, now),
        certificate=certificate,
        rates=claims,
        quota=None if bound is None else Quota(certificate.service, bound),
        burns_token=requester.token,
        burns=requester.burns,
        idempotency=idempotency,
    )


def issuance_record(
    requester: Requester, certificate: Certificate, action: str, now: float
) -> AuditRecord:
    """Return the audit record of a new certificate; the store adds the SHA-256 of its DER."""
    details: dict[str, Any] = {"profile": certificate.profile}
    if requester.provisioner:
        details["provisioner"] = requester.provisioner
    if certificate.service != requester.service:
        details["service"] = certificate.service
    if requester.credential is not Credential.CERTIFICATE:
        details["credential"] = requester.credential.value
    return AuditRecord(
        action=action,
        time=now,
        service=requester.service,
        certificate=certificate.serial,
        address=requester.address,
        details=details,
    )
