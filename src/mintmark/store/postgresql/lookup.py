"""Single reads that arrive together and go to the server together.

A lookup by key costs PostgreSQL's client more than SQLite's whole read; those of one turn of
the event loop, and those that come while a query runs, become one query.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from mintmark.model.certificate import Revocation
from mintmark.model.status import Reason
from mintmark.store.postgresql.connection import Lanes, explain

K = TypeVar("K", str, bytes)
V = TypeVar("V")
_KEYS: Final = 1000

_FATES: Final = """
SELECT s.serial, ci.issuer, ri.issuer, r.revoked_at, r.reason, r.not_after
FROM unnest($1::bytea[]) AS s(serial)
LEFT JOIN certificates c ON c.serial = s.serial
LEFT JOIN issuers ci ON ci.id = c.issuer
LEFT JOIN revocations r ON r.serial = s.serial
LEFT JOIN issuers ri ON ri.id = r.issuer
"""
_BLOCKED: Final = "SELECT spki_sha256 FROM blocked_keys WHERE spki_sha256 = ANY($1)"
_USED: Final = "SELECT sha256 FROM used_tokens WHERE sha256 = ANY($1)"


Fate = tuple[str | None, Revocation | None]
"""Issuer of the certificate, None when it is not ours; its revocation."""


class Lookup(Generic[K, V]):
    """Answers by key, many at once.

    Args:
        lanes: connections to read through.
        fetch: returns the answers to some keys; a key without one is left out.
    """

    def __init__(
        self, lanes: Lanes, fetch: Callable[[Any, list[K]], Awaitable[Mapping[K, V]]]
    ) -> None:
        self._lanes = lanes
        self._fetch: Callable[[Any, list[K]], Awaitable[Mapping[K, V]]] = fetch
        self._loop = asyncio.get_running_loop()
        self._asked: dict[K, list[asyncio.Future[V | None]]] = {}

    def get(self, key: K) -> asyncio.Future[V | None]:
        """Return a future of the answer, None when there is none."""
        future: asyncio.Future[V | None] = self._loop.create_future()
        if not self._asked:
            self._loop.call_soon(self._submit)
        self._asked.setdefault(key, []).append(future)
        return future

    def _submit(self) -> None:
        self._lanes.submit(self._answer).add_done_callback(self._refused)

    def _refused(self, done: asyncio.Future[None]) -> None:
        """Tell everybody when there was not even a connection."""
        if error := done.exception():
            asked, self._asked = self._asked, {}
            _fail(asked, error)

    async def _answer(self, connection: Any) -> None:
        asked, self._asked = self._asked, {}
        keys = list(asked)
        try:
            for start in range(0, len(keys), _KEYS):
                some = keys[start : start + _KEYS]
                answers = await self._fetch(connection, some)
                for key in some:
                    answer = answers.get(key)
                    for future in asked.pop(key):
                        if not future.done():
                            future.set_result(answer)
        except Exception as error:
            _fail(asked, error)
            raise


def _fail(asked: Mapping[Any, list[asyncio.Future[Any]]], error: BaseException) -> None:
    for futures in asked.values():
        for future in futures:
            if not future.done():
                future.set_exception(explain(error) if isinstance(error, Exception) else error)


async def find_fates(connection: Any, serials: list[bytes]) -> Mapping[bytes, Fate]:
    """Return who issued serials, and their revocations."""
    found: dict[bytes, Fate] = {}
    for row in await connection.fetch(_FATES, serials):
        serial, issuer, revoked_by, revoked_at, reason, not_after = row
        revocation = None
        if revoked_at is not None:
            revocation = Revocation(serial, revoked_by, revoked_at, Reason(reason), not_after)
        found[serial] = (issuer, revocation)
    return found


async def find_blocked(connection: Any, keys: list[bytes]) -> Mapping[bytes, bool]:
    """Return which keys are blocked."""
    return {row[0]: True for row in await connection.fetch(_BLOCKED, keys)}


async def find_used(connection: Any, tokens: list[bytes]) -> Mapping[bytes, bool]:
    """Return which signed tokens were used up."""
    return {row[0]: True for row in await connection.fetch(_USED, tokens)}
