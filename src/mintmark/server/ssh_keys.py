"""SSH CA keys of an authority that exists already: made, and rolled over.

A rollover takes three steps, so that no login fails on the way: the next key is published and
trusted long before it signs (`prepare`); it signs, and its predecessor stays trusted
(`activate`); the predecessor is trusted no more when what it signed has ended (`retire`). Each
step is one change of the directory, and on record before it can be seen. Running servers take
it up within seconds; servers on other machines have the directory copied.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from cryptography.hazmat.primitives import serialization

from mintmark.authority.signer.file import load as load_signer
from mintmark.authority.signer.files import write_secret
from mintmark.model.act import Act, AuditRecord
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.ssh import Generation, SSHAuthority, SSHCertificateType
from mintmark.model.status import CertificateKind, Status
from mintmark.model.time import Clock, timestamp
from mintmark.server.compose import open_store
from mintmark.server.directory import DIRECTORY_MODE, Directory
from mintmark.server.own import LOCAL_ADMIN
from mintmark.server.ssh_files import (
    authority_of,
    describe,
    load,
    make,
    read_key_line,
    write_key_line,
)
from mintmark.store.interface import CertificateFilter, Store
from mintmark.wire.spki import subject_key
from mintmark.wire.ssh import key as wire_key

__all__ = ["activate", "describe", "init", "prepare", "retire", "ssh_act"]

_KINDS: Final = {
    SSHCertificateType.USER: CertificateKind.SSH_USER,
    SSHCertificateType.HOST: CertificateKind.SSH_HOST,
}
_PAGE: Final = 1000  # certificates looked at in one call


async def init(
    directory: Directory,
    passphrase: bytes,
    key_type: KeyType = KeyType.ED25519,
    *,
    clock: Clock = time.time,
) -> tuple[SSHAuthority, ...]:
    """Give an authority the SSH CA keys that it lacks, for users and for hosts.

    Returns:
        The keys that were made.

    Raises:
        Error: CONFLICT when it has both; CONFIGURATION for a wrong passphrase or key type.
    """
    async with _changing(directory, clock) as store:
        _check_passphrase(directory, passphrase)
        have = {one.type for one in describe(directory)}
        lacking = [type_ for type_ in SSHCertificateType if type_ not in have]
        if not lacking:
            raise Error(
                Kind.CONFLICT,
                f"the authority in '{directory.path}' has SSH CA keys already",
                hint="see them with mintmark ssh ca; replace one with mintmark ssh rollover",
            )
        with directory.change() as staging:
            made = [
                make(staging, passphrase, type_, Generation.ACTIVE, key_type) for type_ in lacking
            ]
            for one in made:
                await store.add_ssh_authority(one, ssh_act("ssh.authority.add", one, clock()))
    return tuple(made)


async def prepare(
    directory: Directory,
    passphrase: bytes,
    type_: SSHCertificateType,
    key_type: KeyType | None = None,
    *,
    clock: Clock = time.time,
) -> SSHAuthority:
    """Make the next key of a type: trusted from now on, and not signing yet.

    Args:
        directory: the authority's.
        passphrase: of its keys.
        type_: user or host.
        key_type: None takes that of the active key.
        clock: Unix seconds.

    Raises:
        Error: NOT_FOUND without an active key, CONFLICT when there is a next one,
            CONFIGURATION for a wrong passphrase or key type.
    """
    async with _changing(directory, clock) as store:
        _check_passphrase(directory, passphrase)
        keys = _of_type(directory, type_)
        if Generation.NEXT in keys:
            raise Error(
                Kind.CONFLICT,
                f"there is a next SSH {type_.word} CA key already: "
                f"{wire_key.fingerprint(keys[Generation.NEXT].key.blob)}",
                hint="activate it when all hosts and clients trust it",
            )
        _forget_next(directory, type_)
        with directory.change() as staging:
            kind = key_type or _key_type(keys[Generation.ACTIVE])
            made = make(staging, passphrase, type_, Generation.NEXT, kind)
            await store.add_ssh_authority(made, ssh_act("ssh.authority.add", made, clock()))
    return made


async def activate(
    directory: Directory,
    passphrase: bytes,
    type_: SSHCertificateType,
    *,
    clock: Clock = time.time,
) -> SSHAuthority:
    """Let the next key sign; the private half of the active one goes, and it stays trusted.

    Returns:
        The key that signs from now on.

    Raises:
        Error: NOT_FOUND without a next key, CONFLICT while there is a previous one,
            CONFIGURATION for a wrong passphrase or files that do not fit each other.
    """
    async with _changing(directory, clock) as store:
        load(directory, passphrase)  # all halves fit, and the passphrase opens the next key
        keys = _of_type(directory, type_)
        if Generation.NEXT not in keys:
            raise Error(
                Kind.NOT_FOUND,
                f"there is no next SSH {type_.word} CA key",
                hint="prepare one, and let all hosts and clients trust it first",
            )
        if Generation.PREVIOUS in keys:
            raise Error(
                Kind.CONFLICT,
                f"the previous SSH {type_.word} CA key is trusted still: "
                f"{wire_key.fingerprint(keys[Generation.PREVIOUS].key.blob)}",
                hint="retire it first; there are two generations at a time",
            )
        active = authority_of(type_, keys[Generation.NEXT].key, Generation.ACTIVE)
        files = directory.ssh
        with directory.change() as staging:
            staging.ssh.path.mkdir(mode=DIRECTORY_MODE)
            next_key = files.key(type_, Generation.NEXT).read_bytes()
            write_secret(staging.ssh.key(type_, Generation.ACTIVE), next_key)
            write_key_line(staging.ssh.public(type_, Generation.ACTIVE), active.key)
            previous = keys[Generation.ACTIVE].key
            write_key_line(staging.ssh.public(type_, Generation.PREVIOUS), previous)
            await store.commit(ssh_act("ssh.authority.activate", active, clock()))
        _forget_next(directory, type_)
    return active


async def retire(
    directory: Directory,
    type_: SSHCertificateType,
    *,
    force: bool = False,
    clock: Clock = time.time,
) -> SSHAuthority:
    """Trust the previous key no more.

    Args:
        directory: the authority's.
        type_: user or host.
        force: even while certificates that it signed are valid; they are worth nothing then.
        clock: Unix seconds.

    Raises:
        Error: NOT_FOUND without a previous key, CONFLICT while valid certificates need it.
    """
    async with _changing(directory, clock) as store:
        previous = _of_type(directory, type_).get(Generation.PREVIOUS)
        if previous is None:
            raise Error(
                Kind.NOT_FOUND,
                f"there is no previous SSH {type_.word} CA key",
                hint="a key becomes the previous one when the next one is activated",
            )
        if not force:
            await _require_unneeded(store, previous, int(clock()))
        retired = authority_of(type_, previous.key, Generation.RETIRED)
        await store.commit(ssh_act("ssh.authority.retire", retired, clock()))
        directory.ssh.public(type_, Generation.PREVIOUS).unlink()
    return retired


def ssh_act(action: str, authority: SSHAuthority, now: float) -> Act:
    """Return the act that puts what happens to a key on record."""
    return Act(
        AuditRecord(
            action,
            now,
            LOCAL_ADMIN.service,
            details={
                "authority": authority.id,
                "type": authority.type.word,
                "generation": authority.generation.value,
                "fingerprint": wire_key.fingerprint(authority.key.blob),
            },
        )
    )


@asynccontextmanager
async def _changing(directory: Directory, clock: Clock) -> AsyncIterator[Store]:
    """Hold the directory, and open its store for the record of what is done."""
    with directory.lock():
        directory.recover()
        directory.require_ready()
        store = open_store(directory, directory.settings(), clock)
        await store.open()
        try:
            yield store
        finally:
            await store.close()


def _check_passphrase(directory: Directory, passphrase: bytes) -> None:
    """Refuse a passphrase that is not the one of the authority's keys: there is one for all."""
    load_signer(directory.intermediate.key, passphrase)


def _of_type(directory: Directory, type_: SSHCertificateType) -> dict[Generation, SSHAuthority]:
    """Return the keys of a type, the active one among them.

    Raises:
        Error: NOT_FOUND without an active one.
    """
    keys = {one.generation: one for one in describe(directory) if one.type is type_}
    if Generation.ACTIVE not in keys:
        raise Error(
            Kind.NOT_FOUND,
            f"the authority in '{directory.path}' has no SSH {type_.word} CA key",
            hint="make one with mintmark ssh init",
        )
    return keys


def _forget_next(directory: Directory, type_: SSHCertificateType) -> None:
    """Remove a next key that is the active one: its activation is done, or was cut short."""
    public = directory.ssh.public(type_, Generation.NEXT)
    if public.exists():
        active = read_key_line(directory.ssh.public(type_, Generation.ACTIVE))
        if read_key_line(public).blob != active.blob:
            return
    directory.ssh.key(type_, Generation.NEXT).unlink(missing_ok=True)
    public.unlink(missing_ok=True)


def _key_type(authority: SSHAuthority) -> KeyType:
    """Return the type of a CA's key; every one of ours has a SubjectPublicKeyInfo."""
    spki = authority.key.public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return subject_key(spki).type


async def _require_unneeded(store: Store, previous: SSHAuthority, now: int) -> None:
    """Refuse to retire a key while a certificate that it signed is valid.

    Raises:
        Error: CONFLICT with how many there are, and when the last one ends.
    """
    matching = CertificateFilter(now=now, status=Status.ACTIVE, kind=_KINDS[previous.type])
    count, last, after = 0, 0, None
    while found := await store.certificates(matching, after=after, limit=_PAGE):
        ends = [one.certificate.not_after for one in found if one.certificate.issuer == previous.id]
        count, last = count + len(ends), max([last, *ends])
        after = found[-1].sequence
    if count:
        raise Error(
            Kind.CONFLICT,
            f"{count} valid SSH {previous.type.word} certificates need the previous key; the "
            f"last one ends at {timestamp(last)}",
            hint="wait until then, or retire it with --force, which makes them worthless",
        )
