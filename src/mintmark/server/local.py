"""The authority without a network: its first hour, and `--offline`.

Whoever can read the directory and the passphrase is the administrator; everything still goes
through policy, lints and the audit log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

import msgspec

from mintmark.authority.signer.files import read_secret, write_public, write_secret
from mintmark.authority.workflow.authority import Authority
from mintmark.client.transport import Answer, Transport
from mintmark.model.act import Act, AuditRecord
from mintmark.model.errors import Error
from mintmark.model.issuer import Issuer
from mintmark.model.time import YEAR, Clock
from mintmark.protocol.repository.routes import Repository
from mintmark.protocol.rest.api import RestAPI
from mintmark.protocol.rest.authentication import LOCAL
from mintmark.publication.crl import adopt, is_due, publish
from mintmark.server import target
from mintmark.server.compose import (
    Opened,
    codec,
    open_authority,
    open_store,
    root_issuer,
    root_issuing_key,
)
from mintmark.server.directory import Directory, KeyFiles
from mintmark.server.own import (
    LOCAL_ADMIN,
    OwnCertificate,
    admin_certificate,
    server_certificate,
)
from mintmark.server.settings import Settings
from mintmark.server.ssh_keys import ssh_act
from mintmark.wire import pem
from mintmark.wire.http import Peer, Request, Response

log = logging.getLogger(__name__)

ROOT_CRL_LIFETIME = YEAR  # the root is offline; its CRL is signed in yearly ceremonies


async def bootstrap(
    directory: Directory, settings: Settings, passphrase: bytes, *, clock: Clock = time.time
) -> None:
    """Give a directory with issuers its first records: issuers, CRLs, own certificates.

    Raises:
        Error: as `open_authority`; repeating it after an interruption is harmless.
    """
    store = open_store(directory, settings, clock)
    await store.migrate()
    await store.close()
    async with open_authority(directory, settings, passphrase, clock=clock) as opened:
        store = opened.authority.store
        for issuer in opened.authority.issuers:
            await store.add_issuer(issuer, _issuer_act(issuer, opened.authority.clock()))
        await record_ssh_keys(opened.authority)
        await publish_root_crl(opened, passphrase)
        certificate = await server_certificate(opened.authority, settings)
        write_own(directory.server, opened, certificate)
        write_own(directory.admin, opened, await admin_certificate(opened.authority))


async def record_ssh_keys(authority: Authority) -> None:
    """Put SSH CA keys on record that are not, such as those that an operator brought along.

    A certificate is stored under its CA key, and the KRL names it by that.
    """
    known = {id_ for id_, _, _ in await authority.store.ssh_authorities()}
    for one in authority.ssh.trusted:
        if one.id not in known:
            act = ssh_act("ssh.authority.add", one, authority.clock())
            await authority.store.add_ssh_authority(one, act)


async def publish_root_crl(opened: Opened, passphrase: bytes) -> None:
    """Publish the root's CRL, if there is news of it.

    Relying parties that check the whole chain (nginx, PostgreSQL) want one, empty or not. The
    root's own key signs it when it is here and half of the last one's life is over; a root
    elsewhere signs it there, and it is taken from `root/crl.pem`.
    """
    authority = opened.authority
    if not opened.directory.root.key.exists():
        await adopt_root_crl(opened)
        return
    latest = await authority.store.latest_crl(root_issuer(opened.directory).id)
    now = int(authority.clock())
    if latest and not is_due(latest, now):
        return
    key = root_issuing_key(opened.directory, opened.settings, passphrase)
    if key is not None:
        await publish(authority, key, latest, now, ROOT_CRL_LIFETIME)


async def adopt_root_crl(opened: Opened) -> None:
    """Publish `root/crl.pem` if it is there and newer; what is wrong with it is logged."""
    file, root = opened.directory.root.crl, root_issuer(opened.directory)
    try:
        ders = pem.decode(pem.CRL, file.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, Error) as error:
        log.warning("the root's CRL in '%s' cannot be read: %s", file, error)
        return
    for der in ders:
        try:
            if await adopt(opened.authority, root, der):
                log.info("the root's CRL was taken from '%s'", file)
        except Error as error:
            log.warning("'%s': %s", file, error.detail)


def write_own(files: KeyFiles, opened: Opened, own: OwnCertificate) -> None:
    """Replace key and certificate; who is interrupted leaves a pair that `finish_own` mends.

    Raises:
        Error: CONFIGURATION when the directory cannot be written.
    """
    issuer = opened.authority.issuing.issuer
    chain = pem.certificates((own.certificate.der, issuer.der, *issuer.chain))
    files.path.mkdir(mode=0o700, exist_ok=True)
    write_secret(files.successor, own.key_pem + chain)
    finish_own(files)


def finish_own(files: KeyFiles) -> None:
    """Put a successor in its place that was written and perhaps not yet moved there.

    Each file is written atomically, the certificate last. Who reads between them sees a pair
    that does not match and has to read again.

    Raises:
        Error: CONFIGURATION when the directory cannot be written.
    """
    try:
        successor = read_secret(files.successor)
    except Error:
        if files.successor.exists():
            raise
        return  # there is none, or another process has just finished with it
    (key,) = pem.decode(pem.PRIVATE_KEY, successor)
    leaf, *chain = pem.decode(pem.CERTIFICATE, successor)
    write_secret(files.key, pem.private_key(key))
    write_public(files.chain, pem.certificates(chain))
    write_public(files.certificate, pem.certificate(leaf))
    write_public(files.fullchain, pem.certificates((leaf, *chain)))
    files.successor.unlink(missing_ok=True)


def _issuer_act(issuer: Issuer, now: float) -> Act:
    return Act(
        AuditRecord(
            "issuer.add",
            now,
            LOCAL_ADMIN.service,
            details={"issuer": issuer.id, "name": issuer.name},
        )
    )


class LocalTransport:
    """API and repository called in this process as the local administrator: `--offline`.

    The event loop that the store needs runs only while a request is answered.

    Args:
        directory: the authority's files.
        settings: its configuration.
        passphrase: of its CA keys.
    """

    def __init__(self, directory: Directory, settings: Settings, passphrase: bytes) -> None:
        self._runner = asyncio.Runner()
        self._opening = open_authority(directory, settings, passphrase)
        self._parts: tuple[RestAPI, Repository] | None = None

    def request(
        self,
        method: str,
        path: str,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Answer one request; `mintmark.client.transport.Transport` says how.

        Raises:
            Error: as `open_authority`, at the first request.
        """
        body = b"" if json is None else msgspec.json.encode(json)
        sent = {"content-type": "application/json", **(headers or {})} if body else headers or {}
        # A path from outside may be anything; it is read as a server reads it.
        decoded, query = target.parse(path.encode())
        peer = Peer(address="", memo={LOCAL: LOCAL_ADMIN})
        request = Request(method, decoded, query, sent, body, peer)
        response = self._runner.run(self._answer(request))
        named = {name.lower(): value for name, value in response.headers}
        return Answer(
            response.status, {"content-type": response.content_type, **named}, response.body
        )

    def close(self) -> None:
        """Close the store."""
        if self._parts is not None:
            self._parts = None
            self._runner.run(self._opening.__aexit__(None, None, None))
        self._runner.close()

    async def _answer(self, request: Request) -> Response:
        if self._parts is None:
            opened = await self._opening.__aenter__()
            api = RestAPI(opened.authority, codec(opened.settings))
            self._parts = api, Repository(opened.authority)
        api, repository = self._parts
        part = api if request.path.startswith("/api/") else repository
        return await part.handle(request)


def local_transport(directory: Directory, settings: Settings, passphrase: bytes) -> Transport:
    """Return a transport into the authority's own directory."""
    return LocalTransport(directory, settings, passphrase)
