"""Stages: requests that come together take each step together.

A request walks through more code than a processor's first caches hold: HTTP, JSON, DER, policy,
curves, SQL. Walked by one request after the other, every step begins with caches that are full
of the end of the last request. Walked step by step, by all who came together, the second and
all later ones find them warm: a quarter less CPU for a certificate at a concurrency of 64
(ADR 0015). Who comes alone waits for a few turns of an idle loop.

A stage is a place to wait and nothing else. What was checked before it may have changed behind
it, as behind any `await`; what must hold at the commit is a condition of the commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Final

ANSWERED: Final = 5
"""Turns of the loop from the last stage until clients that were answered have asked again:
signed, committed, answered, and two for what they send."""

MAX_TURNS: Final = 32  # that anybody waits at the entrance, whoever else comes


class Stage:
    """Where the requests of one turn of the loop gather: `await stage`.

    Args:
        entrance: is told that somebody is on the way.
    """

    __slots__ = ("_entrance",)

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance

    def __await__(self) -> Generator[None, None, None]:
        """Let everybody else of this turn of the loop come here too."""
        self._entrance.moves += 1
        yield


class Entrance:
    """The first stage: nobody leaves it while others come, or are on the way behind it.

    Clients that were answered together ask again one after the other, while their server reads
    what has come or is busy with others. Whoever goes in at once, with the first few, makes the
    rest a batch of their own, with a commit of its own, and small batches stay small: each of
    them comes back while another is on its way. Nobody waits for who waits elsewhere, as for a
    thread or a database: only coming to a stage counts.

    Attributes:
        moves: how often somebody came to a stage behind this one.
    """

    __slots__ = ("_came", "_loop", "_moves", "_patience", "_turns", "_waiting", "moves")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._came = self._moves = self._patience = self._turns = 0
        self.moves = 0

    def __await__(self) -> Generator[asyncio.Future[None], None, None]:
        """Wait until nobody comes any more, for `MAX_TURNS` at the most."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._waiting = loop, []
        if not self._waiting:
            self._came = self._patience = self._turns = 0
            loop.call_soon(self._look, loop)
        future = loop.create_future()
        self._waiting.append(future)
        yield from future

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let everybody in if it is time; else look again in the next turn."""
        self._patience -= 1
        if self._moves != self.moves:
            self._patience = ANSWERED
        elif self._came != len(self._waiting):
            self._patience = max(self._patience, 1)
        self._moves, self._came = self.moves, len(self._waiting)
        self._turns += 1
        if self._patience > 0 and self._turns < MAX_TURNS:
            loop.call_soon(self._look, loop)
            return
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():  # a request may have been given up
                future.set_result(None)


class Stages:
    """The steps of an authority's requests that are taken together.

    Attributes:
        read: the entrance, before what was asked for is read; signatures of the requester are
            verified.
        verify: the proof of possession of a CSR is verified: OpenSSL's curves fill the caches
            by themselves.
        decide: policy looks at it, and it is drafted.
        sign: the authority's key signs, and what it signed is parsed back.
    """

    __slots__ = ("decide", "read", "sign", "verify")

    def __init__(self) -> None:
        self.read: Final = Entrance()
        self.verify: Final = Stage(self.read)
        self.decide: Final = Stage(self.read)
        self.sign: Final = Stage(self.read)
