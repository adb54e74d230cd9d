"""Parameters of paths and queries: read strictly, refused without telling what exists.

A certificate that is not there and one that belongs to another service get the same answer,
word for word, whatever was to be done with it.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from mintmark.authority.policy.whitelist import SERVICE_ID
from mintmark.model.certificate import StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHCertificate
from mintmark.protocol.rest.routes import Call

MAX_QUERY = 4096  # octets
MAX_FIELDS = 20
_ID = re.compile(r"(?:cert_)?([0-9a-f]{40})")
_SSH_ID = re.compile(r"cert_([0-9a-f]{16})")
_SSH_SERIAL = re.compile(r"[0-9]{1,20}")
_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]{1,40})")
_COLON_HEX = re.compile(r"[0-9a-fA-F]{1,2}(?::[0-9a-fA-F]{1,2}){0,19}")
_DECIMAL = re.compile(r"[0-9]{1,49}")
SERIAL_OCTETS = 20
SSH_SERIAL_OCTETS = 8

Query = TypeVar("Query", bound=msgspec.Struct)


async def find_certificate(call: Call, text: str) -> StoredCertificate:
    """Return the certificate of an id (`cert_…` or serial) or the current one of a service.

    Raises:
        Error: NOT_FOUND if there is none that the requester may know of.
    """
    requester = call.requester
    stored: StoredCertificate | None = None
    if match := _ID.fullmatch(text) or _SSH_ID.fullmatch(text):
        stored = await call.authority.store.certificate(bytes.fromhex(match[1]))
    elif SERVICE_ID.fullmatch(text) and (requester.is_admin or text == requester.service):
        stored = await call.authority.store.current(text, int(call.authority.clock()))
    if stored is None or not _may_know(call, stored):
        raise not_found(text)
    return stored


def _may_know(call: Call, stored: StoredCertificate) -> bool:
    """Whether it is the requester's own, or the one that its token speaks of."""
    requester = call.requester
    of = call.proof.token.stored if call.proof else None
    return (
        requester.is_admin
        or stored.certificate.service == requester.service
        or (of is not None and of.certificate.serial == stored.certificate.serial)
    )


async def find_x509(call: Call, text: str) -> StoredCertificate:
    """Return a certificate as `find_certificate` does, for what only X.509 can.

    Raises:
        Error: NOT_FOUND as there; CONFLICT for an SSH certificate.
    """
    stored = await find_certificate(call, text)
    if isinstance(stored.certificate, SSHCertificate):
        raise Error(
            Kind.CONFLICT,
            f"certificate {stored.certificate.id} is an SSH {stored.certificate.type.word} "
            "certificate, and this is done to X.509 certificates",
            hint=f"see what is there under /api/v1/ssh/certificates/{stored.certificate.id}",
        )
    return stored


async def find_ssh(call: Call, text: str) -> tuple[StoredCertificate, SSHCertificate]:
    """Return the SSH certificate of an id (`cert_…`), or of a serial as OpenSSH writes it.

    Raises:
        Error: NOT_FOUND if there is none that the requester may know of; CONFLICT for an X.509
            certificate.
    """
    if _SSH_SERIAL.fullmatch(text) and int(text) < 1 << 64:
        text = f"cert_{int(text):016x}"
    elif not text.startswith("cert_"):
        raise not_found(text)  # a service id means its X.509 certificate
    stored = await find_certificate(call, text)
    if not isinstance(stored.certificate, SSHCertificate):
        raise Error(
            Kind.CONFLICT,
            f"certificate {stored.certificate.id} is an X.509 certificate, and this is done to "
            "SSH certificates",
            hint=f"see what is there under /api/v1/certificates/{stored.certificate.id}",
        )
    return stored, stored.certificate


def require_of_proof(call: Call, stored: StoredCertificate) -> None:
    """Refuse a provisioner's token that speaks of another certificate (design rule 9).

    Raises:
        Error: BAD_TOKEN.
    """
    if call.proof is None:
        return
    of = call.proof.token.stored
    if of is None or of.certificate.serial != stored.certificate.serial:
        raise Error(
            Kind.BAD_TOKEN,
            f"the token is not for certificate {stored.certificate.id}",
            hint="make a new token for this one; each is bound to one act on one certificate",
        )


def not_found(text: str) -> Error:
    """Return the refusal of every certificate that the requester cannot see."""
    return Error(
        Kind.NOT_FOUND,
        f"there is no certificate {text[:128]!r}",
        hint="give a certificate id, a serial in hex, or a service id that has a current "
        "certificate",
    )


def parse_serial(text: str) -> bytes:
    """Return a serial's 20 octets from hex, hex with colons, or decimal.

    40 hex digits are hex, as every serial of this authority is written; of other texts, those
    with nothing but decimal digits are decimal.

    Raises:
        Error: MALFORMED for anything else.
    """
    number = None
    if _COLON_HEX.fullmatch(text) and ":" in text:
        number = int("".join(octet.zfill(2) for octet in text.split(":")), 16)
    elif _DECIMAL.fullmatch(text) and len(text) != 2 * SERIAL_OCTETS:
        number = int(text)
    elif match := _HEX.fullmatch(text):
        number = int(match[1], 16)
    if number is None or number.bit_length() > 8 * SERIAL_OCTETS:
        raise Error(
            Kind.MALFORMED,
            f"{text[:128]!r} is not a serial of at most {SERIAL_OCTETS} octets",
            hint="write it in hex, with or without colons, or in decimal",
        )
    return number.to_bytes(SERIAL_OCTETS, "big")


def on_record(serial: bytes) -> bytes:
    """Return a serial from `parse_serial` in the length in which it may be on record.

    Those of SSH have 64 bits, and those of X.509 here always more.
    """
    short = serial[-SSH_SERIAL_OCTETS:]
    return short if int.from_bytes(serial) == int.from_bytes(short) else serial


def decode_query(query: str, struct: type[Query] | None) -> Query | None:
    """Return the query parameters as the route's struct.

    Raises:
        Error: MALFORMED for an unknown, repeated or malformed parameter, TOO_LARGE.
    """
    if struct is None:
        return None  # a route without parameters ignores a query, as caches and probes add some
    if len(query) > MAX_QUERY:
        raise Error(Kind.TOO_LARGE, f"the query has {len(query)} octets of {MAX_QUERY} allowed")
    values: dict[str, Any] = {}
    for name, value in _pairs(query):
        if name in values:
            raise Error(Kind.MALFORMED, f"query parameter {name[:64]!r} is given twice")
        values[name] = value
    try:
        decoded = msgspec.convert(values, struct, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(struct))
        raise Error(
            Kind.MALFORMED,
            f"query: {str(error)[:1].lower()}{str(error)[1:]}",
            hint=f"parameters here: {known}",
        ) from error
    for name in values:
        if getattr(decoded, name) is None:  # a filter must not vanish
            raise Error(Kind.MALFORMED, f"query parameter {name!r} is 'null'", hint="leave it out")
    return decoded


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query,
            keep_blank_values=True,
            strict_parsing=bool(query),
            max_num_fields=MAX_FIELDS,
            errors="strict",
        )
    except ValueError as error:
        raise Error(
            Kind.MALFORMED,
            "the query is not a list of at most 20 'name=value' in UTF-8",
            hint="separate parameters by '&' and percent-encode their values",
        ) from error
