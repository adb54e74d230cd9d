"""Certificates and acts for the store's tests: real DER, no policy."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mintmark.model.act import Act, AuditRecord
from mintmark.model.certificate import Certificate, Revocation
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.issuer import Issuer
from mintmark.model.status import Reason
from mintmark.model.time import DAY

NOW = 1_795_000_000
_numbers = itertools.count(1)


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def spki() -> bytes:
    return (
        key()
        .public_key()
        .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


@cache
def issuer(name: str = "Test CA") -> Issuer:
    der = certificate(names=("ca.example.internal",), common_name=name).der
    return Issuer(
        hashlib.sha256(name.encode()).hexdigest()[:16],
        name,
        der,
        (der, der),
        der,
        hashlib.sha256(spki()).digest(),
        NOW,
        NOW + 1000 * DAY,
    )


def issuer_id() -> str:
    return hashlib.sha256(b"Test CA").hexdigest()[:16]


def certificate(
    service="web",
    names=("web.example.internal",),
    *,
    lifetime=90 * DAY,
    not_before=NOW,
    profile="server",
    common_name=None,
    replaces=None,
    metadata=None,
) -> Certificate:
    serial = (0x40 << 152 | next(_numbers)).to_bytes(20, "big")
    common_name = names[0] if common_name is None else common_name
    subject = [x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else []
    built = (
        x509.CertificateBuilder()
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")]))
        .subject_name(x509.Name(subject))
        .public_key(key().public_key())
        .serial_number(int.from_bytes(serial, "big"))
        .not_valid_before(datetime.fromtimestamp(not_before, UTC))
        .not_valid_after(datetime.fromtimestamp(not_before + lifetime, UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        .sign(key(), hashes.SHA256())
    )
    return Certificate(
        serial=serial,
        issuer=issuer_id(),
        service=service,
        profile=profile,
        common_name=common_name,
        identifiers=tuple(Identifier(IdentifierType.DNS, name) for name in names),
        not_before=not_before,
        not_after=not_before + lifetime,
        der=built.public_bytes(serialization.Encoding.DER),
        spki_sha256=hashlib.sha256(spki()).digest(),
        replaces=replaces,
        metadata=metadata,
    )


def record(action="test", service="web", time=float(NOW), **fields) -> AuditRecord:
    return AuditRecord(action, time, service, **fields)


def note(text="a note", service="web", action="test") -> Act:
    return Act(record(action, service, details={"text": text}))


def issuance(issued: Certificate | None = None, **fields) -> Act:
    issued = issued or certificate()
    audit = record("certificate.request", issued.service, certificate=issued.serial)
    return Act(audit, certificate=issued, **fields)


def revocation(revoked: Certificate, reason=Reason.KEY_COMPROMISE) -> Revocation:
    return Revocation(revoked.serial, revoked.issuer, NOW + 5, reason, revoked.not_after)


def revoking(*revoked: Certificate, **fields) -> Act:
    audit = record("certificate.revoke", certificate=revoked[0].serial)
    return Act(audit, revocations=tuple(map(revocation, revoked)), **fields)


def prepare(store, run):
    """Give an empty store its issuer."""
    run(store.add_issuer(issuer(), note("issuer", action="issuer.create")))
    return store
