"""The ACME load client, a process of its own: clients, and all that the server validates.

It reads a plan as JSON from its first argument, answers DNS and http-01 for every name,
registers an account for each connection, warms up, writes `ready`, waits for a line, orders
until the time is over, and writes what it saw as JSON.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import struct
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import uvloop

from bench.acme_client import Answer, Client, RefusedError
from bench.load import tell
from bench.requests import load

HOST = "127.0.0.1"
_END = b"\r\n\r\n"
_WELL_KNOWN = b"/.well-known/acme-challenge/"


class Connection(asyncio.Protocol):
    """A kept connection to the server, one request at a time.

    Args:
        host: for the Host header.
        statuses: counts what comes back.
    """

    def __init__(self, host: str, statuses: Counter[str]) -> None:
        self._host = host
        self._statuses = statuses
        self._transport: Any = None
        self._buffer = b""
        self._waiting: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    async def ask(self, method: str, path: str, body: bytes) -> Answer:
        """Send one request and return its answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n"
        if method == "POST":
            head += f"Content-Type: application/jose+json\r\nContent-Length: {len(body)}\r\n"
        self._waiting = asyncio.get_running_loop().create_future()
        self._is_head = method == "HEAD"
        self._transport.write(head.encode() + b"\r\n" + body)
        return await self._waiting

    def data_received(self, data: bytes) -> None:
        """Gather an answer; hand it over when it is whole."""
        self._buffer += data
        end = self._buffer.find(_END)
        if end < 0:
            return
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        size = 0 if self._is_head else int(headers.get("content-length", 0))
        if len(self._buffer) < end + 4 + size:
            return
        body = self._buffer[end + 4 : end + 4 + size]
        self._buffer = b""
        self._statuses[first[9:12]] += 1
        if self._waiting is not None:
            self._waiting.set_result(Answer(int(first[9:12]), headers, body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionResetError("the server hung up"))


class Webserver(asyncio.Protocol):
    """Answers http-01 of all names (RFC 8555 §8.3).

    Args:
        tokens: with the thumbprint of each one's account key.
    """

    def __init__(self, tokens: dict[str, str]) -> None:
        self._tokens = tokens
        self._transport: Any = None
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer the one request of a connection."""
        self._buffer += data
        if _END not in self._buffer:
            return
        path = self._buffer.split(b" ", 2)[1]
        token = path.removeprefix(_WELL_KNOWN).decode()
        body = f"{token}.{self._tokens.get(token, '')}".encode()
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        self._transport.close()


class Nameserver(asyncio.DatagramProtocol):
    """Says that every name is 127.0.0.1 (RFC 1035 §4)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one query."""
        end = data.index(b"\0", 12) + 5
        (kind,) = struct.unpack_from(">H", data, end - 4)
        is_address = kind == 1
        answer = b"\xc0\x0c" + struct.pack(">HHIH4B", 1, 1, 60, 4, 127, 0, 0, 1)
        head = data[:2] + struct.pack(">5H", 0x8580, 1, int(is_address), 0, 0)
        self._transport.sendto(head + data[12:end] + (answer if is_address else b""), addr)


class Run:
    """The orders that are left, and how the others went.

    Args:
        orders: name and CSR of each.
    """

    def __init__(self, orders: list[bytes]) -> None:
        self._orders = iter(orders)
        self.times: list[float] = []
        self.good = 0
        self.first_refusal = ""

    async def work(self, client: Client, count: int, deadline: float) -> None:
        """Order one certificate after the other."""
        for _ in range(count):
            one = next(self._orders, None)
            if one is None or time.perf_counter() > deadline:
                return
            name, csr = one.decode().split(" ")
            start = time.perf_counter()
            try:
                chain = await client.order(name, csr)
                self.good += chain.startswith(b"-----BEGIN CERTIFICATE-----")
            except (RefusedError, OSError, KeyError) as error:
                self.first_refusal = self.first_refusal or str(error)
            self.times.append(time.perf_counter() - start)


async def _main(text: str) -> None:
    plan = json.loads(text)
    loop = asyncio.get_running_loop()
    tokens: dict[str, str] = {}
    statuses: Counter[str] = Counter()
    await loop.create_server(lambda: Webserver(tokens), HOST, plan["http_port"], backlog=1024)
    await loop.create_datagram_endpoint(Nameserver, (HOST, plan["dns_port"]))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    host = f"localhost:{plan['port']}"
    clients = []
    for _ in range(plan["concurrency"]):
        _, way = await loop.create_connection(
            lambda: Connection(host, statuses), HOST, plan["port"], ssl=tls
        )
        clients.append(Client(way, f"https://{host}", tokens))
        await clients[-1].register("/acme/acme/directory")
    run = Run(load(Path(plan["orders"])))
    await asyncio.gather(*(run.work(client, plan["warm"], float("inf")) for client in clients))
    run.times, run.good = [], 0
    statuses.clear()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    start, cpu = time.perf_counter(), time.process_time()
    deadline = start + plan["seconds"]
    await asyncio.gather(*(run.work(client, 1 << 30, deadline) for client in clients))
    seconds = time.perf_counter() - start
    tell(
        run.times,
        seconds=seconds,
        client_cpu_seconds=time.process_time() - cpu,
        good=run.good,
        statuses=statuses,
        first_refusal=run.first_refusal,
    )


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1]))
