"""`/sign` and `/ssh/sign` of the step protocol, a fresh one-time token each; beside a peer.

The same client sends requests of the same form to both, one after the other in one run, over
TLS without client certificates. The peer, step-ca, is given by its path.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from bench import requests, step_ca
from bench.authority import make, serving, settings
from bench.driver import Answered, Load, drive
from bench.issuance import rates
from bench.report import Figure
from bench.step_tokens import PROVISIONER, ProvisionerKey, sign_requests, ssh_sign_requests
from mintmark.protocol.repository.routes import Repository
from mintmark.protocol.step.server import StepServer
from mintmark.server.compose import open_authority
from mintmark.server.settings.jwk_provisioner import JWKEntry
from mintmark.wire.http import Peer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.authority import BenchAuthority, Running
    from bench.context import Bench
    from mintmark.server.settings import Settings

    Maker = Callable[[ProvisionerKey, str, int, int], Iterator[bytes]]

PEER = "step-ca"
TWICE = 2.0
CONCURRENCY = 64
COUNT = 16_000
WORKERS = os.cpu_count() or 1
WARM = 300
COUNTED = 256
"""Certificates whose rows and commits are counted."""
_MAKERS: dict[str, Maker] = {"/sign": sign_requests, "/ssh/sign": ssh_sign_requests}


def measure(bench: Bench) -> None:
    """Measure both endpoints here, with as many processes as cores, and at the peer."""
    key = ProvisionerKey.generate()
    ours = _ours(bench, key)
    theirs = _theirs(bench, key)
    for path in _MAKERS:
        rates(bench, f"{path}, concurrency {CONCURRENCY}, {WORKERS} processes", ours[path], None)
        if path in theirs:
            rates(bench, f"{path} of {PEER}, concurrency {CONCURRENCY}", theirs[path], None)
            _compare(bench, path, ours[path], theirs[path])
    counted = make(bench.scratch / "step-counted", _configuration(key))
    for path in _MAKERS:
        for concurrency in (1, CONCURRENCY):
            asyncio.run(_count(bench, counted, key, path, concurrency))


def _ours(bench: Bench, key: ProvisionerKey) -> dict[str, Answered]:
    authority = make(bench.scratch / "step", _configuration(key, WORKERS))
    with serving(authority) as server:
        return _all(bench, server, key)


def _configuration(key: ProvisionerKey, workers: int = 1) -> Settings:
    entry = JWKEntry(name=PROVISIONER, type="jwk", key=key.jwk)
    return settings(workers=workers, provisioners=(entry,))


def _theirs(bench: Bench, key: ProvisionerKey) -> dict[str, Answered]:
    if (binary := bench.peers.get(PEER)) is None:
        return {}
    with step_ca.serving(binary, bench.scratch / PEER, key) as server:
        return _all(bench, server, key)


def _compare(bench: Bench, path: str, ours: Answered, theirs: Answered) -> None:
    area = f"{path}, beside {PEER}"
    add = bench.report.add
    add(Figure(area, "throughput by the wall clock", ours.rate / theirs.rate, "ratio", TWICE))
    add(Figure(area, "per second of server CPU", ours.per_core / theirs.per_core, "ratio"))


def _all(bench: Bench, server: Running, key: ProvisionerKey) -> dict[str, Answered]:
    """Load one server with both endpoints."""
    return {path: _load(bench, server, key, path) for path in _MAKERS}


def _load(bench: Bench, server: Running, key: ProvisionerKey, path: str) -> Answered:
    """Send as many requests as there is time for; the tokens are younger than the server."""
    file = bench.scratch / f"step{path.replace('/', '-')}.requests"
    host = f"localhost:{server.https}"
    made = _MAKERS[path](key, host, int(time.time()), bench.amount(COUNT) + WARM)
    requests.save(file, made)
    plan = Load(server.https, file, CONCURRENCY, bench.seconds, warm=WARM, tls=True)
    return drive(plan, server.pid)


async def _count(
    bench: Bench, authority: BenchAuthority, key: ProvisionerKey, path: str, concurrency: int
) -> None:
    """Report what a certificate costs the database, asked for in this process."""
    area = f"{path} in the database, concurrency {concurrency}"
    bodies = [
        one.partition(b"\r\n\r\n")[2]
        for one in _MAKERS[path](key, "localhost", int(time.time()), COUNTED)
    ]
    opening = open_authority(authority.directory, authority.settings, authority.passphrase)
    async with opening as opened:
        server = StepServer(opened.authority, Repository(opened.authority))
        store = opened.authority.store
        before = store.statistics()
        for at in range(0, COUNTED, concurrency):
            await asyncio.gather(
                *(_ask(server, path, body) for body in bodies[at : at + concurrency])
            )
        after = store.statistics()
    for name, value, unit in (
        ("commits, each", after.commits - before.commits, "commits"),
        ("rows written, each", after.rows - before.rows, "rows"),
    ):
        bench.report.add(Figure(area, name, value / COUNTED, unit))


async def _ask(server: StepServer, path: str, body: bytes) -> None:
    headers = {"host": "localhost", "content-type": "application/json"}
    answer = await server.handle(Request("POST", path, "", headers, body, Peer("127.0.0.1")))
    if answer.status != 201:
        raise RuntimeError(f"{path} was refused: {answer.body.decode()}")
