"""Is this certificate good for what it is used for? One finding for each question.

The path is verified by `cryptography.x509.verification` (RFC 5280 §6.1). That verifier knows
no Ed25519, as public CAs may not use it; a path with such a key is walked certificate by
certificate, with the checks that our own issuers have to pass.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.verification import (
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from mintmark.authority.issuance.constraints import NameConstraints
from mintmark.authority.issuance.hierarchy import issuer_from_chain
from mintmark.cli.output import distance
from mintmark.model.errors import Error
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.profile import CLIENT_AUTH, SERVER_AUTH
from mintmark.wire import identifiers
from mintmark.wire.general_names import from_general_name

PURPOSES = {"server": SERVER_AUTH, "client": CLIENT_AUTH}


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question.

    Args:
        question: what was looked at, in one word.
        fine: whether it is as it should be.
        answer: what was found.
        remedy: what to do about it.
    """

    question: str
    fine: bool
    answer: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is verified.

    Args:
        leaf: the certificate.
        chain: certificates that came with it.
        anchors: trust anchors.
        now: Unix seconds.
    """

    leaf: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    anchors: tuple[x509.Certificate, ...]
    now: float


def check_path(subject: Subject) -> tuple[Finding, tuple[x509.Certificate, ...]]:
    """Say whether a path leads to a trust anchor; return it, leaf first, if so."""
    everything = (subject.leaf, *subject.chain, *subject.anchors)
    try:
        has_ed25519 = any(isinstance(one.public_key(), Ed25519PublicKey) for one in everything)
        path = _walked_path(subject) if has_ed25519 else _verified_path(subject)
    except (Error, VerificationError, ValueError) as error:
        reason = error.detail if isinstance(error, Error) else str(error).split(" (encountered")[0]
        remedy = "is the chain complete, and is this the right root? name another with --ca"
        return Finding("path", False, f"leads to no trust anchor: {reason}", remedy), ()
    names = [one.subject.rfc4514_string() or "(no subject)" for one in path[1:]]
    return Finding("path", True, " < ".join(names)), path


def check_dates(subject: Subject) -> Finding:
    """Say whether it is valid now, both ends inclusive (RFC 5280 §4.1.2.5)."""
    begins = subject.leaf.not_valid_before_utc.timestamp()
    ends = subject.leaf.not_valid_after_utc.timestamp()
    if subject.now > ends:
        answer = f"expired {distance(ends - subject.now)}"
        return Finding("dates", False, answer, "have it issued again: mintmark rekey")
    if subject.now < begins:
        answer = f"becomes valid {distance(begins - subject.now)}"
        return Finding("dates", False, answer, "look at this machine's clock")
    return Finding("dates", True, f"ends {distance(ends - subject.now)}")


def check_purpose(subject: Subject, wanted: str | None) -> Finding:
    """Say what it may be used for (RFC 5280 §4.2.1.12)."""
    usages = extended_key_usages(subject.leaf)
    allowed = [word for word, oid in PURPOSES.items() if oid in usages]
    others = sorted(usages - set(PURPOSES.values()))
    answer = ", ".join((*allowed, *others)) or "nothing in particular"
    if wanted is not None and wanted not in allowed:
        remedy = f"have it issued with profile {wanted} or peer"
        return Finding("purpose", False, f"for {answer}, not for {wanted}", remedy)
    return Finding("purpose", True, f"for {answer}")


def check_name(subject: Subject, name: str) -> Finding:
    """Say whether it is valid for a name (RFC 9525 §6)."""
    carried = [str(one) for one in carried_names(subject.leaf)]
    try:
        wanted = identifiers.parse_any(name)
    except Error as error:
        return Finding("name", False, error.detail, error.hint)
    if any(_matches(one, wanted) for one in carried_names(subject.leaf)):
        return Finding("name", True, f"valid for {wanted}")
    answer = f"valid for {', '.join(carried) or 'no name'}, not for {wanted}"
    return Finding("name", False, answer, "use one of its names, or have it issued with this one")


def check_key(subject: Subject, key: object) -> Finding:
    """Say whether a private key is the certificate's."""
    public = key.public_key()  # type: ignore[attr-defined] # every private key has one
    if _spki(public) == _spki(subject.leaf.public_key()):
        return Finding("key", True, "belongs to the certificate")
    remedy = "put the right key back, or have a new one certified: mintmark rekey"
    return Finding("key", False, "belongs to another certificate", remedy)


def extended_key_usages(certificate: x509.Certificate) -> frozenset[str]:
    """Return extended key usages as dotted OIDs."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(one.dotted_string for one in found.value)


def carried_names(certificate: x509.Certificate) -> tuple[Identifier, ...]:
    """Return the subject alternative names of kinds that mintmark knows."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    names = []
    for name in found.value:
        try:
            names.append(from_general_name(name))
        except Error:
            continue
    return tuple(names)


def _verified_path(subject: Subject) -> tuple[x509.Certificate, ...]:
    builder = PolicyBuilder().store(Store(list(subject.anchors)))
    builder = builder.time(datetime.fromtimestamp(subject.now, UTC))
    # Dates, signatures, authorities, path lengths and name constraints; what the leaf is for
    # and how it is called are questions of their own.
    builder = builder.extension_policies(
        ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=ExtensionPolicy.permit_all()
    )
    verified = builder.build_client_verifier().verify(subject.leaf, list(subject.chain))
    return tuple(verified.chain)


def _walked_path(subject: Subject) -> tuple[x509.Certificate, ...]:
    path = [subject.leaf]
    above = [*subject.chain, *subject.anchors]
    while path[-1] not in subject.anchors:
        issuer = next((one for one in above if _issued(one, path[-1])), None)
        if issuer is None or issuer in path:
            raise ValueError(f"nothing here issued {path[-1].subject.rfc4514_string()!r}")
        path.append(issuer)
    issuers = [one.public_bytes(serialization.Encoding.DER) for one in path[1:]]
    authority = issuer_from_chain(issuers[0], tuple(issuers[1:-1]), issuers[-1])
    if not authority.not_before <= subject.now <= authority.not_after:
        raise ValueError("a certificate above it is not valid now")
    if not path[0].not_valid_before_utc.timestamp() <= subject.now:
        raise ValueError("it is not valid yet")
    if subject.now > path[0].not_valid_after_utc.timestamp():
        raise ValueError("it has expired")
    NameConstraints(path[1:]).check(carried_names(path[0]), "", path[0].subject)
    return tuple(path)


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _matches(carried: Identifier, wanted: Identifier) -> bool:
    """Whether a name of a certificate covers the name it is used under."""
    if not carried.wildcard or wanted.type is not IdentifierType.DNS:
        return carried == wanted
    label, _, parent = wanted.value.partition(".")
    return bool(label) and parent == carried.value.removeprefix("*.")


def _spki(public_key: object) -> bytes:
    der: Callable[..., bytes] = public_key.public_bytes  # type: ignore[attr-defined] # as above
    return der(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
