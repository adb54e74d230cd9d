"""The files of SSH CA keys: written, read, and compared with each other.

`SSHFiles` of `server.directory` says which file is what. The public half lies beside each key, so
that an operator can hand it out, and can see what there is, without the passphrase.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives import serialization

from mintmark.authority.issuance.ssh_keys import SSHIssuingKey, SSHKeys
from mintmark.authority.signer.file import FileSigner, encrypted_pkcs8, generate
from mintmark.authority.signer.file import load as load_signer
from mintmark.authority.signer.files import write_public, write_secret
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import SSH_CA_KEY_TYPES, KeyType
from mintmark.model.ssh import Generation, SSHAuthority, SSHCertificateType, SSHPublicKey
from mintmark.server.directory import DIRECTORY_MODE, Directory
from mintmark.wire.ssh import key as wire_key

_TRUSTED: Final = (Generation.ACTIVE, Generation.NEXT, Generation.PREVIOUS)


def make(
    directory: Directory,
    passphrase: bytes,
    type_: SSHCertificateType,
    generation: Generation,
    key_type: KeyType,
) -> SSHAuthority:
    """Make a key and write it with its public half.

    Args:
        directory: a staging directory: nothing is there before all of it is.
        passphrase: of the authority's keys.
        type_: what it will sign.
        generation: ACTIVE for a first key, else NEXT.
        key_type: one of `SSH_CA_KEY_TYPES`.

    Raises:
        Error: CONFIGURATION for another key type.
    """
    if key_type not in SSH_CA_KEY_TYPES:
        raise Error(
            Kind.CONFIGURATION,
            f"an SSH CA key of type '{key_type.value}' is not made",
            hint=f"key types: {', '.join(one.value for one in SSH_CA_KEY_TYPES)}",
        )
    private_key = generate(key_type)
    key = wire_key.from_public_key(private_key.public_key(), f"mintmark {type_.word} CA")
    directory.ssh.path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    write_secret(directory.ssh.key(type_, generation), encrypted_pkcs8(private_key, passphrase))
    write_key_line(directory.ssh.public(type_, generation), key)
    return authority_of(type_, key, generation)


def write_key_line(path: Path, key: SSHPublicKey) -> None:
    """Write a public key as one line."""
    write_public(path, f"{wire_key.line(key)}\n".encode())


def authority_of(
    type_: SSHCertificateType, key: SSHPublicKey, generation: Generation
) -> SSHAuthority:
    """Return a CA key as a value, its id made from the key."""
    return SSHAuthority(key.sha256.hex()[:16], type_, key, generation)


def describe(directory: Directory) -> tuple[SSHAuthority, ...]:
    """Return the keys to trust, by their public halves: active, next and previous of each type.

    Raises:
        Error: CONFIGURATION when a key lacks its public half, or a file holds no key.
    """
    found: list[SSHAuthority] = []
    for type_ in SSHCertificateType:
        for generation in _TRUSTED:
            public = directory.ssh.public(type_, generation)
            if not public.exists():
                if directory.ssh.key(type_, generation).exists():
                    raise _missing(public)
                continue
            one = authority_of(type_, read_key_line(public), generation)
            if all(one.key.blob != other.key.blob for other in found if other.type is type_):
                found.append(one)  # an activation that was cut short leaves the next one behind
    return tuple(found)


def read_key_line(path: Path) -> SSHPublicKey:
    """Return the public key of a file.

    Raises:
        Error: CONFIGURATION.
    """
    try:
        return wire_key.parse_line(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Error(
            Kind.CONFIGURATION, f"cannot read SSH CA key file '{path}': {reason}"
        ) from error
    except Error as error:
        raise Error(
            Kind.CONFIGURATION, f"SSH CA key file '{path}': {error.detail}", hint=error.hint
        ) from error


def load(directory: Directory, passphrase: bytes, known: SSHKeys | None = None) -> SSHKeys:
    """Return the keys of the directory; none if it has none.

    Every private half is opened and compared with its public one: what is published is what
    signs, now or after the next activation.

    Args:
        directory: an authority's.
        passphrase: of its keys.
        known: what was loaded before; what did not change is not decrypted again.

    Raises:
        Error: CONFIGURATION when a file is missing, open to others, does not belong to its
            other half, or the passphrase is wrong.
    """
    trusted = describe(directory)
    issuing = []
    for one in trusted:
        if one.generation is Generation.PREVIOUS:
            continue
        signer = _known_signer(known, one) or _open(directory, passphrase, one)
        if one.generation is Generation.ACTIVE:
            issuing.append(SSHIssuingKey(one, signer))
    lacking = {one.type for one in trusted} - {one.authority.type for one in issuing}
    for type_ in lacking:
        raise _missing(directory.ssh.key(type_, Generation.ACTIVE))
    return SSHKeys(tuple(issuing), trusted)


def stamp(directory: Directory) -> tuple[tuple[str, int, int], ...]:
    """Return what changes whenever a key is made, activated or retired."""
    try:
        files = sorted(directory.ssh.path.iterdir())
        return tuple((one.name, one.stat().st_ino, one.stat().st_mtime_ns) for one in files)
    except OSError:  # there are none, or they change just now
        return ()


def problems(directory: Directory) -> Iterator[str]:
    """Yield what is wrong with the files, as far as it can be seen without the passphrase."""
    try:
        trusted = describe(directory)
    except Error as error:
        yield error.detail
        return
    for one in trusted:
        key = directory.ssh.key(one.type, one.generation)
        if one.generation is Generation.PREVIOUS:
            continue
        if not key.exists():
            yield f"SSH CA key file '{key}' is missing beside its public half"
        elif key.stat().st_mode & 0o077:
            mode = key.stat().st_mode & 0o777
            yield f"SSH CA key file '{key}' has mode {mode:04o}: others can reach it"
    active = {one.type for one in trusted if one.generation is Generation.ACTIVE}
    for type_ in SSHCertificateType:
        if trusted and type_ not in active:
            yield f"SSH CA key file '{directory.ssh.key(type_, Generation.ACTIVE)}' is missing"


def _known_signer(known: SSHKeys | None, one: SSHAuthority) -> FileSigner | None:
    for key in known.issuing if known else ():
        if key.authority.type is one.type and key.authority.key.blob == one.key.blob:
            assert isinstance(key.signer, FileSigner)  # noqa: S101 - `load` made it
            return key.signer
    return None


def _open(directory: Directory, passphrase: bytes, one: SSHAuthority) -> FileSigner:
    path = directory.ssh.key(one.type, one.generation)
    if not path.exists():
        raise _missing(path)
    signer = load_signer(path, passphrase)
    public_key = serialization.load_der_public_key(signer.spki)
    if wire_key.from_public_key(public_key).blob != one.key.blob:
        raise Error(
            Kind.CONFIGURATION,
            f"SSH CA key '{path}' is not the private half of "
            f"'{directory.ssh.public(one.type, one.generation)}'",
            hint="restore both from one backup",
        )
    return signer


def _missing(path: Path) -> Error:
    return Error(
        Kind.CONFIGURATION,
        f"SSH CA key file '{path}' is missing",
        hint="restore the directory from its backup; mintmark ssh init makes keys where there "
        "are none at all",
    )
