"""Nonces that are used at the same time are burned together, on a connection of their own.

So they neither wait for a commit that is under way nor hold one up.
"""

from __future__ import annotations

import asyncio
from typing import Any

from mintmark.store.interface import Statistics
from mintmark.store.postgresql.acme import burn
from mintmark.store.postgresql.connection import Lanes, explain


class Burner:
    """Burns nonces for one process.

    Args:
        lane: one connection, to write through.
        statistics: where it counts what it writes.
    """

    def __init__(self, lane: Lanes, statistics: Statistics) -> None:
        self._lane = lane
        self._statistics = statistics
        self._loop = asyncio.get_running_loop()
        self._queue: list[tuple[tuple[int, bytes], asyncio.Future[bool]]] = []

    def put(self, nonce: bytes, expires_at: int) -> asyncio.Future[bool]:
        """Return a future of whether the nonce was not used before."""
        future: asyncio.Future[bool] = self._loop.create_future()
        if not self._queue:
            self._loop.call_soon(self._submit)
        self._queue.append(((expires_at, nonce), future))
        return future

    def _submit(self) -> None:
        self._lane.submit(self._burn).add_done_callback(self._refused)

    def _refused(self, done: asyncio.Future[None]) -> None:
        """Tell everybody when there was not even a connection."""
        if error := done.exception():
            queue, self._queue = self._queue, []
            _fail(queue, error)

    async def _burn(self, connection: Any) -> None:
        queue, self._queue = self._queue, []
        if not queue:
            return
        try:
            fresh = await burn(connection, [nonce for nonce, _ in queue])
        except Exception as error:
            _fail(queue, explain(error))
            raise
        self._statistics.unwaited += 1
        self._statistics.rows += len(fresh)
        for (_, nonce), future in queue:
            if not future.done():
                future.set_result(nonce in fresh)
            fresh.discard(nonce)  # the next with the same nonce comes too late


def _fail(
    queue: list[tuple[tuple[int, bytes], asyncio.Future[bool]]], error: BaseException
) -> None:
    for _, future in queue:
        if not future.done():
            future.set_exception(error)
