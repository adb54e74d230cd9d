"""Certificates for CSRs over mutual TLS, beside the floor: on kept and on fresh connections."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import apsw

from bench.authority import BenchAuthority, Running, make, serving, settings
from bench.context import GROUP, Bench
from bench.driver import Answered, Floor, Load, between, drive
from bench.processes import memory
from bench.report import Better, Figure

if TYPE_CHECKING:
    from pathlib import Path

PER_CORE = 5000
FRESH_PER_CORE = 900  # OpenSSL 3.0; 1 100 from 3.5 on
HALF = 0.5
MEGABYTE = 1_000_000


def measure(bench: Bench) -> None:
    """Measure issuance at concurrency 1, 16 and 64, then what it left behind."""
    authority = make(bench.scratch / "issuance", settings())
    empty = stored_bytes(authority.database)
    issued = 0
    with serving(authority) as server:
        for concurrency, count in ((1, 8_000), (16, 30_000), (64, 42_000)):
            issued += _keep_alive(bench, authority, server, concurrency, bench.amount(count))
        kept = memory(server.pid)
        for concurrency, count in ((1, 4_000), (16, 5_000), (64, 5_000)):
            issued += _fresh(bench, authority, server, concurrency, bench.amount(count))
        # The server has the intermediate: a client may leave it out, and spare it decoding it.
        alone = replace(authority, certificate=authority.leaf)
        issued += _fresh(bench, alone, server, 64, bench.amount(5_000), "a leaf alone")
    area = "after issuance"
    bench.report.add(
        Figure(area, "resident memory of the process", kept.now / MEGABYTE, "MB", 100, Better.LESS)
    )
    size = (stored_bytes(authority.database) - empty) / issued
    bench.report.add(
        Figure(
            area,
            "stored for a certificate with its audit leaf",
            size,
            "octets",
            1400,
            Better.LESS,
            {"certificates": issued},
        )
    )


def load(
    authority: BenchAuthority,
    server: Running,
    requests: Path,
    concurrency: int,
    seconds: float,
    **more: float,
) -> Load:
    """Return a load over mutual TLS by the service of the bench."""
    return Load(
        server.https,
        requests,
        concurrency,
        seconds,
        certificate=str(authority.certificate),
        key=str(authority.key),
        **more,  # type: ignore[arg-type]
    )


def stored_bytes(database: Path) -> int:
    """Return how many octets of a database file are in use; the server is not running."""
    connection = apsw.Connection(str(database))
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").get
            for name in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)
    finally:
        connection.close()


def _keep_alive(
    bench: Bench, authority: BenchAuthority, server: Running, concurrency: int, count: int
) -> int:
    warm = max(200, concurrency * 4)
    requests = bench.issuance(f"kept-{concurrency}", count + warm)
    plan = load(authority, server, requests, concurrency, bench.seconds, warm=warm)
    single_before = bench.floor(1)
    grouped, answered = between(lambda: bench.floor(GROUP), lambda: drive(plan, server.pid))
    single = bench.floor(1)
    single = Floor(
        (single.rate + single_before.rate) / 2, (single.per_core + single_before.per_core) / 2
    )
    area = f"issuance, mutual TLS kept alive, concurrency {concurrency}"
    promised = concurrency == 64
    rates(bench, area, answered, PER_CORE if promised else None)
    for name, one in (("one certificate", single), (f"{GROUP} certificates", grouped)):
        bench.report.add(
            Figure(
                area,
                f"floor, {name} a commit",
                one.per_core,
                "/core-second",
                details={"rate": one.rate},
            )
        )
        bench.report.add(
            Figure(
                area,
                f"of the floor with {name} a commit",
                answered.per_core / one.per_core,
                "ratio",
                HALF if promised else None,
            )
        )
    return answered.good + warm


def _fresh(
    bench: Bench,
    authority: BenchAuthority,
    server: Running,
    concurrency: int,
    count: int,
    shown: str = "a leaf and its intermediate",
) -> int:
    warm = 50
    requests = bench.issuance(f"fresh-{concurrency}", count + warm)
    plan = load(authority, server, requests, concurrency, bench.seconds, warm=warm, fresh=True)
    answered = drive(plan, server.pid)
    area = f"issuance, a fresh mutual TLS connection each with {shown}, concurrency {concurrency}"
    rates(bench, area, answered, FRESH_PER_CORE if concurrency == 64 else None)
    return answered.good + warm


def rates(
    bench: Bench, area: str, answered: Answered, target: float | None, what: str = "certificates"
) -> None:
    """Report rate, latency and cost of one load."""
    facts = answered.facts
    milliseconds = 1000.0
    add = bench.report.add
    add(
        Figure(
            area,
            f"{what} per second of server CPU",
            answered.per_core,
            "/core-second",
            target,
            details=facts,
        )
    )
    add(Figure(area, f"{what} per second, wall clock", answered.rate, "/s"))
    add(Figure(area, "server CPU each", milliseconds / answered.per_core, "ms"))
    add(Figure(area, "half of them answered within (p50)", answered.p50 * milliseconds, "ms"))
    add(Figure(area, "99 of 100 answered within (p99)", answered.p99 * milliseconds, "ms"))
