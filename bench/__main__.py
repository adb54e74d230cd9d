"""Measure, print the table, write the JSON: `python -m bench`."""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
import time
from pathlib import Path

from bench.context import Bench
from bench.machine import describe
from bench.report import Report

MEASUREMENTS = (
    "issuance",
    "acme",
    "step",
    "workers",
    "postgresql",
    "ocsp",
    "crl",
    "million",
    "startup",
)
PEERS = ("step-ca",)
RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Measure what was asked for."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.scratch) as scratch:
        machine = describe(Path(scratch))
        print("\n".join(f"{name:<20}{value}" for name, value in machine.items()))
        report = Report(machine)
        bench = Bench(Path(scratch), report, arguments.quick, dict(arguments.peer))
        for name in arguments.only or MEASUREMENTS:
            try:
                importlib.import_module(f"bench.{name}").measure(bench)
            except Exception as error:  # noqa: BLE001 - the others are measured all the same
                report.fail(name, f"{type(error).__name__}: {error}")
    path = arguments.json or RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    report.write(path)
    below = [figure for figure in report.figures if not figure.is_reached]
    print(f"\n{len(report.figures)} figures, {len(below)} below their target; written to {path}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="shorter runs, smaller stores")
    parser.add_argument(
        "--only", action="append", choices=MEASUREMENTS, help="measure this alone; repeatable"
    )
    parser.add_argument("--json", type=Path, help="where the figures go (default: bench/results)")
    parser.add_argument(
        "--scratch", type=Path, help="directory on the disk to be measured (default: the system's)"
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        type=_peer,
        metavar="NAME=PATH",
        help="another program to measure beside ours, by its path: step-ca=PATH",
    )
    return parser.parse_args()


def _peer(text: str) -> tuple[str, Path]:
    name, _, path = text.partition("=")
    if name not in PEERS:
        raise argparse.ArgumentTypeError(f"'{name}' is no peer; known: {', '.join(PEERS)}")
    if not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"'{path}' is no program")
    return name, Path(path).absolute()


if __name__ == "__main__":
    main()
