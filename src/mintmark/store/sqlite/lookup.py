"""Keys that are asked for together are looked up together.

By itself a read takes a lock on the file and gives it back, which costs several times what it
costs to find a row. What is asked in one turn of the event loop is read from one snapshot at
its end. For requests that are suspended anyway: a suspension costs more than a read.
"""

from __future__ import annotations

import asyncio

import apsw

from mintmark.store.sqlite.connection import Handle, mark_found, snapshot


class Lookup:
    """Whether keys have a row, many at once.

    Args:
        handle: the connection to read through.
        sql: as `mark_found` needs it.
    """

    __slots__ = ("_asked", "_handle", "_loop", "_sql")

    def __init__(self, handle: Handle, sql: str) -> None:
        self._handle = handle
        self._sql = sql
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: list[tuple[bytes, asyncio.Future[bool]]] = []

    def has(self, key: bytes) -> asyncio.Future[bool]:
        """Return a future of whether a key has a row."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._asked = loop, []
        if not self._asked:
            loop.call_soon(self._answer)
        future: asyncio.Future[bool] = loop.create_future()
        self._asked.append((key, future))
        return future

    def _answer(self) -> None:
        asked, self._asked = self._asked, []
        found = dict.fromkeys([key for key, _ in asked], False)
        try:
            self._handle.attempt(lambda connection: self._read(connection, found))
        except Exception as error:  # noqa: BLE001 - handed to who waits
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
            return
        for key, future in asked:
            if not future.done():  # who asked may have left
                future.set_result(found[key])

    def _read(self, connection: apsw.Connection, found: dict[bytes, bool]) -> None:
        if len(found) == 1:
            mark_found(connection, self._sql, found)
            return
        with snapshot(connection):
            mark_found(connection, self._sql, found)
