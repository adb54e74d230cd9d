"""The template: a leaf's TBSCertificate, all of it encoded beforehand except what changes.

For one issuer, profile and key type only serial, validity, common name, key, key identifier
and subject alternative names differ from leaf to leaf (RFC 5280 §4.1, ADR 0003). What comes
out is octet for octet what the plain builder makes; a property test holds that, and every
TBSCertificate is parsed back and linted before it is signed.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from mintmark.authority.issuance.approval import Approval
from mintmark.authority.issuance.shape import KEY_ID_OCTETS, Pointers, key_usages
from mintmark.model.keys import KeyType
from mintmark.model.profile import Profile, SubjectAttribute
from mintmark.wire import der
from mintmark.wire.general_names import general_name

ATTRIBUTE_OIDS: Final = {
    SubjectAttribute.COMMON_NAME: "2.5.4.3",
    SubjectAttribute.COUNTRY: "2.5.4.6",
    SubjectAttribute.ORGANIZATION: "2.5.4.10",
    SubjectAttribute.ORGANIZATIONAL_UNIT: "2.5.4.11",
}

# Version 3, then the header of an INTEGER of 20 octets: a serial never has another size.
_BEFORE_SERIAL: Final = der.explicit(0, der.integer(2)) + der.header(der.INTEGER, 20)
_SUBJECT_KEY_ID: Final = der.oid("2.5.29.14")
_KEY_USAGE: Final = der.oid("2.5.29.15")
_SAN: Final = der.oid("2.5.29.17")
_CRL_DISTRIBUTION_POINTS: Final = der.oid("2.5.29.31")
_CERTIFICATE_POLICIES: Final = der.oid("2.5.29.32")
_AUTHORITY_KEY_ID: Final = der.oid("2.5.29.35")
_EXTENDED_KEY_USAGE: Final = der.oid("2.5.29.37")
_AUTHORITY_INFO_ACCESS: Final = der.oid("1.3.6.1.5.5.7.1.1")
_TLS_FEATURE: Final = der.oid("1.3.6.1.5.5.7.1.24")
_AD_OCSP: Final = der.oid("1.3.6.1.5.5.7.48.1")
_OCSP_NO_CHECK: Final = der.oid("1.3.6.1.5.5.7.48.1.5")
_AD_CA_ISSUERS: Final = der.oid("1.3.6.1.5.5.7.48.2")
_COMMON_NAME: Final = der.oid("2.5.4.3")

# Where the BIT STRING's content starts in a SubjectPublicKeyInfo: its front is the same for
# all keys of a type (RFC 5480 §2, RFC 8410 §4, RFC 3279 §2.3.1).
_PUBLIC_KEY_AT: Final = {
    KeyType.EC_P256: 26,
    KeyType.EC_P384: 23,
    KeyType.ED25519: 12,
    KeyType.RSA_2048: 24,
    KeyType.RSA_3072: 24,
    KeyType.RSA_4096: 24,
}

_SIZES: Final = 1024  # remembered: certificates have few


class Template:
    """Encodes leaves of one issuer, profile and key type.

    Args:
        profile: the shape.
        key_type: of the subject keys.
        signature_algorithm: DER AlgorithmIdentifier of the issuer's signatures.
        issuer_name: the issuer's subject Name, as it stands in its certificate.
        authority_key_id: the issuer's subject key identifier.
        pointers: where the issuer publishes.
    """

    __slots__ = (
        "_after_key_id",
        "_after_san",
        "_after_serial",
        "_before_key_id",
        "_extensions_size",
        "_fixed_subject",
        "_public_key_at",
        "key_type",
        "profile",
    )

    def __init__(
        self,
        profile: Profile,
        key_type: KeyType,
        *,
        signature_algorithm: bytes,
        issuer_name: bytes,
        authority_key_id: bytes,
        pointers: Pointers,
    ) -> None:
        self.profile: Final = profile
        self.key_type: Final = key_type
        self._after_serial: Final = signature_algorithm + issuer_name
        self._fixed_subject: Final = b"".join(
            _attribute(attribute, text) for attribute, text in profile.subject
        )
        self._public_key_at: Final = _PUBLIC_KEY_AT[key_type]
        key_id_header = _extension(_SUBJECT_KEY_ID, der.octet_string(bytes(KEY_ID_OCTETS)))
        self._before_key_id: Final = (
            _key_usage(profile, key_type)
            + _extended_key_usage(profile)
            + key_id_header[:-KEY_ID_OCTETS]
        )
        self._after_key_id: Final = _extension(
            _AUTHORITY_KEY_ID, der.sequence(der.implicit(0, authority_key_id))
        )
        self._after_san: Final = b"".join(
            [
                *(_pointers(pointers) if profile.revocation_pointers else ()),
                _certificate_policies(profile),
                _tls_feature(profile),
                _ocsp_no_check(profile),
            ]
        )
        self._extensions_size: Final = (
            len(self._before_key_id)
            + KEY_ID_OCTETS
            + len(self._after_key_id)
            + len(self._after_san)
        )

    def assemble(self, approval: Approval, serial: bytes) -> bytes:
        """Return the TBSCertificate of an approval.

        Args:
            approval: of this template's profile and key type.
            serial: 20 octets, the first between 0x40 and 0x7f.
        """
        spki = approval.key.spki
        key_id = hashlib.sha256(spki[self._public_key_at :]).digest()[:KEY_ID_OCTETS]
        subject = self._fixed_subject
        if approval.common_name:
            text = approval.common_name.encode()
            subject += _before_common_name(len(text)) + text
        san = b""
        if approval.identifiers:
            names = b"".join(map(general_name, approval.identifiers))
            san = _before_names(len(names), not subject) + names
        content = b"".join(
            (
                _BEFORE_SERIAL,
                serial,
                self._after_serial,
                _validity(approval.not_before, approval.not_after),
                der.sequence_header(len(subject)),
                subject,
                spki,
                _before_extensions(self._extensions_size + len(san)),
                self._before_key_id,
                key_id,
                self._after_key_id,
                san,
                self._after_san,
            )
        )
        return der.sequence_header(len(content)) + content


def _around(tag: int, header: bytes, size: int) -> bytes:
    """Return a header, and before it that of an element around it and the `size` octets behind."""
    return der.header(tag, len(header) + size) + header


@lru_cache(maxsize=_SIZES)
def _before_extensions(size: int) -> bytes:
    """Return what stands before extensions of `size` octets: [3] and SEQUENCE."""
    return _around(0xA3, der.header(der.SEQUENCE, size), size)


@lru_cache(maxsize=_SIZES)
def _before_common_name(size: int) -> bytes:
    """Return an RDN up to a common name of `size` octets (RFC 5280 §4.1.2.4: UTF8String)."""
    attribute = _COMMON_NAME + der.header(der.UTF8_STRING, size)
    return _around(der.SET, _around(der.SEQUENCE, attribute, size), size)


@lru_cache(maxsize=_SIZES)
def _before_names(size: int, critical: bool) -> bytes:  # noqa: FBT001 - by position, remembered once
    """Return the subject alternative name's extension up to names of `size` octets.

    RFC 5280 §4.2.1.6: it is critical if and only if the subject is empty.
    """
    names = _around(der.OCTET_STRING, der.header(der.SEQUENCE, size), size)
    oid = _SAN + der.BOOLEAN_TRUE if critical else _SAN
    return _around(der.SEQUENCE, oid + names, size)


@lru_cache(maxsize=256)
def _validity(not_before: int, not_after: int) -> bytes:
    """Return a Validity; leaves of the same second and lifetime share it."""
    return der.sequence(der.time(not_before), der.time(not_after))


def _attribute(attribute: SubjectAttribute, text: str) -> bytes:
    """Return the RDN of a fixed attribute; a country is a PrintableString (RFC 5280 A.1)."""
    country = attribute is SubjectAttribute.COUNTRY
    tag = der.PRINTABLE_STRING if country else der.UTF8_STRING
    return der.tlv(
        der.SET, der.sequence(der.oid(ATTRIBUTE_OIDS[attribute]), der.tlv(tag, text.encode()))
    )


def _extension(oid: bytes, value: bytes, *, critical: bool = False) -> bytes:
    return der.sequence(oid, der.BOOLEAN_TRUE if critical else b"", der.octet_string(value))


def _key_usage(profile: Profile, key_type: KeyType) -> bytes:
    """Return the extension; RFC 5280 §4.2.1.3: CAs SHOULD mark it critical."""
    positions = frozenset(usage.value for usage in key_usages(profile, key_type))
    return _extension(_KEY_USAGE, der.named_bits(positions), critical=True)


def _extended_key_usage(profile: Profile) -> bytes:
    return _extension(_EXTENDED_KEY_USAGE, der.sequence(*map(der.oid, profile.extended_key_usages)))


def _pointers(pointers: Pointers) -> tuple[bytes, bytes]:
    """Return CRL distribution points and authority information access, or nothing for none."""
    points = [
        der.sequence(der.explicit(0, der.explicit(0, der.implicit(6, url.encode()))))
        for url in pointers.crl
    ]
    accesses = [
        der.sequence(method, der.implicit(6, url.encode()))
        for method, urls in ((_AD_OCSP, pointers.ocsp), (_AD_CA_ISSUERS, pointers.ca_issuers))
        for url in urls
    ]
    return (
        _extension(_CRL_DISTRIBUTION_POINTS, der.sequence(*points)) if points else b"",
        _extension(_AUTHORITY_INFO_ACCESS, der.sequence(*accesses)) if accesses else b"",
    )


def _certificate_policies(profile: Profile) -> bytes:
    if not profile.certificate_policies:
        return b""
    policies = [der.sequence(der.oid(policy)) for policy in profile.certificate_policies]
    return _extension(_CERTIFICATE_POLICIES, der.sequence(*policies))


def _tls_feature(profile: Profile) -> bytes:
    """Return the extension that asks for a stapled status (RFC 7633 §4: status_request is 5)."""
    if not profile.ocsp_must_staple:
        return b""
    return _extension(_TLS_FEATURE, der.sequence(der.integer(5)))


def _ocsp_no_check(profile: Profile) -> bytes:
    return _extension(_OCSP_NO_CHECK, der.NULL) if profile.ocsp_no_check else b""
