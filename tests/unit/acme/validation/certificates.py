"""Validation certificates, right and wrong ones."""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from mintmark.wire.general_names import x509_general_name
from mintmark.wire.identifiers import parse_any
from tests.unit.acme.validation.world import KEY_AUTHORIZATION

ACME_IDENTIFIER = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")


def digest(key_authorization=KEY_AUTHORIZATION):
    return b"\x04\x20" + hashlib.sha256(key_authorization).digest()


def certificate(
    *names,
    value=None,
    critical=True,
    acme_identifier=True,
    signer=None,
    issuer="mintmark",
    key=None,
    subject_key_id=False,
):
    """Return a validation certificate and its key; `names` are texts or general names."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mintmark")]),
        issuer_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(hours=1),
        not_valid_after=now + timedelta(hours=1),
    )
    if names:
        general = [
            x509_general_name(parse_any(name)) if isinstance(name, str) else name for name in names
        ]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    if subject_key_id:
        extension = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        builder = builder.add_extension(extension, critical=False)
    if acme_identifier:
        extension = x509.UnrecognizedExtension(ACME_IDENTIFIER, value or digest())
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer or key, hashes.SHA256()), key


def server_context(directory, pair, *protocols):
    made, key = pair
    pem = directory / "pair.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(private + made.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
