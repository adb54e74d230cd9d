"""The ways to one PostgreSQL database: lanes to read, to write, and to burn nonces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeVar

import asyncpg

from mintmark.model.time import Clock
from mintmark.store.interface import Statistics
from mintmark.store.postgresql import check
from mintmark.store.postgresql.acme import find_accounts, find_authorizations, find_orders
from mintmark.store.postgresql.burner import Burner
from mintmark.store.postgresql.connection import Address, Lanes, explain, unavailable
from mintmark.store.postgresql.lookup import Lookup, find_blocked, find_fates, find_used
from mintmark.store.postgresql.writer import WRITERS, Writer

T = TypeVar("T")

READERS: Final = 2


class Access:
    """The ways of a `PostgreSQLStore` to its database; see there for the arguments."""

    def __init__(self, dsn: str, clock: Clock, *, password: str | None = None) -> None:
        self._address = Address(dsn, password)
        self._clock = clock
        self._statistics = Statistics()
        self._parts: _Parts | None = None

    async def open(self) -> None:
        """Connect and check the schema version."""
        connection = await self._address.connect()
        try:
            await check.require_schema(connection)
        finally:
            await connection.close()
        self._parts = _Parts(self._address, self._clock, self._statistics)

    async def close(self) -> None:
        """Finish pending commits and disconnect."""
        parts, self._parts = self._parts, None
        if parts is not None:
            await parts.writer.close()
            await parts.burning.close()
            await parts.reading.close()

    async def migrate(self) -> list[str]:
        """Bring the schema up to date; return the names of the migrations applied."""
        return await self._long(lambda c: check.migrate(c, self._clock))

    def statistics(self) -> Statistics:
        """Return how much was written so far."""
        return replace(self._statistics)

    def _open_parts(self) -> _Parts:
        if self._parts is None:
            raise unavailable("it is not open")
        return self._parts

    def _read(self, work: Callable[[Any], Awaitable[T]]) -> asyncio.Future[T]:
        return self._open_parts().reading.submit(work)

    def _write(self, work: Callable[[Any], Awaitable[T]]) -> asyncio.Future[T]:
        return self._open_parts().writing.submit(work)

    async def _long(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Do long work on a connection of its own, in a task of its own."""
        return await asyncio.get_running_loop().create_task(self._on_own_connection(work))

    def _snapshot(
        self, fetch: Callable[[Any, Any | None], Awaitable[list[Any]]]
    ) -> Iterator[list[Any]]:
        """Yield pages of one snapshot, outside of the loop, on a connection of its own.

        Args:
            fetch: returns the page behind a row, None for the first one.
        """
        with asyncio.Runner() as runner:
            connection = runner.run(self._address.connect(long=True))
            try:
                runner.run(connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
                before = None
                while page := runner.run(_awaited(fetch(connection, before))):
                    yield page
                    before = page[-1]
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                raise explain(error) from error
            finally:
                connection.terminate()

    async def _on_own_connection(self, work: Callable[[Any], Awaitable[T]]) -> T:
        connection = await self._address.connect(long=True)
        try:
            return await work(connection)
        except Exception as error:
            raise explain(error) from error
        finally:
            await connection.close()


async def _awaited(result: Awaitable[T]) -> T:
    return await result


class _Parts:
    """What an open store works with."""

    def __init__(self, address: Address, clock: Clock, statistics: Statistics) -> None:
        self.reading = Lanes(address, READERS)
        self.writing = Lanes(address, WRITERS)
        self.burning = Lanes(address, 1)
        self.writer = Writer(self.writing, clock, statistics)
        self.burner = Burner(self.burning, statistics)
        self.fates = Lookup(self.reading, find_fates)
        self.blocked = Lookup(self.reading, find_blocked)
        self.used = Lookup(self.reading, find_used)
        self.accounts = Lookup(self.reading, find_accounts)
        self.orders = Lookup(self.reading, find_orders)
        self.authorizations = Lookup(self.reading, find_authorizations)
