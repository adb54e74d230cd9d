"""The ceremony: an authority's directory comes to be, whole or not at all.

Root, intermediate and the audit log's key are made, or the intermediate's certificate is taken
from an authority elsewhere; then the store gets its first records and the server and the
administrator their certificates. All of it is built aside and appears at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs

from mintmark.authority.issuance.hierarchy import (
    INTERMEDIATE_LIFETIME,
    ROOT_LIFETIME,
    Subject,
    intermediate_csr,
    issuer_from_chain,
    make_intermediate,
    make_root,
)
from mintmark.authority.issuance.tbs import split_certificate
from mintmark.authority.signer.file import FileSigner, encrypted_pkcs8, generate, load
from mintmark.authority.signer.files import write_public, write_secret
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.ssh import Generation, SSHCertificateType
from mintmark.model.time import Clock, timestamp
from mintmark.server import ssh_files
from mintmark.server.directory import DIRECTORY_MODE, Directory, KeyFiles, read_certificates
from mintmark.server.local import bootstrap
from mintmark.server.settings import Settings
from mintmark.server.settings_text import template
from mintmark.wire import pem
from mintmark.wire.spki import subject_key


@dataclass(frozen=True, slots=True)
class Plan:
    """What an authority is to be.

    Args:
        settings: its configuration.
        root: name of the root.
        intermediate: name of the intermediate.
        root_key_type: of the root's key.
        intermediate_key_type: of the intermediate's key.
        root_lifetime: seconds.
        intermediate_lifetime: seconds, within the root's.
        ssh_key_type: of the SSH CA keys for users and hosts; None makes none.
    """

    settings: Settings
    root: Subject
    intermediate: Subject
    root_key_type: KeyType = KeyType.EC_P256
    intermediate_key_type: KeyType = KeyType.EC_P256
    root_lifetime: int = ROOT_LIFETIME
    intermediate_lifetime: int = INTERMEDIATE_LIFETIME
    ssh_key_type: KeyType | None = KeyType.ED25519


async def create(
    directory: Directory,
    plan: Plan,
    passphrase: bytes,
    *,
    clock: Clock,
    entropy: Callable[[int], bytes],
) -> None:
    """Make an authority with root and intermediate; the caller holds the directory's lock.

    Raises:
        Error: CONFIGURATION when the directory holds something, or the plan cannot be.
    """
    _require_empty(directory, plan.settings)
    with directory.change() as staging:
        root_key = generate(plan.root_key_type)
        root_signer = FileSigner(root_key)
        root = make_root(
            root_signer, plan.root, clock=clock, entropy=entropy, lifetime=plan.root_lifetime
        )
        key = generate(plan.intermediate_key_type)
        intermediate = make_intermediate(
            root_signer,
            root,
            subject_key(FileSigner(key).spki),
            plan.intermediate,
            clock=clock,
            entropy=entropy,
            lifetime=plan.intermediate_lifetime,
        )
        _write_key(staging.root, encrypted_pkcs8(root_key, passphrase))
        _write_key(staging.intermediate, encrypted_pkcs8(key, passphrase))
        _write_certificates(staging.root, (root,))
        _write_certificates(staging.intermediate, (intermediate,))
        _write_audit_key(staging, passphrase)
        _make_ssh_keys(staging, plan, passphrase)
        await _begin(directory, staging, plan.settings, passphrase, clock)


def request_intermediate(directory: Directory, plan: Plan, passphrase: bytes) -> None:
    """Make the intermediate's key and a CSR for an authority elsewhere; `resume` goes on.

    Raises:
        Error: CONFIGURATION, as `create`.
    """
    _require_empty(directory, plan.settings)
    with directory.change() as staging:
        key = generate(plan.intermediate_key_type)
        _write_key(staging.intermediate, encrypted_pkcs8(key, passphrase))
        request = intermediate_csr(FileSigner(key), plan.intermediate)
        write_public(staging.intermediate.csr, pem.csr(request))
        _write_audit_key(staging, passphrase)
        _make_ssh_keys(staging, plan, passphrase)
        _write_settings(directory, staging, plan.settings)


async def resume(directory: Directory, chain: Path, passphrase: bytes, *, clock: Clock) -> None:
    """Complete an authority with its intermediate's certificate and those above it.

    Args:
        directory: where `request_intermediate` has been; the caller holds its lock.
        chain: PEM file of the intermediate, what is above it, and the root, in any order.
        passphrase: of the intermediate's key.
        clock: Unix seconds.

    Raises:
        Error: CONFIGURATION with the certificate that is wrong, and why.
    """
    settings = directory.settings()
    spki = load(directory.intermediate.key, passphrase).spki
    intermediate, *above, root = _in_order(_read(chain), spki, chain)
    issuer = issuer_from_chain(intermediate, tuple(above), root)
    if not issuer.not_before <= clock() <= issuer.not_after:
        raise Error(
            Kind.CONFIGURATION,
            f"the chain is valid from {timestamp(issuer.not_before)} to "
            f"{timestamp(issuer.not_after)}, which is not now",
            hint="compare this machine's clock with that of the issuing authority",
        )
    with directory.change() as staging:
        _write_key(staging.intermediate, directory.intermediate.key.read_bytes())
        _write_certificates(staging.root, (root,))
        _write_certificates(staging.intermediate, (intermediate, *above))
        staging.audit_key.parent.mkdir(mode=DIRECTORY_MODE)
        write_secret(staging.audit_key, directory.audit_key.read_bytes())
        write_public(staging.audit_public, directory.audit_public.read_bytes())
        _copy_ssh_keys(directory, staging)
        await _begin(directory, staging, settings, passphrase, clock)


def _require_empty(directory: Directory, settings: Settings) -> None:
    password_file = settings.storage.password_file
    directory.require_empty(set() if password_file is None else {Path(password_file).parts[0]})


async def _begin(
    directory: Directory, staging: Directory, settings: Settings, passphrase: bytes, clock: Clock
) -> None:
    """Write the configuration, and let the store and our own certificates begin."""
    _write_settings(directory, staging, settings)
    url = staging.storage_url(settings)
    if url.startswith("sqlite:"):
        file = Path(url.removeprefix("sqlite:"))
        file.parent.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    storage = settings.storage
    if storage.password_file is not None:  # relative to where it is, not to the staging place
        absolute = str(directory.path.absolute() / storage.password_file)
        storage = structs.replace(storage, password_file=absolute)
    await bootstrap(staging, structs.replace(settings, storage=storage), passphrase, clock=clock)


def _write_settings(directory: Directory, staging: Directory, settings: Settings) -> None:
    """Write the commented configuration, unless the operator has prepared one."""
    if not directory.settings_file.exists():
        write_public(staging.settings_file, template(settings).encode())


def _write_key(files: KeyFiles, key: bytes) -> None:
    files.path.mkdir(mode=DIRECTORY_MODE)
    write_secret(files.key, key)


def _write_certificates(files: KeyFiles, ders: tuple[bytes, ...]) -> None:
    files.path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    write_public(files.certificate, pem.certificate(ders[0]))
    write_public(files.chain, pem.certificates(ders[1:]))


def _write_audit_key(directory: Directory, passphrase: bytes) -> None:
    key = Ed25519PrivateKey.generate()
    directory.audit_key.parent.mkdir(mode=DIRECTORY_MODE)
    write_secret(directory.audit_key, encrypted_pkcs8(key, passphrase))
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    write_public(directory.audit_public, public)


def _make_ssh_keys(directory: Directory, plan: Plan, passphrase: bytes) -> None:
    if plan.ssh_key_type is not None:
        for type_ in SSHCertificateType:
            ssh_files.make(directory, passphrase, type_, Generation.ACTIVE, plan.ssh_key_type)


def _copy_ssh_keys(directory: Directory, staging: Directory) -> None:
    for one in ssh_files.describe(directory):
        staging.ssh.path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        key = directory.ssh.key(one.type, one.generation).read_bytes()
        write_secret(staging.ssh.key(one.type, one.generation), key)
        ssh_files.write_key_line(staging.ssh.public(one.type, one.generation), one.key)


def _read(chain: Path) -> list[x509.Certificate]:
    try:
        return [x509.load_der_x509_certificate(one) for one in read_certificates(chain)]
    except ValueError as error:
        raise Error(
            Kind.CONFIGURATION,
            f"'{chain}' is not a file of certificates in PEM",
            hint="put the intermediate's certificate, those above it and the root into one file",
        ) from error


def _in_order(certificates: list[x509.Certificate], spki: bytes, chain: Path) -> list[bytes]:
    """Return the path from the certificate of our key to a self-signed one, DER."""
    here = next((one for one in certificates if split_certificate(_der(one)).spki == spki), None)
    if here is None:
        raise Error(
            Kind.CONFIGURATION,
            f"no certificate in '{chain}' is for the intermediate's key",
            hint="have intermediate/csr.pem signed, and no other request",
        )
    path = [here]
    while path[-1].issuer != path[-1].subject:
        above = next((one for one in certificates if one.subject == path[-1].issuer), None)
        if above is None or above in path:
            raise Error(
                Kind.CONFIGURATION,
                f"'{chain}' lacks the certificate of "
                f"'{path[-1].issuer.rfc4514_string()}', which issued "
                f"'{path[-1].subject.rfc4514_string()}'",
                hint="put every certificate up to the root into the file, the root included",
            )
        path.append(above)
    if len(path) == 1:
        raise Error(
            Kind.CONFIGURATION,
            f"the certificate of the intermediate's key in '{chain}' is self-signed",
            hint="the intermediate is to be signed by a root",
        )
    return [_der(one) for one in path]


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)
