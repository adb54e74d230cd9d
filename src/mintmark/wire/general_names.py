"""Names from a CSR or certificate and back: GeneralName (RFC 5280 §4.2.1.6)."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable
from typing import Final

from cryptography import x509

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.wire import der
from mintmark.wire.identifiers import parse, parse_dns, refuse

# GeneralName's context tags (RFC 5280 §4.2.1.6).
_RFC822_NAME: Final = 0x81
_DNS_NAME: Final = 0x82
_URI_NAME: Final = 0x86
_IP_ADDRESS: Final = 0x87
_OTHER_NAMES: Final = {
    0xA0: "otherName",
    0xA3: "x400Address",
    0xA4: "directoryName",
    0xA5: "ediPartyName",
    0x88: "registeredID",
}
_TEXT_TAGS: Final = {
    IdentifierType.DNS: _DNS_NAME,
    IdentifierType.EMAIL: _RFC822_NAME,
    IdentifierType.URI: _URI_NAME,
}
_PARSERS: Final[dict[int, Callable[[str], Identifier]]] = {
    _DNS_NAME: parse_dns,
    _RFC822_NAME: functools.partial(parse, IdentifierType.EMAIL),
    _URI_NAME: functools.partial(parse, IdentifierType.URI),
}


def general_name(identifier: Identifier) -> bytes:
    """Return the DER GeneralName of an identifier (RFC 5280 §4.2.1.6)."""
    if identifier.type is IdentifierType.IP:
        return der.tlv(_IP_ADDRESS, ipaddress.ip_address(identifier.value).packed)
    return der.tlv(_TEXT_TAGS[identifier.type], identifier.value.encode("ascii"))


def parse_general_name(tag: int, content: bytes) -> Identifier:
    """Return the identifier of a GeneralName, given its tag octet and its content.

    Raises:
        Error: REJECTED_IDENTIFIER, also for the kinds of name that are not accepted at all.
    """
    if tag == _IP_ADDRESS:
        return _packed_ip(content)
    parse_text = _PARSERS.get(tag)
    if parse_text is None:
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"a name of kind '{_OTHER_NAMES.get(tag, hex(tag))}' is not accepted",
            hint="accepted: dNSName, iPAddress, rfc822Name and uniformResourceIdentifier",
        )
    try:
        text = content.decode("ascii")  # RFC 5280 §4.2.1.6: IA5String
    except UnicodeDecodeError:
        text = content.decode("ascii", "backslashreplace")
        refuse("name", text, "is not ASCII", "write it in A-labels or escapes")
    return parse_text(text)


def _packed_ip(content: bytes) -> Identifier:
    """Parse four or sixteen octets (RFC 5280 §4.2.1.6)."""
    if len(content) not in {4, 16}:
        rule = f"has {len(content)} octets"
        refuse("IP address", content.hex(), rule, "4 octets for IPv4, 16 for IPv6")
    return parse(IdentifierType.IP, str(ipaddress.ip_address(content)))


def x509_general_name(identifier: Identifier) -> x509.GeneralName:
    """Return an identifier as `cryptography` wants it."""
    match identifier.type:
        case IdentifierType.DNS:
            return x509.DNSName(identifier.value)
        case IdentifierType.IP:
            return x509.IPAddress(ipaddress.ip_address(identifier.value))
        case IdentifierType.EMAIL:
            return x509.RFC822Name(identifier.value)
        case IdentifierType.URI:
            return x509.UniformResourceIdentifier(identifier.value)


def from_general_name(name: x509.GeneralName) -> Identifier:
    """Return the identifier of a name that `cryptography` parsed.

    Raises:
        Error: REJECTED_IDENTIFIER as `parse_general_name`.
    """
    match name:
        case x509.DNSName():
            return parse(IdentifierType.DNS, name.value)
        case x509.IPAddress():
            return parse(IdentifierType.IP, str(name.value))
        case x509.RFC822Name():
            return parse(IdentifierType.EMAIL, name.value)
        case x509.UniformResourceIdentifier():
            return parse(IdentifierType.URI, name.value)
        case _:
            kind = type(name).__name__
            raise Error(Kind.REJECTED_IDENTIFIER, f"a name of kind '{kind}' is not accepted")
