"""Lints: what must be true of a TBSCertificate before a key signs it.

The TBSCertificate is parsed back by `cryptography`, which had no part in encoding it, and
compared with its approval and its issuer. Each lint is one rule with its clause; they run in
the order of the table at the end, and the first that fails ends the issuance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from mintmark.authority.issuance.approval import Approval
from mintmark.authority.issuance.issuing import ANY_EXTENDED_KEY_USAGE, IssuingKey, LeafForm
from mintmark.authority.issuance.serial import SERIAL_OCTETS
from mintmark.authority.issuance.shape import key_identifier
from mintmark.authority.issuance.tbs import TBSFields, attributes, public_key_octets, split
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.keys import KeyType
from mintmark.model.profile import CLIENT_AUTH, OCSP_SIGNING, SERVER_AUTH, KeyUsage
from mintmark.model.time import timestamp
from mintmark.wire import der

MAX_ATTRIBUTE: Final = 64  # RFC 5280 appendix A.1, ub-common-name and its siblings


@dataclass(slots=True)
class Candidate:
    """A TBSCertificate under examination, beside what it should be.

    Args:
        approval: what policy allowed.
        issuing: the issuer that is to sign.
        serial: the serial handed out for it.
        form: what its leaves of this profile and key type have in common.
        fields: the TBSCertificate's fields as octets.
        certificate: the same, parsed; without the static extensions.
        extensions: all its extensions by OID, parsed or known by their octets.
    """

    approval: Approval
    issuing: IssuingKey
    serial: bytes
    form: LeafForm
    fields: TBSFields
    certificate: x509.Certificate
    extensions: dict[x509.ObjectIdentifier, x509.Extension[Any]]

    def extension(self, kind: type[x509.ExtensionType]) -> Any:
        """Return an extension's value, or None."""
        extension = self.extensions.get(kind.oid)
        return None if extension is None else extension.value


@dataclass(frozen=True, slots=True)
class Lint:
    """One rule.

    Args:
        name: what the message calls it.
        clause: where the rule stands.
        check: returns what is wrong as half a sentence, or an empty text.
        kind: who can mend it; INTERNAL is a defect of ours.
        shared: whether it looks at nothing but what `extensions` holds equal for all leaves
            of one issuer, profile and key type; then the first of them answers for all.
    """

    name: str
    clause: str
    check: Callable[[Candidate], str]
    kind: Kind = Kind.INTERNAL
    shared: bool = False


def lint(tbs: bytes, approval: Approval, issuing: IssuingKey, serial: bytes) -> None:
    """Examine a TBSCertificate.

    Raises:
        Error: the first lint's that fails, with its clause.
    """
    try:
        candidate = _parse_back(tbs, approval, issuing, serial)
    except (ValueError, x509.DuplicateExtension) as error:
        raise Error(
            Kind.INTERNAL, f"lint 'syntax': the certificate cannot be read: {error} (RFC 5280 §4.1)"
        ) from error
    form = candidate.form
    for each in CERTIFICATE_LINTS if form.linted else LINTS:
        wrong = each.check(candidate)
        if wrong:
            raise Error(each.kind, f"lint '{each.name}': {wrong} ({each.clause})")
    form.linted = True


def _parse_back(tbs: bytes, approval: Approval, issuing: IssuingKey, serial: bytes) -> Candidate:
    """Take a TBSCertificate apart, and have `cryptography` parse what it did not encode itself.

    Raises:
        ValueError: it cannot be read, or has an extension twice (RFC 5280 §4.2).
        x509.DuplicateExtension: likewise.
    """
    form = issuing.form(approval.profile, approval.key.type)
    fields = split(tbs)
    static = form.extensions
    others = [element for element in fields.extensions if element not in static]
    certificate = x509.load_der_x509_certificate(
        der.sequence(
            der.sequence(fields.front, der.explicit(3, der.sequence(*others))),
            issuing.signer.algorithm.identifier,
            _NO_SIGNATURE,
        )
    )
    parsed = iter(certificate.extensions)
    extensions = {}
    for element in fields.extensions:
        extension = static.get(element) or next(parsed)
        extensions[extension.oid] = extension
    if len(extensions) != len(fields.extensions):
        raise ValueError("an extension stands there twice")
    return Candidate(approval, issuing, serial, form, fields, certificate, extensions)


# A certificate needs a signature to be parsed; this one is empty.
_NO_SIGNATURE: Final = der.bit_string(b"")


def _issuer_is_approved(candidate: Candidate) -> str:
    approved, given = candidate.approval.issuer, candidate.issuing.issuer.id
    return "" if approved == given else f"approved for issuer {approved}, not for {given}"


def _serial(candidate: Candidate) -> str:
    """Check that the serial is the one handed out, and of the form that all of ours have."""
    serial = candidate.fields.serial[2:]
    if serial != candidate.serial:
        return f"serial {serial.hex()} is not the one handed out"
    if len(serial) != SERIAL_OCTETS or serial[0] & 0xC0 != 0x40:
        return f"serial {serial.hex()} is not 20 octets that begin with the bits 01"
    # 112 random bits repeat an octet fourteen times only when nothing was random.
    if len(set(serial[-14:])) == 1:
        return f"serial {serial.hex()} has no random part"
    return ""


def _signature_algorithm(candidate: Candidate) -> str:
    same = candidate.fields.signature == candidate.issuing.signer.algorithm.identifier
    return "" if same else "the signature algorithm is not the issuer's"


def _issuer_name(candidate: Candidate) -> str:
    same = candidate.fields.issuer == candidate.issuing.name
    return "" if same else "the issuer is not, octet for octet, the subject of its certificate"


def _time_encoding(candidate: Candidate) -> str:
    """Check UTCTime through 2049, GeneralizedTime after, seconds and Z in both."""
    validity = candidate.fields.validity
    approval = candidate.approval
    _, at, end = der.read(validity)
    for seconds in (approval.not_before, approval.not_after):
        tag, start, stop = der.read(validity, at)
        expected = (der.UTC_TIME, 13) if seconds < _YEAR_2050 else (der.GENERALIZED_TIME, 15)
        if (tag, stop - start) != expected or validity[stop - 1] != 0x5A:
            return f"{timestamp(seconds)} is not encoded as its year demands"
        at = stop
    return "" if at == end else "the validity has more than two times"


_YEAR_2050: Final = 2_524_608_000


def _validity(candidate: Candidate) -> str:
    approval = candidate.approval
    not_before = candidate.certificate.not_valid_before_utc.timestamp()
    not_after = candidate.certificate.not_valid_after_utc.timestamp()
    if (not_before, not_after) != (approval.not_before, approval.not_after):
        return "the validity is not the approved one"
    if not_before > not_after:
        return f"not_before {timestamp(not_before)} is later than not_after {timestamp(not_after)}"
    return ""


def _validity_nesting(candidate: Candidate) -> str:
    """Check design rule 6: a leaf never outlives its issuer, nor does it live before it."""
    approval, issuer = candidate.approval, candidate.issuing.issuer
    if issuer.not_before <= approval.not_before and approval.not_after <= issuer.not_after:
        return ""
    return (
        f"the validity {timestamp(approval.not_before)} to {timestamp(approval.not_after)} is not "
        f"inside that of issuer {issuer.name!r}, {timestamp(issuer.not_before)} to "
        f"{timestamp(issuer.not_after)}"
    )


def _lifetime(candidate: Candidate) -> str:
    approval = candidate.approval
    lifetime = approval.not_after - approval.not_before
    profile = approval.profile
    if profile.lifetime_min <= lifetime <= profile.lifetime_max:
        return ""
    return (
        f"a lifetime of {lifetime} s is outside profile {profile.name!r} "
        f"({profile.lifetime_min} to {profile.lifetime_max} s)"
    )


def _subject(candidate: Candidate) -> str:
    approval = candidate.approval
    approved = candidate.form.subject
    if approval.common_name:
        approved = [*approved, (_COMMON_NAME, der.UTF8_STRING, approval.common_name.encode())]
    if attributes(candidate.fields.subject) != approved:
        return "the subject is not the approved one, or not encoded as RFC 5280 asks"
    for text in (approval.common_name, *[text for _, text in approval.profile.subject]):
        if len(text) > MAX_ATTRIBUTE:
            return f"subject attribute {text!r} has more than {MAX_ATTRIBUTE} characters"
    return ""


_COMMON_NAME: Final = der.oid("2.5.4.3")


def _common_name(candidate: Candidate) -> str:
    """Check that the common name is one of the names, where there are names at all."""
    approval = candidate.approval
    name = approval.common_name
    if not name or not approval.profile.identifier_types:
        return ""
    if any(name == identifier.value for identifier in approval.identifiers):
        return ""
    return f"common name {name!r} is not among the subject alternative names"


def _public_key(candidate: Candidate) -> str:
    same = candidate.fields.spki == candidate.approval.key.spki
    return "" if same else "the public key is not the approved one"


def _extensions(candidate: Candidate) -> str:
    """Check a closed set: the profile's extensions as the plain builder makes them.

    Subject key identifier and subject alternative name, which differ from leaf to leaf, have
    their own lints.
    """
    found = candidate.extensions
    static = candidate.form.extensions.values()
    for extension in static:
        given = found.get(extension.oid)
        if given is not extension:
            wrong = "is missing" if given is None else "is not what the profile demands"
            return f"extension {extension.oid.dotted_string} {wrong}"
    own = 2 if candidate.approval.identifiers else 1
    return "" if len(found) == len(static) + own else "an extension is not in the profile"


def _subject_key_id(candidate: Candidate) -> str:
    extension = candidate.extensions.get(x509.SubjectKeyIdentifier.oid)
    if extension is None or extension.critical:
        return "the subject key identifier is missing or critical"
    same = extension.value.digest == key_identifier(public_key_octets(candidate.fields.spki))
    return "" if same else "the subject key identifier is not the public key's"


def _authority_key_id(candidate: Candidate) -> str:
    value = candidate.extension(x509.AuthorityKeyIdentifier)
    if value is None:
        return "the authority key identifier is missing"
    same = value.key_identifier == candidate.issuing.key_id
    return "" if same else "the authority key identifier is not the issuer's key identifier"


def _san_presence(candidate: Candidate) -> str:
    """Check that a leaf has names, and that they are critical iff its subject is empty."""
    extension = candidate.extensions.get(x509.SubjectAlternativeName.oid)
    if extension is None:
        if candidate.approval.profile.identifier_types:
            return "there is no subject alternative name"
        return "" if len(candidate.fields.subject) > 2 else "subject and names are both empty"
    empty = len(candidate.fields.subject) == 2
    if extension.critical != empty:
        return (
            f"the subject alternative name is {'' if extension.critical else 'not '}critical "
            f"beside {'an empty' if empty else 'a'} subject"
        )
    return ""


def _san(candidate: Candidate) -> str:
    extension = candidate.extensions.get(x509.SubjectAlternativeName.oid)
    names = () if extension is None else extension.value
    given = [(_NAME_TYPES.get(type(name)), str(name.value)) for name in names]
    approved = [(each.type, each.value) for each in candidate.approval.identifiers]
    return "" if given == approved else "the subject alternative names are not the approved ones"


_NAME_TYPES: Final[dict[type[x509.GeneralName], IdentifierType]] = {
    x509.DNSName: IdentifierType.DNS,
    x509.IPAddress: IdentifierType.IP,
    x509.RFC822Name: IdentifierType.EMAIL,
    x509.UniformResourceIdentifier: IdentifierType.URI,
}


def _name_constraints(candidate: Candidate) -> str:
    constraints = candidate.issuing.constraints
    if not constraints:
        return ""
    approval = candidate.approval
    try:
        constraints.check(approval.identifiers, approval.common_name, candidate.certificate.subject)
    except Error as error:
        return error.detail
    return ""


def _basic_constraints(candidate: Candidate) -> str:
    """Check that a leaf is none of an authority: nothing can be issued below it."""
    value = candidate.extension(x509.BasicConstraints)
    usage = candidate.extension(x509.KeyUsage)
    if value is not None and value.ca:
        return "a leaf is marked as an authority"
    if usage is not None and (usage.key_cert_sign or usage.crl_sign):
        return "a leaf's key may sign certificates or CRLs"
    return ""


def _key_usage(candidate: Candidate) -> str:
    """Check that the key usages are such as the key's algorithm can do."""
    usage = candidate.extension(x509.KeyUsage)
    if usage is None or not candidate.extensions[x509.KeyUsage.oid].critical:
        return "key usage is missing or not critical"
    given = _usages(usage)
    if not given:
        return "key usage is empty"
    key_type = candidate.approval.key.type
    impossible = given - _POSSIBLE_USAGES[key_type]
    if impossible:
        words = ", ".join(sorted(each.name.lower() for each in impossible))
        return f"a key of type {key_type.value} cannot do {words}"
    return ""


def _usages(value: x509.KeyUsage) -> frozenset[KeyUsage]:
    flags = {
        KeyUsage.DIGITAL_SIGNATURE: value.digital_signature,
        KeyUsage.CONTENT_COMMITMENT: value.content_commitment,
        KeyUsage.KEY_ENCIPHERMENT: value.key_encipherment,
        KeyUsage.DATA_ENCIPHERMENT: value.data_encipherment,
        KeyUsage.KEY_AGREEMENT: value.key_agreement,
        KeyUsage.KEY_CERT_SIGN: value.key_cert_sign,
        KeyUsage.CRL_SIGN: value.crl_sign,
        # Undefined, and refused by the parser's class, without keyAgreement.
        KeyUsage.ENCIPHER_ONLY: value.key_agreement and value.encipher_only,
        KeyUsage.DECIPHER_ONLY: value.key_agreement and value.decipher_only,
    }
    return frozenset(usage for usage, is_set in flags.items() if is_set)


_SIGNS: Final = frozenset({KeyUsage.DIGITAL_SIGNATURE, KeyUsage.CONTENT_COMMITMENT})
_AGREES: Final = frozenset({KeyUsage.KEY_AGREEMENT, KeyUsage.ENCIPHER_ONLY, KeyUsage.DECIPHER_ONLY})
_ENCIPHERS: Final = frozenset({KeyUsage.KEY_ENCIPHERMENT, KeyUsage.DATA_ENCIPHERMENT})

# RFC 8813 §3 for EC, RFC 9295 §3 for Ed25519, RFC 3279 §2.3.1 for RSA.
_POSSIBLE_USAGES: Final = {
    KeyType.EC_P256: _SIGNS | _AGREES,
    KeyType.EC_P384: _SIGNS | _AGREES,
    KeyType.ED25519: _SIGNS,
    KeyType.RSA_2048: _SIGNS | _ENCIPHERS,
    KeyType.RSA_3072: _SIGNS | _ENCIPHERS,
    KeyType.RSA_4096: _SIGNS | _ENCIPHERS,
}


def _extended_key_usage(candidate: Candidate) -> str:
    """Check that each purpose has a key usage to serve it, and that none means all."""
    value = candidate.extension(x509.ExtendedKeyUsage)
    purposes = [] if value is None else [purpose.dotted_string for purpose in value]
    if not purposes or ANY_EXTENDED_KEY_USAGE in purposes:
        return "extended key usage is missing or allows everything"
    if len(set(purposes)) != len(purposes):
        return "extended key usage names a purpose twice"
    usage = candidate.extension(x509.KeyUsage)
    given = frozenset() if usage is None else _usages(usage)
    for purpose in purposes:
        serving = _SERVING_USAGES.get(purpose)
        if serving and not serving & given:
            return f"purpose {purpose} has no key usage that serves it"
    return ""


_SERVING_USAGES: Final = {
    SERVER_AUTH: frozenset(
        {KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_ENCIPHERMENT, KeyUsage.KEY_AGREEMENT}
    ),
    CLIENT_AUTH: frozenset({KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT}),
    OCSP_SIGNING: _SIGNS,
}


def _extended_key_usage_nesting(candidate: Candidate) -> str:
    """Check that the chain allows every purpose.

    OCSP signing is left out: RFC 6960 §4.2.2.2 looks for it in the responder's own
    certificate alone, and authorities with purposes of their own do not name it.
    """
    allowed = candidate.issuing.extended_key_usages
    if allowed is None:
        return ""
    purposes = frozenset(candidate.approval.profile.extended_key_usages)
    beyond = purposes - allowed - {OCSP_SIGNING}
    if not beyond:
        return ""
    name = candidate.issuing.issuer.name
    return f"purpose {', '.join(sorted(beyond))} is not among those of issuer {name!r}'s chain"


def _ocsp_no_check(candidate: Candidate) -> str:
    """Check that only a responder's certificate goes without revocation."""
    if candidate.extension(x509.OCSPNoCheck) is None:
        return ""
    purposes = candidate.approval.profile.extended_key_usages
    return "" if purposes == (OCSP_SIGNING,) else "id-pkix-ocsp-nocheck is only for responders"


def _pointers(candidate: Candidate) -> str:
    """Check that CRL and status are fetched by plain HTTP: TLS would need them first."""
    pointers = candidate.issuing.pointers
    for url in (*pointers.crl, *pointers.ocsp, *pointers.ca_issuers):
        if not (url.startswith("http://") and url.isascii() and url.isprintable()):
            return f"{url!r} is not a URL of plain HTTP"
    return ""


LINTS: Final = (
    Lint("issuer-approved", "design rule 1", _issuer_is_approved),
    Lint("serial", "RFC 5280 §4.1.2.2", _serial),
    Lint("signature-algorithm", "RFC 5280 §4.1.2.3", _signature_algorithm),
    Lint("issuer-name", "RFC 5280 §4.1.2.4", _issuer_name),
    Lint("time-encoding", "RFC 5280 §4.1.2.5", _time_encoding),
    Lint("validity", "RFC 5280 §4.1.2.5", _validity),
    Lint("validity-nesting", "RFC 5280 §6.1.3", _validity_nesting, Kind.BAD_LIFETIME),
    Lint("lifetime", "RFC 5280 §4.1.2.5", _lifetime, Kind.BAD_LIFETIME),
    Lint("subject", "RFC 5280 §4.1.2.6", _subject),
    Lint("common-name", "RFC 9525 §2", _common_name, Kind.REJECTED_IDENTIFIER),
    Lint("public-key", "RFC 5280 §4.1.2.7", _public_key),
    Lint("subject-key-identifier", "RFC 5280 §4.2.1.2", _subject_key_id),
    Lint("subject-alternative-name-presence", "RFC 5280 §4.2.1.6", _san_presence),
    Lint("subject-alternative-name", "RFC 5280 §4.2.1.6", _san),
    Lint("name-constraints", "RFC 5280 §6.1", _name_constraints, Kind.REJECTED_IDENTIFIER),
    Lint("basic-constraints", "RFC 5280 §4.2.1.9", _basic_constraints, shared=True),
    Lint("key-usage", "RFC 5280 §4.2.1.3", _key_usage, Kind.BAD_PROFILE, shared=True),
    Lint(
        "extended-key-usage",
        "RFC 5280 §4.2.1.12",
        _extended_key_usage,
        Kind.BAD_PROFILE,
        shared=True,
    ),
    Lint(
        "extended-key-usage-nesting",
        "RFC 5280 §4.2.1.12",
        _extended_key_usage_nesting,
        Kind.BAD_PROFILE,
        shared=True,
    ),
    Lint("authority-key-identifier", "RFC 5280 §4.2.1.1", _authority_key_id, shared=True),
    Lint("ocsp-no-check", "RFC 6960 §4.2.2.2.1", _ocsp_no_check, Kind.BAD_PROFILE, shared=True),
    Lint("pointers", "RFC 5280 §8", _pointers, Kind.CONFIGURATION, shared=True),
    Lint("extensions", "RFC 5280 §4.2", _extensions),
)
CERTIFICATE_LINTS: Final = tuple(each for each in LINTS if not each.shared)
