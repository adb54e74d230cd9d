"""Tokens that revoke: `sub` is the serial of one certificate, and it is their provisioner's.

A token bound to no serial has let its holder revoke others' certificates elsewhere
(CVE-2025-66406).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from mintmark.authority.issuance.ssh import SERIAL_OCTETS
from mintmark.authority.policy.provisioners import JWK, X5C
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens.claims import refused, subject
from mintmark.authority.workflow.tokens.purpose import Purpose, Verified
from mintmark.model.access import Operation, Requester
from mintmark.model.certificate import StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHCertificate
from mintmark.wire import serial as numbers


async def revocation(
    authority: Authority,
    provisioner: JWK | X5C,
    requester: Requester,
    claims: dict[str, Any],
    purpose: Purpose,
    owns: Callable[[str], bool],
) -> Verified:
    """Return who may revoke the certificate that `sub` names, and do nothing else.

    Args:
        authority: who is asked.
        provisioner: whose token it is.
        requester: whom it speaks for.
        claims: of the token.
        purpose: of X.509 or of SSH.
        owns: whether the token speaks for a service, too.

    Raises:
        Error: BAD_TOKEN when `sub` is no serial, NOT_FOUND when it is not on record, FORBIDDEN
            when the certificate is another's.
    """
    serial = subject(claims)
    stored = await _on_record(authority, serial, purpose)
    service = stored.certificate.service
    if not owns(service):
        raise Error(
            Kind.FORBIDDEN,
            f"certificate {serial} is not one that this token of provisioner "
            f"{provisioner.name!r} speaks for",
            hint="ask the provisioner that it was issued through, or an admin of this authority",
        )
    rule = provisioner.rule(service, frozenset({Operation.REVOKE}))
    return Verified(
        replace(requester, service=service, rule=rule), serial, claims, provisioner, stored
    )


async def _on_record(authority: Authority, serial: str, purpose: Purpose) -> StoredCertificate:
    number = numbers.number(serial)
    if number is None:
        raise refused(
            f"the token's 'sub' {serial!r} is no serial",
            "make it for the serial as a decimal number, or in hex after 0x",
        )
    is_ssh = purpose is Purpose.SSH_REVOKE
    # A DER INTEGER has room for its sign (X.690 §8.3.2); SSH's serials are 64 bits.
    size = SERIAL_OCTETS if is_ssh else number.bit_length() // 8 + 1
    stored = None
    if number.bit_length() <= size * 8:
        stored = await authority.store.certificate(number.to_bytes(size))
    if stored is None or isinstance(stored.certificate, SSHCertificate) is not is_ssh:
        raise Error(
            Kind.NOT_FOUND,
            f"no {'SSH' if is_ssh else 'X.509'} certificate with serial {serial} is on record",
            hint="serials are in 'mintmark list' and 'mintmark ssh list'",
        )
    return stored
