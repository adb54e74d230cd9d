"""The open connections of one listener: how many there are, how long each may take, how all end.

RFC 9112 §9.5 and §9.6 leave a server free to end a connection that idles, and ask it to do so
in a way that loses no answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from mintmark.model.time import Clock
from mintmark.server.limits import Limits
from mintmark.server.request_head import HeadReader
from mintmark.server.responses import Heads
from mintmark.wire.http import Response, network_of

if TYPE_CHECKING:  # a connection knows its connections, and they know it
    from mintmark.server.connection import App, Connection

SWEEP_SECONDS: Final = 1.0

log = logging.getLogger("mintmark.server")


TOLD_A_SECOND: Final = 20  # lines about single connections; strangers cause them
_SHOWN: Final = 300  # characters of what strangers wrote


class _Refusal(msgspec.Struct):
    """Why, in the words of a problem document (RFC 9457 §3.1.4), or of the step protocol."""

    detail: str = ""
    message: str = ""


class Connections:
    """The open connections of one listener, and what they share.

    One sweep a second looks at every deadline: a timer per request would cost more than the
    request.

    Args:
        app: answers the requests.
        limits: see `Limits`.
        clock: Unix seconds, for Date.
        monotonic: seconds that never jump, for deadlines.
        entropy: for request ids.
        encoded_slash: see `target.parse`.
    """

    def __init__(
        self,
        app: App,
        limits: Limits,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        entropy: Callable[[int], bytes] = os.urandom,
        encoded_slash: bool = False,
    ) -> None:
        self.app: Final = app
        self.limits: Final = limits
        self.entropy: Final = entropy
        self.tasks: Final[set[asyncio.Future[Response]]] = set()
        self.request_heads: Final = HeadReader(limits, encoded_slash=encoded_slash)
        self.heads: Final = Heads(clock())
        self.now = monotonic()
        self.is_draining = False
        self._clock: Final = clock
        self._monotonic: Final = monotonic
        self._open: Final[set[Connection]] = set()
        self._per_address: Final[dict[str, int]] = {}
        self._all_lost: asyncio.Event | None = None
        self._unwritten: set[Connection] = set()
        self._refused_count = 0
        self._told_count = 0

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection, address: str) -> bool:
        """Take a new connection in, unless it is one too many."""
        network = network_of(address)
        count = self._per_address.get(network, 0)
        limits = self.limits
        if len(self._open) >= limits.connections or count >= limits.connections_per_address:
            self._refused_count += 1
            return False
        if self.is_draining:
            return False
        self._per_address[network] = count + 1
        self._open.add(connection)
        return True

    def remove(self, connection: Connection, address: str) -> None:
        """Forget a connection that was lost."""
        if connection not in self._open:
            return
        self._open.remove(connection)
        network = network_of(address)
        self._per_address[network] -= 1
        if not self._per_address[network]:
            del self._per_address[network]
        if self._all_lost is not None and not self._open:
            self._all_lost.set()

    def flush_soon(self, connection: Connection) -> None:
        """Have a connection write its answers when all connections have made theirs.

        Each write enters the kernel, and may wake its client at once: in between, every answer
        would find the caches cold, and clients would come one by one.
        """
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten.add(connection)

    def _flush(self) -> None:
        unwritten, self._unwritten = self._unwritten, set()
        for connection in unwritten:
            try:
                connection.flush()
            except Exception:
                log.exception("answers cannot be written")
                connection.abort()

    def tell(self, message: str, *values: object) -> None:
        """Log what happened to one connection, or count it when that happens too often."""
        if self._may_tell():
            log.info(message, *values)

    def _may_tell(self) -> bool:
        self._told_count += 1
        return self._told_count <= TOLD_A_SECOND

    def tell_refusal(self, address: str, asked: str, answer: Response) -> None:
        """Log who was refused what, and why, in the words that the client reads.

        Args:
            address: whose request it was.
            asked: its method and path, as far as they are known.
            answer: with a status of 400 or more.
        """
        # The log has the cause of a 500; and what a flood was refused for is not even read.
        if answer.status != 500 and self._may_tell():
            what, why = _shown(asked), _shown(_reason(answer))
            log.info("%s was refused %s: %d%s", address, what, answer.status, why)

    def sweep(self) -> None:
        """Bring date and time up to date, and end what is past its deadline."""
        self.now = now = self._monotonic()
        self.heads.date(self._clock())
        if self._refused_count:  # one line a second, however many there are
            log.warning("%d connections refused: too many are open", self._refused_count)
            self._refused_count = 0
        if self._told_count > TOLD_A_SECOND:
            log.info("%d more lines of this kind are left out", self._told_count - TOLD_A_SECOND)
        self._told_count = 0
        # A deadline was reckoned from the sweep before it, a second earlier than it was set.
        overdue = now - SWEEP_SECONDS
        for connection in [each for each in self._open if each.deadline <= overdue]:
            try:
                connection.expire()
            except Exception:
                # Else one connection could keep all others from ever expiring.
                log.exception("a connection cannot be ended in order")
                connection.abort()

    async def drain(self, grace_seconds: float) -> None:
        """Close what is idle, let the rest finish, and abort what is left after the grace."""
        self.is_draining = True
        self._all_lost = asyncio.Event()
        for connection in tuple(self._open):
            connection.drain()
        if self._open:
            try:
                await asyncio.wait_for(self._all_lost.wait(), grace_seconds)
            except TimeoutError:
                log.warning("%d connections aborted at the end of the grace", len(self._open))
        for connection in tuple(self._open):
            connection.abort()
        for task in tuple(self.tasks):
            task.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=grace_seconds)


def _reason(answer: Response) -> str:
    try:
        refusal = msgspec.json.decode(answer.body, type=_Refusal)
    except msgspec.DecodeError:  # of another protocol
        return ""
    said = refusal.detail or refusal.message
    return f", {said}" if said else ""


def _shown(text: str) -> str:
    """Return a stranger's text as it may stand in the log: shortened, without line breaks."""
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return short if short.isprintable() else "".join(c if c.isprintable() else "?" for c in short)
