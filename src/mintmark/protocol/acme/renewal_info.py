"""Renewal information: when a certificate should be replaced (RFC 9773)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from cryptography import x509

from mintmark.authority.workflow.authority import Authority
from mintmark.model.acme import RenewalWindow
from mintmark.model.certificate import Certificate, StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.time import HOUR, MINUTE, timestamp
from mintmark.protocol.acme.request import Call
from mintmark.wire import jose
from mintmark.wire.http import Response

RETRY_AFTER: Final = 6 * HOUR  # RFC 9773 §4.3.2: what is suggested there
RETRY_AFTER_MOVED: Final = HOUR


async def renewal_info(call: Call) -> Response:
    """Return the suggested window of a certificate; anyone may ask (§4.1)."""
    certid = call.arguments["id"]
    stored = await find(call, certid)
    moved = await moved_window(call, stored)
    window = moved or usual_window(stored.certificate)
    document: dict[str, Any] = {
        "suggestedWindow": {"start": timestamp(window.start), "end": timestamp(window.end)}
    }
    if moved is not None:
        document["explanationURL"] = moved.explanation_url or call.links.explanation(certid)
    lifetime = stored.certificate.not_after - stored.certificate.not_before
    pause = RETRY_AFTER_MOVED if moved else RETRY_AFTER
    # A certificate of a day wants to be asked about more than every six hours.
    pause = max(min(pause, lifetime // 30), MINUTE)
    return call.answer(document, headers=(("Retry-After", str(pause)),))


async def explanation(call: Call) -> Response:
    """Tell a person why a certificate should be renewed now."""
    stored = await find(call, call.arguments["id"])
    certificate = stored.certificate
    names = ", ".join(str(one) for one in certificate.identifiers)
    window = await moved_window(call, stored)
    if stored.revocation is not None:
        why = (
            f"It was revoked at {timestamp(stored.revocation.revoked_at)} "
            f"(reason: {stored.revocation.reason.word}) and has to be replaced at once."
        )
    elif window is not None:
        why = (
            "The operators of this certification authority ask for its renewal between "
            f"{timestamp(window.start)} and {timestamp(window.end)}."
        )
    else:
        why = f"Nothing is wrong with it; it ends at {timestamp(certificate.not_after)}."
    text = f"Certificate {certificate.id} for {names}.\n{why}\n"
    return Response(200, text.encode(), "text/plain; charset=utf-8")


async def find(call: Call, certid: str) -> StoredCertificate:
    """Return the certificate that a certid names: key identifier of its issuer, and serial.

    Raises:
        Error: MALFORMED, NOT_FOUND.
    """
    key_id, dot, serial = certid.partition(".")
    if not dot:
        raise Error(
            Kind.MALFORMED,
            f"{certid[:80]!r} is not a certificate id of RFC 9773 §4.1",
            hint="join authority key identifier and serial, base64url each, by a dot",
        )
    issuer = _issuers(call.authority).get(jose.decode(key_id, "certid"))
    octets = jose.decode(serial, "certid")
    stored = await call.authority.store.certificate(octets) if issuer and octets else None
    if stored is None or stored.certificate.issuer != issuer:
        raise Error(Kind.NOT_FOUND, "this authority has issued no certificate of this id")
    return stored


def certificate_id(authority: Authority, serial: bytes) -> str:
    """Return the certid of a serial of the issuer that signs now, or signed last."""
    key_id = key_identifier(authority.issuing.issuer.der)
    return f"{jose.encode(key_id)}.{jose.encode(serial)}"


def usual_window(certificate: Certificate) -> RenewalWindow:
    """Return the window in which two thirds of the certificate's life are over.

    It is a thirtieth of the life wide, and where exactly it lies depends on the serial, so
    that certificates that were issued together are not renewed together.
    """
    lifetime = certificate.not_after - certificate.not_before
    width = max(lifetime // 30, 1)
    spread = int.from_bytes(certificate.serial[-4:]) % (width + 1) - width // 2
    start = certificate.not_before + lifetime * 2 // 3 + spread - width // 2
    return RenewalWindow(certificate.serial, start, start + width)


async def moved_window(call: Call, stored: StoredCertificate) -> RenewalWindow | None:
    """Return the window of a certificate that is revoked, or that an operator moved."""
    certificate, revocation = stored.certificate, stored.revocation
    if revocation is not None:
        end = max(min(revocation.revoked_at, call.now), certificate.not_before + 1)
        return RenewalWindow(certificate.serial, max(end - HOUR, certificate.not_before), end)
    return await call.authority.store.renewal_window(certificate.serial)


@lru_cache(maxsize=64)
def key_identifier(der: bytes) -> bytes:
    """Return an issuer's subject key identifier (RFC 5280 §4.2.1.2)."""
    certificate = x509.load_der_x509_certificate(der)
    return certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest


def _issuers(authority: Authority) -> dict[bytes, str]:
    return {key_identifier(issuer.der): issuer.id for issuer in authority.issuers}
