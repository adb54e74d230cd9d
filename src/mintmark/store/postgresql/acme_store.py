"""`ACMEStore` on PostgreSQL; see `mintmark.store.acme` for what each method promises."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from mintmark.model.acme import (
    Account,
    Authorization,
    ExternalKey,
    Order,
    Pause,
    RenewalWindow,
)
from mintmark.model.identifiers import Identifier
from mintmark.store import acme_rows
from mintmark.store.acme_rows import PAUSE, TABLES, WINDOWS_AT_ONCE, findable
from mintmark.store.postgresql import acme
from mintmark.store.postgresql.access import Access

_ACCOUNT: Final = TABLES[Account].select
_ORDER: Final = TABLES[Order].select
_AUTHORIZATION: Final = TABLES[Authorization].select
_EXTERNAL_KEY: Final = TABLES[ExternalKey].select

# $1 provisioner or NULL, $2 after, $3 limit
_ACCOUNTS: Final = f"""
{_ACCOUNT} WHERE id > $2 AND ($1::text IS NULL OR provisioner = $1) ORDER BY id LIMIT $3
"""
# $1 account, $2 `after` or NULL, $3 now, $4 limit
_ORDERS: Final = f"""
{_ORDER} WHERE account = $1 AND expires_at >= $3 AND status != 'invalid'
AND place > CASE WHEN $2::text IS NULL THEN 0
            ELSE (SELECT place FROM acme_orders WHERE id = $2) END
ORDER BY place LIMIT $4
"""  # noqa: S608 - ours
# $1 account, $2 now, $3 values, $4 types, $5 wildcards
_REUSABLE: Final = f"""
SELECT a.* FROM unnest($3::text[], $4::text[], $5::boolean[])
     WITH ORDINALITY AS n(identifier, identifier_type, wildcard, place)
CROSS JOIN LATERAL (
    {_AUTHORIZATION} AS t WHERE t.account = $1 AND t.identifier = n.identifier
    AND t.expires_at >= $2 AND t.status = 'valid'
    AND t.identifier_type = n.identifier_type AND t.wildcard = n.wildcard
    ORDER BY t.expires_at DESC LIMIT 1
) AS a ORDER BY n.place
"""  # noqa: S608 - ours
_PENDING: Final = """
SELECT count(*) FROM acme_authorizations
WHERE status = 'pending' AND account = $1 AND expires_at >= $2
"""
_DUE: Final = f"""
{_AUTHORIZATION} WHERE next_attempt <= $1 AND expires_at >= $1 ORDER BY next_attempt LIMIT $2
"""
# $1 provisioner or NULL, $2 after, $3 limit
_EXTERNAL_KEYS: Final = f"""
{_EXTERNAL_KEY} WHERE id > $2 AND ($1::text IS NULL OR provisioner = $1) ORDER BY id LIMIT $3
"""
_PAUSES: Final = f"{PAUSE} WHERE account = $1 AND identifier = ANY($2)"
_PAUSED: Final = f"""
{PAUSE} WHERE paused_at IS NOT NULL AND (account, identifier) > ($1, $2)
ORDER BY account, identifier LIMIT $3
"""
_WINDOW: Final = """
SELECT serial, opens_at, closes_at, explanation_url FROM acme_renewal_windows WHERE serial = $1
"""


class PostgreSQLACME(Access):
    """What the ACME server remembers; objects read at one moment are one query."""

    async def account(self, account_id: str) -> Account | None:
        """Return an account by id."""
        if not findable(account_id):
            return None
        return await self._open_parts().accounts.get(account_id)

    async def account_by_key(self, provisioner: str, thumbprint: bytes) -> Account | None:
        """Return the account of a key."""
        sql = f"{_ACCOUNT} WHERE provisioner = $1 AND thumbprint = $2"
        row = await self._read(lambda c: c.fetchrow(sql, provisioner, thumbprint))
        return None if row is None else acme_rows.account(row)

    async def accounts(
        self, provisioner: str | None, *, after: str | None, limit: int
    ) -> list[Account]:
        """Return accounts, by id."""
        values = (provisioner, after or "", limit)
        found = await self._read(lambda c: c.fetch(_ACCOUNTS, *values))
        return [acme_rows.account(row) for row in found]

    async def order(self, order_id: str) -> Order | None:
        """Return an order by id."""
        if not findable(order_id):
            return None
        return await self._open_parts().orders.get(order_id)

    async def orders(self, account: str, *, after: str | None, limit: int) -> list[Order]:
        """Return an account's orders that can still do something, oldest first."""
        if after is not None and not findable(after):
            return []
        values = (account, after, int(self._clock()), limit)
        found = await self._read(lambda c: c.fetch(_ORDERS, *values))
        return [acme_rows.order(row) for row in found]

    async def authorization(self, authorization_id: str) -> Authorization | None:
        """Return an authorization by id."""
        if not findable(authorization_id):
            return None
        return await self._open_parts().authorizations.get(authorization_id)

    async def authorizations(self, ids: Sequence[str]) -> list[Authorization]:
        """Return authorizations by id, in this order; missing ones are left out."""
        asked = self._open_parts().authorizations
        found = await asyncio.gather(*(asked.get(id_) for id_ in ids if findable(id_)))
        return [authorization for authorization in found if authorization is not None]

    async def reusable(
        self, account: str, identifiers: Sequence[tuple[Identifier, bool]], now: int
    ) -> list[Authorization]:
        """Return valid, unexpired authorizations for identifiers (with wildcard or not)."""
        values = [identifier.value for identifier, _ in identifiers]
        types = [identifier.type.value for identifier, _ in identifiers]
        wildcards = [wildcard for _, wildcard in identifiers]
        found = await self._read(
            lambda c: c.fetch(_REUSABLE, account, now, values, types, wildcards)
        )
        return [acme_rows.authorization(row) for row in found]

    async def pending_count(self, account: str, now: int) -> int:
        """Return how many unexpired pending authorizations an account has."""
        return int(await self._read(lambda c: c.fetchval(_PENDING, account, now)))

    async def due_challenges(self, now: int, limit: int) -> list[Authorization]:
        """Return authorizations with a challenge whose `next_attempt` has come."""
        found = await self._read(lambda c: c.fetch(_DUE, now, limit))
        return [acme_rows.authorization(row) for row in found]

    async def external_key(self, key_id: str) -> ExternalKey | None:
        """Return an external account key."""
        if not findable(key_id):
            return None
        row = await self._read(lambda c: c.fetchrow(f"{_EXTERNAL_KEY} WHERE id = $1", key_id))
        return None if row is None else acme_rows.external_key(row)

    async def external_keys(
        self, provisioner: str | None, *, after: str | None, limit: int
    ) -> list[ExternalKey]:
        """Return external account keys, by id."""
        values = (provisioner, after or "", limit)
        found = await self._read(lambda c: c.fetch(_EXTERNAL_KEYS, *values))
        return [acme_rows.external_key(row) for row in found]

    async def pauses(self, account: str, identifiers: Sequence[str]) -> list[Pause]:
        """Return what is known of failures of these pairs."""
        found = await self._read(lambda c: c.fetch(_PAUSES, account, list(identifiers)))
        return [acme_rows.pause(row) for row in found]

    async def paused(self, *, after: tuple[str, str] | None, limit: int) -> list[Pause]:
        """Return paused pairs, by account and identifier."""
        found = await self._read(lambda c: c.fetch(_PAUSED, *(after or ("", "")), limit))
        return [acme_rows.pause(row) for row in found]

    async def unpause(self, account: str, identifier: str | None) -> int:
        """Forget the failures of an account, or of one pair; return how many pairs."""
        return await self._write(lambda c: acme.unpause(c, account, identifier))

    async def burn_nonce(self, nonce: bytes, expires_at: int) -> bool:
        """Remember a nonce as used; False if it was."""
        return await self._open_parts().burner.put(nonce, expires_at)

    async def renewal_window(self, serial: bytes) -> RenewalWindow | None:
        """Return the window that an operator set for a certificate of ours."""
        row = await self._read(lambda c: c.fetchrow(_WINDOW, serial))
        return None if row is None else RenewalWindow(*row)

    async def set_renewal_windows(self, windows: Sequence[RenewalWindow]) -> None:
        """Set windows, replacing earlier ones; unknown serials are passed over."""
        for start in range(0, len(windows), WINDOWS_AT_ONCE):
            some = windows[start : start + WINDOWS_AT_ONCE]
            await self._write(partial(acme.set_renewal_windows, windows=some))

    async def _tidy_ended(self, now: int) -> int:
        """Delete what has ended, a little at a time; return how many rows."""
        deleted = 0
        while some := await self._write(partial(acme.tidy, now=now)):
            deleted += some
        return deleted
