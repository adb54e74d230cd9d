"""The contract of ACME's own memory; SQLite and PostgreSQL stand behind it.

Objects are written whole, with optimistic concurrency: version 1 inserts, version n replaces
version n-1, and anything else is CONFLICT. They travel in `Act.changes`, so that a
certificate and the order it completes are one commit; an act with changes alone has no audit
record unless it says so.

Everything that ends is tidied: expired orders, authorizations, nonces and pauses are deleted
by `Store.tidy` some time after their end, so that no table only grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mintmark.model.acme import (
    Account,
    Authorization,
    ExternalKey,
    Order,
    Pause,
    RenewalWindow,
)
from mintmark.model.identifiers import Identifier


class ACMEStore(Protocol):
    """What the ACME server remembers; a part of every `Store`."""

    async def account(self, account_id: str) -> Account | None:
        """Return an account by id."""

    async def account_by_key(self, provisioner: str, thumbprint: bytes) -> Account | None:
        """Return the account of a key."""

    async def order(self, order_id: str) -> Order | None:
        """Return an order by id."""

    async def orders(self, account: str, *, after: str | None, limit: int) -> list[Order]:
        """Return an account's orders that can still do something, oldest first (§7.1.2.1)."""

    async def authorization(self, authorization_id: str) -> Authorization | None:
        """Return an authorization by id."""

    async def authorizations(self, ids: Sequence[str]) -> list[Authorization]:
        """Return authorizations by id, in this order; missing ones are left out."""

    async def reusable(
        self, account: str, identifiers: Sequence[tuple[Identifier, bool]], now: int
    ) -> list[Authorization]:
        """Return valid, unexpired authorizations for identifiers (with wildcard or not)."""

    async def pending_count(self, account: str, now: int) -> int:
        """Return how many unexpired pending authorizations an account has."""

    async def due_challenges(self, now: int, limit: int) -> list[Authorization]:
        """Return authorizations with a challenge whose `next_attempt` has come."""

    async def external_key(self, key_id: str) -> ExternalKey | None:
        """Return an external account key."""

    async def external_keys(
        self, provisioner: str | None, *, after: str | None, limit: int
    ) -> list[ExternalKey]:
        """Return external account keys, by id."""

    async def pauses(self, account: str, identifiers: Sequence[str]) -> list[Pause]:
        """Return what is known of failures of these pairs."""

    async def paused(self, *, after: tuple[str, str] | None, limit: int) -> list[Pause]:
        """Return paused pairs, by account and identifier."""

    async def unpause(self, account: str, identifier: str | None) -> int:
        """Forget the failures of an account, or of one pair; return how many pairs."""

    async def burn_nonce(self, nonce: bytes, expires_at: int) -> bool:
        """Remember a nonce as used; False if it was."""

    async def renewal_window(self, serial: bytes) -> RenewalWindow | None:
        """Return the window that an operator set for a certificate."""

    async def set_renewal_windows(self, windows: Sequence[RenewalWindow]) -> None:
        """Set windows, replacing earlier ones."""
