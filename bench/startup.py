"""Start-up: from the command to the first answer, and what `--help` takes."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.authority import environment, make, serving, settings
from bench.processes import memory
from bench.report import Better, Figure

if TYPE_CHECKING:
    from bench.context import Bench

SERVING = 1000.0
HELP = 150.0
RESIDENT = 100.0
AREA = "start-up"


def measure(bench: Bench) -> None:
    """Take the median of several starts."""
    authority = make(bench.scratch / "startup", settings())
    starts, resident = [], 0
    for _ in range(3 if bench.quick else 7):
        with serving(authority) as server:
            starts.append(server.start_seconds * 1000)
            resident = memory(server.pid).now
    add = bench.report.add
    serve = "`mintmark serve` to the first answer"
    add(Figure(AREA, serve, statistics.median(starts), "ms", SERVING, Better.LESS, {"all": starts}))
    helps = [_help_seconds() * 1000 for _ in range(5 if bench.quick else 15)]
    name = "`mintmark --help`"
    add(Figure(AREA, name, statistics.median(helps), "ms", HELP, Better.LESS, {"all": helps}))
    name = "resident memory after the start"
    add(Figure(AREA, name, resident / 1_000_000, "MB", RESIDENT, Better.LESS))


def _help_seconds() -> float:
    """Run the installed command, as a user does."""
    command = Path(sys.executable).with_name("mintmark")
    start = time.perf_counter()
    subprocess.run(
        [os.fspath(command), "--help"], check=True, stdout=subprocess.DEVNULL, env=environment()
    )
    return time.perf_counter() - start
