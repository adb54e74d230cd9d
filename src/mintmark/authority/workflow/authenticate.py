"""Authenticate: a TLS client certificate becomes a requester.

The whole certificate is compared with the one on record, octet by octet: serial, name or key
alone have let others in elsewhere (CVE-2024-2048, CVE-2025-6037).
"""

from __future__ import annotations

from msgspec.structs import replace

from mintmark.authority.policy.approve import Policy
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.presented import Presented
from mintmark.model.access import Credential, Requester
from mintmark.model.certificate import Certificate, StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.wire.certificate import serial_of


async def requester_presenting(authority: Authority, der: bytes, address: str) -> Requester:
    """Return who presents this certificate over TLS, which has verified it, at this request.

    Its record is looked up when it is presented first; whether it is still valid and not
    revoked is asked every time.

    Raises:
        Error: as `requester_from_certificate`.
    """
    known = authority.presented.find(der, address)
    if known is None:
        policy = authority.policy
        requester, stored = await requester_from_certificate(authority, der, address)
        found = Presented(requester, stored.certificate.not_after, policy)
        authority.presented.keep(der, address, found)
        return requester
    await ensure_valid(authority, known.requester, known.not_after)
    if known.policy is not authority.policy:  # it is only ever replaced as a whole
        known.requester = current_rule(authority, known.requester)
        known.policy = authority.policy
    return known.requester


async def requester_from_certificate(
    authority: Authority, der: bytes, address: str
) -> tuple[Requester, StoredCertificate]:
    """Return who presented this certificate over TLS, which has verified it, and its record.

    Raises:
        Error: UNAUTHENTICATED for a certificate that is not on record or revoked.
    """
    serial = serial_of(der)
    stored = await authority.store.certificate(serial)
    if stored is None or stored.certificate.der != der:
        raise Error(
            Kind.UNAUTHENTICATED,
            f"client certificate {serial.hex()} is not on record here",
            hint="use a certificate that this authority issued",
        )
    certificate = stored.certificate
    requester = holder(authority, certificate, Credential.CERTIFICATE, address)
    await ensure_valid(authority, requester, certificate.not_after)
    return requester, stored


def holder(
    authority: Authority, certificate: Certificate, credential: Credential, address: str
) -> Requester:
    """Return who showed that it holds a certificate on record, as the rules of now see it."""
    requester = Requester(
        service=certificate.service,
        rule=authority.policy.rule(certificate.service),
        credential=credential,
        serial=certificate.serial,
        identifiers=certificate.identifiers,
        address=address,
    )
    return _vouched_for(authority.policy, requester)


async def ensure_valid(authority: Authority, requester: Requester, not_after: int) -> None:
    """Check that the presented certificate is worth something now, at this request.

    TLS looked when the connection began; since then it may have expired or been revoked.

    Raises:
        Error: UNAUTHENTICATED.
    """
    if authority.clock() > not_after:
        raise Error(
            Kind.UNAUTHENTICATED,
            f"client certificate of {requester.service!r} has expired",
            hint="renew it before it expires, or enrol again with a token",
        )
    if requester.serial and await authority.store.revocation(requester.serial):
        raise Error(
            Kind.UNAUTHENTICATED,
            f"client certificate of {requester.service!r} is revoked",
            hint="enrol again with a one-time token from an admin",
        )


def current_rule(authority: Authority, requester: Requester) -> Requester:
    """Return the requester with the rules of now; configuration is reloadable."""
    if requester.credential is not Credential.CERTIFICATE:
        return requester
    rule = authority.policy.rule(requester.service)
    if rule is requester.rule:
        return requester
    return _vouched_for(authority.policy, replace(requester, rule=rule))


def _vouched_for(policy: Policy, requester: Requester) -> Requester:
    """Return the requester with the bounds of the provisioner that vouched for it, if one did."""
    provisioner = policy.provisioner_of(requester.service)
    if provisioner is None:
        return requester if not requester.provisioner else replace(requester, provisioner="")
    return replace(requester, provisioner=provisioner.name, lifetimes=provisioner.lifetimes)
