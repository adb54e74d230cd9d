"""A hundred clients and a million stored certificates: how long they wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bench import bulk, requests
from bench.authority import BenchAuthority, Running, serving
from bench.driver import drive
from bench.issuance import load
from bench.ocsp import stocked
from bench.report import Better, Figure
from mintmark.publication.checkpoint import sign_checkpoint
from mintmark.server.compose import open_authority

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.context import Bench

CLIENTS = 100
STEP = 10  # every tenth stored certificate belongs to the service that asks
API = "/api/v1/certificates"


def measure(bench: Bench) -> None:
    """Measure every operation that document 3 promises a time for."""
    count = 100_000 if bench.quick else 1_000_000
    authority = stocked(bench, "million", count)
    asyncio.run(_sequence(authority))
    area = f"{CLIENTS} clients at once, {count:,} certificates stored".replace(",", " ")
    few, many = bench.amount(4_000), bench.amount(9_000)
    ids = _ids(count)
    with serving(authority) as server:
        for name, milliseconds, texts in (
            ("request", 500, requests.issuance(bench.csrs(many))),
            ("renew", 300, (_renewal(next(ids)) for _ in range(many))),
            ("revoke", 100, (_revocation(next(ids)) for _ in range(many))),
            ("download", 50, (_get(f"/{next(ids)}/download?format=pem") for _ in range(many))),
            ("query, one certificate", 10, (_get(f"/{next(ids)}") for _ in range(many))),
            ("query, revocation of a serial", 10, (_check(next(ids)) for _ in range(many))),
            ("query, by name", 10, (_get(f"?name={bulk.name(at * STEP)}") for at in range(1, few))),
            (
                "query, expiring within 30 days",
                10,
                (_get("?expiring=30d&limit=10") for _ in range(few)),
            ),
            ("query, newest ten of a service", 10, (_get("?limit=10") for _ in range(few))),
        ):
            _one(bench, authority, server, area, name, milliseconds, texts)


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
    plan = load(authority, server, path, CLIENTS, bench.seconds, warm=200)
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
    for number in range(STEP, count, STEP):
        yield f"cert_{bulk.serial(number).hex()}"


def _renewal(id_: str) -> bytes:
    return requests.http("POST", f"{API}/{id_}/renew", b"{}")


def _revocation(id_: str) -> bytes:
    return requests.http("DELETE", f"{API}/{id_}/revoke", b'{"reason": "superseded"}')


def _get(rest: str) -> bytes:
    return requests.http("GET", API + rest)


def _check(id_: str) -> bytes:
    return requests.http("GET", f"/api/v1/crl/check/{id_.removeprefix('cert_')}")
