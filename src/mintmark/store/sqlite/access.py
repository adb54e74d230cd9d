"""The ways to one SQLite file: a reader in the loop, a scanner in a thread, one writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from mintmark.model.errors import Error
from mintmark.model.time import Clock
from mintmark.store.interface import Statistics
from mintmark.store.sqlite.connection import (
    Handle,
    connect,
    explain,
    migrate,
    soon,
    transaction,
    unavailable,
)
from mintmark.store.sqlite.writer import INLINE_SECONDS, Writer, sync_seconds

T = TypeVar("T")

LIST_STEPS: Final = 16_000
"""Of SQLite's virtual machine, for one list in the loop: a millisecond at most."""


class Access:
    """The ways of a `SQLiteStore` to its file; see there for the arguments."""

    def __init__(self, path: str | Path, clock: Clock, *, threaded: bool | None = None) -> None:
        self._path = Path(path)
        self._clock = clock
        self._threaded = threaded
        self._reader = Handle(self._path)
        self._scanner = Handle(self._path)
        self._scans: ThreadPoolExecutor | None = None
        self._writer: Writer | None = None
        self._sync_seconds = 0.0
        self._reads_in_loop = False
        self._statistics = Statistics()

    @property
    def sync_seconds(self) -> float:
        """What a durable write cost at `open`, in seconds."""
        return self._sync_seconds

    async def open(self) -> None:
        """Open the file, make or migrate its schema, measure the disk."""
        await self.migrate()
        self._sync_seconds = sync_seconds(self._path.parent)
        threaded = self._threaded
        if threaded is None:
            threaded = self._sync_seconds > INLINE_SECONDS
        self._reads_in_loop = not threaded
        self._scans = ThreadPoolExecutor(1, "store-scan")
        handle = Handle(self._path) if threaded else self._reader
        self._writer = Writer(handle, self._clock, self._statistics, threaded=threaded)

    async def close(self) -> None:
        """Finish pending commits and close the file."""
        self._reads_in_loop = False
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()
        scans, self._scans = self._scans, None
        if scans is not None:
            await asyncio.to_thread(scans.shutdown)
        self._scanner.drop()
        self._reader.drop()

    async def migrate(self) -> list[str]:
        """Bring the schema up to date; return the names of the migrations applied."""
        try:
            connection = connect(self._path, create=True)
            try:
                return migrate(connection, self._clock)
            finally:
                connection.close()
        except apsw.Error as error:
            raise explain(error) from error

    def statistics(self) -> Statistics:
        """Return how much was written so far."""
        return replace(self._statistics)

    def _row(self, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Return one row, or None; in the loop."""
        try:
            return self._reader.use().execute(sql, values).fetchone()
        except apsw.Error as error:
            raise self._reader.explained(error) from error

    def _rows(self, sql: str, values: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Return the rows for each set of values, in that order; a few, in the loop."""
        try:
            return list(self._reader.use().executemany(sql, values))
        except apsw.Error as error:
            raise self._reader.explained(error) from error

    async def _scan(self, work: Callable[[apsw.Connection], T]) -> T:
        """Read in the thread."""
        if self._scans is None:
            raise _closed()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._scans, self._scanner.attempt, work)

    async def _list(self, work: Callable[[apsw.Connection], list[T]]) -> list[T]:
        """Read in the loop what takes a moment there, and in the thread what takes longer.

        The thread hands the interpreter's lock to the loop at every row, and waits for it up
        to 5 ms each time while the loop is busy: a page of a millisecond takes a tenth of a
        second there. A slow disk is still left to the thread.
        """
        if self._reads_in_loop:
            found: list[T] | None = self._reader.attempt(lambda c: soon(c, work, LIST_STEPS))
            if found is not None:
                return found
        return await self._scan(work)

    async def _work(self, work: Callable[[apsw.Connection], T]) -> T:
        """Write in a transaction of its own."""

        def in_transaction(connection: apsw.Connection) -> T:
            with transaction(connection):
                return work(connection)

        return await self._open_writer().put(work=in_transaction)  # type: ignore[no-any-return]

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise _closed()
        return self._writer


def _closed() -> Error:
    return unavailable("it is not open")
