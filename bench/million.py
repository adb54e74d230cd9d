"""A hundred clients and a million stored certificates: how long they wait.

Clients that never paused would measure how long the queue is that they make themselves, and
not how long the server takes.
"""

from __future__ import annotations

import asyncio
from itertools import islice, repeat
from typing import TYPE_CHECKING

from bench import bulk, requests
from bench.authority import BenchAuthority, Running, serving
from bench.driver import drive
from bench.issuance import load
from bench.ocsp import stocked
from bench.report import Better, Figure, number
from mintmark.publication.checkpoint import sign_checkpoint
from mintmark.server.compose import open_authority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.context import Bench

CLIENTS = 100
PAUSE = 0.2
"""Seconds a client waits between an answer and its next request: together some 500 a second."""
API = "/api/v1/certificates"


def measure(bench: Bench) -> None:
    """Measure every operation that is promised a time."""
    count = 100_000 if bench.quick else 1_000_000
    authority = stocked(bench, "million", count)
    asyncio.run(_sequence(authority))
    area = f"{CLIENTS} clients at once, {number(count)} certificates stored"
    ids = _ids(count)
    amount = int(CLIENTS / PAUSE * bench.seconds) + CLIENTS
    with serving(authority) as server:
        for name, milliseconds, texts in (
            ("request", 500, requests.issuance(bench.csrs(amount))),
            ("renew", 300, map(_renewal, ids)),
            ("revoke", 100, map(_revocation, ids)),
            ("download", 50, (_get(f"/{one}/download?format=pem") for one in ids)),
            ("query, one certificate", 10, (_get(f"/{one}") for one in ids)),
            ("query, revocation of a serial", 10, map(_check, ids)),
            ("query, by name", 10, (_get(f"?name={bulk.name(at)}") for at in range(5, count, 5))),
            ("query, expiring within 30 days", 10, repeat(_get("?expiring=30d&limit=10"))),
            ("query, newest ten of a service", 10, repeat(_get("?limit=10"))),
        ):
            _one(bench, authority, server, area, name, milliseconds, islice(texts, amount))


def _one(
    bench: Bench,
    authority: BenchAuthority,
    server: Running,
    area: str,
    name: str,
    milliseconds: float,
    texts: Iterator[bytes],
) -> None:
    path = bench.scratch / "million.requests"
    requests.save(path, texts)
    plan = load(authority, server, path, CLIENTS, bench.seconds, warm=CLIENTS, pause=PAUSE)
    answered = drive(plan, server.pid)
    facts = answered.facts
    add = bench.report.add
    add(Figure(area, f"{name}: p50", answered.p50 * 1000, "ms", milliseconds, Better.LESS, facts))
    add(Figure(area, f"{name}: p99", answered.p99 * 1000, "ms", milliseconds, Better.LESS))
    add(Figure(area, f"{name}: per second of server CPU", answered.per_core, "/core-second"))


async def _sequence(authority: BenchAuthority) -> None:
    """Give the bulk records their place in the audit log, as the server would."""
    async with open_authority(
        authority.directory, authority.settings, authority.passphrase
    ) as opened:
        store, clock = opened.authority.store, opened.authority.clock
        while await sign_checkpoint(store, opened.checkpoint_key, clock):
            pass


def _ids(count: int) -> Iterator[str]:
    """Yield ids of stored certificates of the service, none twice."""
    for one in range(bulk.OWN, count, bulk.OWN):
        yield f"cert_{bulk.serial(one).hex()}"


def _renewal(id_: str) -> bytes:
    return requests.http("POST", f"{API}/{id_}/renew", b"{}")


def _revocation(id_: str) -> bytes:
    return requests.http("DELETE", f"{API}/{id_}/revoke", b'{"reason": "superseded"}')


def _get(rest: str) -> bytes:
    return requests.http("GET", API + rest)


def _check(id_: str) -> bytes:
    return requests.http("GET", f"/api/v1/crl/check/{id_.removeprefix('cert_')}")
