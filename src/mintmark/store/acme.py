"""The contract of ACME's own memory; SQLite and PostgreSQL stand behind it.

Objects are written whole, with optimistic concurrency: version 1 inserts, version n replaces
version n-1, and anything else is CONFLICT. What an object is, its account, provisioner and
names for example, stays as it was first written; what becomes of it changes. They travel in
`Act.changes`, so that a certificate and the order it completes are one commit; an act with
changes alone has no audit record unless it says so.

A `Pause` has no version. Each one written counts one failure more than is stored, or what it
says if that is more, so that failures that happen at once are all counted; a day after its
first failure a count starts anew. One with no failures forgets the pair.

Everything that ends is tidied, so that no table only grows:

    order, authorization   `KEPT_SECONDS` after `expires_at`: so long a person can still ask
                           why a certificate did not come; the audit log keeps what was issued
    nonce                  when it expires
    pause                  a day after `since`; a paused pair stays until it is unpaused or
                           its account is no longer valid
    renewal window         when its certificate expires
    external account key   `KEPT_SECONDS` after it was revoked, if no account is bound to it
    account                never: the key of a deactivated account must stay refused
                           (RFC 8555 §7.3.6)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from mintmark.model.acme import (
    Account,
    Authorization,
    ExternalKey,
    Order,
    Pause,
    RenewalWindow,
)
from mintmark.model.identifiers import Identifier
from mintmark.model.time import DAY

KEPT_SECONDS: Final = 7 * DAY


class ACMEStore(Protocol):
    """What the ACME server remembers; a part of every `Store`."""

    async def account(self, account_id: str) -> Account | None:
        """Return an account by id."""

    async def account_by_key(self, provisioner: str, thumbprint: bytes) -> Account | None:
        """Return the account of a key."""

    async def accounts(
        self, provisioner: str | None, *, after: str | None, limit: int
    ) -> list[Account]:
        """Return accounts, by id."""

    async def order(self, order_id: str) -> Order | None:
        """Return an order by id."""

    async def orders(self, account: str, *, after: str | None, limit: int) -> list[Order]:
        """Return an account's orders that can still do something, oldest first.

        RFC 8555 §7.1.2.1: neither invalid nor expired. `after` is the id of the last order
        of the page before.
        """

    async def authorization(self, authorization_id: str) -> Authorization | None:
        """Return an authorization by id."""

    async def authorizations(self, ids: Sequence[str]) -> list[Authorization]:
        """Return authorizations by id, in this order; missing ones are left out."""

    async def reusable(
        self, account: str, identifiers: Sequence[tuple[Identifier, bool]], now: int
    ) -> list[Authorization]:
        """Return valid, unexpired authorizations for identifiers (with wildcard or not).

        Of each identifier the one that lasts longest, in this order.
        """

    async def pending_count(self, account: str, now: int) -> int:
        """Return how many unexpired pending authorizations an account has."""

    async def due_challenges(self, now: int, limit: int) -> list[Authorization]:
        """Return unexpired authorizations with a challenge whose `next_attempt` has come.

        Those that have waited longest come first.
        """

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
        """Remember a nonce as used; False if it was, here or in another process.

        Those that arrive together are one transaction, and no disk is waited for: a power cut
        may forget those that no durable act came after.
        """

    async def renewal_window(self, serial: bytes) -> RenewalWindow | None:
        """Return the window that an operator set for a certificate of ours."""

    async def set_renewal_windows(self, windows: Sequence[RenewalWindow]) -> None:
        """Set windows, replacing earlier ones; unknown serials are passed over."""
