"""The machine that figures belong to: without it they mean nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import ssl
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

_PROBES = 50


def describe(scratch: Path) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "tls": ssl.OPENSSL_VERSION,
        "sync_microseconds": sync_microseconds(scratch),
        **{
            name: importlib.metadata.version(name)
            for name in ("mintmark", "cryptography", "apsw", "asyncpg", "uvloop", "httptools")
        },
    }


def sync_microseconds(directory: Path) -> float:
    """Return what it costs to make 4 kB durable: the median of some."""
    costs = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(_PROBES):
            file.write(bytes(4096))
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            costs.append(time.perf_counter() - start)
    return statistics.median(costs) * 1e6


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor()
