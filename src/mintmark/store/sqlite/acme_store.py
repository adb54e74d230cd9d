"""`ACMEStore` on SQLite; see `mintmark.store.acme` for what each method promises."""

from __future__ import annotations

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
from mintmark.store.sqlite import acme
from mintmark.store.sqlite.access import Access

_ACCOUNT: Final = TABLES[Account].select
_ORDER: Final = TABLES[Order].select
_AUTHORIZATION: Final = TABLES[Authorization].select
_EXTERNAL_KEY: Final = TABLES[ExternalKey].select

# ?1 provisioner or NULL, ?2 after, ?3 limit
_ACCOUNTS: Final = f"""
{_ACCOUNT} WHERE id > ?2 AND (?1 IS NULL OR provisioner = ?1) ORDER BY id LIMIT ?3
"""
# ?1 account, ?2 `after` or NULL, ?3 now, ?4 limit
_ORDERS: Final = f"""
{_ORDER} WHERE account = ?1 AND expires_at >= ?3 AND status != 'invalid'
AND place > CASE WHEN ?2 IS NULL THEN 0 ELSE (SELECT place FROM acme_orders WHERE id = ?2) END
ORDER BY place LIMIT ?4
"""  # noqa: S608 - ours
_REUSABLE: Final = f"""
{_AUTHORIZATION} WHERE account = ?1 AND identifier = ?2 AND expires_at >= ?5 AND status = 'valid'
AND identifier_type = ?3 AND wildcard = ?4 ORDER BY expires_at DESC LIMIT 1
"""
_PENDING: Final = """
SELECT count(*) FROM acme_authorizations
WHERE status = 'pending' AND account = ? AND expires_at >= ?
"""
_DUE: Final = f"""
{_AUTHORIZATION} WHERE next_attempt <= ?1 AND expires_at >= ?1 ORDER BY next_attempt LIMIT ?2
"""
_PAUSED: Final = f"""
{PAUSE} WHERE paused_at IS NOT NULL AND (account, identifier) > (?, ?)
ORDER BY account, identifier LIMIT ?
"""


class SQLiteACME(Access):
    """What the ACME server remembers; single objects are read in the loop."""

    async def account(self, account_id: str) -> Account | None:
        """Return an account by id."""
        if not findable(account_id):
            return None
        row = self._row(f"{_ACCOUNT} WHERE id = ?", (account_id,))
        return None if row is None else acme_rows.account(row)

    async def account_by_key(self, provisioner: str, thumbprint: bytes) -> Account | None:
        """Return the account of a key."""
        row = self._row(
            f"{_ACCOUNT} WHERE provisioner = ? AND thumbprint = ?", (provisioner, thumbprint)
        )
        return None if row is None else acme_rows.account(row)

    async def accounts(
        self, provisioner: str | None, *, after: str | None, limit: int
    ) -> list[Account]:
        """Return accounts, by id."""
        found = await self._scan(
            lambda c: c.execute(_ACCOUNTS, (provisioner, after or "", limit)).fetchall()
        )
        return [acme_rows.account(row) for row in found]

    async def order(self, order_id: str) -> Order | None:
        """Return an order by id."""
        if not findable(order_id):
            return None
        row = self._row(f"{_ORDER} WHERE id = ?", (order_id,))
        return None if row is None else acme_rows.order(row)

    async def orders(self, account: str, *, after: str | None, limit: int) -> list[Order]:
        """Return an account's orders that can still do something, oldest first."""
        if after is not None and not findable(after):
            return []
        values = (account, after, int(self._clock()), limit)
        found = await self._scan(lambda c: c.execute(_ORDERS, values).fetchall())
        return [acme_rows.order(row) for row in found]

    async def authorization(self, authorization_id: str) -> Authorization | None:
        """Return an authorization by id."""
        found = await self.authorizations([authorization_id])
        return found[0] if found else None

    async def authorizations(self, ids: Sequence[str]) -> list[Authorization]:
        """Return authorizations by id, in this order; missing ones are left out."""
        asked = [(id_,) for id_ in ids if findable(id_)]
        found = self._rows(f"{_AUTHORIZATION} WHERE id = ?", asked)
        return [acme_rows.authorization(row) for row in found]

    async def reusable(
        self, account: str, identifiers: Sequence[tuple[Identifier, bool]], now: int
    ) -> list[Authorization]:
        """Return valid, unexpired authorizations for identifiers (with wildcard or not)."""
        asked = [
            (account, identifier.value, identifier.type.value, wildcard, now)
            for identifier, wildcard in identifiers
        ]
        return [acme_rows.authorization(row) for row in self._rows(_REUSABLE, asked)]

    async def pending_count(self, account: str, now: int) -> int:
        """Return how many unexpired pending authorizations an account has."""
        row = self._row(_PENDING, (account, now))
        return 0 if row is None else int(row[0])

    async def due_challenges(self, now: int, limit: int) -> list[Authorization]:
        """Return authorizations with a challenge whose `next_attempt` has come."""
        return [acme_rows.authorization(row) for row in self._rows(_DUE, [(now, limit)])]

    async def external_key(self, key_id: str) -> ExternalKey | None:
        """Return an external account key."""
        if not findable(key_id):
            return None
        row = self._row(f"{_EXTERNAL_KEY} WHERE id = ?", (key_id,))
        return None if row is None else acme_rows.external_key(row)

    async def external_keys(
        self, provisioner: str | None, *, after: str | None, limit: int
    ) -> list[ExternalKey]:
        """Return external account keys, by id."""
        sql, values = f"{_EXTERNAL_KEY} WHERE id > ?", [after or ""]
        if provisioner is not None:
            sql, values = f"{sql} AND provisioner = ?", [*values, provisioner]
        found = await self._scan(
            lambda c: c.execute(f"{sql} ORDER BY id LIMIT ?", (*values, limit)).fetchall()
        )
        return [acme_rows.external_key(row) for row in found]

    async def pauses(self, account: str, identifiers: Sequence[str]) -> list[Pause]:
        """Return what is known of failures of these pairs."""
        asked = [(account, identifier) for identifier in identifiers]
        found = self._rows(f"{PAUSE} WHERE account = ? AND identifier = ?", asked)
        return [acme_rows.pause(row) for row in found]

    async def paused(self, *, after: tuple[str, str] | None, limit: int) -> list[Pause]:
        """Return paused pairs, by account and identifier."""
        values = (*(after or ("", "")), limit)
        found = await self._scan(lambda c: c.execute(_PAUSED, values).fetchall())
        return [acme_rows.pause(row) for row in found]

    async def unpause(self, account: str, identifier: str | None) -> int:
        """Forget the failures of an account, or of one pair; return how many pairs."""
        return await self._work(lambda c: acme.unpause(c, account, identifier))

    async def burn_nonce(self, nonce: bytes, expires_at: int) -> bool:
        """Remember a nonce as used; False if it was."""
        return bool(await self._open_writer().put(nonce=(expires_at, nonce)))

    async def renewal_window(self, serial: bytes) -> RenewalWindow | None:
        """Return the window that an operator set for a certificate of ours."""
        row = self._row(
            "SELECT serial, opens_at, closes_at, explanation_url FROM acme_renewal_windows"
            " WHERE serial = ?",
            (serial,),
        )
        return None if row is None else RenewalWindow(*row)

    async def set_renewal_windows(self, windows: Sequence[RenewalWindow]) -> None:
        """Set windows, replacing earlier ones; unknown serials are passed over."""
        for start in range(0, len(windows), WINDOWS_AT_ONCE):
            some = windows[start : start + WINDOWS_AT_ONCE]
            await self._work(partial(acme.set_renewal_windows, windows=some))

    async def _tidy_ended(self, now: int) -> int:
        """Delete what has ended, a little at a time; return how many rows."""
        deleted = 0
        while some := await self._work(partial(acme.tidy, now=now)):
            deleted += some
        return deleted
