"""Revocation: of an X.509 certificate by itself or by a token, of an SSH certificate by a token.

A token is for the one serial that is its subject.
"""

from __future__ import annotations

from mintmark.authority.workflow.revoke import revoke as revoke_certificate
from mintmark.authority.workflow.revoke import revoked_already
from mintmark.model.certificate import StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.status import Reason
from mintmark.protocol.step.call import Call, answer
from mintmark.protocol.step.refusal import StepError
from mintmark.wire.http import Response
from mintmark.wire.serial import number


async def revoke(call: Call) -> Response:
    """Revoke the certificate with a serial, for good."""
    body = call.body
    serial = _number(body.serial)
    if not body.passive:
        raise StepError(Kind.MALFORMED, "non-passive revocation is not implemented", status=501)
    reason = _reason(body.reason_code or 0)
    stored = call.stored if call.verified is None else call.token.stored
    _check_serial(call, stored, serial)
    if stored is None:
        raise Error(Kind.NOT_FOUND, f"no certificate has the serial number '{serial}'")
    try:
        await revoke_certificate(
            call.authority, call.requester, stored, reason, note=body.reason or ""
        )
    except Error as error:
        if error.kind is not Kind.ALREADY_REVOKED:
            raise
        raise revoked_already(serial) from error
    return answer(200, {"status": "ok"})


def _check_serial(call: Call, stored: StoredCertificate | None, serial: int) -> None:
    """Refuse another serial than the one that the credential is for.

    Raises:
        Error: FORBIDDEN.
    """
    if call.verified is not None:
        subject = call.verified.subject
        if number(subject) != serial:
            raise Error(
                Kind.FORBIDDEN,
                f"token subject '{subject[:60]}' and serial number '{serial}' do not match",
            )
    if stored is not None and int.from_bytes(stored.certificate.serial) != serial:
        raise Error(
            Kind.FORBIDDEN,
            f"serial number '{serial}' is not that of the certificate that was presented",
        )


def _number(text: str | None) -> int:
    if not text:
        raise Error(Kind.MALFORMED, "missing serial")
    if (found := number(text)) is None:
        raise Error(
            Kind.MALFORMED,
            f"serial {text[:60]!r} is not a number",
            hint="send it decimal, or hexadecimal after '0x'",
        )
    return found


def _reason(code: int) -> Reason:
    try:
        return Reason(code)
    except ValueError:
        known = ", ".join(f"{one.value} {one.word}" for one in Reason)
        raise Error(
            Kind.MALFORMED, f"reasonCode {code} is not used here", hint=f"known: {known}"
        ) from None
