"""Renewal tokens: signed by the key of the very certificate that is to be renewed.

step clients send them in place of a TLS client certificate, because an expired one would not
pass the handshake. The header that carries it says of itself that nobody has verified it
(`x5cInsecure`): only a certificate that is on record here, octet for octet, counts.
"""

from __future__ import annotations

from typing import Final

from cryptography import x509
from msgspec.structs import replace

from mintmark.authority.policy.provisioners import Provisioner
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens import chain as chains
from mintmark.authority.workflow.tokens import claims as read
from mintmark.authority.workflow.tokens import signature
from mintmark.authority.workflow.tokens.purpose import Purpose, Verified
from mintmark.model.access import Credential, Operation, Requester
from mintmark.model.certificate import StoredCertificate
from mintmark.wire import certificate as wire_certificate
from mintmark.wire.jwt import JWT

HEADER: Final = "x5cInsecure"
_CLIENT: Final = "step-ca-client/1.0"
_GOOD_FOR: Final = frozenset({Purpose.RENEW})
_TYPE: Final = "renewal"  # in the reuse key; no provisioner has it


async def verify(authority: Authority, token: JWT, purpose: Purpose, address: str) -> Verified:
    """Verify a token with the key of a certificate of ours, and return that certificate.

    Raises:
        Error: as `requester_from_jwt`.
    """
    leaf = chains.read(token.header.get(HEADER))[0]
    await signature.verify(authority, token, chains.key_of(leaf))
    stored = await authority.store.certificate(wire_certificate.serial_of(leaf))
    if stored is None or stored.certificate.der != leaf:
        raise read.forged()
    read.check_purpose(purpose, _GOOD_FOR)
    claims = token.claims
    now = authority.clock()
    ends = read.check_times(claims, now)
    read.check_audience(claims, authority.names, purpose)
    certificate = stored.certificate
    provisioner = authority.policy.provisioner_of(certificate.service)
    _check_holder(token, stored, provisioner)
    _check_alive(stored, provisioner, now)
    rule = authority.policy.rule(certificate.service)
    is_admin = Operation.ADMIN in rule.operations
    renews = is_admin or Operation.RENEW in rule.operations
    return Verified(
        Requester(
            service=certificate.service,
            # Also an admin's token is for this one act: it renews as whoever has just its profile.
            rule=replace(rule, operations=frozenset({Operation.RENEW} if renews else ())),
            credential=Credential.X5C,
            serial=certificate.serial,
            identifiers=certificate.identifiers,
            profiles=(certificate.profile,) if is_admin else (),
            address=address,
            provisioner="" if provisioner is None else provisioner.name,
            burns=read.burn(_TYPE, certificate.serial.hex(), token, ends),
            common_names=(certificate.common_name,) if certificate.common_name else (),
            lifetimes=None if provisioner is None else provisioner.lifetimes,
        ),
        certificate.common_name,
        claims,
        provisioner,
        stored,
    )


def _check_holder(token: JWT, stored: StoredCertificate, provisioner: Provisioner | None) -> None:
    """Check that the token is of this certificate, and the certificate one that signs."""
    certificate = stored.certificate
    issuers = {_CLIENT, provisioner.name if provisioner else _CLIENT}
    names = {certificate.common_name, *map(str, certificate.identifiers)}
    issuer, subject = (read.text(token.claims, name) for name in ("iss", "sub"))
    if issuer not in issuers or subject not in names:
        raise read.refused(f"the token's 'iss' or 'sub' is not that of {certificate.id}")
    if not chains.may_sign(x509.load_der_x509_certificate(certificate.der)):
        raise read.refused(
            f"certificate {certificate.id} is not for clients, so its key cannot ask for renewal",
            "renew certificates of profile client or peer, or request a new one",
        )


def _check_alive(stored: StoredCertificate, provisioner: Provisioner | None, now: float) -> None:
    certificate = stored.certificate
    if stored.revocation is not None:
        raise read.refused(f"certificate {certificate.id} is revoked", "request a new certificate")
    late = provisioner is not None and provisioner.claims.renewal_after_expiry
    chains.check_dates(certificate, now, after_expiry=late, by="its provisioner")
