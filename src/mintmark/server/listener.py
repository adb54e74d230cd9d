"""Listening sockets, and the life of a server on them: accept, sweep, drain."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from mintmark.model.errors import Error, Kind
from mintmark.model.time import Clock
from mintmark.server.connection import App, Connection
from mintmark.server.connections import SWEEP_SECONDS, Connections
from mintmark.server.limits import Limits
from mintmark.server.tls import ServerTLS, TLSConnection

log = logging.getLogger("mintmark.server")

_BACKLOG: Final = 1024
# libuv accepts one connection in a turn of the loop for each descriptor that it listens on. Fresh
# connections would go through their handshakes and requests one by one, and share neither the
# steps of a turn (ADR 0015) nor a commit; so a socket of TLS is listened on by some descriptors.
# Each costs a connection that comes alone 4 us.
_ACCEPTED_A_TURN: Final = 8


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Something that listens.

    Args:
        sockets: bound by `bind`.
        app: answers the requests.
        tls: None for plain HTTP.
        limits: see `Limits`.
        encoded_slash: see `target.parse`.
    """

    sockets: Sequence[socket.socket]
    app: App
    tls: ServerTLS | None = None
    limits: Limits = field(default_factory=Limits)
    encoded_slash: bool = False


def bind(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """Bind sockets to every address that `host` stands for.

    Args:
        host: an IP literal or a name; `::` and `0.0.0.0` mean every address of their family.
        port: 0 takes a free one.
        shared: whether several processes bind the same port (SO_REUSEPORT) and the kernel
            spreads connections over them.

    Returns:
        One socket for each address, not listening yet.

    Raises:
        Error: CONFIGURATION, the address is unknown, taken, or not allowed.
    """
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE
        )
        # localhost stands twice in many host files.
        for family, _, _, _, address in dict.fromkeys(found):
            sockets.append(_bound(family, address, shared=shared))
    except OSError as error:
        for each in sockets:
            each.close()
        raise Error(
            Kind.CONFIGURATION,
            f"cannot listen on '{host}' port {port}: {(error.strerror or str(error)).lower()}",
            hint="another program may listen there; choose another address or port",
        ) from error
    return sockets


def _bound(
    family: socket.AddressFamily, address: tuple[object, ...], *, shared: bool
) -> socket.socket:
    # With protocol 0 instead of IPPROTO_TCP the event loop would not set TCP_NODELAY, and each
    # answer would wait 40 ms for the client's delayed acknowledgment.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def check_free(host: str, port: int) -> None:
    """Find out whether `port` is free, before several processes share it.

    With SO_REUSEPORT a second server on the same port would not fail: it would get half of the
    first one's clients. So the port is bound once alone, and let go.

    Raises:
        Error: CONFIGURATION, as `bind`.
    """
    for each in bind(host, port):
        try:
            each.listen(1)
        except OSError as error:
            raise Error(
                Kind.CONFIGURATION,
                f"cannot listen on '{host}' port {port}: {(error.strerror or '').lower()}",
                hint="another program may listen there; choose another address or port",
            ) from error
        finally:
            each.close()


class Listener:
    """Accepts connections for one endpoint.

    Args:
        endpoint: what to listen on.
        clock: Unix seconds.
        entropy: for request ids.
        monotonic: seconds that never jump, for deadlines.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        entropy: Callable[[int], bytes] = os.urandom,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.connections: Final = Connections(
            endpoint.app,
            endpoint.limits,
            clock,
            monotonic=monotonic,
            entropy=entropy,
            encoded_slash=endpoint.encoded_slash,
        )
        self._endpoint: Final = endpoint
        self._servers: Final[list[asyncio.Server]] = []

    async def start(self) -> None:
        """Begin to accept."""
        loop = asyncio.get_running_loop()
        copies = _ACCEPTED_A_TURN - 1 if self._endpoint.tls else 0
        for each in self._endpoint.sockets:
            for sock in (each, *(each.dup() for _ in range(copies))):
                self._servers.append(
                    await loop.create_server(self._connection, sock=sock, backlog=_BACKLOG)
                )

    async def stop(self, grace_seconds: float) -> None:
        """Accept no more, finish what is under way, and close."""
        for server in self._servers:
            server.close()
        await self.connections.drain(grace_seconds)

    def _connection(self) -> Connection:
        tls = self._endpoint.tls
        return TLSConnection(self.connections, tls) if tls else Connection(self.connections)


async def serve(
    endpoints: Sequence[Endpoint],
    clock: Clock,
    stopping: asyncio.Event,
    *,
    grace_seconds: float = 10,
    ready: Callable[[], None] = lambda: None,
    entropy: Callable[[int], bytes] = os.urandom,
) -> None:
    """Serve the endpoints until `stopping` is set, then finish what is under way.

    Args:
        endpoints: what to listen on.
        clock: Unix seconds.
        stopping: set it to end.
        grace_seconds: how long requests under way may take after that.
        ready: called once connections are accepted.
        entropy: for request ids.
    """
    listeners = [Listener(endpoint, clock, entropy) for endpoint in endpoints]
    sweeper = asyncio.create_task(_sweep(listeners))
    try:
        for listener in listeners:
            await listener.start()
        ready()
        await stopping.wait()
    finally:
        await asyncio.gather(*(listener.stop(grace_seconds) for listener in listeners))
        sweeper.cancel()
        with suppress(asyncio.CancelledError):
            await sweeper


async def _sweep(listeners: Sequence[Listener]) -> None:
    while True:
        for listener in listeners:
            try:
                listener.connections.sweep()
            except Exception:
                log.exception("the sweep of connections failed")
        await asyncio.sleep(SWEEP_SECONDS)
