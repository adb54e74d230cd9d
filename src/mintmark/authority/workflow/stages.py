"""Stages: requests that come together take each step together.

A request walks through more code than a processor's first caches hold: HTTP, JSON, DER, policy,
curves, SQL. Walked by one request after the other, every step begins with caches that are full
of the end of the last request. Walked step by step, by all who came in the same turn of the
event loop, the second and all later ones find them warm: a quarter less CPU for a certificate
at a concurrency of 64 (ADR 0015). Who comes alone waits for one turn of an idle loop.

A stage is a place to wait and nothing else. What was checked before it may have changed behind
it, as behind any `await`; what must hold at the commit is a condition of the commit.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field


class Stage:
    """Where the requests of one turn of the loop gather: `await stage`."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        """Let everybody else of this turn of the loop come here too."""
        yield


@dataclass(frozen=True, slots=True)
class Stages:
    """The steps of an authority's requests that are taken together.

    Args:
        read: what was asked for is read; signatures of the requester are verified.
        verify: the proof of possession of a CSR is verified: OpenSSL's curves fill the caches
            by themselves.
        decide: policy looks at it, and it is drafted.
        sign: the authority's key signs, and what it signed is parsed back.
    """

    read: Stage = field(default_factory=Stage)
    verify: Stage = field(default_factory=Stage)
    decide: Stage = field(default_factory=Stage)
    sign: Stage = field(default_factory=Stage)
