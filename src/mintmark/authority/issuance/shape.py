"""What gives a leaf its shape besides its profile: where its issuer publishes, how its key works.

Both encoders, the template and the plain builder, take their facts from here and from the
profile; they share no encoding.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from mintmark.model.keys import KeyType
from mintmark.model.profile import KeyUsage, Profile

# RFC 7093 §2 method 1: the leftmost 160 bits of the SHA-256 of the BIT STRING's octets.
KEY_ID_OCTETS: Final = 20


@dataclass(frozen=True, slots=True)
class Pointers:
    """URLs that an issuer's certificates carry.

    Args:
        crl: of its CRL (RFC 5280 §4.2.1.13).
        ocsp: of its OCSP responder (RFC 5280 §4.2.2.1, id-ad-ocsp).
        ca_issuers: of its certificate, DER (RFC 5280 §4.2.2.1, id-ad-caIssuers).
    """

    crl: tuple[str, ...] = ()
    ocsp: tuple[str, ...] = ()
    ca_issuers: tuple[str, ...] = ()


def key_usages(profile: Profile, key_type: KeyType) -> frozenset[KeyUsage]:
    """Return the key usages of a leaf (RFC 5280 §4.2.1.3)."""
    if key_type.rsa_bits and profile.rsa_key_encipherment:
        return profile.key_usages | {KeyUsage.KEY_ENCIPHERMENT}
    return profile.key_usages


def key_identifier(public_key: bytes) -> bytes:
    """Return the key identifier of a subjectPublicKey, the content of its BIT STRING."""
    return hashlib.sha256(public_key).digest()[:KEY_ID_OCTETS]
