"""Runs load clients and floors as processes of their own, and reads what they cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.processes import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Load:
    """What a load client is to do.

    Args:
        port: on 127.0.0.1.
        requests: file of ready requests (`bench.requests.save`).
        concurrency: connections at a time.
        seconds: after this long it sends no more.
        fresh: whether every request has a connection of its own.
        warm: requests sent before anything is measured.
        pause: seconds that a client takes between an answer and its next request.
        certificate: path for mutual TLS; empty for none.
        key: its key.
        tls: whether to speak TLS without a certificate.
    """

    port: int
    requests: Path
    concurrency: int
    seconds: float
    fresh: bool = False
    warm: int = 0
    pause: float = 0.0
    certificate: str = ""
    key: str = ""
    tls: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """What a load client saw, and what it cost the server.

    Args:
        count: answers.
        good: answers with a 2xx status.
        seconds: wall clock.
        p50: seconds from sending to the whole answer, the median.
        p99: of a hundred answers, the slowest but one.
        cpu_seconds: of the server's processes.
        client_cpu_seconds: of the load client.
        other_cpu_seconds: of the other processes that were watched, as a database's.
        statuses: how often each status came.
    """

    count: int
    good: int
    seconds: float
    p50: float
    p99: float
    cpu_seconds: float
    client_cpu_seconds: float
    other_cpu_seconds: float
    statuses: dict[str, int]

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.good / self.seconds

    @property
    def per_core(self) -> float:
        """Good answers a second of server CPU."""
        return self.good / self.cpu_seconds if self.cpu_seconds else 0.0

    @property
    def facts(self) -> dict[str, Any]:
        """Everything, for the JSON."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "rate": self.rate,
            "per_core": self.per_core,
        }


def drive(load: Load, server: int, *others: int) -> Answered:
    """Run one load client against a server.

    Args:
        load: what to send.
        server: process id of the server.
        others: process ids of what works for the server, as a database.

    Raises:
        RuntimeError: not one answer was good.
    """
    plan = {name: getattr(load, name) for name in load.__slots__}
    plan |= {"host": "127.0.0.1", "requests": str(load.requests)}
    return run_client("bench.load", plan, server, *others)


def run_client(module: str, plan: dict[str, Any], server: int, *others: int) -> Answered:
    """Run a load client, a module, on its plan against a server.

    Args:
        module: writes `ready`, waits for a line, loads the server, writes what it saw.
        plan: its argument, as JSON.
        server: process id of the server.
        others: process ids of what works for the server, as a database.

    Raises:
        RuntimeError: not one answer was good.
    """
    with subprocess.Popen(
        [sys.executable, "-m", module, json.dumps(plan)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        if client.stdout.readline().strip() != "ready":
            raise RuntimeError("the load client did not get ready")
        before = [cpu_seconds(pid) for pid in (server, *others)]
        client.stdin.write("\n")
        client.stdin.flush()
        answer = json.loads(client.stdout.readline() or "{}")
        used = [
            cpu_seconds(pid) - start for pid, start in zip((server, *others), before, strict=True)
        ]
    if not answer.get("good"):
        raise RuntimeError(f"no good answer: {answer.get('first_refusal') or answer}")
    refusal = answer.pop("first_refusal")
    if answer["good"] < answer["count"]:
        print(f"  {answer['count'] - answer['good']} answers were refusals, the first:\n{refusal}")
    return Answered(cpu_seconds=used[0], other_cpu_seconds=sum(used[1:]), **answer)


@dataclass(frozen=True, slots=True)
class Floor:
    """Certificates a second that a bare loop reaches.

    Args:
        rate: by the wall clock.
        per_core: a second of its CPU.
    """

    rate: float
    per_core: float


def floor(csrs: Path, directory: Path, seconds: float, group: int) -> Floor:
    """Run the bare loop (`bench.floor`) once, on every core at the same time.

    A server is measured while its load client keeps the other cores busy, and cores that share
    caches and execution units are slower together than alone: so is the floor.
    """
    command = [sys.executable, "-m", "bench.floor", str(csrs), str(directory), str(seconds)]
    loops = [
        subprocess.Popen([*command, str(group)], stdout=subprocess.PIPE)
        for _ in range(os.cpu_count() or 1)
    ]
    outputs = [loop.communicate()[0] for loop in loops]
    if any(loop.returncode for loop in loops):
        raise RuntimeError("a floor's loop failed; what it said stands above")
    results = [json.loads(output) for output in outputs]
    count = sum(each["count"] for each in results)
    return Floor(
        count / sum(each["seconds"] for each in results),
        count / sum(each["cpu_seconds"] for each in results),
    )


def mean(floors: Sequence[Floor]) -> Floor:
    """Return the mean of several runs."""
    return Floor(
        sum(each.rate for each in floors) / len(floors),
        sum(each.per_core for each in floors) / len(floors),
    )


def between(floors: Callable[[], Floor], measure: Callable[[], Answered]) -> tuple[Floor, Answered]:
    """Measure between two runs of the floor, so that a noisy neighbor disturbs both."""
    before = floors()
    answered = measure()
    return mean((before, floors())), answered
