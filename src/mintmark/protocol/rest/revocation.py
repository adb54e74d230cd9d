"""Revoke, and tell what is revoked."""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

from msgspec import Meta, Struct

from mintmark.authority.workflow.revoke import revoke
from mintmark.client.documents import (
    CRLRevocationRequest,
    RevocationDocument,
    RevocationRequest,
    SerialStatus,
)
from mintmark.model.certificate import StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.status import Reason
from mintmark.model.time import timestamp
from mintmark.protocol.rest.parameters import (
    find_certificate,
    on_record,
    parse_serial,
    require_of_proof,
)
from mintmark.protocol.rest.presentation import PRIVATE, json_answer, reason_word
from mintmark.protocol.rest.routes import Call
from mintmark.wire import pem
from mintmark.wire.http import Response

LARGE = 256 * 1024  # octets of a CRL that is encoded in a thread
_REASONS = {reason.word: reason for reason in Reason}


class CRLQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which CRL, and how it is written.

    Args:
        issuer: id of an issuer; the one that signs now if left out.
        format: `pem` or `der`.
    """

    issuer: Annotated[str, Meta(pattern="^[0-9a-f]{16}$", max_length=16)] | None = None
    format: Literal["pem", "der"] = "pem"


async def revoke_certificate(call: Call) -> Response:
    """Revoke the certificate of the path."""
    wish: RevocationRequest = call.body
    stored = await find_certificate(call, call.arguments["id"])
    require_of_proof(call, stored)
    return await revocation_of(call, stored, wish.reason)


async def revoke_by_serial(call: Call) -> Response:
    """Revoke the certificate named in the body."""
    wish: CRLRevocationRequest = call.body
    if wish.certificate_id is not None and wish.serial_number is None:
        named = wish.certificate_id
    elif wish.serial_number is not None and wish.certificate_id is None:
        named = f"cert_{on_record(parse_serial(wish.serial_number)).hex()}"
    else:
        raise Error(
            Kind.MALFORMED,
            "exactly one of certificate_id and serial_number says what to revoke",
            hint="give one of them",
        )
    return await revocation_of(call, await find_certificate(call, named), wish.reason)


async def revocation_of(call: Call, stored: StoredCertificate, reason: str) -> Response:
    """Revoke a certificate and answer with that."""
    revocation = await revoke(call.authority, call.requester, stored, _REASONS[reason])
    return json_answer(
        200,
        RevocationDocument(
            certificate_id=stored.certificate.id,
            serial_number=stored.certificate.serial.hex(),
            revoked_at=timestamp(revocation.revoked_at),
            revocation_reason=reason_word(revocation.reason),
        ),
    )


async def check_serial(call: Call) -> Response:
    """Answer what a serial is worth now, whoever's it is: OCSP tells everybody the same."""
    serial = parse_serial(call.arguments["serial"])
    stored = await call.authority.store.certificate(on_record(serial))
    if stored is None:
        return json_answer(
            200, SerialStatus(serial_number=serial.hex(), status="unknown", revoked=False)
        )
    revocation = stored.revocation
    return json_answer(
        200,
        SerialStatus(
            serial_number=stored.certificate.serial.hex(),
            status=stored.status(call.authority.clock()).value,
            revoked=revocation is not None,
            revoked_at=timestamp(revocation.revoked_at) if revocation else None,
            revocation_reason=reason_word(revocation.reason) if revocation else None,
        ),
    )


async def current_crl(call: Call) -> Response:
    """Answer with the newest CRL of an issuer."""
    query: CRLQuery = call.query
    issuer = query.issuer or call.authority.issuing.issuer.id
    crl = await call.authority.store.latest_crl(issuer)
    if crl is None:
        raise Error(
            Kind.NOT_FOUND,
            f"there is no CRL of issuer {issuer!r}",
            hint="issuers are listed at /api/v1/issuers; a new one has its first CRL within a "
            "minute",
        )
    tag = f'"{issuer}-{crl.number}-{query.format}"'
    headers = (*PRIVATE, ("ETag", tag))
    if call.request.headers.get("if-none-match") == tag:
        return Response(304, headers=headers)
    if query.format == "pem":
        # A million entries are 40 MB; encoding them would hold everybody up.
        large = len(crl.der) > LARGE
        body = await asyncio.to_thread(pem.crl, crl.der) if large else pem.crl(crl.der)
        return Response(200, body, "application/x-pem-file", headers)
    return Response(200, crl.der, "application/pkix-crl", headers)  # RFC 2585 §4.2
