"""One running server process: every part made, connected, started and stopped here."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import uvloop
from msgspec import structs

from mintmark.authority.issuance.ssh_keys import SSHKeys
from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.limits import Refusals
from mintmark.authority.workflow import provisioners
from mintmark.client.oidc import OpenIDProviders
from mintmark.model.errors import Error
from mintmark.model.time import Clock
from mintmark.protocol.acme.background import Validations
from mintmark.protocol.acme.server import ACMEServer
from mintmark.protocol.ocsp.endpoint import OCSPEndpoint
from mintmark.protocol.repository.routes import Repository
from mintmark.protocol.rest.api import RestAPI
from mintmark.protocol.step.server import StepServer
from mintmark.publication.ocsp import Responder
from mintmark.publication.publisher import PublicationSettings, Publisher
from mintmark.server import compose, ssh_files, workers
from mintmark.server.compose import Opened, open_authority
from mintmark.server.connection import Answer, App
from mintmark.server.directory import Directory
from mintmark.server.in_force import record_configuration
from mintmark.server.limits import Limits
from mintmark.server.listener import Endpoint, bind, check_free, serve
from mintmark.server.local import finish_own, publish_root_crl, record_ssh_keys
from mintmark.server.settings import Settings
from mintmark.server.tls import ServerTLS
from mintmark.server.upkeep import Upkeep, tls_settings, watch_provisioners
from mintmark.wire.http import Request

log = logging.getLogger(__name__)

# Start-up leaves some 10^5 objects that live for ever; an act leaves few and none in cycles.
GC_THRESHOLD: Final = 50_000
# The repository's paths on the HTTPS port, where the rest belongs to the step protocol.
REPOSITORY: Final = ("/crl/", "/issuer/")
SSH_FILES: Final = frozenset({"/ssh/krl", "/ssh/user_ca.pub", "/ssh/host_ca.pub"})
# What the step protocol serves without TLS too.
STEP_CRL: Final = frozenset({"/crl", "/1.0/crl"})


def run(
    directory: Directory,
    settings: Settings,
    passphrase: bytes,
    *,
    ready: Callable[[], None] = lambda: None,
) -> int:
    """Serve until a signal says to stop, in as many processes as configured.

    Args:
        directory: the authority's files.
        settings: its configuration.
        passphrase: of its CA keys.
        ready: called once, when the first process accepts connections.

    Returns:
        The exit code.

    Raises:
        Error: CONFIGURATION or UNAVAILABLE, when it cannot start.
    """
    for host in settings.server.listen:
        for port in (settings.server.https_port, settings.server.http_port):
            check_free(host, port)

    def work(worker: workers.Worker) -> None:
        def started() -> None:
            worker.ready()
            if worker.index == 0 and not worker.restarted:
                ready()

        uvloop.run(process(directory, settings, passphrase, started=started, anew=worker.restarted))

    return workers.run(settings.server.workers, work)


async def process(
    directory: Directory,
    settings: Settings,
    passphrase: bytes,
    *,
    started: Callable[[], None] = lambda: None,
    clock: Clock = time.time,
    stopping: asyncio.Event | None = None,
    anew: bool = False,
) -> None:
    """Serve in this process until `stopping` is set or a signal comes.

    Args:
        directory: the authority's files.
        settings: its configuration.
        passphrase: of its CA keys.
        started: called when connections are accepted.
        clock: Unix seconds.
        stopping: ends the server; SIGTERM and SIGINT set it.
        anew: whether the files are read again that `reload` takes up: who is started in place
            of a crashed process must not go back to what was revoked from somebody since.

    Raises:
        Error: as `run`.
    """
    stopping = stopping or asyncio.Event()
    providers = OpenIDProviders(clock)
    async with open_authority(
        directory, settings, passphrase, clock=clock, providers=providers
    ) as opened:
        await publish_root_crl(opened, passphrase)
        await record_ssh_keys(opened.authority)
        responder = await Responder.start(opened.authority, settings.issuer.ocsp_lifetime)
        finish_own(directory.server)
        tls = ServerTLS(tls_settings(opened))
        publisher = Publisher(
            opened.authority,
            opened.checkpoint_key,
            PublicationSettings(settings.issuer.crl_lifetime),
        )
        if not anew or not await reload(opened, tls):
            await record_configuration(opened.authority, settings)
        await publisher.turn()  # a new authority has a CRL before its first client
        reloading = asyncio.Event()
        workers.handle_signals(stopping.set, reloading.set)
        _quiet_collector()
        validations = compose.validations(opened)
        tasks = [
            asyncio.create_task(each)
            for each in (
                publisher.run(),
                responder.run(),
                Upkeep(opened, tls).run(),
                watch_provisioners(opened.authority),
                validations.run(),
                _reload_when(reloading, opened, tls),
            )
        ]
        try:
            endpoints = _endpoints(opened, responder, tls, validations)
            await serve(endpoints, clock, stopping, ready=started)
        finally:
            await _cancel(tasks)
            await validations.stop()


def https_app(api: RestAPI, acme: ACMEServer, repository: Repository, step: StepServer) -> App:
    """Return what answers on the HTTPS port: the API, ACME, the repository, and step.

    Step's paths stand at the root, and its clients read every refusal as JSON: what nobody else
    has is answered there.
    """

    def answer(request: Request) -> Answer:
        path = request.path
        if path.startswith("/api/"):
            return api.handle(request)
        if path.startswith("/acme/"):
            return acme.handle(request)
        if path.startswith("/2.0/acme/"):  # where old step clients look for the directory
            return acme.handle(structs.replace(request, path=path.removeprefix("/2.0")))
        if path.startswith(REPOSITORY) or path in SSH_FILES:
            return repository.handle(request)
        return step.handle(request)

    return answer


def http_app(ocsp: OCSPEndpoint, repository: Repository, step: StepServer) -> App:
    """Return what answers on the plain port: OCSP, CRLs, issuers, health."""

    def answer(request: Request) -> Answer:
        if request.path.startswith("/ocsp"):
            return ocsp.handle(request)
        if request.path in STEP_CRL:
            return step.handle(request)
        return repository.handle(request)

    return answer


def _endpoints(
    opened: Opened, responder: Responder, tls: ServerTLS, validations: Validations
) -> list[Endpoint]:
    server = opened.settings.server
    repository = Repository(opened.authority)
    names = opened.settings.acme.validation.issuer_domain_names
    acme = ACMEServer(opened.authority, validations, names)
    step = StepServer(opened.authority, repository)
    api = https_app(
        RestAPI(opened.authority, compose.codec(opened.settings)), acme, repository, step
    )
    plain = http_app(OCSPEndpoint(responder), repository, step)
    limits = Limits(
        connections=server.limits.connections,
        connections_per_address=server.limits.connections_per_address,
        header_bytes=server.limits.header_bytes,
        body_bytes=server.limits.body_bytes,
        header_seconds=server.limits.header_timeout,
        body_seconds=server.limits.body_timeout,
        idle_seconds=server.limits.idle_timeout,
    )
    shared = server.workers > 1
    endpoints = []
    for host in server.listen:
        secure = bind(host, server.https_port, shared=shared)
        endpoints.append(Endpoint(secure, api, tls=tls, limits=limits))
        # Base64 in the path of OCSP over GET has slashes (RFC 6960 appendix A.1).
        public = bind(host, server.http_port, shared=shared)
        endpoints.append(Endpoint(public, plain, limits=limits, encoded_slash=True))
    return endpoints


async def _reload_when(asked: asyncio.Event, opened: Opened, tls: ServerTLS) -> None:
    """Reload whenever it is asked for, once for all who ask meanwhile, until cancelled."""
    while True:
        await asked.wait()
        asked.clear()
        try:
            await reload(opened, tls)
        except Exception:
            log.exception("the configuration was not taken up")


async def reload(opened: Opened, tls: ServerTLS) -> bool:
    """Take up whitelist, profiles, limits, SSH CA keys and the server's certificate from files.

    What is wrong is logged, and everything stays as it was; so it does when it cannot be put on
    record. Addresses, ports, storage and workers need a restart.

    Returns:
        Whether it was taken up.
    """
    authority = opened.authority
    try:
        settings = opened.directory.settings()
        # What is wrong is said before it is on record.
        _ready(opened, settings)
        ServerTLS(tls_settings(opened))
        await record_configuration(authority, settings)
        # Upkeep may have taken up newer keys meanwhile; from here on nothing waits.
        ssh, policy = _ready(opened, settings)
        tls.reload(tls_settings(opened))
    except Error as error:
        log.error("the configuration was not taken up: %s", error.detail)  # noqa: TRY400 - the sentence says it all
        return False
    authority.ssh = ssh
    provisioners.configure(authority, policy)
    authority.limits = compose.limits(settings)
    authority.refusals = Refusals()  # what was refused under other limits is asked anew
    log.info("the configuration was taken up (process %d)", os.getpid())
    return True


def _ready(opened: Opened, settings: Settings) -> tuple[SSHKeys, Policy]:
    """Return the SSH CA keys of the files, and the policy of a configuration with them.

    Raises:
        Error: CONFIGURATION.
    """
    ssh = ssh_files.load(opened.directory, opened.passphrase, opened.authority.ssh)
    return ssh, compose.policy(settings, opened.authority.issuers, ssh)


def _quiet_collector() -> None:
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, 50, 50)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
