"""Revocation by whoever has a right to it (RFC 8555 §7.6).

That is the account that ordered the certificate, an account that showed control of all its
names, or the holder of its private key.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from mintmark.authority.workflow.revoke import revoke
from mintmark.model.acme import Account
from mintmark.model.certificate import StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.status import Reason
from mintmark.protocol.acme.authorization import base
from mintmark.protocol.acme.problem import ACMEError
from mintmark.protocol.acme.request import Call, Payload
from mintmark.wire import jose
from mintmark.wire.certificate import serial_of, spki_of
from mintmark.wire.http import Response

REASONS: Final = {reason.value: reason for reason in Reason if reason is not Reason.CA_COMPROMISE}


class Revocation(Payload):
    """The payload of revoke-cert."""

    certificate: str
    reason: int = 0


async def revoke_certificate(call: Call) -> Response:
    """Revoke a certificate of this provisioner."""
    wish = call.payload(Revocation)
    reason = REASONS.get(wish.reason)
    if reason is None:
        raise ACMEError(
            "badRevocationReason",
            f"reason {wish.reason} is not accepted",
            hint=f"accepted: {', '.join(f'{one.value} ({one.word})' for one in REASONS.values())}",
        )
    stored = await _find(call, jose.decode(wish.certificate, "certificate"))
    proof = await _proof(call, stored)
    requester = replace(
        call.provisioner.requester("", address=call.request.peer.address),
        service=stored.certificate.service,
    )
    await revoke(call.authority, requester, stored, reason, proof=proof)
    return Response(200)


async def _find(call: Call, der: bytes) -> StoredCertificate:
    """Return the certificate on record, compared octet by octet."""
    stored = await call.authority.store.certificate(serial_of(der))
    ours = call.provisioner.service("")
    if (
        stored is None
        or stored.certificate.der != der
        or not stored.certificate.service.startswith(ours)
    ):
        raise Error(
            Kind.NOT_FOUND,
            f"provisioner '{call.provisioner.name}' has issued no such certificate",
            hint="send it to the server that issued it, DER in base64url",
        )
    return stored


async def _proof(call: Call, stored: StoredCertificate) -> str:
    """Return what gives the right to revoke, for the audit log.

    Raises:
        ACMEError: unauthorized.
    """
    certificate = stored.certificate
    account = call.signer
    if account is None:
        if spki_of(certificate.der) == call.signed[1].spki:
            return "certificate key"
        raise ACMEError(
            "unauthorized",
            "the key that signed the request is not the certificate's",
            hint="sign with the certificate's private key, or as an account",
        )
    if certificate.service == call.provisioner.service(account.id):
        return "account"
    if await _is_authorized(call, account, stored):
        return f"authorizations of account {account.id}"
    raise ACMEError(
        "unauthorized",
        "the account did not order this certificate, and is not authorized for all its names",
        hint="authorize them, or sign with the certificate's key",
    )


async def _is_authorized(call: Call, account: Account, stored: StoredCertificate) -> bool:
    pairs = {(base(one), one.wildcard) for one in stored.certificate.identifiers}
    valid = await call.authority.store.reusable(account.id, list(pairs), call.now)
    return pairs <= {(one.identifier, one.wildcard) for one in valid}
