"""Names a certificate may carry, in the one form in which mintmark compares and signs them.

Parse, don't validate: an `Identifier` exists only in canonical form. DNS names are lower case
A-labels without a trailing dot (RFC 5280 §4.2.1.6, §7.2), IP addresses are literals in the
form of RFC 5952, e-mail addresses have a lower case domain (RFC 5280 §7.5).
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class IdentifierType(Enum):
    """The kinds of name, by their words in the API and the configuration."""

    DNS = "dns"
    IP = "ip"
    EMAIL = "email"
    URI = "uri"

    __hash__ = object.__hash__  # one object a member; Enum would hash its name anew each time


class Identifier(Struct, frozen=True, gc=False):
    """One name in canonical form; made by `mintmark.wire.identifiers.parse`, not by hand.

    Args:
        type: which kind of name.
        value: its canonical text, ASCII; an IP address as a literal without prefix length.
    """

    type: IdentifierType
    value: str

    @property
    def wildcard(self) -> bool:
        """Whether it is a DNS name whose first label is `*`."""
        return self.type is IdentifierType.DNS and self.value.startswith("*.")

    def __str__(self) -> str:
        return self.value
