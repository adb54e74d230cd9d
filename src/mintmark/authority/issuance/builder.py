"""The plain builder: the same leaf by `cryptography`'s own means, and so the template's oracle.

Whoever changes the template changes this too, in other words; a property test compares them
octet by octet. Lints take from here what the static extensions must say.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from mintmark.authority.issuance.approval import Approval
from mintmark.authority.issuance.shape import Pointers, key_identifier, key_usages
from mintmark.model.keys import KeyType
from mintmark.model.profile import KeyUsage, Profile, SubjectAttribute
from mintmark.wire import der
from mintmark.wire.general_names import x509_general_name

_ATTRIBUTES: Final = {
    SubjectAttribute.COMMON_NAME: NameOID.COMMON_NAME,
    SubjectAttribute.COUNTRY: NameOID.COUNTRY_NAME,
    SubjectAttribute.ORGANIZATION: NameOID.ORGANIZATION_NAME,
    SubjectAttribute.ORGANIZATIONAL_UNIT: NameOID.ORGANIZATIONAL_UNIT_NAME,
}


def leaf_builder(
    approval: Approval,
    serial: bytes,
    *,
    issuer_name: x509.Name,
    authority_key_id: bytes,
    pointers: Pointers,
) -> x509.CertificateBuilder:
    """Return a builder that holds the whole leaf of an approval."""
    subject = _subject(approval)
    key_usage, extended_key_usage, authority_key, *others = static_extensions(
        approval.profile, approval.key.type, authority_key_id, pointers
    )
    subject_key = x509.SubjectKeyIdentifier(key_identifier(_public_key(approval)))
    names = x509.SubjectAlternativeName([x509_general_name(each) for each in approval.identifiers])
    builder = x509.CertificateBuilder(
        issuer_name=issuer_name,
        subject_name=subject,
        public_key=approval.key.public_key,
        serial_number=int.from_bytes(serial, "big"),
        not_valid_before=_moment(approval.not_before),
        not_valid_after=_moment(approval.not_after),
    )
    for extension in (
        key_usage,
        extended_key_usage,
        x509.Extension(subject_key.oid, False, subject_key),
        authority_key,
        *([x509.Extension(names.oid, not list(subject), names)] if approval.identifiers else []),
        *others,
    ):
        builder = builder.add_extension(extension.value, extension.critical)
    return builder


def static_extensions(
    profile: Profile, key_type: KeyType, authority_key_id: bytes, pointers: Pointers
) -> list[x509.Extension[Any]]:
    """Return the extensions that all leaves of one issuer, profile and key type share.

    Returns:
        Key usage, extended key usage, authority key identifier, then those that the profile
        asks for, in the order in which they are encoded.
    """
    critical_key_usage = _key_usage(key_usages(profile, key_type))
    values: list[x509.ExtensionType] = [
        x509.ExtendedKeyUsage(list(map(x509.ObjectIdentifier, profile.extended_key_usages))),
        x509.AuthorityKeyIdentifier(authority_key_id, None, None),
    ]
    if profile.revocation_pointers:
        values += _pointers(pointers)
    if profile.certificate_policies:
        policies = map(x509.ObjectIdentifier, profile.certificate_policies)
        values.append(
            x509.CertificatePolicies([x509.PolicyInformation(oid, None) for oid in policies])
        )
    if profile.ocsp_must_staple:
        values.append(x509.TLSFeature([x509.TLSFeatureType.status_request]))
    if profile.ocsp_no_check:
        values.append(x509.OCSPNoCheck())
    return [
        x509.Extension(critical_key_usage.oid, True, critical_key_usage),
        *(x509.Extension(value.oid, False, value) for value in values),
    ]


def encoded_extension(extension: x509.Extension[Any]) -> bytes:
    """Return an Extension in DER (RFC 5280 §4.1), its value encoded by `cryptography`."""
    return der.sequence(
        der.oid(extension.oid.dotted_string),
        der.BOOLEAN_TRUE if extension.critical else b"",
        der.octet_string(extension.value.public_bytes()),
    )


def fixed_subject(profile: Profile) -> x509.Name:
    """Return the subject attributes that a profile gives to all its leaves."""
    return x509.Name(
        [x509.NameAttribute(_ATTRIBUTES[each], text) for each, text in profile.subject]
    )


def _subject(approval: Approval) -> x509.Name:
    """Return the subject of a leaf: the profile's attributes, then the common name."""
    fixed = list(fixed_subject(approval.profile))
    name = approval.common_name
    own = [x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else []
    return x509.Name([*fixed, *own])


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _public_key(approval: Approval) -> bytes:
    """Return subjectPublicKey's octets from the loaded key (RFC 5480 §2.2, RFC 8410, RFC 8017)."""
    key = approval.key.public_key
    match key:
        case ec.EllipticCurvePublicKey():
            return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        case ed25519.Ed25519PublicKey():
            return key.public_bytes_raw()
        case rsa.RSAPublicKey():
            return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        case _:
            raise TypeError(f"a key of type {type(key).__name__} gets no leaf")


def _key_usage(usages: frozenset[KeyUsage]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=KeyUsage.DIGITAL_SIGNATURE in usages,
        content_commitment=KeyUsage.CONTENT_COMMITMENT in usages,
        key_encipherment=KeyUsage.KEY_ENCIPHERMENT in usages,
        data_encipherment=KeyUsage.DATA_ENCIPHERMENT in usages,
        key_agreement=KeyUsage.KEY_AGREEMENT in usages,
        key_cert_sign=KeyUsage.KEY_CERT_SIGN in usages,
        crl_sign=KeyUsage.CRL_SIGN in usages,
        encipher_only=KeyUsage.ENCIPHER_ONLY in usages,
        decipher_only=KeyUsage.DECIPHER_ONLY in usages,
    )


def _pointers(pointers: Pointers) -> list[x509.ExtensionType]:
    uri = x509.UniformResourceIdentifier
    method = AuthorityInformationAccessOID
    points = [x509.DistributionPoint([uri(url)], None, None, None) for url in pointers.crl]
    accesses = [x509.AccessDescription(method.OCSP, uri(url)) for url in pointers.ocsp]
    accesses += [x509.AccessDescription(method.CA_ISSUERS, uri(url)) for url in pointers.ca_issuers]
    values: list[x509.ExtensionType] = []
    if points:
        values.append(x509.CRLDistributionPoints(points))
    if accesses:
        values.append(x509.AuthorityInformationAccess(accesses))
    return values
