"""PostgreSQL against SQLite: what a server process reaches, and what the database costs."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from bench import issuance
from bench.authority import BenchAuthority, make, serving, settings
from bench.driver import Answered, drive
from bench.report import Better, Figure
from tests.postgresql import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.context import Bench

CONCURRENCY = 64
WARM = 500
RATIO = 0.7
AREA = "PostgreSQL and SQLite, concurrency 64"


def measure(bench: Bench) -> None:
    """Measure SQLite, PostgreSQL, and SQLite again."""
    with _cluster() as cluster:
        sqlite = make(bench.scratch / "sqlite", settings())
        url = cluster.database()
        postgresql = make(bench.scratch / "postgresql", settings(storage_url=url))
        empty = asyncio.run(_size(url))
        before = _run(bench, sqlite, "sqlite-before")
        there = _run(bench, postgresql, "postgresql", cluster.pid)
        after = _run(bench, sqlite, "sqlite-after")
        size = (asyncio.run(_size(url)) - empty) / (there.count + WARM)
    per_core = (before.per_core + after.per_core) / 2
    details = {"before": before.facts, "postgresql": there.facts, "after": after.facts}
    add = bench.report.add
    add(Figure(AREA, "SQLite, per second of server CPU", per_core, "/core-second"))
    add(Figure(AREA, "PostgreSQL, per second of server CPU", there.per_core, "/core-second"))
    ratio = there.per_core / per_core
    add(Figure(AREA, "PostgreSQL to SQLite", ratio, "ratio", RATIO, details=details))
    own = there.other_cpu_seconds / there.good * 1000
    add(Figure(AREA, "CPU of PostgreSQL itself, a certificate", own, "ms"))
    add(Figure(AREA, "PostgreSQL, certificates per second, wall clock", there.rate, "/s"))
    add(Figure(AREA, "PostgreSQL, 99 of 100 within (p99)", there.p99 * 1000, "ms"))
    add(Figure(AREA, "PostgreSQL, stored for a certificate", size, "octets", None, Better.LESS))


def _run(bench: Bench, authority: BenchAuthority, name: str, *others: int) -> Answered:
    requests = bench.issuance(name, bench.amount(36_000) + WARM)
    with serving(authority) as server:
        plan = issuance.load(authority, server, requests, CONCURRENCY, bench.seconds, warm=WARM)
        return drive(plan, server.pid, *others)


@contextmanager
def _cluster() -> Iterator[Cluster]:
    """Run a throw-away PostgreSQL whose commits survive a power cut."""
    try:
        cluster = Cluster(fsync=True)
    except pytest.skip.Exception as missing:
        raise RuntimeError(str(missing)) from missing
    try:
        yield cluster
    finally:
        cluster.remove()


async def _size(url: str) -> int:
    """Return how many octets the database's tables and indexes take."""
    connection = await asyncpg.connect(url)
    try:
        size: int = await connection.fetchval(
            "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace NOT IN ('pg_catalog'::regnamespace,"
            " 'information_schema'::regnamespace)"
        )
        return size
    finally:
        await connection.close()
