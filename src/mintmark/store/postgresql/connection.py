"""Connections to PostgreSQL: a few, kept, and reopened by themselves.

All traffic runs in tasks of the store, so that callers only wait for futures. While the server
is away every request fails within seconds and says so; nothing hangs and nothing is queued up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import asyncpg

from mintmark.model.errors import Error, Kind

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
STATEMENT_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 5
_PAUSE_SECONDS: Final = 0.5

# A session that dies in the middle must not keep its locks or its transaction id for long:
# other writers and the sequencing of audit records wait for it.
_SESSION: Final = {
    "application_name": "mintmark",
    "timezone": "UTC",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "4s",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
}

# What the operator or the server has to mend (SQLSTATE classes and codes, PostgreSQL
# appendix A): connection, resources, operator intervention, system, and a standby's refusal.
_AWAY_CLASSES: Final = ("08", "53", "57", "58", "XX", "28", "3D")
_AWAY_CODES: Final = frozenset({"25006", "55P03", "40P01", "40001", "25P03", "42501"})

# A connection that ends in the middle of the driver's own step leaves the driver's state machine
# in disorder, which it reports as an internal error.
_LOST: Final = (asyncpg.InterfaceError, asyncpg.InternalClientError)
_DRIVER: Final = (asyncpg.PostgresError, *_LOST)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the database is.

    Args:
        dsn: a `postgresql://` URL.
        password: beside the URL, so that it need not be in it; None takes the usual sources.
    """

    dsn: str
    password: str | None = None

    async def connect(self, *, long: bool = False) -> Any:
        """Open a connection; a `long` one may run statements of any length.

        Raises:
            Error: UNAVAILABLE, or CONFIGURATION when the URL is not one.
        """
        session = {**_SESSION, "statement_timeout": "0", "lock_timeout": "0"} if long else _SESSION
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await asyncpg.connect(
                    self.dsn,
                    password=self.password,
                    server_settings=session,
                    command_timeout=None if long else STATEMENT_SECONDS,
                )
        except ValueError as error:  # the driver's own errors of this kind are ValueErrors too
            raise Error(
                Kind.CONFIGURATION,
                "the database URL cannot be used",
                hint="write it as postgresql://user@host:5432/database",
            ) from error
        except (OSError, TimeoutError, *_DRIVER) as error:
            raise unavailable("it cannot be reached") from error


def unavailable(reason: str) -> Error:
    """Return the refusal of everything that needs the database now."""
    return Error(
        Kind.UNAVAILABLE,
        f"the database cannot be used: {reason}",
        hint="try again later",
        retry_after=_RETRY_SECONDS,
    )


def explain(error: Exception) -> Error:
    """Return what a failure means for who asked."""
    if isinstance(error, Error):
        return error
    if isinstance(error, TimeoutError):
        return unavailable("it does not answer in time")
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        if code[:2] in _AWAY_CLASSES or code in _AWAY_CODES:
            return unavailable("the server refuses to work now")
    elif isinstance(error, (OSError, *_LOST)) and not isinstance(error, ValueError):
        return unavailable("the connection was lost")
    # The driver raises ValueError for what it cannot encode.
    return Error(Kind.INTERNAL, f"the database refused what was to be stored: {error}")


class Lanes:
    """Some connections that work off one queue of jobs.

    Args:
        address: where the database is.
        size: how many connections.
    """

    def __init__(self, address: Address, size: int) -> None:
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._away_until = 0.0
        self._closing = False
        self._tasks = [self._loop.create_task(self._run()) for _ in range(size)]

    def submit(self, work: Callable[[Any], Awaitable[T]]) -> asyncio.Future[T]:
        """Have work done on one of the connections; await the future, or not."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closing:
            future.set_exception(unavailable("it is being closed"))
        else:
            self._queue.put_nowait(_Job(work, future))
        return future

    async def close(self) -> None:
        """Finish the queue and disconnect."""
        self._closing = True
        for _ in self._tasks:
            self._queue.put_nowait(None)
        await asyncio.gather(*self._tasks)

    async def _run(self) -> None:
        connection: Any = None
        while (job := await self._queue.get()) is not None:
            try:
                if connection is None or connection.is_closed():
                    connection = await self._reconnect()
                result = await job.work(connection)
            except Exception as error:  # noqa: BLE001 - handed to who waits
                explanation = explain(error)
                explanation.__cause__ = error if explanation is not error else error.__cause__
                if not job.future.done():
                    job.future.set_exception(explanation)
                if connection is not None and not _still_good(connection, error):
                    connection.terminate()
                    connection = None
            else:
                if not job.future.done():
                    job.future.set_result(result)
        if connection is not None:
            await _part(connection)

    async def _reconnect(self) -> Any:
        if self._loop.time() < self._away_until:
            raise unavailable("it cannot be reached")
        try:
            return await self._address.connect()
        except Error:
            # Who asks in the next moment is told at once.
            self._away_until = self._loop.time() + _PAUSE_SECONDS
            raise


@dataclass(slots=True)
class _Job:
    work: Callable[[Any], Awaitable[Any]]
    future: asyncio.Future[Any]


def _still_good(connection: Any, error: Exception) -> bool:
    """Whether a connection can be used after an error: it must be outside of a transaction."""
    if connection.is_closed() or connection.is_in_transaction():
        return False
    return isinstance(error, (Error, asyncpg.PostgresError, ValueError))


async def _part(connection: Any) -> None:
    with contextlib.suppress(OSError, TimeoutError, *_DRIVER):
        await connection.close(timeout=1.0)
