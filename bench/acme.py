"""Whole ACME orders, new-order to download, each with an http-01 challenge of a new name."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from bench import requests
from bench.acme_client import Answer, Client, csrs
from bench.authority import BenchAuthority, Running, free_port, make, serving, settings
from bench.driver import Answered, drive, run_client
from bench.issuance import load, rates
from bench.report import Figure
from mintmark.protocol.acme.background import Validations
from mintmark.protocol.acme.server import ACMEServer
from mintmark.protocol.acme.validation.outcome import Validated
from mintmark.server.compose import open_authority
from mintmark.server.settings import ACME, ACMEEntry, Validation
from mintmark.wire.http import Peer, Request

if TYPE_CHECKING:
    from bench.context import Bench
    from mintmark.server.settings import Settings
    from mintmark.store.interface import Store

LOADS = ((1, 1_200), (16, 2_500), (64, 2_500))
FLOOR_ORDERS = 300
COUNTED = 64
"""Orders whose rows and commits are counted."""


def measure(bench: Bench) -> None:
    """Measure orders at concurrency 1, 16 and 64, then what they cost the database."""
    authority = make(bench.scratch / "acme", configuration())
    with serving(authority) as server:
        for concurrency, count in LOADS:
            area = f"ACME orders over TLS kept alive, concurrency {concurrency}"
            before = _signatures()
            answered = _orders(bench, authority, server, concurrency, bench.amount(count))
            floor = (before + _signatures()) / 2
            rates(bench, area, answered, None, "orders")
            sent = sum(answered.statuses.values()) / answered.count
            share = floor / (answered.cpu_seconds / answered.good)
            for name, value, unit in (
                ("requests each", sent, "requests"),
                ("floor: 6 signatures verified, 1 made", floor * 1000, "ms"),
                ("of the server CPU each", share, "ratio"),
            ):
                bench.report.add(Figure(area, name, value, unit))
        area = f"ACME orders beside certificates over the REST API, concurrency {COUNTED}"
        path = bench.issuance("acme-rest", bench.amount(20_000))
        plan = load(authority, server, path, COUNTED, bench.seconds / 2, warm=300)
        single = drive(plan, server.pid)
        ratio = single.per_core / answered.per_core
        bench.report.add(
            Figure(area, "server CPU of an order to that of a request", ratio, "ratio")
        )
    counted = make(bench.scratch / "acme-counted", configuration())
    for concurrency in (1, COUNTED):
        cost = asyncio.run(_counted(counted, concurrency))
        area = f"ACME orders in the database, concurrency {concurrency}"
        for name, value, unit in (
            ("commits that wait for the disk, each", cost.commits, "commits"),
            ("commits that do not, each", cost.unwaited, "commits"),
            ("rows written, each", cost.rows, "rows"),
        ):
            bench.report.add(Figure(area, name, value, unit))


def configuration(*, workers: int = 1, storage_url: str | None = None) -> Settings:
    """Return a configuration that validates on ports of the bench and limits no account."""
    validation = Validation(
        http_port=free_port(), resolvers=(f"127.0.0.1:{free_port()}",), concurrency=1000
    )
    provisioner = ACMEEntry(name="acme", orders_per_hour=0, pending_authorizations=1000)
    return replace(
        settings(workers=workers, storage_url=storage_url),
        provisioners=(provisioner,),
        acme=ACME(validation=validation),
    )


def _orders(
    bench: Bench, authority: BenchAuthority, server: Running, concurrency: int, count: int
) -> Answered:
    warm = max(100 // concurrency, 2)
    path = bench.scratch / f"acme-{concurrency}.orders"
    requests.save(path, csrs(count + warm * concurrency, requests.DOMAIN))
    validation = authority.settings.acme.validation
    plan = {
        "port": server.https,
        "http_port": validation.http_port,
        "dns_port": int(validation.resolvers[0].rpartition(":")[2]),
        "orders": str(path),
        "concurrency": concurrency,
        "warm": warm,
        "seconds": bench.seconds,
    }
    return run_client("bench.acme_load", plan, server.pid)


def _signatures() -> float:
    """Return the CPU seconds of an order's signatures alone.

    Five requests and the proof of possession of a CSR are verified, a certificate is signed.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    algorithm = ec.ECDSA(hashes.SHA256())
    public = key.public_key()
    message = bytes(500)
    start = time.thread_time()
    for _ in range(FLOOR_ORDERS):
        signature = key.sign(message, algorithm)
        for _ in range(6):
            public.verify(signature, message, algorithm)
    return (time.thread_time() - start) / FLOOR_ORDERS


@dataclass(frozen=True, slots=True)
class _Cost:
    """What one order costs the database, on average."""

    commits: float
    unwaited: float
    rows: float


class _Inside:
    """A way to a server in this process."""

    def __init__(self, server: ACMEServer) -> None:
        self._server = server

    async def ask(self, method: str, path: str, body: bytes) -> Answer:
        """Have the server answer one request."""
        headers = {"host": "localhost", "content-type": "application/jose+json"}
        request = Request(method, path, "", headers, body, Peer("127.0.0.1"))
        response = await self._server.handle(request)
        named = {name.lower(): value for name, value in response.headers}
        return Answer(response.status, named, response.body)


class _Satisfied:
    """Finds every challenge met."""

    async def validate(self, *_: object) -> Validated:
        """Find a challenge met."""
        return Validated("bench")


async def _counted(authority: BenchAuthority, concurrency: int) -> _Cost:
    """Order in this process, as many at a time as asked for, and count what is written."""
    opening = open_authority(authority.directory, authority.settings, authority.passphrase)
    async with opening as opened:
        validations = Validations(opened.authority, _Satisfied(), 10)
        server = ACMEServer(opened.authority, validations)
        clients = [Client(_Inside(server), "https://localhost", {}) for _ in range(concurrency)]
        for client in clients:
            await client.register("/acme/acme/directory")
        wanted = [one.decode().split(" ") for one in csrs(COUNTED, requests.DOMAIN)]
        before = _written(opened.authority.store)

        async def order(client: Client, share: list[list[str]]) -> None:
            for name, csr in share:
                await client.order(name, csr)

        await asyncio.gather(
            *(order(client, wanted[at::concurrency]) for at, client in enumerate(clients))
        )
        after = _written(opened.authority.store)
        return _Cost(*((now - then) / len(wanted) for now, then in zip(after, before, strict=True)))


def _written(store: Store) -> tuple[int, int, int]:
    statistics = store.statistics()
    return statistics.commits, statistics.unwaited, statistics.rows
