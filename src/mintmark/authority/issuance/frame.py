"""Frames: what a leaf has to be, octet for octet, once one of its kind passed every lint.

The first leaf of an issuer, profile and key type is parsed back and goes through all lints.
Its frame is cut from its octets: everything but serial, validity, subject, key and names. A
later leaf that is this frame around exactly what was approved would pass them again, and that
is seen by one comparison. Whatever differs goes through the lints itself, which say why.

What is approved is encoded here anew and not by the template, so that a mistake of the
template's is a difference.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from mintmark.authority.issuance.approval import Approval
from mintmark.authority.issuance.shape import KEY_ID_OCTETS, key_identifier
from mintmark.authority.issuance.tbs import TBSFields, public_key_octets
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.wire import der

YEAR_2050: Final = 2_524_608_000  # RFC 5280 §4.1.2.5: GeneralizedTime from here on
_SUBJECT_KEY_ID: Final = der.oid("2.5.29.14")
_SUBJECT_ALT_NAME: Final = der.oid("2.5.29.17")
_CRITICAL_SUBJECT_ALT_NAME: Final = _SUBJECT_ALT_NAME + der.BOOLEAN_TRUE
_COMMON_NAME: Final = der.oid("2.5.4.3")
_NAME_TAGS: Final = {
    IdentifierType.DNS: 0x82,
    IdentifierType.EMAIL: 0x81,
    IdentifierType.URI: 0x86,
}


@dataclass(frozen=True, slots=True)
class Frame:
    """The octets that leaves of one form share, and where the others stand among them.

    Args:
        before_serial: the version, and the header of a serial of its size.
        before_validity: signature algorithm and issuer.
        before_key_id: extensions up to the subject key identifier's octets.
        before_names: those from there to the subject alternative names.
        after_names: those after them.
        public_key_at: where subjectPublicKey's octets begin in the key.
    """

    before_serial: bytes
    before_validity: bytes
    before_key_id: bytes
    before_names: bytes
    after_names: bytes
    public_key_at: int

    def expected(self, approval: Approval, serial: bytes, fixed_subject: bytes) -> bytes:
        """Return the TBSCertificate that a leaf has to be.

        Args:
            approval: of the frame's profile and key type.
            serial: of the size of the first one's.
            fixed_subject: RDNs that the profile gives.
        """
        spki = approval.key.spki
        subject = common_name_added(fixed_subject, approval.common_name)
        names = _names(approval.identifiers)
        oid = _SUBJECT_ALT_NAME if subject else _CRITICAL_SUBJECT_ALT_NAME
        extensions = b"".join(
            (
                self.before_key_id,
                key_identifier(spki[self.public_key_at :]),
                self.before_names,
                _opening(len(names), der.SEQUENCE, oid, der.OCTET_STRING, der.SEQUENCE),
                names,
                self.after_names,
            )
        )
        content = b"".join(
            (
                self.before_serial,
                serial,
                self.before_validity,
                validity(approval.not_before, approval.not_after),
                _opening(len(subject), der.SEQUENCE),
                subject,
                spki,
                _opening(len(extensions), 0xA3, der.SEQUENCE),
                extensions,
            )
        )
        return _opening(len(content), der.SEQUENCE) + content


def cut(fields: TBSFields, serial: bytes) -> Frame | None:
    """Return the frame of a linted leaf, None for one without names: those are few."""
    key_id = _index(fields.extensions, _SUBJECT_KEY_ID)
    names = _index(fields.extensions, _SUBJECT_ALT_NAME)
    if key_id is None or names is None or names < key_id:
        return None
    before, after = fields.extensions[: key_id + 1], fields.extensions[key_id + 1 :]
    between = names - key_id - 1
    return Frame(
        before_serial=fields.front[: fields.front.index(serial)],
        before_validity=fields.signature + fields.issuer,
        before_key_id=b"".join(before)[:-KEY_ID_OCTETS],
        before_names=b"".join(after[:between]),
        after_names=b"".join(after[between + 1 :]),
        public_key_at=len(fields.spki) - len(public_key_octets(fields.spki)),
    )


def common_name_added(rdns: bytes, common_name: str) -> bytes:
    """Return RDNs with that of a common name behind them (RFC 5280 §4.1.2.4: UTF8String)."""
    if not common_name:
        return rdns
    text = common_name.encode()
    opening = _opening(len(text), der.SET, der.SEQUENCE, _COMMON_NAME, der.UTF8_STRING)
    return rdns + opening + text


@lru_cache(maxsize=1024)  # certificates have few sizes
def _opening(size: int, *elements: int | bytes) -> bytes:
    """Return what stands before `size` octets, from the outermost element to the innermost.

    Args:
        size: of the octets that follow; every element ends with them.
        elements: tags of constructed elements, and octets that stand between them.
    """
    opening = b""
    for each in reversed(elements):
        front = each if isinstance(each, bytes) else der.header(each, len(opening) + size)
        opening = front + opening
    return opening


@lru_cache(maxsize=256)
def validity(not_before: int, not_after: int) -> bytes:
    """Return a Validity as RFC 5280 §4.1.2.5 has it; leaves of one second share it."""
    return der.sequence(_time(not_before), _time(not_after))


def _time(seconds: int) -> bytes:
    tag, year = (der.UTC_TIME, "%y") if seconds < YEAR_2050 else (der.GENERALIZED_TIME, "%Y")
    text = datetime.fromtimestamp(seconds, UTC).strftime(f"{year}%m%d%H%M%SZ")
    return der.tlv(tag, text.encode())


def _names(identifiers: tuple[Identifier, ...]) -> bytes:
    """Return GeneralNames without their header (RFC 5280 §4.2.1.6)."""
    found: list[bytes] = []
    for identifier in identifiers:
        tag = _NAME_TAGS.get(identifier.type)
        if tag is None:
            tag, name = 0x87, ipaddress.ip_address(identifier.value).packed
        else:
            name = identifier.value.encode()
        found += _opening(len(name), tag), name
    return b"".join(found)


def _index(extensions: list[bytes], oid: bytes) -> int | None:
    """Return which extension has an OID; it stands right behind the header, of 2 to 4 octets."""
    for index, extension in enumerate(extensions):
        _, start, _ = der.read(extension)
        if extension.startswith(oid, start):
            return index
    return None
