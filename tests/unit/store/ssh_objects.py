"""SSH certificates, CA keys and what goes with them for the store's tests: real encodings."""

from __future__ import annotations

import hashlib
import itertools
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mintmark.model.act import Act
from mintmark.model.provisioner import StoredProvisioner
from mintmark.model.ssh import (
    BanKind,
    Generation,
    SSHAuthority,
    SSHBan,
    SSHCertificate,
    SSHCertificateType,
    SSHPublicKey,
    StoredKRL,
)
from mintmark.model.status import Reason
from mintmark.model.time import HOUR
from mintmark.wire.ssh import certificate as wire
from mintmark.wire.ssh import key as keys
from tests.unit.store.acts import NOW, note, record

USER, HOST = SSHCertificateType.USER, SSHCertificateType.HOST
_numbers = itertools.count(1)


@cache
def private_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())


@cache
def key(name: str = "alice's laptop") -> SSHPublicKey:
    return keys.from_public_key(private_key(name).public_key())


@cache
def authority(type_: SSHCertificateType = USER, name: str = "") -> SSHAuthority:
    public = key(f"{type_.word} CA {name}")
    return SSHAuthority(public.sha256.hex()[:16], type_, public, Generation.ACTIVE)


def ssh_certificate(
    service="alice",
    principals=("alice",),
    *,
    type_=USER,
    key_id="alice@example.internal",
    subject=None,
    lifetime=16 * HOUR,
    not_before=NOW,
    profile=None,
    replaces=None,
    metadata=None,
    ca="",
) -> SSHCertificate:
    number = 0xF0 << 56 | next(_numbers)  # the highest bit set: SSH's serials have no sign
    signing = authority(type_, ca)
    fields = wire.Fields(
        type=type_,
        key=subject or key(),
        serial=number,
        key_id=key_id,
        principals=tuple(principals),
        valid_after=not_before,
        valid_before=not_before + lifetime,
        critical_options=(),
        extensions=(("permit-pty", ""),) if type_ is USER else (),
        authority=signing.key,
        nonce=bytes(32),
    )
    tbs = wire.encode_tbs(fields)
    signature = private_key(f"{type_.word} CA {ca}").sign(tbs)
    return SSHCertificate(
        serial=number.to_bytes(8),
        issuer=signing.id,
        service=service,
        profile=profile or f"ssh-{type_.word}",
        common_name=key_id,
        identifiers=(),
        not_before=not_before,
        not_after=not_before + lifetime - 1,
        der=wire.encode(tbs, signing.key.blob, signature),
        spki_sha256=fields.key.spki_sha256,
        replaces=replaces,
        metadata=metadata,
        type=type_,
        principals=fields.principals,
        key_sha256=fields.key.sha256,
    )


def host_certificate(*principals, **fields) -> SSHCertificate:
    fields = {"service": principals[0].lower(), "key_id": principals[0], **fields}
    return ssh_certificate(principals=principals, type_=HOST, **fields)


def prepare_ssh(ledger, run):
    """Give a store its SSH CA keys."""
    for type_ in SSHCertificateType:
        run(ledger.add_ssh_authority(authority(type_), note("CA", action="ssh.authority")))
    return ledger


def ban(kind=BanKind.KEY_ID, value=b"alice@example.internal") -> SSHBan:
    return SSHBan(kind, value, NOW + 7, Reason.KEY_COMPROMISE)


def banning(*bans: SSHBan) -> Act:
    return Act(record("ssh.ban"), bans=bans)


def krl(number, octets=b"KRL") -> StoredKRL:
    return StoredKRL(number, NOW + number, 3, octets)


def provisioner(version=1, *, name="dex", document=b'{"a": 1}', type_="oidc") -> StoredProvisioner:
    return StoredProvisioner(name, type_, document, version, NOW + version)


def providing(changed: StoredProvisioner) -> Act:
    return Act(record("provisioner.change"), provisioner=changed)
