"""What a person writes about a certificate, turned into what the API takes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from mintmark.authority.signer.file import SigningPrivateKey, plain_pkcs8
from mintmark.client.api import APIClient
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.wire import pem
from mintmark.wire.csr import MAX_COMMON_NAME
from mintmark.wire.general_names import x509_general_name

Issued = TypeVar("Issued")


def once(ask: Callable[[str], Issued]) -> Issued:
    """Ask for a certificate under an idempotency key, and again when the answer was lost.

    The second time gets the certificate of the first if that was issued, so that no certificate
    is made that nobody has, and a one-time token is not lost with an answer.
    """
    key = secrets.token_urlsafe(16)
    try:
        return ask(key)
    except Error as error:
        if error.kind is not Kind.UNAVAILABLE:
            raise
        return ask(key)


def make_csr(
    key: SigningPrivateKey, identifiers: Iterable[Identifier] = (), common_name: str = ""
) -> str:
    """Return a CSR, PEM, for a key and the names it shall carry (RFC 2986)."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder(subject_name=x509.Name(names))
    general_names = [x509_general_name(one) for one in identifiers]
    if general_names:
        san = x509.SubjectAlternativeName(general_names)
        builder = builder.add_extension(san, critical=not names)
    digest = None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256()
    csr = builder.sign(key, digest)
    return pem.csr(csr.public_bytes(serialization.Encoding.DER)).decode()


def key_pem(key: SigningPrivateKey) -> bytes:
    """Return a private key as PKCS #8, PEM."""
    return pem.private_key(plain_pkcs8(key))


def common_name_of(identifier: Identifier) -> str:
    """Return the name as a common name, empty if it is none or does not fit."""
    fits = len(identifier.value) <= MAX_COMMON_NAME
    host = identifier.type in (IdentifierType.DNS, IdentifierType.IP)
    return identifier.value if fits and host else ""


def anchors(api: APIClient) -> str:
    """Return the authority's trust anchors, PEM."""
    return "".join(root.certificate for root in api.roots())
