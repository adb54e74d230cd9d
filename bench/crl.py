"""A CRL of a million entries: from the store, signed, published; in a process of its own.

Run as `python -m bench.crl DIRECTORY`, it publishes once and writes seconds and peak memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import bulk
from bench.authority import make, settings
from bench.processes import memory
from bench.report import Better, Figure, number
from mintmark.authority.signer.files import read_secret
from mintmark.publication.crl import publish
from mintmark.server.compose import open_authority
from mintmark.server.directory import Directory

if TYPE_CHECKING:
    from bench.context import Bench

SECONDS = 1.0
MEGABYTES = 400
MEGABYTE = 1_000_000
DAY = 86_400


def measure(bench: Bench) -> None:
    """Publish a CRL of a million entries (a hundred thousand when quick)."""
    entries = 100_000 if bench.quick else 1_000_000
    authority = make(bench.scratch / "crl", settings())
    bulk.revocations(authority.database, _issuer(authority.path), entries)
    runs = [_publish(authority.path) for _ in range(1 if bench.quick else 3)]
    best = sorted(runs, key=lambda run: run["seconds"])[len(runs) // 2]
    area = f"CRL of {number(entries)} entries"
    add = bench.report.add
    add(
        Figure(area, "read, signed and published", best["seconds"], "s", SECONDS, Better.LESS, best)
    )
    add(Figure(area, "CPU of that", best["cpu_seconds"], "s"))
    peak = best["peak"] / MEGABYTE
    add(Figure(area, "peak resident memory of the process", peak, "MB", MEGABYTES, Better.LESS))
    add(Figure(area, "size", best["size"] / MEGABYTE, "MB"))


def _issuer(path: Path) -> str:
    files = Directory(path)
    passphrase = read_secret(files.path / "passphrase")

    async def name() -> str:
        async with open_authority(files, files.settings(), passphrase) as opened:
            return opened.authority.issuing.issuer.id

    return asyncio.run(name())


def _publish(path: Path) -> dict[str, float]:
    """Publish in a fresh process, so that the peak is its own."""
    output = subprocess.run(
        [sys.executable, "-m", "bench.crl", str(path)], check=True, stdout=subprocess.PIPE
    ).stdout
    result: dict[str, float] = json.loads(output)
    return result


async def _main(path: Path) -> None:
    files = Directory(path)
    passphrase = read_secret(path / "passphrase")
    async with open_authority(files, files.settings(), passphrase) as opened:
        authority = opened.authority
        issuer = authority.issuing.issuer.id
        latest = await authority.store.latest_crl(issuer)
        now = int(authority.clock())
        start, cpu = time.perf_counter(), time.process_time()
        if not await publish(authority, authority.issuing, latest, now, DAY):
            raise RuntimeError("another process published this number")
        seconds, used = time.perf_counter() - start, time.process_time() - cpu
        peak = memory(os.getpid()).peak
        stored = await authority.store.latest_crl(issuer)
        assert stored is not None
        result = {
            "seconds": seconds,
            "cpu_seconds": used,
            "peak": peak,
            "size": len(stored.der),
            "entries": stored.entries,
        }
    print(json.dumps(result))


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
