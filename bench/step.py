"""`/sign` and `/ssh/sign` of the step protocol, a fresh one-time token each; beside a peer.

The same client sends requests of the same form to both, one after the other in one run, over
TLS without client certificates. The peer, step-ca, is given by its path.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from bench import requests, step_ca
from bench.authority import make, serving, settings
from bench.driver import Answered, Load, drive
from bench.issuance import rates
from bench.report import Figure
from bench.step_tokens import PROVISIONER, ProvisionerKey, sign_requests, ssh_sign_requests
from mintmark.server.settings.jwk_provisioner import JWKEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.authority import Running
    from bench.context import Bench

    Maker = Callable[[ProvisionerKey, str, int, int], Iterator[bytes]]

PEER = "step-ca"
TWICE = 2.0
CONCURRENCY = 64
COUNT = 16_000
WORKERS = os.cpu_count() or 1
WARM = 300
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


def _ours(bench: Bench, key: ProvisionerKey) -> dict[str, Answered]:
    entry = JWKEntry(name=PROVISIONER, type="jwk", key=key.jwk)
    configuration = settings(workers=WORKERS, provisioners=(entry,))
    authority = make(bench.scratch / "step", configuration)
    with serving(authority) as server:
        return _all(bench, server, key)


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
