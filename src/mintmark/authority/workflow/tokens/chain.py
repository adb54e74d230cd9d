"""Certificates in a token's header: read, brought to a root, looked up, and judged by date."""

from __future__ import annotations

import base64
import binascii
import warnings
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens.claims import forged, refused
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error
from mintmark.model.time import timestamp
from mintmark.wire import certificate as wire_certificate
from mintmark.wire import jose

# Whatever `cryptography` says of octets that are no certificate, or of one that leads nowhere.
_NO_PATH: Final = (
    VerificationError,
    ValueError,
    IndexError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    CryptographyDeprecationWarning,
)
_CHAIN_MAX: Final = 8  # certificates; ours have two without the root


def read(header: object) -> list[bytes]:
    """Return the certificates of a header parameter, leaf first; DER in standard base64.

    Raises:
        Error: BAD_TOKEN as for a forgery.
    """
    if not isinstance(header, list) or not 1 <= len(header) <= _CHAIN_MAX:
        raise forged()
    try:
        return [base64.b64decode(one.encode("ascii"), validate=True) for one in header]
    except (AttributeError, binascii.Error, ValueError) as error:
        raise forged() from error


def key_of(der: bytes) -> jose.JWK:
    """Return the key of a certificate, of which nothing else is believed yet.

    Raises:
        Error: BAD_TOKEN as for a forgery.
    """
    try:
        return jose.jwk_of(load_der_public_key(wire_certificate.spki_of(der)))
    except (Error, ValueError, UnsupportedAlgorithm) as error:
        raise forged() from error


async def verify(
    authority: Authority, chain: list[bytes], roots: str, now: float
) -> Certificate | None:
    """Verify a chain, and return the leaf as it is on record here, None for a foreign one.

    Args:
        authority: who is asked.
        chain: leaf first.
        roots: PEM of the trust anchors; empty takes this authority's own.
        now: Unix seconds.

    Raises:
        Error: BAD_TOKEN as for a forgery when no path leads to a root, or for a leaf of ours
            that is not on record; in full for a revoked one.
    """
    anchors = roots.encode() if roots else b""
    own_roots = tuple({issuer.root for issuer in authority.issuers})
    issuer = _issuer_of(chain, anchors, own_roots, int(now))
    if issuer not in {one.der for one in authority.issuers}:
        if roots:
            return None
        raise forged()
    # The whole certificate is compared, as where TLS presents it (workflow.authenticate).
    stored = await authority.store.certificate(wire_certificate.serial_of(chain[0]))
    if stored is None or stored.certificate.der != chain[0]:
        raise forged()
    if stored.revocation is not None:
        raise refused(
            f"certificate {stored.certificate.id}, which signed the token, is revoked",
            "request a new certificate",
        )
    return stored.certificate


def check_dates(certificate: Certificate, now: float, *, after_expiry: bool, by: str) -> None:
    """Check that a certificate of ours may be renewed by its key at this time.

    Args:
        certificate: on record.
        now: Unix seconds.
        after_expiry: whether an expired one may.
        by: whose claim decides that, for the hint.

    Raises:
        Error: BAD_TOKEN.
    """
    if now > certificate.not_after and not after_expiry:
        raise refused(
            f"certificate expired on {timestamp(certificate.not_after)}",
            "request a new certificate, or have 'claims.renewal_after_expiry' set to true for "
            f"{by}",
        )
    if now < certificate.not_before:
        raise refused(f"certificate begins on {timestamp(certificate.not_before)}")


def may_sign(certificate: x509.Certificate) -> bool:
    """Whether a certificate's key is for signatures and for clients (RFC 5280 §4.2.1.3, 12)."""
    extensions = certificate.extensions
    try:
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        extended = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return usage.digital_signature and ExtendedKeyUsageOID.CLIENT_AUTH in extended


def _issuer_of(chain: list[bytes], anchors: bytes, own_roots: tuple[bytes, ...], now: int) -> bytes:
    """Return the DER of the leaf's issuer on a path to a root that is valid now."""
    try:
        # What a later version of the library refuses is refused here already.
        with warnings.catch_warnings(action="error", category=CryptographyDeprecationWarning):
            leaf, *others = map(x509.load_der_x509_certificate, chain)
            verified = (
                PolicyBuilder()
                .store(_store(anchors, own_roots))
                .time(datetime.fromtimestamp(now, UTC).replace(tzinfo=None))
                .extension_policies(
                    ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=_leaf_policy()
                )
                .build_client_verifier()
                .verify(leaf, others)
            )
            return verified.chain[1].public_bytes(Encoding.DER)
    except _NO_PATH as error:
        raise forged() from error


@lru_cache(maxsize=64)
def _store(anchors: bytes, own_roots: tuple[bytes, ...]) -> Store:
    if anchors:
        return Store(x509.load_pem_x509_certificates(anchors))
    return Store([x509.load_der_x509_certificate(der) for der in own_roots])


@lru_cache(maxsize=1)
def _leaf_policy() -> ExtensionPolicy:
    return (
        ExtensionPolicy.permit_all()
        .require_present(x509.KeyUsage, Criticality.AGNOSTIC, _check_key_usage)
        .require_present(x509.ExtendedKeyUsage, Criticality.AGNOSTIC, _check_extended_key_usage)
        .may_be_present(x509.BasicConstraints, Criticality.AGNOSTIC, _check_no_authority)
    )


def _check_key_usage(policy: Policy, leaf: x509.Certificate, usage: x509.KeyUsage) -> None:
    del policy, leaf
    if not usage.digital_signature or usage.key_cert_sign:
        raise ValueError("its key usage is not digitalSignature")


def _check_extended_key_usage(
    policy: Policy, leaf: x509.Certificate, usage: x509.ExtendedKeyUsage
) -> None:
    del policy, leaf
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("its extended key usage is not clientAuth")


def _check_no_authority(
    policy: Policy, leaf: x509.Certificate, constraints: x509.BasicConstraints | None
) -> None:
    del policy, leaf
    if constraints is not None and constraints.ca:
        raise ValueError("it is an authority's")
