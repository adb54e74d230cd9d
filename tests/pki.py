"""Whole hierarchies in memory, for everybody's tests.

`pki()` makes a root, an intermediate and its issuing key; `approval()` and `leaf()` issue below
it without policy; `csr()` asks. Keys of a type are made once a process: RSA takes its time.
"""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from unittest import mock

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from mintmark.authority.issuance.approval import SEAL, Approval
from mintmark.authority.issuance.hierarchy import (
    INTERMEDIATE_LIFETIME,
    ROOT_LIFETIME,
    UNCONSTRAINED,
    Constraints,
    Subject,
    issuer_from_chain,
    make_intermediate,
    make_root,
)
from mintmark.authority.issuance.issuing import IssuingKey, Pointers
from mintmark.authority.issuance.leaf import draft_leaf, issue_leaf
from mintmark.authority.issuance.serial import new_serial
from mintmark.authority.signer import pkcs8
from mintmark.authority.signer.file import FileSigner, SigningPrivateKey, generate
from mintmark.model.certificate import Certificate
from mintmark.model.identifiers import Identifier
from mintmark.model.issuer import Issuer
from mintmark.model.keys import KeyType
from mintmark.model.profile import SERVER, Profile
from mintmark.model.request import SubjectKey
from mintmark.model.time import DAY
from mintmark.wire.general_names import x509_general_name
from mintmark.wire.identifiers import parse_any
from mintmark.wire.spki import subject_key

NOW = 1_795_000_000  # 2026-11-18, a fixed day
POINTERS = Pointers(
    crl=("http://pki.example.internal:8080/crl/issuer.crl",),
    ocsp=("http://pki.example.internal:8080/ocsp",),
    ca_issuers=("http://pki.example.internal:8080/issuer/issuer.cer",),
)


def clock() -> float:
    """Return the fixed time of the tests."""
    return float(NOW)


class Entropy:
    """Random octets that are the same in every run."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def __call__(self, size: int) -> bytes:
        return self._random.randbytes(size)


entropy = Entropy()


def private_key(key_type: KeyType = KeyType.EC_P256, number: int = 0) -> SigningPrivateKey:
    """Return the `number`th private key of a type, the same one in the whole process."""
    return _private_key(key_type, number)


@cache
def _private_key(key_type: KeyType, _number: int) -> SigningPrivateKey:
    return generate(key_type)


def signer(key_type: KeyType = KeyType.EC_P256, number: int = 0) -> FileSigner:
    """Return a signer over `private_key(key_type, number)`."""
    return FileSigner(private_key(key_type, number))


def key(key_type: KeyType = KeyType.EC_P256, number: int = 100) -> SubjectKey:
    """Return a subject's key; its private half is `private_key(key_type, number)`."""
    return subject_key(signer(key_type, number).spki)


@dataclass(frozen=True)
class PKI:
    """A root, an intermediate below it, and the intermediate's issuing key."""

    root_der: bytes
    root_signer: FileSigner
    issuing: IssuingKey

    @property
    def issuer(self) -> Issuer:
        return self.issuing.issuer


def pki(
    key_type: KeyType = KeyType.EC_P256,
    *,
    root_key_type: KeyType | None = None,
    now: int = NOW,
    root_lifetime: int = ROOT_LIFETIME,
    lifetime: int = INTERMEDIATE_LIFETIME,
    root_constraints: Constraints = UNCONSTRAINED,
    constraints: Constraints = UNCONSTRAINED,
    pointers: Pointers = POINTERS,
    name: str = "Example",
    number: int = 0,
) -> PKI:
    """Return a new hierarchy; `number` tells the keys of several apart."""
    root_signer = signer(root_key_type or key_type, 2 * number)
    intermediate_signer = signer(key_type, 2 * number + 1)
    root = make_root(
        root_signer,
        Subject(f"{name} Root", organization=name, country="AT"),
        clock=lambda: now,
        entropy=entropy,
        lifetime=root_lifetime,
        constraints=root_constraints,
    )
    intermediate = make_intermediate(
        root_signer,
        root,
        subject_key(intermediate_signer.spki),
        Subject(f"{name} Intermediate", organization=name, country="AT"),
        clock=lambda: now,
        entropy=entropy,
        lifetime=lifetime,
        constraints=constraints,
    )
    issuer = issuer_from_chain(intermediate, (), root)
    return PKI(root, root_signer, IssuingKey(issuer, intermediate_signer, pointers))


def identifiers(*texts: str) -> tuple[Identifier, ...]:
    """Return names, their kinds guessed."""
    return tuple(parse_any(text) for text in texts)


def approval(
    issuing: IssuingKey,
    *names: str,
    profile: Profile = SERVER,
    subject: SubjectKey | None = None,
    common_name: str | None = None,
    not_before: int = NOW,
    not_after: int | None = None,
    service: str = "web",
    replaces: bytes | None = None,
    issuer: str | None = None,
) -> Approval:
    """Return an approval as policy would make it; the common name is the first name."""
    if not names and profile.identifier_types:
        names = ("web.example.internal", "192.0.2.10")
    if common_name is None:
        common_name = names[0] if names else "Example OCSP"
    return Approval(
        service=service,
        profile=profile,
        common_name=common_name if profile.common_name else "",
        identifiers=identifiers(*names),
        key=subject or key(),
        not_before=not_before,
        not_after=min(not_before + profile.lifetime, issuing.issuer.not_after)
        if not_after is None
        else not_after,
        issuer=issuer or issuing.issuer.id,
        replaces=replaces,
        metadata=None,
        seal=SEAL,
    )


def serial() -> bytes:
    """Return a new serial."""
    return new_serial(clock, entropy)


def leaf(issuing: IssuingKey, *names: str, **options: object) -> Certificate:
    """Return an issued leaf; options as of `approval`."""
    approved = approval(issuing, *names, **options)  # type: ignore[arg-type]
    return issue_leaf(draft_leaf(approved, issuing, serial()), issuing)


def csr(
    private: SigningPrivateKey | None = None,
    *names: str,
    common_name: str = "",
    extensions: tuple[tuple[x509.ExtensionType, bool], ...] = (),
) -> bytes:
    """Return a PKCS #10 request, DER, made by the plain builder.

    Args:
        private: the subject's private key.
        names: subject alternative names, their kinds guessed.
        common_name: empty for an empty subject.
        extensions: further ones with their criticality, as a smuggler would add them.
    """
    private = private or private_key(KeyType.EC_P256, 100)
    attributes = [x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder(subject_name=x509.Name(attributes))
    if names:
        san = x509.SubjectAlternativeName([x509_general_name(each) for each in identifiers(*names)])
        builder = builder.add_extension(san, critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(private, digest(private)).public_bytes(Encoding.DER)


def digest(private: object) -> hashes.HashAlgorithm | None:
    """Return the digest that goes with a private key in `cryptography`'s builders."""
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return None
    if isinstance(private, ec.EllipticCurvePrivateKey) and private.key_size == 384:
        return hashes.SHA384()
    return hashes.SHA256()


def at(days: float) -> int:
    """Return the Unix second `days` after the fixed time."""
    return int(NOW + days * DAY)


def moment(days: float) -> datetime:
    """Return the moment `days` after the fixed time, for `cryptography`'s builders."""
    return datetime.fromtimestamp(at(days), UTC)


def cheap_passphrases() -> AbstractContextManager[object]:
    """Return a context in which passphrases are not hardened.

    They are in the signer's own tests; elsewhere it would only take time.
    """
    return mock.patch.object(pkcs8, "SCRYPT_N", 2**4)
