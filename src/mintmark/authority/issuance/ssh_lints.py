"""Lints of SSH certificates: what must be true before a CA key signs one (design rule 7).

What is to be signed is parsed back and compared with its approval, and the approval itself is
looked at once more: sshd takes a certificate without principals for one of every login, and
reads commas, wildcards and blanks in them as more than one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from msgspec import Struct

from mintmark.authority.issuance.approval import SSHApproval
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.ssh import EXTENSIONS, SSHAuthority, SSHCertificateType
from mintmark.wire.identifiers import parse_any
from mintmark.wire.ssh.certificate import MAX_PRINCIPALS, Fields, Options, parse
from mintmark.wire.ssh.encoding import string
from mintmark.wire.ssh.key import is_security_key

MAX_TEXT: Final = 255  # of a principal and of a key id
MAX_TIME: Final = 1 << 62  # far below what sshd reads as "forever" and databases as negative
MAX_SERIAL: Final = (1 << 63) - 1
NONCE_OCTETS: Final = 32
_NOT_IN_PRINCIPALS: Final = frozenset(",*?!\"'\\")


def principal_fault(type_: SSHCertificateType, principal: str) -> str:
    """Return what is wrong with a principal as half a sentence, or an empty text."""
    if not principal:
        return "is empty"
    if len(principal) > MAX_TEXT:
        return f"has {len(principal)} characters, {MAX_TEXT} are allowed"
    if not (principal.isascii() and principal.isprintable()) or " " in principal:
        return "has a blank, a control character or a letter beyond ASCII"
    if not _NOT_IN_PRINCIPALS.isdisjoint(principal):
        found = min(_NOT_IN_PRINCIPALS.intersection(principal))
        return f"has {found!r}, which is more than a name to sshd"
    return _host_fault(principal) if type_ is SSHCertificateType.HOST else ""


def _host_fault(principal: str) -> str:
    try:
        name = parse_any(principal)
    except Error as error:
        return f"is no host: {error.detail}"
    if name.type not in (IdentifierType.DNS, IdentifierType.IP):
        return "is neither a DNS name nor an IP address"
    return "" if name.value == principal else f"is not in its canonical form, {name.value!r}"


def key_id_fault(key_id: str) -> str:
    """Return what is wrong with a key id as half a sentence, or an empty text."""
    if not key_id:
        return "is empty"
    if len(key_id) > MAX_TEXT:
        return f"has {len(key_id)} characters, {MAX_TEXT} are allowed"
    return "" if key_id.isprintable() else "has a character that cannot be printed"


class Candidate(Struct, frozen=True, gc=False):
    """An SSH certificate under examination, beside what it should be.

    Args:
        approval: what policy allowed.
        authority: the CA that is to sign.
        intended: what was to be encoded.
        fields: what was, parsed back.
    """

    approval: SSHApproval
    authority: SSHAuthority
    intended: Fields
    fields: Fields


def lint(tbs: bytes, intended: Fields, approval: SSHApproval, authority: SSHAuthority) -> None:
    """Examine what is to be signed.

    Raises:
        Error: the first lint's that fails.
    """
    try:
        fields = parse(tbs + string(b"")).fields
    except Error as error:
        raise Error(
            Kind.INTERNAL, f"lint 'syntax': the SSH certificate cannot be read: {error.detail}"
        ) from error
    candidate = Candidate(approval, authority, intended, fields)
    for name, kind, check in LINTS:
        if wrong := check(candidate):
            raise Error(kind, f"lint '{name}': {wrong} (PROTOCOL.certkeys)")


def _authority(candidate: Candidate) -> str:
    approval, authority = candidate.approval, candidate.authority
    if approval.authority != authority.id:
        return f"approved for SSH authority {approval.authority}, not for {authority.id}"
    if approval.profile.type is not authority.type:
        return f"an SSH {authority.type.word} CA signs no {approval.profile.type.word} certificates"
    same = candidate.fields.authority.blob == authority.key.blob
    return "" if same else "the signature key is not the authority's"


def _serial(candidate: Candidate) -> str:
    serial = candidate.fields.serial
    if not 0 < serial <= MAX_SERIAL:  # 0 means "not set", and a KRL cannot name it
        return f"serial {serial} is outside 1 to 2^63-1"
    return "" if serial == candidate.intended.serial else "the serial is not the one handed out"


def _nonce(candidate: Candidate) -> str:
    nonce = candidate.fields.nonce
    if len(nonce) != NONCE_OCTETS or nonce.count(nonce[0]) == NONCE_OCTETS:
        return f"the nonce is not {NONCE_OCTETS} random octets"
    return "" if nonce == candidate.intended.nonce else "the nonce is not the one handed out"


def _key(candidate: Candidate) -> str:
    same = candidate.fields.key.blob == candidate.approval.key.blob
    return "" if same else "the public key is not the approved one"


def _type(candidate: Candidate) -> str:
    same = candidate.fields.type is candidate.approval.profile.type
    return "" if same else "the type is not that of the approved profile"


def _key_id(candidate: Candidate) -> str:
    key_id = candidate.fields.key_id
    if fault := key_id_fault(key_id):
        return f"key id {key_id[:MAX_TEXT]!r} {fault}"
    return "" if key_id == candidate.approval.key_id else "the key id is not the approved one"


def _principals(candidate: Candidate) -> str:
    """Check design rule 7."""
    approval, principals = candidate.approval, candidate.fields.principals
    if not 1 <= len(principals) <= MAX_PRINCIPALS:
        return f"there are {len(principals)} principals, 1 to {MAX_PRINCIPALS} are allowed"
    if len(set(principals)) != len(principals):
        return "a principal stands there twice"
    for principal in principals:
        if fault := principal_fault(candidate.fields.type, principal):
            return f"principal {principal[:MAX_TEXT]!r} {fault}"
    return "" if principals == approval.principals else "the principals are not the approved ones"


def _validity(candidate: Candidate) -> str:
    approval, fields = candidate.approval, candidate.fields
    given = (fields.valid_after, fields.valid_before)
    if given != (approval.valid_after, approval.valid_before):
        return "the validity is not the approved one"
    inside = 0 < fields.valid_after < fields.valid_before < MAX_TIME
    return "" if inside else f"the validity {given[0]} to {given[1]} is none"


def _critical_options(candidate: Candidate) -> str:
    options, wanted = candidate.fields.critical_options, candidate.approval.profile.critical_options
    if options != tuple(sorted(wanted)):
        return "the critical options are not the profile's"
    if options and candidate.fields.type is SSHCertificateType.HOST:
        return "host certificates have no critical options"
    for name, value in options:
        if fault := _option_fault(candidate, name, value):
            return f"critical option {name!r} {fault}"
    return ""


def _option_fault(candidate: Candidate, name: str, value: str) -> str:
    match name:
        case "force-command":
            return "" if value and value.isprintable() else "has no command"
        case "source-address":
            return _addresses_fault(value)
        case "verify-required":
            if value:
                return "is a flag and has no value"
            is_security = is_security_key(candidate.fields.key.type)
            return "" if is_security else "is for keys on a security key (sk-*) only"
        case _:
            return "is unknown, and sshd refuses what it does not know"


def _addresses_fault(value: str) -> str:
    for text in value.split(","):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            return f"has {text[:64]!r}, which is no address or network, as 10.0.0.0/8"
    return ""


def _extensions(candidate: Candidate) -> str:
    fields = candidate.fields
    return _extensions_fault(fields.type, fields.extensions, candidate.approval.profile.extensions)


@lru_cache(maxsize=64)  # those of a profile come with every certificate of it
def _extensions_fault(type_: SSHCertificateType, extensions: Options, wanted: Options) -> str:
    if extensions != tuple(sorted(wanted)):
        return "the extensions are not the profile's"
    known = EXTENSIONS if type_ is SSHCertificateType.USER else ()
    for name, value in extensions:
        if name in known:
            if value:
                return f"extension {name!r} is a flag and has no value"
        elif not all(name.partition("@")):
            return f"extension {name!r} is unknown; own ones are written name@domain"
    return ""


LINTS: Final[tuple[tuple[str, Kind, Callable[[Candidate], str]], ...]] = (
    ("authority", Kind.INTERNAL, _authority),
    ("serial", Kind.INTERNAL, _serial),
    ("nonce", Kind.INTERNAL, _nonce),
    ("type", Kind.INTERNAL, _type),
    ("public-key", Kind.INTERNAL, _key),
    ("key-id", Kind.REJECTED_IDENTIFIER, _key_id),
    ("principals", Kind.REJECTED_IDENTIFIER, _principals),
    ("validity", Kind.BAD_LIFETIME, _validity),
    ("critical-options", Kind.BAD_PROFILE, _critical_options),
    ("extensions", Kind.BAD_PROFILE, _extensions),
)
