"""Tokens signed by the key of an SSH certificate of ours, to renew, rekey or revoke that one.

The subject is the certificate's serial, for all three: a token that is not bound to one has let
its holder revoke others' certificates elsewhere (CVE-2025-66406).
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from mintmark.authority.issuance.ssh import SERIAL_OCTETS
from mintmark.authority.policy.provisioners import SSHPOP
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.revoke import revoked_already
from mintmark.authority.workflow.tokens import chain as chains
from mintmark.authority.workflow.tokens import claims as read
from mintmark.authority.workflow.tokens import signature
from mintmark.authority.workflow.tokens.purpose import Purpose, Verified
from mintmark.model.access import Credential, Operation, Requester, SSHGrant
from mintmark.model.certificate import StoredCertificate
from mintmark.model.errors import Error
from mintmark.model.ssh import SSHCertificate
from mintmark.wire import jose
from mintmark.wire.jwt import JWT
from mintmark.wire.ssh import certificate as wire_certificate
from mintmark.wire.ssh.certificate import Parsed

HEADER: Final = "sshpop"
_GOOD_FOR: Final = frozenset({Purpose.SSH_RENEW, Purpose.SSH_REKEY, Purpose.SSH_REVOKE})


def find(authority: Authority, token: JWT) -> SSHPOP | None:
    """Return the provisioner that a token says it is of."""
    return authority.policy.provisioner(read.provisioner_name(token.claims, SSHPOP.type), SSHPOP)


async def verify(
    authority: Authority, provisioner: SSHPOP, token: JWT, purpose: Purpose, address: str
) -> Verified:
    """Verify a token with the key of an SSH certificate, and return that certificate.

    Raises:
        Error: as `requester_from_jwt`; ALREADY_REVOKED when it asks for just that.
    """
    blob = _blob(token.header.get(HEADER))
    parsed = _signed(authority, blob)
    await signature.verify(authority, token, _key_of(parsed))
    stored, certificate = await _on_record(authority, parsed, blob)
    read.check_purpose(purpose, _GOOD_FOR)
    claims = token.claims
    now = authority.clock()
    ends = read.check_times(claims, now)
    read.check_issuer(claims, provisioner)
    read.check_audience(claims, authority.names, purpose, provisioner)
    if (subject := read.subject(claims)) != str(certificate.number):
        raise read.refused(
            f"the token is for serial {subject!r}, its certificate has {certificate.number}",
            "make the token for the certificate that it carries",
        )
    if purpose.is_revocation and stored.revocation is not None:
        raise revoked_already(certificate.number)
    await _check_alive(authority, provisioner, stored, certificate, now)
    service = certificate.service
    operation = Operation.REVOKE if purpose.is_revocation else Operation.RENEW
    rule = provisioner.rule(service, frozenset({operation}))
    requester = Requester(
        service=service,
        rule=rule,
        credential=Credential.SSHPOP,
        serial=certificate.serial,
        address=address,
        provisioner=provisioner.name,
        burns=read.burn(provisioner.type, provisioner.name, token, ends),
        lifetimes=provisioner.lifetimes,
        ssh=_grant(provisioner, certificate),
    )
    return Verified(requester, subject, claims, provisioner, stored)


def _blob(header: Any) -> bytes:
    try:
        return base64.b64decode(header.encode("ascii"), validate=True)
    except (AttributeError, binascii.Error, ValueError) as error:
        raise read.forged() from error


def _signed(authority: Authority, blob: bytes) -> Parsed:
    """Return a certificate that one of our trusted CA keys of its type has signed."""
    try:
        parsed = wire_certificate.parse(blob)
        wire_certificate.verify(parsed)
    except Error as error:
        raise read.forged() from error
    if not authority.ssh.trusted_blob(parsed.fields.type, parsed.fields.authority.blob):
        raise read.forged()
    return parsed


def _key_of(parsed: Parsed) -> jose.JWK:
    try:
        return jose.jwk_of(parsed.fields.key.public_key)
    except Error as error:  # security keys sign no tokens
        raise read.forged() from error


async def _on_record(
    authority: Authority, parsed: Parsed, blob: bytes
) -> tuple[StoredCertificate, SSHCertificate]:
    stored = await authority.store.certificate(parsed.fields.serial.to_bytes(SERIAL_OCTETS))
    if stored is None or stored.certificate.der != blob:
        raise read.forged()
    certificate = stored.certificate
    if not isinstance(certificate, SSHCertificate):
        raise read.forged()
    return stored, certificate


async def _check_alive(
    authority: Authority,
    provisioner: SSHPOP,
    stored: StoredCertificate,
    certificate: SSHCertificate,
    now: float,
) -> None:
    """Refuse what sshd would refuse, but an expired certificate where that is claimed."""
    banned = await authority.store.banned(certificate.key_id, certificate.key_sha256)
    if stored.revocation is not None or banned is not None:
        raise read.refused(
            f"SSH certificate {certificate.number} is revoked", "request a new certificate"
        )
    late = provisioner.claims.renewal_after_expiry
    chains.check_dates(certificate, now, after_expiry=late, by=f"provisioner {provisioner.name!r}")


def _grant(provisioner: SSHPOP, certificate: SSHCertificate) -> SSHGrant:
    """Return what the certificate has, and nothing more."""
    return SSHGrant(
        types=frozenset({certificate.type}),
        user=provisioner.claims.ssh_user,
        host=provisioner.claims.ssh_host,
        key_id=certificate.key_id,
        user_principals=certificate.principals,
        host_principals=certificate.principals,
        profiles=(certificate.profile,),
    )
