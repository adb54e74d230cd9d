"""Audit leaves: the exact octets of a record that the log's tree vouches for.

A leaf is compact JSON with sorted keys, UTF-8, so that one record has one encoding. Beside the
record it carries what the log vouches for in other tables: the SHA-256 of issued certificates,
the serials an act revoked and what it banned.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Any

import msgspec

from mintmark.model.act import Act, AuditRecord
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import BanKind, SSHBan

_encode = msgspec.json.Encoder(order="deterministic").encode


class Leaf(msgspec.Struct, omit_defaults=True):
    """A leaf as values; absent fields are empty.

    Args:
        action: as in `AuditRecord`.
        service: who did it.
        time: Unix milliseconds.
        address: where the request came from.
        banned: what SSH must not use any more, as `key-id:alice` or `key:` and SHA-256 in hex.
        certificate: serial, hex.
        certificate_sha256: of the DER of a certificate issued by this act, base64.
        companions: SHA-256, base64, of further certificates issued by this act, by serial, hex.
        details: further facts.
        revoked: serials revoked by this act, hex.
    """

    action: str
    service: str
    time: int
    address: str = ""
    banned: list[str] = []
    certificate: str = ""
    certificate_sha256: str = ""
    companions: dict[str, str] = {}
    details: dict[str, Any] = {}
    revoked: list[str] = []

    def record(self) -> AuditRecord:
        """Return the audit record it was made from."""
        return AuditRecord(
            self.action,
            self.time / 1000,
            self.service,
            bytes.fromhex(self.certificate) or None,
            self.address,
            self.details,
        )

    def issued(self) -> dict[bytes, bytes]:
        """Return the SHA-256 of every certificate it issued, by serial.

        Raises:
            ValueError: one of them is not written as it has to be.
        """
        issued = {self.certificate: self.certificate_sha256} if self.certificate_sha256 else {}
        return {
            bytes.fromhex(serial): b64decode(digest)
            for serial, digest in (issued | self.companions).items()
        }


_decode = msgspec.json.Decoder(Leaf).decode


def encode(act: Act) -> bytes:
    """Return the leaf of an act.

    Raises:
        Error: INTERNAL when there is no record in it, or a detail is not JSON.
    """
    audit = act.audit
    if audit is None:
        raise Error(Kind.INTERNAL, "an act without an audit record has no leaf")
    # Keys are written in sorted order here; the encoder sorts those of the details.
    leaf: dict[str, Any] = {"action": audit.action}
    if audit.address:
        leaf["address"] = audit.address
    if act.bans:
        leaf["banned"] = [_banned(ban) for ban in act.bans]
    certificate = act.certificate
    if certificate is not None:
        leaf["certificate"] = certificate.serial.hex()
        leaf["certificate_sha256"] = _digest(certificate)
    elif audit.certificate is not None:
        leaf["certificate"] = audit.certificate.hex()
    if act.companions:
        leaf["companions"] = {one.serial.hex(): _digest(one) for one in act.companions}
    if audit.details:
        leaf["details"] = audit.details
    if act.revocations:
        leaf["revoked"] = [revocation.serial.hex() for revocation in act.revocations]
    leaf["service"] = audit.service
    leaf["time"] = round(audit.time * 1000)
    try:
        return _encode(leaf)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise Error(Kind.INTERNAL, f"the audit record cannot be written: {error}") from error


def _digest(certificate: Certificate) -> str:
    return b64encode(sha256(certificate.der).digest()).decode()


def _banned(ban: SSHBan) -> str:
    value = ban.value.hex() if ban.kind is BanKind.KEY else ban.value.decode()
    return f"{ban.kind.value}:{value}"


def decode(leaf: bytes) -> Leaf:
    """Return a leaf as values.

    Raises:
        ValueError: it is not a leaf.
    """
    return _decode(leaf)


class _Head(msgspec.Struct):
    action: str
    service: str


_decode_head = msgspec.json.Decoder(_Head).decode


def matches(leaf: bytes, service: str | None, action: str | None) -> bool:
    """Whether a leaf has this service and this action; None matches all."""
    if service is None and action is None:
        return True
    try:
        head = _decode_head(leaf)
    except ValueError:
        return False  # not a leaf: verification finds it, a list passes over it
    return service in (None, head.service) and action in (None, head.action)
