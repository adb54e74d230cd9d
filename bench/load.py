"""The load client, a process of its own: as cheap as possible, so that the server is measured.

It reads a plan as JSON from its first argument, connects and warms up, writes `ready`, waits
for a line, sends everything, and writes what it saw as JSON. Certificates of the server are not
checked here: that costs the client's core and says nothing about the server.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop

from bench.requests import load

_END = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_CHUNKED = -1


class Run:
    """The requests that are left, and what came back.

    Args:
        requests: in the order in which they are sent.
        deadline_seconds: after this long, no more are sent.
        pause: seconds from an answer to the next request of that client.
    """

    def __init__(self, requests: list[bytes], deadline_seconds: float, pause: float = 0.0) -> None:
        self.requests = requests
        self.pause = pause
        self.next = 0
        self.limit = 0
        self.deadline_seconds = deadline_seconds
        self.deadline = float("inf")
        self.times: list[float] = []
        self.statuses: Counter[bytes] = Counter()
        self.first_refusal = b""

    def begin(self, limit: int) -> None:
        """Send from here on up to a number of requests, and forget what was."""
        self.limit = min(limit, len(self.requests))
        self.times = []
        self.statuses = Counter()
        self.deadline = time.perf_counter() + self.deadline_seconds

    def take(self) -> bytes | None:
        """Return the next request, None at the end."""
        if self.next >= self.limit or time.perf_counter() > self.deadline:
            return None
        self.next += 1
        return self.requests[self.next - 1]

    def saw(self, seconds: float, answer: bytes) -> None:
        """Count an answer."""
        self.times.append(seconds)
        status = answer[9:12]
        self.statuses[status] += 1
        if not status.startswith(b"2") and not self.first_refusal:
            self.first_refusal = answer[:2000]


class Client(asyncio.Protocol):
    """One connection: a request, its answer, the next request.

    Args:
        run: where requests come from.
        once: whether the connection ends after one answer.
    """

    def __init__(self, run: Run, *, once: bool) -> None:
        self.run = run
        self.once = once
        self.transport: Any = None
        self.sent = 0.0
        self.answer = b""
        self.size = 0
        loop = asyncio.get_running_loop()
        self.idle: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def go(self) -> None:
        """Send the next request, or rest."""
        request = self.run.take()
        if request is not None:
            self.send(request)
        elif not self.idle.done():
            self.idle.set_result(None)

    def send(self, request: bytes) -> None:
        """Send one request."""
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Gather an answer; count it when it is whole."""
        answer = self.answer + data if self.answer else data
        if not self.size:
            end = answer.find(_END)
            if end < 0:
                self.answer = answer
                return
            length = _content_length(answer[:end])
            self.size = _CHUNKED if length is None else end + 4 + length
        if not self._is_whole(answer):
            self.answer = answer
            return
        self.run.saw(time.perf_counter() - self.sent, answer)
        self.answer, self.size = b"", 0
        if self.once:
            self.transport.close()
        elif self.run.pause:
            asyncio.get_running_loop().call_later(self.run.pause, self.go)
        else:
            self.go()

    def _is_whole(self, answer: bytes) -> bool:
        if self.size == _CHUNKED:
            return answer.endswith(_LAST_CHUNK)
        return len(answer) >= self.size

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so to who waits."""
        del exc
        for future in (self.idle, self.lost):
            if not future.done():
                future.set_result(None)


def _content_length(head: bytes) -> int | None:
    """Return how long the body is, None when it comes in chunks (RFC 9112 §7.1)."""
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at < 0:
        return None if b"transfer-encoding: chunked" in lower else 0
    end = lower.find(b"\r", at)
    return int(lower[at + 15 : end if end > 0 else len(lower)])


class Plan:
    """What to do, from JSON.

    Args:
        text: keys host, port, requests (a path), concurrency, fresh, warm, seconds, pause, tls,
            and certificate, key for mutual TLS.
    """

    def __init__(self, text: str) -> None:
        plan = json.loads(text)
        self.address = plan["host"], plan["port"]
        self.concurrency: int = plan["concurrency"]
        self.fresh: bool = plan["fresh"]
        self.warm: int = plan["warm"]
        self.run = Run(load(Path(plan["requests"])), plan["seconds"], plan["pause"])
        self.tls: ssl.SSLContext | None = None
        if plan["tls"] or plan["key"]:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.tls.check_hostname = False
            self.tls.verify_mode = ssl.CERT_NONE
        if self.tls and plan["key"]:
            self.tls.load_cert_chain(plan["certificate"], plan["key"])

    async def connect(self) -> Client:
        """Open one connection."""
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: Client(self.run, once=self.fresh), *self.address, ssl=self.tls
        )
        return client

    async def keep_alive(self, clients: list[Client]) -> None:
        """Send over connections that are open until nothing is left."""
        loop = asyncio.get_running_loop()
        for place, client in enumerate(clients):
            client.idle = loop.create_future()
            # Clients that pause do not all begin at the same moment.
            loop.call_later(self.run.pause * place / len(clients), client.go)
        await asyncio.gather(*(client.idle for client in clients))

    async def one_by_one(self) -> None:
        """Send each request over a connection of its own until nothing is left."""
        while (request := self.run.take()) is not None:
            start = time.perf_counter()
            client = await self.connect()
            client.send(request)
            client.sent = start  # the handshake is part of what the client waits for
            await client.lost


async def _main(text: str) -> None:
    plan = Plan(text)
    run = plan.run
    clients: list[Client] = []
    if not plan.fresh:
        clients = [await plan.connect() for _ in range(plan.concurrency)]

    async def send(count: int) -> None:
        run.begin(run.next + count)
        if plan.fresh:
            await asyncio.gather(*(plan.one_by_one() for _ in range(plan.concurrency)))
        else:
            await plan.keep_alive(clients)

    if plan.warm:
        await send(plan.warm)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    start, cpu = time.perf_counter(), time.process_time()
    await send(len(run.requests))
    seconds = time.perf_counter() - start
    tell(
        run.times,
        seconds=seconds,
        client_cpu_seconds=time.process_time() - cpu,
        good=sum(count for status, count in run.statuses.items() if status[:1] == b"2"),
        statuses={status.decode(): count for status, count in run.statuses.items()},
        first_refusal=run.first_refusal.decode(errors="replace"),
    )


def tell(times: list[float], **seen: Any) -> None:
    """Write what was seen, and the median and the slowest but one of a hundred times."""
    times = sorted(times)
    answer = {
        **seen,
        "count": len(times),
        "p50": times[len(times) // 2] if times else 0.0,
        "p99": times[len(times) * 99 // 100] if times else 0.0,
    }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1]))
