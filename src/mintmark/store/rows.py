"""Rows as values and back, the same for both databases."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

import msgspec

from mintmark.model.act import Act, IdempotencyKey, Token
from mintmark.model.audit import Checkpoint
from mintmark.model.certificate import Certificate, Revocation, StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.issuer import Issuer
from mintmark.model.ssh import BanKind, SSHCertificate
from mintmark.model.status import CertificateKind, Reason
from mintmark.store import acme_rows, leaf, ssh_rows
from mintmark.wire import certificate as wire_certificate
from mintmark.wire import der

HASH_OCTETS: Final = 32
_json = msgspec.json.encode
_metadata = msgspec.json.Decoder(dict[str, str]).decode
_pairs = msgspec.json.Decoder(list[tuple[str, str]]).decode
_texts = msgspec.json.Decoder(tuple[str, ...]).decode
_ranges = msgspec.json.Decoder(tuple[tuple[int, int], ...]).decode


def storable_leaf(act: Act) -> bytes:
    """Return the leaf of an act that a database can keep; empty without a record.

    Asked when a batch is made, of all its acts in a row: that is cheaper than at each request.

    Raises:
        Error: MALFORMED or INTERNAL for an act that would fail its whole batch.
    """
    _refuse_unstorable(act)
    return b"" if act.audit is None else leaf.encode(act)


def _refuse_unstorable(act: Act) -> None:
    if not (act.certificate or act.token or act.changes or act.provisioner or act.bans):
        return
    texts = [act.audit.service] if act.audit is not None else []
    for change in act.changes:
        texts += acme_rows.texts(change)
    for certificate in act.certificates:
        texts += (certificate.service, certificate.profile, certificate.common_name)
        if isinstance(certificate, SSHCertificate):
            texts += ssh_rows.texts(certificate)
    if act.token is not None:
        texts += (act.token.service, *act.token.principals)
    if act.provisioner is not None:
        texts += (act.provisioner.name, act.provisioner.type)
    for ban in act.bans:
        if ban.kind is BanKind.KEY_ID:
            texts.append(ban.value.decode(errors="surrogateescape"))
    if not "".join(texts).isprintable():
        text = next(text for text in texts if not text.isprintable())
        raise Error(Kind.MALFORMED, f"{text!r} has characters that cannot be stored")


def names(certificate: Certificate) -> set[str]:
    """Return the names under which a certificate is found."""
    found = {identifier.value for identifier in certificate.identifiers}
    if isinstance(certificate, SSHCertificate):
        found.update(certificate.principals)
    if certificate.common_name:
        found.add(certificate.common_name)
    return found


def metadata_text(certificate: Certificate) -> str | None:
    """Return the metadata as JSON, None when there is none."""
    return _json(certificate.metadata).decode() if certificate.metadata else None


# Columns, and where they come from, of a certificate with its fate.
STORED_CERTIFICATES: Final = """
c.id, c.serial, i.issuer, c.service, c.profile, c.replaces, c.metadata, c.der,
(SELECT serial FROM certificates WHERE replaces = c.serial ORDER BY id DESC LIMIT 1),
r.revoked_at, r.reason, r.not_after, c.kind
FROM certificates c JOIN issuers i ON i.id = c.issuer
LEFT JOIN revocations r ON r.certificate = c.id
"""


# What narrows a listing to a kind; with a constant, so that indexes of SSH alone are opened.
OF_KIND: Final = {
    None: "",
    CertificateKind.X509: "AND c.kind IS NULL",
    CertificateKind.SSH_USER: "AND c.kind = 'ssh-user'",
    CertificateKind.SSH_HOST: "AND c.kind = 'ssh-host'",
}


def is_ssh(kind: CertificateKind | None) -> bool:
    """Whether a listing asks for SSH certificates alone."""
    return kind not in (None, CertificateKind.X509)


def stored_certificate(row: tuple[Any, ...]) -> StoredCertificate:
    """Return a certificate with its fate from one row of `STORED_CERTIFICATES`."""
    sequence, serial, issuer_id, service, profile, replaces, metadata, octets = row[:8]
    replaced_by, revoked_at, reason, not_after, kind = row[8:13]
    fate = None
    if revoked_at is not None:
        fate = Revocation(serial, issuer_id, revoked_at, Reason(reason), not_after)
    certificate: Certificate
    if kind is not None:
        certificate = _ssh_certificate(row, kind)
    else:
        parsed = wire_certificate.parse(octets)
        certificate = Certificate(
            serial=serial,
            issuer=issuer_id,
            service=service,
            profile=profile,
            common_name=parsed.common_name,
            identifiers=parsed.identifiers,
            not_before=parsed.not_before,
            not_after=parsed.not_after,
            der=octets,
            spki_sha256=sha256(parsed.spki).digest(),
            replaces=replaces,
            metadata=_metadata(metadata) if metadata else None,
        )
    return StoredCertificate(certificate, fate, sequence, replaced_by)


def _ssh_certificate(row: tuple[Any, ...], kind: str) -> SSHCertificate:
    _, serial, issuer_id, service, profile, replaces, metadata, octets = row[:8]
    fields = ssh_rows.parse(serial, octets, kind)
    return SSHCertificate(
        serial=serial,
        issuer=issuer_id,
        service=service,
        profile=profile,
        common_name=fields.key_id,
        identifiers=(),
        not_before=fields.valid_after,
        not_after=fields.valid_before - 1,
        der=octets,
        spki_sha256=fields.key.spki_sha256,
        replaces=replaces,
        metadata=_metadata(metadata) if metadata else None,
        type=fields.type,
        principals=fields.principals,
        key_sha256=fields.key.sha256,
    )


def issuer_row(issuer: Issuer) -> tuple[Any, ...]:
    """Return (issuer, name, der, chain, root, spki_sha256, not_before, not_after, active)."""
    return (
        issuer.id,
        issuer.name,
        issuer.der,
        b"".join(issuer.chain),
        issuer.root,
        issuer.spki_sha256,
        issuer.not_before,
        issuer.not_after,
        issuer.active,
    )


def issuer(row: tuple[Any, ...]) -> Issuer:
    """Return an issuer from the columns of `issuer_row`."""
    chain = row[3]
    certificates = tuple(
        chain[start:end] for _, start, _, end in der.children(chain, 0, len(chain))
    )
    root, spki_sha256, not_before, not_after, active = row[4:9]
    return Issuer(
        row[0], row[1], row[2], certificates, root, spki_sha256, not_before, not_after, bool(active)
    )


def token_row(token: Token) -> tuple[Any, ...]:
    """Return (sha256, service, identifiers, profiles, expires_at, principals)."""
    return (
        token.sha256,
        token.service,
        _json([(name.type.value, name.value) for name in token.identifiers]).decode(),
        _json(token.profiles).decode(),
        token.expires_at,
        _json(token.principals).decode(),
    )


TOKENS: Final = "SELECT sha256, service, identifiers, profiles, expires_at, principals FROM tokens"


def token(row: tuple[Any, ...]) -> Token:
    """Return a token from one row of `TOKENS`."""
    identifiers = tuple(Identifier(IdentifierType(kind), value) for kind, value in _pairs(row[2]))
    return Token(row[0], row[1], identifiers, _texts(row[3]), row[4], _texts(row[5]))


def remembered_row(act: Act, idempotency: IdempotencyKey) -> tuple[Any, ...]:
    """Return (key_sha256, request_sha256, serial, expires_at) of an act's idempotency key."""
    serial = act.certificate.serial if act.certificate else b""
    return idempotency.key_sha256, idempotency.request_sha256, serial, idempotency.expires_at


def checkpoint_row(checkpoint: Checkpoint) -> tuple[Any, ...]:
    """Return (sequence, tree_size, root, frontier, ranges, note, time)."""
    return (
        checkpoint.sequence,
        checkpoint.tree_size,
        checkpoint.root,
        b"".join(checkpoint.frontier),
        _json(checkpoint.ranges).decode(),
        checkpoint.note,
        checkpoint.time,
    )


def checkpoint(row: tuple[Any, ...]) -> Checkpoint:
    """Return a checkpoint from the columns of `checkpoint_row`."""
    octets = row[3]
    frontier = tuple(
        octets[start : start + HASH_OCTETS] for start in range(0, len(octets), HASH_OCTETS)
    )
    return Checkpoint(row[0], row[1], row[2], frontier, _ranges(row[4]), row[5], row[6])


def as_ranges(ids: list[int]) -> tuple[tuple[int, int], ...]:
    """Return rising ids as inclusive ranges."""
    ranges: list[tuple[int, int]] = []
    for id_ in ids:
        if ranges and id_ == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], id_)
        else:
            ranges.append((id_, id_))
    return tuple(ranges)
