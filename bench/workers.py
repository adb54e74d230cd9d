"""One process against two on one SQLite file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import issuance
from bench.authority import BenchAuthority, make, serving, settings
from bench.driver import Answered, drive
from bench.report import Figure

if TYPE_CHECKING:
    from bench.context import Bench

CONCURRENCY = 64
RATIO = 1.6
AREA = "two processes on one SQLite file, concurrency 64"


def measure(bench: Bench) -> None:
    """Measure one process, two processes, and one process again."""
    one = make(bench.scratch / "one-worker", settings())
    two = make(bench.scratch / "two-workers", settings(workers=2))
    before = _run(bench, one, "before")
    both = _run(bench, two, "both")
    after = _run(bench, one, "after")
    per_core = (before.per_core + after.per_core) / 2
    rate = (before.rate + after.rate) / 2
    details = {"before": before.facts, "both": both.facts, "after": after.facts}
    add = bench.report.add
    add(Figure(AREA, "certificates per second of server CPU, one", per_core, "/core-second"))
    add(Figure(AREA, "certificates per second of server CPU, two", both.per_core, "/core-second"))
    add(
        Figure(
            AREA,
            "two to one, on a core each (2 x per second of CPU)",
            2 * both.per_core / per_core,
            "ratio",
            RATIO,
            details=details,
        )
    )
    add(Figure(AREA, "certificates per second, wall clock, one", rate, "/s"))
    add(Figure(AREA, "certificates per second, wall clock, two", both.rate, "/s"))
    add(
        Figure(
            AREA, "two to one, wall clock, the client on the same cores", both.rate / rate, "ratio"
        )
    )


def _run(bench: Bench, authority: BenchAuthority, name: str) -> Answered:
    warm = 500
    requests = bench.issuance(f"workers-{name}", bench.amount(48_000) + warm)
    with serving(authority) as server:
        plan = issuance.load(authority, server, requests, CONCURRENCY, bench.seconds, warm=warm)
        return drive(plan, server.pid)
