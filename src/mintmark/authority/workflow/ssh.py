"""SSH certificates: issue, renew, rekey, and bans for the KRL.

The story is that of `issue`: policy, limits, blocked keys, one signature after the other, and
one commit for all that a request gets. Revocation of one certificate is `revoke`, as for X.509.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from msgspec import structs

from mintmark.authority.issuance.approval import Approval, SSHApproval
from mintmark.authority.issuance.ssh import draft_ssh, new_nonce, new_ssh_serial
from mintmark.authority.issuance.ssh import issue_ssh as sign_draft
from mintmark.authority.issuance.ssh_lints import key_id_fault
from mintmark.authority.policy.approve import approve, bounded, may_act_for
from mintmark.authority.policy.provisioners import SSHPOP
from mintmark.authority.policy.ssh import approve_add_user, approve_ssh
from mintmark.authority.policy.whitelist import require
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.issue import issuance_record, sign_approved
from mintmark.authority.workflow.renew import check_alive, renewal_claims
from mintmark.model.access import Credential, Operation, Requester, SSHGrant
from mintmark.model.act import Act, AuditRecord, IdempotencyKey, Quota
from mintmark.model.certificate import Certificate, StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import Claims, Lifetimes
from mintmark.model.request import IssuanceRequest
from mintmark.model.ssh import (
    BanKind,
    SSHBan,
    SSHCertificate,
    SSHCertificateType,
    SSHPublicKey,
    SSHRequest,
)
from mintmark.store.interface import Store
from mintmark.wire.ssh.certificate import parse

USER: Final = SSHCertificateType.USER
_NEW_KEY: Final = "make a new key: ssh-keygen -t ed25519"
_NO_BOUNDS: Final = Lifetimes(0, 1 << 40, 0)


@dataclass(frozen=True, slots=True)
class SSHIssued:
    """What one request got, all of it on record.

    Args:
        certificate: the SSH certificate.
        identity: the X.509 client certificate that was asked for with it.
        add_user: the certificate by which the user is made on a host.
    """

    certificate: SSHCertificate
    identity: Certificate | None = None
    add_user: SSHCertificate | None = None

    @property
    def companions(self) -> tuple[Certificate, ...]:
        """What goes with the SSH certificate."""
        if self.identity is None and self.add_user is None:
            return ()
        return tuple(one for one in (self.identity, self.add_user) if one is not None)


class _Approved(NamedTuple):
    """What policy allowed of one request."""

    certificate: SSHApproval
    identity: Approval | None
    add_user: SSHApproval | None

    @property
    def ssh(self) -> tuple[SSHApproval, ...]:
        return (self.certificate,) if self.add_user is None else (self.certificate, self.add_user)


async def issue_ssh(
    authority: Authority,
    requester: Requester,
    request: SSHRequest,
    *,
    identity: IssuanceRequest | None = None,
    add_user_key: SSHPublicKey | None = None,
    idempotency: IdempotencyKey | None = None,
    operation: Operation = Operation.REQUEST,
    action: str = "ssh.request",
) -> SSHIssued:
    """Issue an SSH certificate, and what goes with it, and return all once it is durable.

    Args:
        authority: who issues.
        requester: who asks, authenticated.
        request: what is asked for.
        identity: an X.509 client certificate asked for with it; it gets the same validity, as
            far as its provisioner lets one of X.509 live.
        add_user_key: gets a certificate that makes the user on a host, see `approve_add_user`.
        idempotency: the requester's own name for this request, if it gave one.
        operation: what must be allowed; RENEW for renewals and rekeys.
        action: the word in the audit log.

    Raises:
        Error: whatever policy, lints, limits or storage refuse.
    """
    await authority.stages.decide
    now = authority.clock()

    # 1. Policy looks at who asks and at every final principal, key id, key and date.
    approved = _approve(authority, requester, request, identity, add_user_key, operation, now)

    # 2. A requester over its limit is refused before anything is signed.
    claims = authority.limits.claims(requester, request.service)
    authority.refusals.check(claims, now)

    # 3. What was revoked for compromise or banned is never certified again.
    await _check_blocked(authority, approved)

    # 4. Encode, lint, sign, parse back, one after the other.
    issued = await _sign(authority, approved)

    # 5. All certificates and the audit record become durable together, with what they use up.
    bound = requester.rule.max_certificates
    act = Act(
        audit=_record(requester, issued, action, now),
        certificate=issued.certificate,
        companions=issued.companions,
        rates=claims,
        quota=None if bound is None else Quota(request.service, bound),
        burns_token=requester.token,
        burns=requester.burns,
        idempotency=idempotency,
    )
    try:
        await authority.store.commit(act)
    except Error as error:
        authority.refusals.remember(claims, error, now)
        raise

    # 6. Only now may they leave.
    return issued


async def renew_ssh(
    authority: Authority,
    requester: Requester,
    stored: StoredCertificate,
    *,
    key: SSHPublicKey | None = None,
    idempotency: IdempotencyKey | None = None,
) -> SSHCertificate:
    """Issue a successor: the same principals, key id and lifetime, the profile's options of now.

    Host certificates are renewed by whoever holds them. User certificates are not, so that who
    left is locked out when the last one ends, unless their provisioner says otherwise; a service
    of the whitelist and an admin renew theirs as they ask for new ones.

    Args:
        authority: who issues.
        requester: who asks: by an SSH certificate's key only for that very certificate.
        stored: the predecessor.
        key: the new key of a rekey; None keeps the old one.
        idempotency: the requester's own name for this request, if it gave one.

    Raises:
        Error: CONFLICT when it is revoked, expired or no SSH certificate, FORBIDDEN,
            BAD_PUBLIC_KEY when a new key is not new; else as `issue_ssh`.
    """
    predecessor = _ssh(stored)
    holder = _holder_claims(authority, requester, predecessor)
    if holder is not None:  # it speaks for this one certificate, whatever its service may do
        rule = structs.replace(requester.rule, operations=frozenset({Operation.RENEW}))
        requester = structs.replace(requester, rule=rule)
    may_act_for(requester, predecessor.service, Operation.RENEW)
    voucher = renewal_claims(authority, requester, predecessor)
    _check_possession(authority, requester, predecessor)
    _check_user_renewal(authority, requester, predecessor, voucher)
    check_alive(stored, authority.clock(), holder or voucher)
    if key is not None and key.sha256 == predecessor.key_sha256:
        raise Error(
            Kind.BAD_PUBLIC_KEY,
            "the public key is the one that the certificate has already",
            hint="make a new key, or renew instead of rekey",
        )
    grant = _succession(predecessor, [one for one in (voucher, holder) if one is not None])
    request = SSHRequest(
        service=predecessor.service,
        profile=predecessor.profile,
        key=key or parse(predecessor.der).fields.key,
        lifetime=_lifetime(authority, predecessor, grant),
        replaces=predecessor.serial,
        metadata=predecessor.metadata,
    )
    vouching = authority.policy.provisioner_of(predecessor.service)
    issued = await issue_ssh(
        authority,
        structs.replace(
            requester, ssh=grant, provisioner="" if vouching is None else vouching.name
        ),
        request,
        idempotency=idempotency,
        operation=Operation.RENEW,
        action="ssh.renew" if key is None else "ssh.rekey",
    )
    return issued.certificate


async def ban(authority: Authority, requester: Requester, banned: SSHBan) -> None:
    """Put a key id or a key on the KRL, for good.

    Raises:
        Error: FORBIDDEN for anyone but an admin, MALFORMED, CONFLICT when it is banned already
            or one of this authority's own CA keys, with which everybody would be locked out.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    shown = _banned_text(authority, banned)
    await authority.store.commit(
        Act(
            audit=AuditRecord(
                "ssh.ban",
                authority.clock(),
                requester.service,
                address=requester.address,
                details={banned.kind.value: shown, "reason": banned.reason.word},
            ),
            bans=(banned,),
        )
    )


def _approve(
    authority: Authority,
    requester: Requester,
    request: SSHRequest,
    identity: IssuanceRequest | None,
    add_user_key: SSHPublicKey | None,
    operation: Operation,
    now: float,
) -> _Approved:
    policy, keys = authority.policy, authority.ssh
    approval = approve_ssh(policy, requester, request, operation=operation, keys=keys, now=now)
    add_user = None
    if add_user_key is not None:
        add_user = approve_add_user(policy, requester, approval, keys, add_user_key)
    client = None
    if identity is not None:
        client = approve(
            policy,
            # Its own default and least do not apply: the validity is the other one's.
            structs.replace(requester, lifetimes=None),
            structs.replace(
                identity,
                lifetime=None,
                not_before=approval.valid_after,
                not_after=_end_of_identity(requester, approval, now),
            ),
            operation=operation,
            issuer=authority.issuing.issuer,
            now=now,
        )
    return _Approved(approval, client, add_user)


def _end_of_identity(requester: Requester, approval: SSHApproval, now: float) -> int:
    """Return when an X.509 certificate ends that goes with an SSH one: with it, or sooner.

    A host's certificate may live a month by its provisioner, and one for TLS perhaps a day.
    """
    end = approval.valid_before - 1
    return end if requester.lifetimes is None else min(end, int(now) + requester.lifetimes.maximum)


async def _check_blocked(authority: Authority, approved: _Approved) -> None:
    store = authority.store
    for one in approved.ssh:
        if await store.barred(one.key.spki_sha256, one.key.sha256, one.key_id):
            raise await _barred(store, one)
    if approved.identity is not None and await store.key_blocked(approved.identity.key.sha256):
        raise _blocked()


async def _barred(store: Store, approval: SSHApproval) -> Error:
    """Return why a certificate must not be."""
    if await store.key_blocked(approval.key.spki_sha256):
        return _blocked()
    found = await store.banned(approval.key_id, approval.key.sha256)
    if found is not None and found.kind is BanKind.KEY_ID:
        return Error(
            Kind.FORBIDDEN,
            f"key id {approval.key_id!r} is banned",
            hint="bans are final; ask an operator for another key id",
        )
    return Error(Kind.BAD_PUBLIC_KEY, "the public key is banned", hint=_NEW_KEY)


def _blocked() -> Error:
    return Error(
        Kind.BAD_PUBLIC_KEY, "the public key was revoked for key compromise", hint=_NEW_KEY
    )


async def _sign(authority: Authority, approved: _Approved) -> SSHIssued:
    certificate = await _sign_ssh(authority, approved.certificate)
    add_user = None
    if approved.add_user is not None:
        add_user = await _sign_ssh(authority, approved.add_user)
    identity = None
    if approved.identity is not None:
        identity = await sign_approved(authority, authority.issuing, approved.identity)
    return SSHIssued(certificate, identity, add_user)


async def _sign_ssh(authority: Authority, approval: SSHApproval) -> SSHCertificate:
    """Return the signed certificate of an approval, not yet on record."""
    key = authority.ssh.active(approval.profile.type)
    entropy = authority.entropy
    draft = draft_ssh(approval, key, new_ssh_serial(entropy), new_nonce(entropy))
    if key.signer.slow:
        return await asyncio.to_thread(sign_draft, draft, key)
    await authority.stages.sign
    return sign_draft(draft, key)


def _record(requester: Requester, issued: SSHIssued, action: str, now: float) -> AuditRecord:
    certificate = issued.certificate
    record = issuance_record(requester, certificate, action, now)
    record.details.update(
        type=certificate.type.word,
        key_id=certificate.key_id,
        principals=list(certificate.principals),
    )
    if issued.identity is not None:
        record.details["identity"] = issued.identity.serial.hex()
    if issued.add_user is not None:
        record.details["add_user"] = issued.add_user.serial.hex()
    return record


def _ssh(stored: StoredCertificate) -> SSHCertificate:
    certificate = stored.certificate
    if not isinstance(certificate, SSHCertificate):
        raise Error(
            Kind.CONFLICT,
            f"certificate {certificate.id} is no SSH certificate",
            hint="renew it as one of X.509: mintmark renew",
        )
    return certificate


def _holder_claims(
    authority: Authority, requester: Requester, predecessor: SSHCertificate
) -> Claims | None:
    """Return the claims of the provisioner by which a holder speaks for itself; None for others.

    Raises:
        Error: FORBIDDEN when it holds another certificate, or the provisioner does not let it.
    """
    if requester.credential is not Credential.SSHPOP:
        return None
    provisioner = authority.policy.provisioner(requester.provisioner, SSHPOP)
    if provisioner is None or not provisioner.claims.renewal:
        raise Error(
            Kind.FORBIDDEN,
            f"provisioner {requester.provisioner!r} does not let holders renew",
            hint="request a new certificate",
        )
    if requester.serial != predecessor.serial:
        raise Error(
            Kind.FORBIDDEN,
            f"certificate {predecessor.id} is not the one that signed the token",
            hint="sign the token with the key of the certificate to be renewed",
        )
    return provisioner.claims


def _check_possession(
    authority: Authority, requester: Requester, predecessor: SSHCertificate
) -> None:
    """Refuse a successor to who holds another certificate of a subject that was vouched for.

    A token that gave a certificate for TLS gave none for SSH, and this one would be its host's.

    Raises:
        Error: FORBIDDEN.
    """
    by_possession = requester.credential is Credential.SSHPOP or requester.is_admin
    if not by_possession and authority.policy.needs_provisioner(predecessor.service):
        raise Error(
            Kind.FORBIDDEN,
            f"certificate {predecessor.id} is renewed by its own key alone",
            hint="renew it with a token of that key: mintmark ssh renew",
        )


def _check_user_renewal(
    authority: Authority,
    requester: Requester,
    predecessor: SSHCertificate,
    voucher: Claims | None,
) -> None:
    """Refuse to prolong what a person signed in for; see `renew_ssh`."""
    if predecessor.type is not USER or requester.is_admin:
        return
    if voucher is not None and voucher.ssh_user_renewal:
        return
    by_mtls = requester.credential is Credential.CERTIFICATE
    if by_mtls and not authority.policy.needs_provisioner(requester.service):
        return
    raise Error(
        Kind.FORBIDDEN,
        "an SSH user certificate is not renewed by whoever holds it",
        hint="sign in again: mintmark ssh login; 'ssh_user_renewal' of a provisioner allows it",
    )


def _succession(predecessor: SSHCertificate, bounds: Iterable[Claims]) -> SSHGrant:
    """Return the grant that holds a successor to what its predecessor said."""
    user = host = _NO_BOUNDS
    for claims in bounds:
        user, host = _within(user, claims.ssh_user), _within(host, claims.ssh_host)
    is_user = predecessor.type is USER
    return SSHGrant(
        types=frozenset({predecessor.type}),
        user=user,
        host=host,
        key_id=predecessor.key_id,
        user_principals=predecessor.principals if is_user else (),
        host_principals=() if is_user else predecessor.principals,
        profiles=(predecessor.profile,),
    )


def _within(one: Lifetimes, other: Lifetimes) -> Lifetimes:
    return Lifetimes(
        max(one.minimum, other.minimum), min(one.maximum, other.maximum), other.default
    )


def _lifetime(authority: Authority, predecessor: SSHCertificate, grant: SSHGrant) -> int | None:
    """Return the predecessor's lifetime if it is still allowed, else None for the default."""
    profile = authority.policy.ssh_profiles.get(predecessor.profile)
    if profile is None:
        return None
    whole = predecessor.not_after + 1 - predecessor.not_before
    # Backdating was added to it: all of it, or three quarters of a short life.
    lifetime = max(whole - authority.policy.backdate, whole * 4 // 7)
    bounds = bounded(profile, grant.user if predecessor.type is USER else grant.host)
    return max(lifetime, bounds.minimum) if lifetime <= bounds.maximum else None


def _banned_text(authority: Authority, banned: SSHBan) -> Any:
    """Return a ban's value for the audit log, if it is one that a KRL can carry."""
    if banned.kind is BanKind.KEY:
        if len(banned.value) != 32:
            raise Error(Kind.MALFORMED, f"a key's SHA-256 has 32 octets, not {len(banned.value)}")
        if any(banned.value == one.key.sha256 for one in authority.ssh.trusted):
            raise Error(
                Kind.CONFLICT,
                "the key is one of this authority's own CA keys: all certificates that it signed "
                "would end",
                hint="roll the CA key over, and ban it once it is retired",
            )
        return banned.value.hex()
    try:
        key_id = banned.value.decode()
    except UnicodeDecodeError as error:
        raise Error(Kind.MALFORMED, "the key id is not UTF-8") from error
    if fault := key_id_fault(key_id):
        raise Error(Kind.MALFORMED, f"key id {key_id[:255]!r} {fault}")
    return key_id
