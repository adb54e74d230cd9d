"""Composition: an authority directory and its configuration become a working `Authority`.

The only place that knows every part; it decides nothing itself.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mintmark.authority.issuance.hierarchy import issuer_from_chain
from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.issuance.shape import Pointers
from mintmark.authority.issuance.ssh_keys import SSHKeys
from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.limits import Limits
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.authority.signer import file
from mintmark.authority.signer.files import read_secret
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.providers import NoProviders, Providers
from mintmark.authority.workflow.provisioners import refresh
from mintmark.model.issuer import Issuer
from mintmark.model.time import Clock
from mintmark.protocol.acme.background import Validations
from mintmark.protocol.acme.validation.validator import Validator
from mintmark.publication.checkpoint import CheckpointKey
from mintmark.server import settings as configuration
from mintmark.server import ssh_files
from mintmark.server.directory import Directory
from mintmark.server.settings import Settings
from mintmark.store.interface import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """An authority directory, opened.

    Args:
        directory: its files.
        settings: its configuration.
        authority: ready to issue.
        checkpoint_key: signs checkpoints of the audit log.
        passphrase: of its keys, for those that appear while it is open.
    """

    directory: Directory
    settings: Settings
    authority: Authority
    checkpoint_key: CheckpointKey
    passphrase: bytes = field(repr=False)


def open_store(directory: Directory, settings: Settings, clock: Clock) -> Store:
    """Return the store that the configuration names, not yet connected.

    Each database's driver is loaded only when it is used: start-up time is theirs.
    """
    url = directory.storage_url(settings)
    if url.startswith("sqlite:"):
        from mintmark.store.sqlite import SQLiteStore  # noqa: PLC0415 - see docstring

        return SQLiteStore(url.removeprefix("sqlite:"), clock)
    from mintmark.store.postgresql import PostgreSQLStore  # noqa: PLC0415 - see docstring

    return PostgreSQLStore(url, clock, password=directory.storage_password(settings))


@asynccontextmanager
async def open_authority(
    directory: Directory,
    settings: Settings,
    passphrase: bytes,
    *,
    clock: Clock = time.time,
    entropy: Callable[[int], bytes] = os.urandom,
    providers: Providers | None = None,
) -> AsyncIterator[Opened]:
    """Open an authority, and close its store at the end.

    Args:
        directory: its files.
        settings: its configuration.
        passphrase: of its keys.
        clock: Unix seconds.
        entropy: `n -> n` random octets.
        providers: what tells the keys of OpenID providers; None where nobody signs in.

    Raises:
        Error: CONFIGURATION for a wrong passphrase, a missing file or an old schema;
            UNAVAILABLE when the database is away.
    """
    issuing = issuing_key(directory, settings, passphrase)
    checkpoint_key = _checkpoint_key(directory, issuing.issuer, passphrase)
    ssh = ssh_files.load(directory, passphrase)
    store = open_store(directory, settings, clock)
    await store.open()
    try:
        issuers = _all_issuers(issuing.issuer, root_issuer(directory), await store.issuers())
        authority = Authority(
            store=store,
            issuing=issuing,
            issuers=issuers,
            policy=policy(settings, issuers, ssh),
            limits=limits(settings),
            clock=clock,
            entropy=entropy,
            secret=_secret(checkpoint_key),
            names=names(settings),
            ssh=ssh,
            providers=providers or NoProviders(),
        )
        await _look_for_ssh_keys(authority)
        await refresh(authority)
        yield Opened(directory, settings, authority, checkpoint_key, passphrase)
    finally:
        await store.close()


def issuing_key(directory: Directory, settings: Settings, passphrase: bytes) -> IssuingKey:
    """Return the intermediate with its key."""
    files = directory.intermediate
    issuer = issuer_from_chain(
        files.certificate_der(), files.chain_der(), directory.root.certificate_der()
    )
    return IssuingKey(
        issuer, file.load(files.key, passphrase), pointers(settings, issuer.id, ocsp=True)
    )


def root_issuer(directory: Directory) -> Issuer:
    """Return the root as an issuer of intermediates and its CRL."""
    root = directory.root.certificate_der()
    return issuer_from_chain(root, (), root)


def root_issuing_key(
    directory: Directory, settings: Settings, passphrase: bytes
) -> IssuingKey | None:
    """Return the root with its key, or None when the key is kept elsewhere."""
    if not directory.root.key.exists():
        return None
    issuer = root_issuer(directory)
    signer = file.load(directory.root.key, passphrase)
    return IssuingKey(issuer, signer, pointers(settings, issuer.id, ocsp=False))


def pointers(settings: Settings, issuer_id: str, *, ocsp: bool) -> Pointers:
    """Return where an issuer publishes (RFC 5280 §4.2.1.13, §4.2.2.1)."""
    base = configuration.public_http_url(settings.server)
    return Pointers(
        crl=(f"{base}/crl/{issuer_id}.crl",),
        ocsp=(f"{base}/ocsp",) if ocsp else (),
        ca_issuers=(f"{base}/issuer/{issuer_id}.cer",),
    )


def names(settings: Settings) -> tuple[str, ...]:
    """Return the names and addresses by which clients reach the authority."""
    public = urlsplit(configuration.public_http_url(settings.server)).hostname
    return tuple(dict.fromkeys((*settings.server.names, *((public,) if public else ()))))


async def _look_for_ssh_keys(authority: Authority) -> None:
    """Say so when an SSH CA key that signed has no file any more, as after half a restore."""
    have = {one.type for one in authority.ssh.trusted}
    known = {type_ for _, type_, _ in await authority.store.ssh_authorities()}
    for type_ in known - have:
        log.error(
            "the SSH %s CA key is on record and its files are missing; "
            "restore ssh/ from a backup, or make a new key: mintmark ssh init",
            type_.word,
        )


def policy(settings: Settings, issuers: tuple[Issuer, ...], ssh: SSHKeys) -> Policy:
    """Return the rules that the configuration puts in force."""
    whitelist = Whitelist(
        configuration.service_rules(settings.whitelist),
        configuration.pattern_rules(settings.whitelist),
    )
    made = Policy.of(
        configuration.profiles(settings.profiles),
        whitelist,
        issuers,
        settings.issuer.backdate,
        configuration.provisioners(settings.provisioners),
        configuration.ssh_profiles(settings.ssh).values(),
    )
    return protecting(made, ssh)


def protecting(rules: Policy, ssh: SSHKeys) -> Policy:
    """Return rules under which no SSH CA key is ever certified, as no issuer's is."""
    keys = frozenset(one.key.spki_sha256 for one in ssh.trusted)
    return replace(rules, authority_keys=rules.authority_keys | keys)


def codec(settings: Settings) -> configuration.Codec:
    """Return what reads and writes provisioners as the API's documents."""
    return configuration.Codec(settings.acme.validation.issuer_domain_names)


def limits(settings: Settings) -> Limits:
    """Return the rate limits that the configuration puts in force."""
    return Limits(
        settings.limits.certificates_per_hour, settings.limits.total_certificates_per_hour
    )


def validations(opened: Opened) -> Validations:
    """Return what validates ACME challenges in this process."""
    settings = configuration.validation(opened.settings.acme.validation)
    validator = Validator(settings, opened.authority.clock)
    return Validations(opened.authority, validator, settings.timeout)


def _all_issuers(active: Issuer, root: Issuer, known: list[Issuer]) -> tuple[Issuer, ...]:
    """Return the active issuer, the root, and those that only answer for the past."""
    by_id = {issuer.id: issuer for issuer in known}
    return tuple({active.id: active, root.id: root, **by_id}.values())


def _checkpoint_key(directory: Directory, issuer: Issuer, passphrase: bytes) -> CheckpointKey:
    private_key = file.parse_private_key(
        read_secret(directory.audit_key), passphrase, str(directory.audit_key)
    )
    assert isinstance(private_key, Ed25519PrivateKey)  # noqa: S101 - the ceremony made it
    return CheckpointKey(origin(issuer), private_key)


def _secret(checkpoint_key: CheckpointKey) -> bytes:
    """Return what all servers of the authority share: they have the same encrypted key file.

    The key itself signs checkpoints alone; HKDF (RFC 5869) makes what is derived here
    independent of it.
    """
    octets = checkpoint_key.private_key.private_bytes_raw()
    return HKDF(SHA256(), 32, salt=None, info=b"mintmark shared secret").derive(octets)


def origin(issuer: Issuer) -> str:
    """Return the audit log's name, which every checkpoint begins with: the root's id."""
    return f"mintmark/{issuer_from_chain(issuer.root, (), issuer.root).id}"
