"""`/sign` and `/ssh/sign` of the step protocol, a fresh one-time token each; beside a peer.

The same client sends requests of the same form to both, one after the other in one run, over
TLS without client certificates. The peer, step-ca, is given by its path, and runs as its own
`step ca init --ssh` leaves it: all keys of P-256, so ours are too, and a line in the log for every
request. That it could do without, so it is measured without as well.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING

from bench import requests, step_ca
from bench.authority import make, serving, settings
from bench.context import GROUP
from bench.driver import Answered, Load, drive
from bench.issuance import rates
from bench.report import Figure
from bench.step_tokens import PROVISIONER, ProvisionerKey, sign_requests, ssh_sign_requests
from mintmark.model.keys import KeyType
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
NO_LOG = f"{PEER} without its log"
TWICE = 2.0
CONCURRENCIES = (64, 256)
COUNT = 24_000
WORKERS = os.cpu_count() or 1
WARM = 300
COUNTED = 256
"""Certificates whose rows and commits are counted."""
_MAKERS: dict[str, Maker] = {"/sign": sign_requests, "/ssh/sign": ssh_sign_requests}


def measure(bench: Bench) -> None:
    """Measure both endpoints here, with as many processes as cores, and at the peer."""
    key = ProvisionerKey.generate()
    ours = _ours(bench, key)
    theirs = {name: _theirs(bench, key, name) for name in (PEER, NO_LOG) if PEER in bench.peers}
    for what, answered in ours.items():
        rates(bench, f"{what}, {WORKERS} processes", answered, None)
        for name, peers in theirs.items():
            rates(bench, f"{what}, of {name}", peers[what], None)
            target = TWICE if name == PEER else None
            _compare(bench, f"{what}, beside {name}", answered, peers[what], target)
    counted = make(bench.scratch / "step-counted", _configuration(key))
    for path in _MAKERS:
        for concurrency in (1, GROUP):
            asyncio.run(_count(bench, counted, key, path, concurrency))


def _ours(bench: Bench, key: ProvisionerKey) -> dict[str, Answered]:
    authority = make(bench.scratch / "step", _configuration(key, WORKERS), KeyType.EC_P256)
    with serving(authority) as server:
        return _all(bench, server, key)


def _configuration(key: ProvisionerKey, workers: int = 1) -> Settings:
    entry = JWKEntry(name=PROVISIONER, type="jwk", key=key.jwk)
    return settings(workers=workers, provisioners=(entry,))


def _theirs(bench: Bench, key: ProvisionerKey, name: str) -> dict[str, Answered]:
    path = bench.scratch / name.replace(" ", "-")
    with step_ca.serving(bench.peers[PEER], path, key, logs=name == PEER) as server:
        return _all(bench, server, key)


def _compare(
    bench: Bench, area: str, ours: Answered, theirs: Answered, target: float | None
) -> None:
    add = bench.report.add
    add(Figure(area, "throughput by the wall clock", ours.rate / theirs.rate, "ratio", target))
    add(Figure(area, "per second of server CPU", ours.per_core / theirs.per_core, "ratio"))


def _all(bench: Bench, server: Running, key: ProvisionerKey) -> dict[str, Answered]:
    """Load one server with both endpoints."""
    return {
        f"{path}, concurrency {concurrency}": _load(bench, server, key, path, concurrency)
        for path in _MAKERS
        for concurrency in CONCURRENCIES
    }


def _load(
    bench: Bench, server: Running, key: ProvisionerKey, path: str, concurrency: int
) -> Answered:
    """Send as many requests as there is time for; the tokens are younger than the server."""
    file = bench.scratch / f"step{path.replace('/', '-')}.requests"
    host = f"localhost:{server.https}"
    made = _MAKERS[path](key, host, int(time.time()), bench.amount(COUNT) + WARM)
    requests.save(file, made)
    plan = Load(server.https, file, concurrency, bench.seconds, warm=WARM, tls=True)
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
