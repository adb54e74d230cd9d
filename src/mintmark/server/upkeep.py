"""Upkeep: the server's own certificates renew themselves, without dropping a connection.

Two thirds of its life spent, a certificate is issued again with a new key. Several processes
share the files: a lease lets one of them renew, and all of them watch the files and take up
what changed, whoever changed it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.provisioners import refresh
from mintmark.model.errors import Error, Kind
from mintmark.server import ssh_files
from mintmark.server.compose import Opened, protecting
from mintmark.server.directory import KeyFiles
from mintmark.server.local import adopt_root_crl, finish_own, record_ssh_keys, write_own
from mintmark.server.own import OwnCertificate, admin_certificate, server_certificate
from mintmark.server.tls import ServerTLS, TLSSettings
from mintmark.wire import certificate as wire_certificate

log = logging.getLogger(__name__)

PERIOD: Final = 10.0  # seconds between looks at the files
LEASE: Final = 60  # seconds
PROVISIONERS_PERIOD: Final = 1.0  # seconds until all servers know of a change


def tls_settings(opened: Opened) -> TLSSettings:
    """Return what the HTTPS port shows, and whose client certificates it believes."""
    issuers = opened.authority.issuers
    anchors = dict.fromkeys(der for issuer in issuers for der in (issuer.der, issuer.root))
    server = opened.directory.server
    return TLSSettings(server.fullchain, server.key, tuple(anchors))


class Upkeep:
    """Keeps own certificates fresh for one process.

    Args:
        opened: the authority.
        tls: what the HTTPS port uses.
    """

    def __init__(self, opened: Opened, tls: ServerTLS) -> None:
        self._opened = opened
        self._tls = tls
        self._holder = secrets.token_hex(8)
        self._seen = self._stamp()
        self._crl = _modified(opened.directory.root.crl)
        self._ssh = ssh_files.stamp(opened.directory)

    async def run(self, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        """Look after the certificates until cancelled; what fails is tried again."""
        while True:
            try:
                await self.turn()
            except Error as error:
                log.warning("own certificates: %s", error.detail)
            except Exception:
                log.exception("own certificates could not be looked after")
            await sleep(PERIOD)

    async def turn(self) -> None:
        """Renew what is due, and take up what changed."""
        directory, authority = self._opened.directory, self._opened.authority
        for files in (directory.server, directory.admin):
            finish_own(files)
        if self._due(directory.server):
            await self._renew(
                directory.server, lambda: server_certificate(authority, self._opened.settings)
            )
        if self._due(directory.admin):
            await self._renew(directory.admin, lambda: admin_certificate(authority))
        stamp = self._stamp()
        if stamp != self._seen:
            self._tls.reload(tls_settings(self._opened))
            self._seen = stamp
            log.info("the server's certificate was taken up from its files")
        crl = _modified(directory.root.crl)
        if crl != self._crl:
            self._crl = crl
            await adopt_root_crl(self._opened)
        ssh = ssh_files.stamp(directory)
        if ssh != self._ssh:
            take_up_ssh_keys(self._opened)
            await record_ssh_keys(authority)
            self._ssh = ssh  # files that did not fit each other yet are looked at again

    async def _renew(self, files: KeyFiles, issue: Callable[[], Awaitable[OwnCertificate]]) -> None:
        authority = self._opened.authority
        held = await authority.store.lease(
            f"own:{files.path.name}", self._holder, LEASE, authority.clock()
        )
        if held and self._due(files):
            _require_writable(files)
            write_own(files, self._opened, await issue())
            log.info("certificate '%s' was renewed", files.certificate)

    def _due(self, files: KeyFiles) -> bool:
        """Whether two thirds of a certificate's life are over."""
        parsed = wire_certificate.parse(files.certificate_der())
        lifetime = parsed.not_after - parsed.not_before
        return self._opened.authority.clock() > parsed.not_before + lifetime * 2 // 3

    def _stamp(self) -> tuple[int, int]:
        """Return what changes when the server's key or certificate is replaced."""
        server = self._opened.directory.server
        return server.key.stat().st_ino, server.fullchain.stat().st_ino


def take_up_ssh_keys(opened: Opened) -> None:
    """Let the SSH CA keys of the directory sign and be trusted from now on.

    Raises:
        Error: CONFIGURATION when the files do not fit each other; everything stays as it was.
    """
    authority = opened.authority
    authority.ssh = ssh_files.load(opened.directory, opened.passphrase, authority.ssh)
    authority.policy = protecting(authority.policy, authority.ssh)
    log.info("%d SSH CA keys were taken up from their files", len(authority.ssh.trusted))


async def watch_provisioners(
    authority: Authority, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep
) -> None:
    """Take up provisioners that other servers changed, until cancelled.

    What fails is told once and tried again; until then those known last stay in force.
    """
    failed = ""
    while True:
        try:
            await refresh(authority)
            failed = ""
        except Error as error:
            if error.detail != failed:
                failed = error.detail
                log.warning("provisioners cannot be read: %s", failed)
        except Exception:
            log.exception("provisioners could not be looked after")
        await sleep(PROVISIONERS_PERIOD)


def _require_writable(files: KeyFiles) -> None:
    """Refuse to issue what could not be kept: it would be issued again at every turn.

    Raises:
        Error: CONFIGURATION.
    """
    if not os.access(files.path, os.W_OK):
        raise Error(
            Kind.CONFIGURATION,
            f"certificate '{files.certificate}' is due and its directory cannot be written",
        )


def _modified(path: Path) -> int:
    """Return when a file was last changed, 0 when there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
