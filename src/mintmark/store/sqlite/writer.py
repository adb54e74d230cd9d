"""Who commits, and when: in the event loop on a fast disk, in a thread on a slow one.

Acts that arrive in one turn of the loop, or while the thread commits, share the next
transaction. The lock on the file is never held between two turns.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable
from os import fdatasync
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from mintmark.model.act import Act
from mintmark.model.errors import Error, Kind
from mintmark.model.time import Clock
from mintmark.store.interface import Statistics
from mintmark.store.rows import storable_leaf
from mintmark.store.sqlite.acme import burn
from mintmark.store.sqlite.commit import Issuers, write
from mintmark.store.sqlite.connection import Handle, unavailable

T = TypeVar("T")

INLINE_SECONDS: Final = 0.001
"""A disk that syncs faster than this is waited for in the loop.

A thread costs more: it and the loop hand the interpreter's lock to and fro at every row. With a
sync of 0.7 ms an issuance took it a third more CPU, and two clients got six in ten of what they
get from the loop. Sixteen acts a commit make a millisecond a tenth.
"""

BATCH_ACTS: Final = 512
_PROBES: Final = 7


def sync_seconds(directory: Path) -> float:
    """Return what it costs to make a few octets durable in a directory.

    The second lowest of some: what the disk can do, whoever else is using it just now.
    """
    try:
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            costs = []
            for _ in range(_PROBES):
                file.write(bytes(4096))
                start = time.perf_counter()
                fdatasync(file.fileno())
                costs.append(time.perf_counter() - start)
    except OSError:
        return 1.0  # it cannot be measured now: do not make the loop wait for it
    return sorted(costs)[1]


class Waiting:
    """An act or another piece of writing that waits to be durable.

    Args:
        future: of who waits.
        act: to be committed together with others.
        work: in a transaction of its own, when there is no act.
        nonce: with its expiry, to be burned together with others.
    """

    __slots__ = ("act", "failure", "future", "leaf", "nonce", "result", "work")

    def __init__(
        self,
        future: asyncio.Future[Any],
        act: Act | None = None,
        work: Callable[[apsw.Connection], Any] | None = None,
        nonce: tuple[int, bytes] | None = None,
    ) -> None:
        self.future = future
        self.act = act
        self.leaf = b""
        self.work = work
        self.nonce = nonce
        self.result: Any = None
        self.failure: BaseException | None = None

    def answer(self) -> None:
        """Tell who waits; they may have left."""
        if self.future.done():
            return
        if self.failure is not None:
            self.future.set_exception(self.failure)
        else:
            self.future.set_result(self.result)


class Writer:
    """All writing of one process to one file.

    Args:
        handle: the connection to write through; with a thread, the thread's alone.
        clock: Unix seconds.
        statistics: where it counts what it writes.
        threaded: whether a thread of its own commits.
    """

    def __init__(
        self, handle: Handle, clock: Clock, statistics: Statistics, *, threaded: bool
    ) -> None:
        self._handle = handle
        self._clock = clock
        self._statistics = statistics
        self._issuers = Issuers()
        self._loop = asyncio.get_running_loop()
        self._queue: list[Waiting] = []
        self._scheduled = False
        self._closing = False
        self._wake = threading.Condition() if threaded else None
        self._thread: threading.Thread | None = None
        if threaded:
            self._thread = threading.Thread(target=self._drain, name="store-writer", daemon=True)
            self._thread.start()

    def put(
        self,
        act: Act | None = None,
        work: Callable[[apsw.Connection], Any] | None = None,
        nonce: tuple[int, bytes] | None = None,
    ) -> asyncio.Future[Any]:
        """Have something written; the future is done when it is durable."""
        future: asyncio.Future[Any] = self._loop.create_future()
        waiting = Waiting(future, act, work, nonce)
        if self._closing:
            waiting.failure = unavailable("it is being closed")
            waiting.answer()
        elif self._wake is None:
            self._queue.append(waiting)
            if not self._scheduled:
                self._scheduled = True
                self._loop.call_soon(self._flush)
        else:
            with self._wake:
                self._queue.append(waiting)
                if not self._scheduled:
                    self._scheduled = True
                    self._wake.notify()
        return future

    async def close(self) -> None:
        """Finish what waits, then stop."""
        self._closing = True
        if self._wake is None:
            self._flush()
        elif self._thread is not None:
            with self._wake:
                self._wake.notify()
            await asyncio.to_thread(self._thread.join)
        self._handle.drop()

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        self._scheduled = False
        self._write(queue)
        for waiting in queue:
            waiting.answer()

    def _drain(self) -> None:
        """Run the thread: commit whatever has gathered while the last commit took place."""
        wake = self._wake
        while wake is not None:
            with wake:
                while not self._queue and not self._closing:
                    self._scheduled = False
                    wake.wait()
                queue, self._queue = self._queue, []
                self._scheduled = True
            if not queue:
                return
            self._write(queue)
            self._loop.call_soon_threadsafe(_answer, queue)

    def _write(self, queue: list[Waiting]) -> None:
        self._burn([waiting for waiting in queue if waiting.nonce is not None])
        batch: list[Waiting] = []
        for waiting in queue:
            if waiting.act is not None:
                try:
                    waiting.leaf = storable_leaf(waiting.act)
                except Exception as error:  # noqa: BLE001 - handed to who waits
                    waiting.failure = error
                    continue
                batch.append(waiting)
                if len(batch) == BATCH_ACTS:
                    self._commit(batch)
                    batch = []
            elif waiting.work is not None:
                self._commit(batch)
                batch = []
                self._work(waiting, waiting.work)
        self._commit(batch)

    def _work(self, waiting: Waiting, work: Callable[[apsw.Connection], Any]) -> None:
        try:
            waiting.result = self._handle.attempt(work, writing=True)
        except Exception as error:  # noqa: BLE001 - handed to who waits
            waiting.failure = error

    def _burn(self, burning: list[Waiting]) -> None:
        """Burn nonces together, without waiting for the disk."""
        if not burning:
            return
        nonces = [waiting.nonce for waiting in burning if waiting.nonce is not None]
        try:
            fresh = self._attempt(lambda connection: burn(connection, nonces), waited=False)
        except Exception as error:  # noqa: BLE001 - handed to who waits
            for waiting in burning:
                waiting.failure = error
            return
        for waiting, is_fresh in zip(burning, fresh, strict=True):
            waiting.result = is_fresh

    def _attempt(self, work: Callable[[apsw.Connection], T], *, waited: bool = True) -> T:
        """Do the work of one transaction and count it."""
        counts = self._statistics

        def counted(connection: apsw.Connection) -> T:
            before = connection.total_changes()
            result = work(connection)
            counts.rows += connection.total_changes() - before
            return result

        result: T = self._handle.attempt(counted, writing=True)
        if waited:
            counts.commits += 1
        else:
            counts.unwaited += 1
        return result

    def _commit(self, batch: list[Waiting]) -> None:
        """Commit acts together; if the database refuses them, each by itself."""
        if not batch:
            return
        acts = [(waiting.act, waiting.leaf) for waiting in batch if waiting.act is not None]
        try:
            refusals = self._attempt(
                lambda connection: write(connection, acts, self._issuers, self._clock())
            )
        except Exception as error:  # noqa: BLE001 - handed to who waits
            if len(batch) > 1 and not (isinstance(error, Error) and error.kind is Kind.UNAVAILABLE):
                for waiting in batch:
                    self._commit([waiting])
                return
            for waiting in batch:
                waiting.failure = error
            return
        for waiting, refusal in zip(batch, refusals, strict=True):
            waiting.failure = refusal


def _answer(queue: list[Waiting]) -> None:
    for waiting in queue:
        waiting.answer()
