"""`/sign` and `/ssh/sign` of the step protocol, a fresh one-time token each; beside a peer.

The same client sends requests of the same form to both, one after the other in one run, over
TLS without client certificates. The peer, step-ca, is given by its path.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bench import requests, step_ca
from bench.driver import Answered, Load, drive
from bench.issuance import rates
from bench.report import Figure
from bench.step_tokens import ProvisionerKey, sign_requests, ssh_sign_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.authority import Running
    from bench.context import Bench

    Maker = Callable[[ProvisionerKey, str, int, int], Iterator[bytes]]

PEER = "step-ca"
TWICE = 2.0
CONCURRENCY = 64
COUNT = 16_000
WARM = 300
_MAKERS: dict[str, Maker] = {"/sign": sign_requests, "/ssh/sign": ssh_sign_requests}


def measure(bench: Bench) -> None:
    """Measure both endpoints here and, if there is one, at the peer."""
    binary = bench.peers.get(PEER)
    key = ProvisionerKey.generate()
    theirs: dict[str, Answered] = {}
    if binary is not None:
        with step_ca.serving(binary, bench.scratch / "step-ca", key) as server:
            theirs = _all(bench, server, key)
    for path, answered in theirs.items():
        rates(bench, f"{path} of {PEER}, concurrency {CONCURRENCY}", answered, None)


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
