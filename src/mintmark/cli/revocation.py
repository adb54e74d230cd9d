"""Is it revoked? Asked of the responder or the list that the certificate itself names.

Answers come by plain HTTP and are worth what their signatures are (RFC 6960 §3.2, RFC 5280
§6.3.3); they are fetched with limits on time and size, by no proxy and along no redirect.
"""

from __future__ import annotations

import errno
import http.client
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from mintmark.cli.verification import Finding
from mintmark.model.errors import Error, Kind

TIMEOUT: Final = 5.0  # seconds to connect, and between two reads
PATIENCE: Final = 60.0  # seconds for a whole answer
MAX_OCSP_OCTETS: Final = 64 * 1024
MAX_CRL_OCTETS: Final = 128 * 1024 * 1024
SKEW: Final = 300  # seconds that clocks may differ

T = TypeVar("T")


def check_revocation(leaf: x509.Certificate, issuer: x509.Certificate, now: float) -> Finding:
    """Say whether a certificate is revoked, by OCSP, else by CRL.

    Args:
        leaf: the certificate.
        issuer: who issued it, verified.
        now: Unix seconds.
    """
    refusals = []
    for url in _responders(leaf):
        try:
            return _by_ocsp(url, leaf, issuer, now)
        except Error as error:
            refusals.append(error.detail)
    for url in _lists(leaf):
        try:
            return _by_crl(url, leaf, issuer, now)
        except Error as error:
            refusals.append(error.detail)
    reason = "; ".join(refusals) or "the certificate names no responder and no list"
    remedy = "is the server running? ask it with --server, or leave it out with --no-revocation"
    return Finding("revocation", False, f"not known: {reason}", remedy)


def found(revoked: bool, how: str, reason: str = "") -> Finding:  # noqa: FBT001 - the verdict
    """Return the finding for a certificate whose fate is known."""
    if revoked:
        because = f", {reason}" if reason else ""
        remedy = "have a new key certified: mintmark rekey, or mintmark issue"
        return Finding("revocation", False, f"revoked ({how}{because})", remedy)
    return Finding("revocation", True, f"not revoked ({how})")


def _by_ocsp(url: str, leaf: x509.Certificate, issuer: x509.Certificate, now: float) -> Finding:
    request = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA256()).build()
    body = _fetch(
        url,
        MAX_OCSP_OCTETS,
        request.public_bytes(serialization.Encoding.DER),
        "application/ocsp-request",
    )
    response = _parsed(url, lambda: ocsp.load_der_ocsp_response(body))
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise _useless(url, f"it answered {response.response_status.name.lower()}")
    if response.serial_number != leaf.serial_number:
        raise _useless(url, "it answered for another certificate")
    _check_responder(url, response, issuer, now)
    _check_fresh(url, response.this_update_utc, response.next_update_utc, now)
    status = response.certificate_status
    if status is ocsp.OCSPCertStatus.UNKNOWN:
        return Finding("revocation", False, "OCSP does not know it", "did this authority issue it?")
    reason = response.revocation_reason
    word = reason.value if reason is not None else ""
    return found(status is ocsp.OCSPCertStatus.REVOKED, "OCSP", word)


def _by_crl(url: str, leaf: x509.Certificate, issuer: x509.Certificate, now: float) -> Finding:
    body = _fetch(url, MAX_CRL_OCTETS)
    crl = _parsed(url, lambda: x509.load_der_x509_crl(body))
    key = issuer.public_key()
    if crl.issuer != issuer.subject or not crl.is_signature_valid(key):  # type: ignore[arg-type] # of a CA
        raise _useless(url, "the CRL is not signed by the issuer")
    _check_fresh(url, crl.last_update_utc, crl.next_update_utc, now)
    entry = crl.get_revoked_certificate_by_serial_number(leaf.serial_number)
    return found(entry is not None, "CRL")


def _check_responder(
    url: str, response: ocsp.OCSPResponse, issuer: x509.Certificate, now: float
) -> None:
    """Check who signed (RFC 6960 §4.2.2.2): the issuer, or whom it delegated."""
    signer = issuer
    for certificate in response.certificates:
        if certificate != issuer:
            signer = certificate
            break
    try:
        if signer is not issuer:
            signer.verify_directly_issued_by(issuer)
            usages = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            if ExtendedKeyUsageOID.OCSP_SIGNING not in usages:
                raise _useless(url, "its signer may not sign OCSP responses")
            if not _valid(signer, now):
                raise _useless(url, "its signer's certificate is not valid now")
        _verify(response, signer)
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise _useless(url, "the response is not signed for the issuer") from error


def _verify(response: ocsp.OCSPResponse, signer: x509.Certificate) -> None:
    """Verify the response's signature with the key of `signer`."""
    key = signer.public_key()
    signature, data = response.signature, response.tbs_response_bytes
    digest = response.signature_hash_algorithm
    if isinstance(key, ec.EllipticCurvePublicKey) and digest is not None:
        key.verify(signature, data, ec.ECDSA(digest))
    elif isinstance(key, rsa.RSAPublicKey) and digest is not None:
        key.verify(signature, data, padding.PKCS1v15(), digest)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, data)
    else:
        raise TypeError("no key that signs OCSP responses")


def _check_fresh(url: str, this_update: datetime, next_update: datetime | None, now: float) -> None:
    if this_update.timestamp() > now + SKEW:
        raise _useless(url, "its answer is from the future")
    if next_update is None or next_update.timestamp() < now - SKEW:
        raise _useless(url, "its answer is out of date")


def _valid(certificate: x509.Certificate, now: float) -> bool:
    moment = datetime.fromtimestamp(now, UTC)
    return certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc


def _responders(leaf: x509.Certificate) -> list[str]:
    try:
        access = leaf.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except x509.ExtensionNotFound:
        return []
    return [
        str(one.access_location.value)
        for one in access
        if one.access_method == AuthorityInformationAccessOID.OCSP
        and isinstance(one.access_location, x509.UniformResourceIdentifier)
    ]


def _lists(leaf: x509.Certificate) -> list[str]:
    try:
        points = leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return []
    return [
        str(name.value)
        for point in points
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
    ]


def _fetch(url: str, limit: int, body: bytes | None = None, kind: str = "") -> bytes:
    """Return what a plain HTTP server answers, at most `limit` octets."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        raise _useless(url, "it is not plain HTTP")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT)
    try:
        headers = {"Content-Type": kind} if kind else {}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET" if body is None else "POST", target, body, headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise _useless(url, f"it answered {answer.status}")
        data = _read(answer, limit)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise _useless(url, reason.lower()) from error
    finally:
        connection.close()
    if len(data) > limit:
        raise _useless(url, f"its answer has more than {limit} octets")
    return data


def _read(answer: http.client.HTTPResponse, limit: int) -> bytes:
    """Read an answer up to one octet beyond its limit, for no longer than `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    data = bytearray()
    while len(data) <= limit:
        piece = answer.read1(65536)
        if not piece:
            break
        data += piece
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "it answers too slowly")
    return bytes(data)


def _parsed(url: str, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except ValueError as error:
        raise _useless(url, "its answer cannot be read") from error


def _useless(url: str, why: str) -> Error:
    return Error(Kind.UNAVAILABLE, f"{url}: {why}")
