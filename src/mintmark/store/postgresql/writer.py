"""Who commits, and when: two connections that take whatever has gathered meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from mintmark.model.act import Act
from mintmark.model.errors import Kind
from mintmark.model.time import Clock
from mintmark.store.interface import Statistics
from mintmark.store.postgresql.commit import Issuers, write
from mintmark.store.postgresql.connection import Lanes, explain
from mintmark.store.rows import storable_leaf

WRITERS: Final = 2
BATCH_ACTS: Final = 128
"""At most, so that the advisory locks of all writers fit in the server's lock table."""


@dataclass(slots=True)
class _Waiting:
    act: Act
    future: asyncio.Future[None]
    leaf: bytes = b""


class Writer:
    """Group commit of one process.

    Args:
        lanes: connections to write through.
        clock: Unix seconds.
        statistics: where it counts what it writes.
    """

    def __init__(self, lanes: Lanes, clock: Clock, statistics: Statistics) -> None:
        self._lanes = lanes
        self._clock = clock
        self._statistics = statistics
        self._loop = asyncio.get_running_loop()
        self._issuers = Issuers()
        self._queue: list[_Waiting] = []
        self._scheduled = False
        self._draining = 0

    def put(self, act: Act) -> asyncio.Future[None]:
        """Have an act committed; the future is done when it is durable."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.append(_Waiting(act, future))
        if not self._scheduled and self._draining < WRITERS:
            self._scheduled = True
            self._loop.call_soon(self._flush)
        return future

    async def close(self) -> None:
        """Finish what waits, then disconnect."""
        if self._scheduled:
            self._flush()
        await self._lanes.close()

    def _flush(self) -> None:
        if not self._scheduled:
            return  # `close` came first
        self._scheduled = False
        self._draining += 1
        self._lanes.submit(self._drain).add_done_callback(self._drained)

    def _drained(self, done: asyncio.Future[None]) -> None:
        self._draining -= 1
        error = done.exception()
        if error is not None and self._draining == 0:
            # Nobody takes what waits, so nobody is kept waiting.
            queue, self._queue = self._queue, []
            for waiting in queue:
                _fail(waiting, explain(error) if isinstance(error, Exception) else error)

    async def _drain(self, connection: Any) -> None:
        while self._queue:
            taken, self._queue = self._queue[:BATCH_ACTS], self._queue[BATCH_ACTS:]
            batch = [waiting for waiting in taken if _ready(waiting)]
            if not batch:
                continue
            try:
                await self._commit(connection, batch)
            except Exception as error:
                for waiting in batch:
                    _fail(waiting, explain(error))
                raise

    async def _commit(self, connection: Any, batch: list[_Waiting]) -> None:
        """Commit acts together; if the database refuses them, each by itself."""
        acts = [(waiting.act, waiting.leaf) for waiting in batch]
        try:
            refusals, rows = await write(connection, acts, self._issuers, self._clock())
        except Exception as error:
            explanation = explain(error)
            if explanation.kind is Kind.UNAVAILABLE:
                raise
            if len(batch) == 1:
                _fail(batch[0], explanation)
                return
            for waiting in batch:
                await self._commit(connection, [waiting])
            return
        self._statistics.commits += 1
        self._statistics.rows += rows
        for waiting, refusal in zip(batch, refusals, strict=True):
            if refusal is not None:
                _fail(waiting, refusal)
            elif not waiting.future.done():
                waiting.future.set_result(None)


def _ready(waiting: _Waiting) -> bool:
    """Make the act's leaf, or tell who waits why that cannot be."""
    try:
        waiting.leaf = storable_leaf(waiting.act)
    except Exception as error:  # noqa: BLE001 - handed to who waits
        _fail(waiting, error)
        return False
    return True


def _fail(waiting: _Waiting, error: BaseException) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
