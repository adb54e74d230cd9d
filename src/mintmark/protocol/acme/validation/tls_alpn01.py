"""tls-alpn-01: a certificate that signs itself, shown in a handshake of its own (RFC 8737).

RFC 8738 §6 says how addresses are asked for: by their name in the reverse DNS.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import ssl
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa

from mintmark.model.errors import Error
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.protocol.acme.validation.outcome import Attempt, ChallengeError, Validated, shown
from mintmark.protocol.acme.validation.reach import Reach
from mintmark.wire.general_names import from_general_name

ALPN: Final = "acme-tls/1"
_ACME_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")  # RFC 8737 §3
_OCTET_STRING_32: Final = b"\x04\x20"
_UNREADABLE: Final = (
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
_MAX_NAMES: Final = 100  # that are shown or looked at
_MAX_RSA_BITS: Final = 8192  # a larger key is only there to cost time


async def validate(attempt: Attempt, reach: Reach, tls: ssl.SSLContext) -> Validated:
    """Make a handshake and look at the certificate it shows.

    Raises:
        ChallengeError: it is not the one.
    """
    identifier = attempt.identifier
    name = server_name(identifier)
    addresses = await reach.addresses(identifier.value, attempt)
    what = f"the TLS handshake for '{name}' with ALPN {ALPN}"
    transport, _, place = await reach.connect(
        asyncio.Protocol, addresses, reach.settings.tls_port, what, attempt, (tls, name)
    )
    try:
        connection = transport.get_extra_info("ssl_object")
        negotiated = connection.selected_alpn_protocol()
        der = connection.getpeercert(binary_form=True)
    finally:
        transport.abort()
    where = f"{what} on {place}"
    if negotiated != ALPN:
        told = f"agreed on {negotiated}" if negotiated else "negotiated no protocol"
        raise ChallengeError(
            "tls",
            f"{where}: the server {told}; is the ACME client's responder behind this port?",
        )
    problem = look(der or b"", identifier, attempt.key_authorization)
    if problem:
        raise ChallengeError("incorrectResponse", f"{where}: the certificate {problem}")
    return Validated(where)


def server_name(identifier: Identifier) -> str:
    """Return the name that the handshake asks for (RFC 8737 §3, RFC 8738 §6)."""
    if identifier.type is IdentifierType.IP:
        return ipaddress.ip_address(identifier.value).reverse_pointer
    return identifier.value


def look(der: bytes, identifier: Identifier, key_authorization: str) -> str | None:
    """Return what is wrong with a validation certificate, None if it is the one (§3)."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        extensions = certificate.extensions
    except _UNREADABLE as error:
        return f"cannot be read: {shown(str(error))}"
    return (
        _names(extensions, identifier)
        or _digest(extensions, key_authorization)
        or _signature(certificate)
    )


def _names(extensions: x509.Extensions, identifier: Identifier) -> str | None:
    """Look for exactly one subject alternative name, the identifier."""
    try:
        san = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "has no subject alternative name"
    names = list(san)[:_MAX_NAMES]
    try:
        if len(names) == 1 and from_general_name(names[0]) == identifier:
            return None
    except Error:
        pass  # not a name that an identifier could have
    said = ", ".join(shown(str(getattr(name, "value", name)), 60) for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"is for {said or 'no name'}{more} and not for '{identifier}' alone"


def _digest(extensions: x509.Extensions, key_authorization: str) -> str | None:
    """Look for the critical acmeIdentifier with the key authorization's SHA-256."""
    try:
        extension = extensions.get_extension_for_oid(_ACME_IDENTIFIER)
    except x509.ExtensionNotFound:
        return "has no acmeIdentifier extension (RFC 8737 §3)"
    if not extension.critical:
        return "has an acmeIdentifier extension that is not critical (RFC 8737 §3)"
    value = extension.value
    digest = hashlib.sha256(key_authorization.encode("ascii")).digest()
    expected = _OCTET_STRING_32 + digest
    if not isinstance(value, x509.UnrecognizedExtension) or value.value != expected:
        return (
            "has an acmeIdentifier that is not the SHA-256 of this challenge's key "
            "authorization: it is of another challenge or of another account"
        )
    return None


def _signature(certificate: x509.Certificate) -> str | None:
    """Look whether the certificate signs itself."""
    try:
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size > _MAX_RSA_BITS:
            return f"has an RSA key of more than {_MAX_RSA_BITS} bits"
        certificate.verify_directly_issued_by(certificate)
    except InvalidSignature:
        return "is not signed by its own key"
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return f"does not sign itself: {error}"
    return None
