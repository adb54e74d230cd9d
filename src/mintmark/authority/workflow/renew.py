"""Renew and rekey: a successor for a certificate, with the same names.

RFC 4949: renewal keeps the key, rekey brings a new one. Both are issued like any certificate;
nothing of the old one is taken but its names, its profile and, in a renewal, its key.
"""

from __future__ import annotations

from msgspec.structs import replace

from mintmark.authority.policy.approve import bounded, may_act_for
from mintmark.authority.policy.provisioners import ACME
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.issue import issue
from mintmark.model.access import Operation, Requester
from mintmark.model.acme import AccountStatus
from mintmark.model.act import IdempotencyKey
from mintmark.model.certificate import Certificate, StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import Claims
from mintmark.model.request import IssuanceRequest, SubjectKey
from mintmark.model.ssh import SSHCertificate
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
        Error: CONFLICT when it is revoked, expired or for SSH; FORBIDDEN when the provisioner
            that vouched for it says no; else as `issue`.
    """
    _check_x509(stored.certificate)
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
    _check_x509(stored.certificate)
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
    claims = renewal_claims(authority, requester, predecessor)
    check_alive(stored, authority.clock(), claims)
    if not requester.is_admin:
        _check_possession(authority, requester, predecessor)
        await _check_account(authority, predecessor)
        _check_no_longer(authority, predecessor, lifetime)
    request = IssuanceRequest(
        service=predecessor.service,
        profile=predecessor.profile,
        key=key,
        identifiers=predecessor.identifiers,
        common_name=predecessor.common_name,
        lifetime=_lifetime(authority, requester, predecessor) if lifetime is None else lifetime,
        replaces=predecessor.serial,
        metadata=predecessor.metadata,
    )
    name = predecessor.common_name
    if name and name not in [each.value for each in predecessor.identifiers]:
        # Policy looked at it when it approved the predecessor.
        requester = replace(requester, common_names=(*requester.common_names, name))
    return await issue(
        authority,
        requester,
        request,
        idempotency=idempotency,
        operation=Operation.RENEW,
        action=action,
    )


def _check_x509(certificate: Certificate) -> None:
    if isinstance(certificate, SSHCertificate):
        raise Error(
            Kind.CONFLICT,
            f"certificate {certificate.id} is an SSH certificate",
            hint="renew it as one: mintmark ssh renew",
        )


def renewal_claims(
    authority: Authority, requester: Requester, predecessor: Certificate
) -> Claims | None:
    """Return the claims of the provisioner that vouched for a certificate; None if none did.

    Raises:
        Error: FORBIDDEN when it is gone, or does not let its certificates be renewed; an admin
            renews them still.
    """
    policy, service = authority.policy, predecessor.service
    provisioner = policy.provisioner_of(service)
    if provisioner is not None and (provisioner.claims.renewal or requester.is_admin):
        return provisioner.claims
    if not policy.needs_provisioner(service) or requester.is_admin:
        return None
    why = "is not there any more" if provisioner is None else "does not allow it"
    raise Error(
        Kind.FORBIDDEN,
        f"certificate {predecessor.id} is not renewed: the provisioner that vouched for "
        f"{service!r} {why}",
        hint="request a new certificate, with a new proof of who asks",
    )


async def _check_account(authority: Authority, predecessor: Certificate) -> None:
    """Refuse what an ACME account that was ended has ordered: its end would be none otherwise.

    Raises:
        Error: FORBIDDEN.
    """
    provisioner = authority.policy.provisioner_of(predecessor.service)
    if not isinstance(provisioner, ACME):
        return
    id_ = predecessor.service.removeprefix(provisioner.service(""))
    account = await authority.store.account(id_)
    if account is None or account.status is not AccountStatus.VALID:
        status = "unknown" if account is None else account.status.value
        raise Error(
            Kind.FORBIDDEN,
            f"certificate {predecessor.id} is not renewed: ACME account {id_!r} is {status}",
            hint="order a new certificate with an account that is valid",
        )


def _check_possession(authority: Authority, requester: Requester, predecessor: Certificate) -> None:
    """Refuse a successor to who holds another certificate of a subject that was vouched for.

    The two may be of different tokens: one for clients alone, and one for servers.

    Raises:
        Error: FORBIDDEN.
    """
    is_own = requester.serial == predecessor.serial
    if not is_own and authority.policy.needs_provisioner(predecessor.service):
        raise Error(
            Kind.FORBIDDEN,
            f"certificate {predecessor.id} is renewed by whoever holds it alone",
            hint="present that certificate, or request a new one",
        )


def _check_no_longer(authority: Authority, predecessor: Certificate, lifetime: int | None) -> None:
    """Refuse a longer life than the one that a provisioner vouched for.

    What bounded that, as a mapping of groups, is known only when somebody is asked anew.

    Raises:
        Error: BAD_LIFETIME.
    """
    vouched = predecessor.not_after - predecessor.not_before
    if lifetime is None or lifetime <= vouched:
        return
    if authority.policy.needs_provisioner(predecessor.service):
        raise Error(
            Kind.BAD_LIFETIME,
            f"a lifetime of {lifetime} s is more than the {vouched} s of certificate "
            f"{predecessor.id}",
            hint="leave the lifetime out, or request a new certificate",
        )


def check_alive(stored: StoredCertificate, now: float, claims: Claims | None) -> None:
    """Refuse a successor for a certificate that is worth nothing any more.

    Raises:
        Error: CONFLICT when it is revoked, or expired and no claims say that this is no matter.
    """
    if stored.revocation is not None:
        raise Error(
            Kind.CONFLICT,
            f"certificate {stored.certificate.id} is revoked "
            f"({stored.revocation.reason.word}, {timestamp(stored.revocation.revoked_at)})",
            hint="request a new certificate",
        )
    if now > stored.certificate.not_after and not (claims and claims.renewal_after_expiry):
        raise Error(
            Kind.CONFLICT,
            f"certificate {stored.certificate.id} expired at "
            f"{timestamp(stored.certificate.not_after)}",
            hint="request a new certificate",
        )


def _lifetime(authority: Authority, requester: Requester, predecessor: Certificate) -> int | None:
    """Return the predecessor's lifetime if it is still allowed, else None for the default.

    What was asked of a provisioner until a moment may have had the backdating on top.
    """
    profile = authority.policy.profiles.get(predecessor.profile)
    lifetime = predecessor.not_after - predecessor.not_before
    if profile is None or authority.clock() + lifetime > authority.issuing.issuer.not_after:
        return None
    bounds = bounded(profile, requester.lifetimes)
    if requester.lifetimes and lifetime - authority.policy.backdate <= bounds.maximum:
        lifetime = min(lifetime, bounds.maximum)
    # A short one stays as short as may be: nobody renews what lives an hour for a day.
    return max(lifetime, bounds.minimum) if lifetime <= bounds.maximum else None
