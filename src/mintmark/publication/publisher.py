"""The publisher: once a second, what was decided becomes visible to the world.

Reads the audit log in tree order from its own cursor (ADR 0005): sign a checkpoint, look at
what it added, publish the CRLs and the KRL that this makes due. Any process on the database
may do it; a lease lets one do it at a time, and unique numbers make a second one harmless.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from mintmark.authority.workflow.authority import Authority
from mintmark.model.errors import Error
from mintmark.model.time import MINUTE
from mintmark.publication.checkpoint import MAX_RECORDS, CheckpointKey, sign_checkpoint
from mintmark.publication.crl import publish_if_due
from mintmark.publication.krl import publish_krl

log = logging.getLogger(__name__)

PERIOD = 1.0  # seconds between checkpoints
TIDY_PERIOD = 10 * MINUTE
LEASE = 10  # seconds; a dead holder is replaced after that
CONSUMER = "crl"
BATCH = 64  # checkpoints read at a time


@dataclass(frozen=True, slots=True)
class PublicationSettings:
    """How publication is configured.

    Args:
        crl_lifetime: seconds from this_update to next_update.
    """

    crl_lifetime: int


class Publisher:
    """Runs publication for one process.

    Args:
        authority: whose log and revocations are published.
        checkpoint_key: signs the log's checkpoints.
        settings: lifetimes.
    """

    def __init__(
        self, authority: Authority, checkpoint_key: CheckpointKey, settings: PublicationSettings
    ) -> None:
        self._authority = authority
        self._checkpoint_key = checkpoint_key
        self._settings = settings
        self._holder = secrets.token_hex(8)
        self._tidied = 0.0
        self._krl_exists = False

    async def run(self, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        """Publish until cancelled; what fails is logged and tried again."""
        while True:
            try:
                await self.turn()
            except Error as error:
                log.warning("publication waits: %s", error.detail)
            except Exception:
                log.exception("publication failed and will be tried again")
            await sleep(PERIOD)

    async def turn(self) -> None:
        """Do what is due now, if this process holds the lease."""
        authority = self._authority
        now = authority.clock()
        if not await authority.store.lease("publication", self._holder, LEASE, now):
            return
        await self._sign_checkpoints()
        news = await self._news()
        await publish_if_due(authority, self._settings.crl_lifetime, changed=news.crl)
        if news.krl or not self._krl_exists:
            await self._publish_krl(int(now))
        if news.crl or news.krl:
            await authority.store.move_cursor(CONSUMER, news.read)
        if not 0 <= now - self._tidied < TIDY_PERIOD:
            self._tidied = now
            await authority.store.tidy(int(now))

    async def _sign_checkpoints(self) -> None:
        """Give every record of before this turn its place in the log.

        A checkpoint that is not full has taken in all there was. Signing on until nothing is
        left would never end while the server is busy, and leave no time for anything else.
        """
        authority = self._authority
        taken = MAX_RECORDS
        while taken == MAX_RECORDS:
            made = await sign_checkpoint(authority.store, self._checkpoint_key, authority.clock)
            taken = sum(last - first + 1 for first, last in made.ranges) if made else 0

    async def _publish_krl(self, now: int) -> None:
        authority = self._authority
        latest = await authority.store.latest_krl()
        published = await publish_krl(authority, latest, now)
        self._krl_exists = latest is not None or published is not None

    async def _news(self) -> _News:
        """Return how far the log was read, and of what it tells.

        Without a revocation the cursor moves at once: nothing is owed to anybody.
        """
        store = self._authority.store
        news = _News(await store.cursor(CONSUMER))
        while checkpoints := await store.checkpoints(after=news.read, limit=BATCH):
            for checkpoint in checkpoints:
                for record in await store.audit_records(checkpoint.ranges):
                    news.take(record.leaf)
            news.read = checkpoints[-1].sequence
            if not (news.crl or news.krl):
                await store.move_cursor(CONSUMER, news.read)
        return news


@dataclass(slots=True)
class _News:
    """How far the log was read, and whether CRLs and the KRL are due for what it tells."""

    read: int
    crl: bool = False
    krl: bool = False

    def take(self, leaf: bytes) -> None:
        """Look at one record."""
        # Most records are issuances; parse only what may matter.
        if b"revoke" not in leaf and b"ssh.ban" not in leaf:
            return
        record = msgspec.json.decode(leaf)
        action = record.get("action")
        if action == "ssh.ban":
            self.krl = True
        elif action == "certificate.revoke":
            is_ssh = bool(record.get("details", {}).get("ssh"))
            self.krl = self.krl or is_ssh
            self.crl = self.crl or not is_ssh
