"""Lints: what must be true of a TBSCertificate before a key signs it.

The TBSCertificate is parsed back by `cryptography`, which had no part in encoding it, and
compared with its approval and its issuer. Each lint is one rule with its clause; they run in
the order of the table at the end, and the first that fails ends the issuance. Once a leaf passed
them all, others of its form are compared with it as a whole (`frame`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography import x509

from mintmark.authority.issuance.approval import Approval
from mintmark.authority.issuance.candidate import Candidate, parse_back
from mintmark.authority.issuance.form_lints import (
    authority_key_id,
    basic_constraints,
    extended_key_usage,
    extended_key_usage_nesting,
    key_usage,
    ocsp_no_check,
    pointers,
)
from mintmark.authority.issuance.frame import YEAR_2050, common_name_added, cut
from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.issuance.serial import SERIAL_OCTETS
from mintmark.authority.issuance.shape import key_identifier
from mintmark.authority.issuance.tbs import public_key_octets
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.time import timestamp
from mintmark.wire import der

MAX_ATTRIBUTE: Final = 64  # RFC 5280 appendix A.1, ub-common-name and its siblings


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
        hint: what to try next, where it is not ours to mend.
    """

    name: str
    clause: str
    check: Callable[[Candidate], str]
    kind: Kind = Kind.INTERNAL
    shared: bool = False
    hint: str = ""


def lint(tbs: bytes, approval: Approval, issuing: IssuingKey, serial: bytes) -> None:
    """Examine a TBSCertificate.

    Raises:
        Error: the first lint's that fails, with its clause.
    """
    if _fits_frame(tbs, approval, issuing, serial):
        return
    try:
        candidate = parse_back(tbs, approval, issuing, serial)
        form = candidate.form
        for each in CERTIFICATE_LINTS if form.linted else LINTS:
            wrong = each.check(candidate)
            if wrong:
                detail = f"lint '{each.name}': {wrong} ({each.clause})"
                raise Error(each.kind, detail, hint=each.hint)
    except (ValueError, x509.DuplicateExtension) as error:
        raise Error(
            Kind.INTERNAL, f"lint 'syntax': the certificate cannot be read: {error} (RFC 5280 §4.1)"
        ) from error
    if not form.linted:
        # Names under constraints are looked at one by one, by the lint that says which is outside.
        frame = None if issuing.constraints else cut(candidate.fields, serial)
        form.linted, form.frame = True, frame


def _fits_frame(tbs: bytes, approval: Approval, issuing: IssuingKey, serial: bytes) -> bool:
    """Whether a leaf is one that passed every lint, with what was approved in its places.

    What lints say of the approval itself is looked at here; a doubt is left to them.
    """
    form = issuing.form(approval.profile, approval.key.type)
    frame, name = form.frame, approval.common_name
    if frame is None or len(name) > MAX_ATTRIBUTE:
        return False
    issuer, profile = issuing.issuer, approval.profile
    not_before, not_after = approval.not_before, approval.not_after
    return (
        approval.issuer == issuer.id
        and not _serial_fault(serial)
        and issuer.not_before <= not_before <= not_after <= issuer.not_after
        and profile.lifetime_min <= not_after - not_before <= profile.lifetime_max
        and (_named(approval) if name else bool(approval.identifiers))
        and tbs == frame.expected(approval, serial, form.subject)
    )


def _issuer_is_approved(candidate: Candidate) -> str:
    approved, given = candidate.approval.issuer, candidate.issuing.issuer.id
    return "" if approved == given else f"approved for issuer {approved}, not for {given}"


def _serial(candidate: Candidate) -> str:
    """Check that the serial is the one handed out, and of the form that all of ours have."""
    serial = candidate.fields.serial[2:]
    if serial != candidate.serial:
        return f"serial {serial.hex()} is not the one handed out"
    return _serial_fault(serial)


def _serial_fault(serial: bytes) -> str:
    if len(serial) != SERIAL_OCTETS or serial[0] & 0xC0 != 0x40:
        return f"serial {serial.hex()} is not 20 octets that begin with the bits 01"
    # 112 random bits repeat an octet fourteen times only when nothing was random.
    if serial[-14:] == serial[-1:] * 14:
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
        expected = (der.UTC_TIME, 13) if seconds < YEAR_2050 else (der.GENERALIZED_TIME, 15)
        if (tag, stop - start) != expected or validity[stop - 1] != 0x5A:
            return f"{timestamp(seconds)} is not encoded as its year demands"
        at = stop
    return "" if at == end else "the validity has more than two times"


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
    for text in (approval.common_name, *[text for _, text in approval.profile.subject]):
        if len(text) > MAX_ATTRIBUTE:
            return f"subject attribute {text!r} has more than {MAX_ATTRIBUTE} characters"
    approved = common_name_added(candidate.form.subject, approval.common_name)
    if candidate.fields.subject != der.sequence(approved):
        return "the subject is not the approved one, or not encoded as RFC 5280 asks"
    return ""


def _common_name(candidate: Candidate) -> str:
    """Check that the common name is one of the names, where there are names at all."""
    approval = candidate.approval
    name = approval.common_name
    if not name or not approval.profile.identifier_types or _named(approval):
        return ""
    return f"common name {name!r} is not among the subject alternative names"


def _named(approval: Approval) -> bool:
    """Whether the common name is one of the names, or a credential vouched for it."""
    name = approval.common_name
    for each in approval.identifiers:  # most often it is the first
        if each.value == name:
            return True
    return approval.vouched


def _public_key(candidate: Candidate) -> str:
    same = candidate.fields.spki == candidate.approval.key.spki
    return "" if same else "the public key is not the approved one"


def _extensions(candidate: Candidate) -> str:
    """Check a closed set: the profile's extensions as the plain builder makes them.

    Subject key identifier and subject alternative name, which differ from leaf to leaf, have
    their own lints.
    """
    found = candidate.extensions
    static = candidate.form.extensions
    if not static.keys() <= set(candidate.fields.extensions):
        for extension in static.values():
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


_OTHER_LIFETIME: Final = "ask for a lifetime inside"
_OTHER_PROFILE: Final = "use another profile or another type of key, or have the profile changed"

LINTS: Final = (
    Lint("issuer-approved", "design rule 1", _issuer_is_approved),
    Lint("serial", "RFC 5280 §4.1.2.2", _serial),
    Lint("signature-algorithm", "RFC 5280 §4.1.2.3", _signature_algorithm),
    Lint("issuer-name", "RFC 5280 §4.1.2.4", _issuer_name),
    Lint("time-encoding", "RFC 5280 §4.1.2.5", _time_encoding),
    Lint("validity", "RFC 5280 §4.1.2.5", _validity),
    Lint(
        "validity-nesting",
        "RFC 5280 §6.1.3",
        _validity_nesting,
        Kind.BAD_LIFETIME,
        hint=_OTHER_LIFETIME,
    ),
    Lint("lifetime", "RFC 5280 §4.1.2.5", _lifetime, Kind.BAD_LIFETIME, hint=_OTHER_LIFETIME),
    Lint("subject", "RFC 5280 §4.1.2.6", _subject),
    Lint(
        "common-name",
        "RFC 9525 §2",
        _common_name,
        Kind.REJECTED_IDENTIFIER,
        hint="add it to the names, or leave it out",
    ),
    Lint("public-key", "RFC 5280 §4.1.2.7", _public_key),
    Lint("subject-key-identifier", "RFC 5280 §4.2.1.2", _subject_key_id),
    Lint("subject-alternative-name-presence", "RFC 5280 §4.2.1.6", _san_presence),
    Lint("subject-alternative-name", "RFC 5280 §4.2.1.6", _san),
    Lint(
        "name-constraints",
        "RFC 5280 §4.2.1.10",
        _name_constraints,
        Kind.REJECTED_IDENTIFIER,
        hint="ask for names inside the constraints, or use another issuer",
    ),
    Lint("basic-constraints", "RFC 5280 §4.2.1.9", basic_constraints, shared=True),
    Lint(
        "key-usage",
        "RFC 5280 §4.2.1.3",
        key_usage,
        Kind.BAD_PROFILE,
        shared=True,
        hint=_OTHER_PROFILE,
    ),
    Lint(
        "extended-key-usage",
        "RFC 5280 §4.2.1.12",
        extended_key_usage,
        Kind.BAD_PROFILE,
        shared=True,
        hint=_OTHER_PROFILE,
    ),
    Lint(
        "extended-key-usage-nesting",
        "RFC 5280 §4.2.1.12",
        extended_key_usage_nesting,
        Kind.BAD_PROFILE,
        shared=True,
        hint=_OTHER_PROFILE,
    ),
    Lint("authority-key-identifier", "RFC 5280 §4.2.1.1", authority_key_id, shared=True),
    Lint(
        "ocsp-no-check",
        "RFC 6960 §4.2.2.2.1",
        ocsp_no_check,
        Kind.BAD_PROFILE,
        shared=True,
        hint=_OTHER_PROFILE,
    ),
    Lint(
        "pointers",
        "RFC 5280 §8",
        pointers,
        Kind.CONFIGURATION,
        shared=True,
        hint="set the public URL to one of plain HTTP",
    ),
    Lint("extensions", "RFC 5280 §4.2", _extensions),
)
CERTIFICATE_LINTS: Final = tuple(each for each in LINTS if not each.shared)
