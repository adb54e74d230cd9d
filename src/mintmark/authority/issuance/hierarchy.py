"""Roots and intermediates: made once, by the plain builder, for years.

RFC 5280 §4.2.1.9 and §4.2.1.3: authorities are marked as such, critically, and may sign
certificates and CRLs, nothing else.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from mintmark.authority.issuance.issuing import subject_key_id
from mintmark.authority.issuance.serial import new_serial
from mintmark.authority.issuance.shape import key_identifier
from mintmark.authority.issuance.tbs import public_key_octets, split_certificate
from mintmark.authority.signer.signer import Signer
from mintmark.model.errors import Error, Kind
from mintmark.model.issuer import Issuer
from mintmark.model.request import SubjectKey
from mintmark.model.time import HOUR, YEAR, Clock
from mintmark.wire.spki import subject_key

ROOT_LIFETIME: Final = 10 * YEAR
INTERMEDIATE_LIFETIME: Final = 5 * YEAR
# An authority's certificates begin in the past: its first leaves are backdated for clocks
# that run late, and no leaf is valid before its issuer.
BACKDATE: Final = HOUR


MAX_ATTRIBUTE: Final = 64  # RFC 5280 appendix A.1, ub-common-name and its siblings


@dataclass(frozen=True, slots=True)
class Subject:
    """The name of an authority (RFC 5280 §4.1.2.4).

    Args:
        common_name: 1 to 64 characters.
        organization: up to 64 characters, empty for none.
        organizational_unit: up to 64 characters, empty for none.
        country: two letters of ISO 3166, empty for none.
    """

    common_name: str
    organization: str = ""
    organizational_unit: str = ""
    country: str = ""

    def name(self) -> x509.Name:
        """Return it as a Name, from the general to the particular.

        Raises:
            Error: CONFIGURATION when an attribute is too long or empty (appendix A.1).
        """
        attributes = [
            (NameOID.COUNTRY_NAME, self.country),
            (NameOID.ORGANIZATION_NAME, self.organization),
            (NameOID.ORGANIZATIONAL_UNIT_NAME, self.organizational_unit),
            (NameOID.COMMON_NAME, self.common_name),
        ]
        hint = "attributes have up to 64 characters, a country two letters"
        if not self.common_name:
            raise Error(Kind.CONFIGURATION, "the authority's common name is empty", hint=hint)
        for _, text in attributes:
            if len(text) > MAX_ATTRIBUTE:
                raise Error(
                    Kind.CONFIGURATION,
                    f"{text!r} has {len(text)} characters, an authority's name up to "
                    f"{MAX_ATTRIBUTE} an attribute (RFC 5280 appendix A.1)",
                    hint=hint,
                )
        try:
            return x509.Name([x509.NameAttribute(oid, text) for oid, text in attributes if text])
        except ValueError as error:
            raise Error(
                Kind.CONFIGURATION,
                f"the authority cannot be named like this: {error}",
                hint=hint,
            ) from error


@dataclass(frozen=True, slots=True)
class Constraints:
    """Names that an authority may certify (RFC 5280 §4.2.1.10).

    Args:
        permitted_dns: domains; empty permits every DNS name.
        excluded_dns: domains.
        permitted_ip: networks as `10.0.0.0/8`; empty permits every address.
        excluded_ip: networks.
    """

    permitted_dns: tuple[str, ...] = ()
    excluded_dns: tuple[str, ...] = ()
    permitted_ip: tuple[str, ...] = ()
    excluded_ip: tuple[str, ...] = ()

    def extension(self) -> x509.NameConstraints | None:
        """Return the extension, or None when nothing is constrained.

        Raises:
            Error: CONFIGURATION for what is no domain or no network.
        """
        try:
            permitted = _subtrees(self.permitted_dns, self.permitted_ip)
            excluded = _subtrees(self.excluded_dns, self.excluded_ip)
        except ValueError as error:
            raise Error(
                Kind.CONFIGURATION,
                f"a name constraint cannot be read: {error}",
                hint="write domains as 'corp.example' and networks as '10.0.0.0/8'",
            ) from error
        if not permitted and not excluded:
            return None
        return x509.NameConstraints(permitted or None, excluded or None)


UNCONSTRAINED: Final = Constraints()


def make_root(
    signer: Signer,
    subject: Subject,
    *,
    clock: Clock,
    entropy: Callable[[int], bytes],
    lifetime: int = ROOT_LIFETIME,
    constraints: Constraints = UNCONSTRAINED,
) -> bytes:
    """Make a self-signed root.

    Returns:
        Its certificate, DER.

    Raises:
        Error: CONFIGURATION for a name or constraint that cannot be.
    """
    name = subject.name()
    key = subject_key(signer.spki)
    builder = _authority_builder(key, name, None, constraints)
    now = int(clock())
    return _sign(builder, signer, name, new_serial(clock, entropy), now - BACKDATE, now + lifetime)


def make_intermediate(  # noqa: PLR0913 - who signs, what, and its four limits
    signer: Signer,
    issuer_der: bytes,
    key: SubjectKey,
    subject: Subject,
    *,
    clock: Clock,
    entropy: Callable[[int], bytes],
    lifetime: int = INTERMEDIATE_LIFETIME,
    path_length: int = 0,
    constraints: Constraints = UNCONSTRAINED,
) -> bytes:
    """Make an intermediate below an authority whose key is at hand.

    Args:
        signer: the issuing authority's key.
        issuer_der: the issuing authority's certificate.
        key: the intermediate's, from `parse_csr` or of our own making.
        subject: the intermediate's name.
        clock: Unix seconds.
        entropy: for the serial.
        lifetime: seconds from now.
        path_length: how many authorities may follow below (RFC 5280 §4.2.1.9).
        constraints: names that it may certify; those above hold as well.

    Returns:
        Its certificate, DER.

    Raises:
        Error: CONFIGURATION for a name or constraint that cannot be, an issuer that is none,
            a key that is not the issuer's, or a path length that the issuer excludes;
            BAD_LIFETIME when it would outlive its issuer.
    """
    issuer = _load_authority(issuer_der)
    _check_authority(issuer, [])
    if split_certificate(issuer_der).spki != signer.spki:
        raise Error(Kind.CONFIGURATION, "the signing key is not that of the issuing authority")
    _check_path_length(issuer, path_length)
    not_before = max(int(clock()) - BACKDATE, _seconds(issuer.not_valid_before_utc))
    not_after = int(clock()) + lifetime
    if not_after > _seconds(issuer.not_valid_after_utc):
        raise Error(
            Kind.BAD_LIFETIME,
            f"an intermediate of {lifetime} s would outlive its issuer, which ends "
            f"{issuer.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
            hint="choose a shorter lifetime",
        )
    builder = _authority_builder(key, subject.name(), path_length, constraints)
    above = subject_key_id(issuer, _display_name(issuer))
    builder = builder.add_extension(x509.AuthorityKeyIdentifier(above, None, None), critical=False)
    serial = new_serial(clock, entropy)
    return _sign(builder, signer, issuer.subject, serial, not_before, not_after)


def intermediate_csr(signer: Signer, subject: Subject) -> bytes:
    """Return a PKCS #10 request (RFC 2986), DER, for an intermediate that another CA signs.

    It carries name and key alone; what the certificate may do is for its issuer to say.
    """
    builder = x509.CertificateSigningRequestBuilder(subject_name=subject.name())
    key = signer.builder_key()
    return builder.sign(key, _digest(key)).public_bytes(serialization.Encoding.DER)


def issuer_from_chain(certificate: bytes, chain: tuple[bytes, ...], root: bytes) -> Issuer:
    """Return the issuer of an authority's certificate, its chain checked up to the root.

    Every certificate must be an authority's that may sign certificates, signed by the next,
    with room in the path length for those below (RFC 5280 §6.1.4 (k) to (n)); the first one
    must be allowed to sign CRLs as well (§5). Dates are not looked at, only gathered.

    Args:
        certificate: the issuing authority's, DER.
        chain: DER certificates above it, nearest first, the root left out.
        root: the trust anchor, self-signed, DER.

    Raises:
        Error: CONFIGURATION that says which certificate is wrong, and why.
    """
    ders = (certificate, *chain, root)
    path = [_load_authority(each) for each in ders]
    for below, each in enumerate(path):
        _check_authority(each, path[:below])
        _check_signed_by(each, path[min(below + 1, len(path) - 1)])
    usage = path[0].extensions.get_extension_for_class(x509.KeyUsage).value
    if not usage.crl_sign:
        raise _refused(path[0], "may not sign CRLs (RFC 5280 §4.2.1.3, cRLSign)")
    sha256 = hashlib.sha256(split_certificate(certificate).spki).digest()
    return Issuer(
        id=sha256.hex()[:16],
        name=_display_name(path[0]),
        der=certificate,
        chain=chain,
        root=root,
        spki_sha256=sha256,
        not_before=max(_seconds(each.not_valid_before_utc) for each in path),
        not_after=min(_seconds(each.not_valid_after_utc) for each in path),
    )


def _subtrees(domains: tuple[str, ...], networks: tuple[str, ...]) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(domain) for domain in domains),
        *(x509.IPAddress(ipaddress.ip_network(network)) for network in networks),
    ]


def _authority_builder(
    key: SubjectKey, name: x509.Name, path_length: int | None, constraints: Constraints
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder(subject_name=name, public_key=key.public_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(_AUTHORITY_KEY_USAGE, critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier(key_identifier(public_key_octets(key.spki))), critical=False
        )
    )
    extension = constraints.extension()
    # RFC 5280 §4.2.1.10: conforming CAs MUST mark this extension as critical.
    return builder if extension is None else builder.add_extension(extension, critical=True)


_AUTHORITY_KEY_USAGE: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _sign(
    builder: x509.CertificateBuilder,
    signer: Signer,
    issuer: x509.Name,
    serial: bytes,
    not_before: int,
    not_after: int,
) -> bytes:
    key = signer.builder_key()
    certificate = (
        builder.issuer_name(issuer)
        .serial_number(int.from_bytes(serial, "big"))
        .not_valid_before(datetime.fromtimestamp(not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(not_after, UTC))
        .sign(key, _digest(key))
    )
    return certificate.public_bytes(serialization.Encoding.DER)


def _digest(key: Any) -> hashes.SHA256 | hashes.SHA384 | None:
    """Return the digest that goes with a key, as `FileSigner` uses it for leaves."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return None
    is_p384 = isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size == 384
    return hashes.SHA384() if is_p384 else hashes.SHA256()


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _check_path_length(issuer: x509.Certificate, path_length: int) -> None:
    constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
    allowed = constraints.path_length
    if allowed is not None and path_length >= allowed:
        raise Error(
            Kind.CONFIGURATION,
            f"path length {path_length} is not below the issuer's own, {allowed} "
            "(RFC 5280 §4.2.1.9)",
            hint="let the issuer be one with a greater path length",
        )


def _load_authority(certificate: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(certificate)
    except ValueError as error:
        raise Error(
            Kind.CONFIGURATION,
            "the issuer's chain holds something that is not a certificate",
            hint="give one PEM file with certificates only, the issuer's own first",
        ) from error


def _check_authority(certificate: x509.Certificate, below: list[x509.Certificate]) -> None:
    """Check that a certificate makes an authority, with room for the authorities below it."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as error:
        raise _refused(
            certificate, "has no basic constraints or key usage that can be read"
        ) from error
    if not constraints.ca or not usage.key_cert_sign:
        raise _refused(certificate, "is none of an authority (RFC 5280 §4.2.1.9, §4.2.1.3)")
    # RFC 5280 §4.2.1.9: self-issued certificates do not count.
    length = sum(each.subject != each.issuer for each in below)
    if constraints.path_length is not None and length > constraints.path_length:
        raise _refused(
            certificate,
            f"allows {constraints.path_length} authorities below it, and there are {length} "
            "(RFC 5280 §4.2.1.9)",
        )


def _check_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise _refused(certificate, f"is not issued by {_display_name(issuer)!r}") from error


def _refused(certificate: x509.Certificate, why: str) -> Error:
    return Error(
        Kind.CONFIGURATION,
        f"the certificate of {_display_name(certificate)!r} {why}",
        hint="give the issuer's certificate, then those above it, nearest first, then the root",
    )


def _display_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string()
