"""Profiles: the shape a certificate may take (RFC 4949, "certificate profile")."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mintmark.model.identifiers import IdentifierType
from mintmark.model.keys import ALL_KEY_TYPES, KeyType
from mintmark.model.time import DAY, MINUTE

SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"


class KeyUsage(Enum):
    """Bits of RFC 5280 §4.2.1.3, by their RFC names; the value is the bit's position."""

    DIGITAL_SIGNATURE = 0
    CONTENT_COMMITMENT = 1
    KEY_ENCIPHERMENT = 2
    DATA_ENCIPHERMENT = 3
    KEY_AGREEMENT = 4
    KEY_CERT_SIGN = 5
    CRL_SIGN = 6
    ENCIPHER_ONLY = 7
    DECIPHER_ONLY = 8


class SubjectAttribute(Enum):
    """Subject attributes that a profile can fix (RFC 5280 §4.1.2.4)."""

    COMMON_NAME = "common_name"
    ORGANIZATION = "organization"
    ORGANIZATIONAL_UNIT = "organizational_unit"
    COUNTRY = "country"


@dataclass(frozen=True, slots=True)
class Profile:
    """One certificate shape.

    Args:
        name: its name in requests and in the inventory.
        extended_key_usages: dotted OIDs, in the order in which they are encoded (RFC 5280
            §4.2.1.12); at least one.
        key_usages: bits set for keys that can sign (EC, Ed25519, RSA); for RSA keys
            KEY_ENCIPHERMENT is added when `rsa_key_encipherment` is true (RFC 5280 §4.2.1.3,
            RFC 8446 has no use for it, TLS 1.2 RSA key exchange has).
        key_types: subject key types that may be certified.
        identifier_types: kinds of SAN that may be asked for.
        names: glob patterns (`*.example.internal`, `db-*`, `10.0.0.0/8`, `spiffe://x/*`)
            that every name must match one of; empty allows every name that policy allows.
        wildcards: whether a DNS name may start with `*.`.
        lifetime: seconds, used when the request names none.
        lifetime_min: seconds, inclusive.
        lifetime_max: seconds, inclusive.
        subject: fixed subject attributes (attribute, text), placed before the common name.
        common_name: whether the subject carries the common name of the request.
        certificate_policies: dotted OIDs for RFC 5280 §4.2.1.4; empty leaves it out.
        ocsp_must_staple: adds the TLS feature extension (RFC 7633).
        ocsp_no_check: adds id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1); only for responders.
        revocation_pointers: adds CRL distribution points and authority information access.
        rsa_key_encipherment: see `key_usages`.
    """

    name: str
    extended_key_usages: tuple[str, ...]
    key_usages: frozenset[KeyUsage] = frozenset({KeyUsage.DIGITAL_SIGNATURE})
    key_types: tuple[KeyType, ...] = ALL_KEY_TYPES
    identifier_types: tuple[IdentifierType, ...] = tuple(IdentifierType)
    names: tuple[str, ...] = ()
    wildcards: bool = False
    lifetime: int = 365 * DAY
    lifetime_min: int = 5 * MINUTE
    lifetime_max: int = 398 * DAY
    subject: tuple[tuple[SubjectAttribute, str], ...] = ()
    common_name: bool = True
    certificate_policies: tuple[str, ...] = ()
    ocsp_must_staple: bool = False
    ocsp_no_check: bool = False
    revocation_pointers: bool = True
    rsa_key_encipherment: bool = True


SERVER = Profile("server", (SERVER_AUTH,))
CLIENT = Profile("client", (CLIENT_AUTH,), rsa_key_encipherment=False)
PEER = Profile("peer", (SERVER_AUTH, CLIENT_AUTH))
OCSP_RESPONDER = Profile(
    "ocsp-responder",
    (OCSP_SIGNING,),
    identifier_types=(),
    lifetime=7 * DAY,
    ocsp_no_check=True,
    revocation_pointers=False,
    rsa_key_encipherment=False,
)
BUILT_IN = (SERVER, CLIENT, PEER)
