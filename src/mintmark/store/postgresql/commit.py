"""Group commit on PostgreSQL: the acts of one batch in one transaction.

The same four steps as on SQLite: lock, read the facts, decide, write. Locks are advisory, one
per thing a decision depends on, taken together and in order, so batches never wait in a circle;
after that what was read cannot change before COMMIT.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

from mintmark.model.act import Act
from mintmark.model.errors import Error, Kind
from mintmark.model.time import DAY
from mintmark.store.conditions import Conditions, Held
from mintmark.store.rows import metadata_text, names, token_row
from mintmark.wire.crl import entry

_LOCK_SPACE: Final = 0x6D6D  # "mm": apart from other users of advisory locks
_LOCK_MASK: Final = 0xFFFF

_ARRIVALS: Final = "SELECT key, arrival FROM rates WHERE key = ANY($1)"
_TOKENS: Final = "SELECT sha256, expires_at FROM tokens WHERE sha256 = ANY($1)"
_REMEMBERED: Final = "SELECT key_sha256 FROM idempotency WHERE key_sha256 = ANY($1)"
_REVOKED: Final = "SELECT serial FROM revocations WHERE serial = ANY($1)"
_HELD: Final = """
SELECT serial, service, not_after,
       NOT EXISTS (SELECT 1 FROM revocations WHERE certificate = c.id)
       AND NOT EXISTS (SELECT 1 FROM certificates r WHERE r.replaces = c.serial)
FROM certificates c WHERE serial = ANY($1)
"""
# Still counted: not expired, not revoked, not replaced. The day of `now` is counted one by one.
_HOLDINGS: Final = """
SELECT s.service,
       (SELECT coalesce(sum(active), 0)::bigint FROM holdings h
        WHERE h.service = s.service AND day > $2)
     + (SELECT count(*) FROM certificates c
        WHERE c.service = s.service AND not_after / 86400 = $2 AND not_after >= $3
        AND NOT EXISTS (SELECT 1 FROM revocations WHERE certificate = c.id)
        AND NOT EXISTS (SELECT 1 FROM certificates r WHERE r.replaces = c.serial))
FROM unnest($1::text[]) AS s(service)
"""
_ISSUERS: Final = "SELECT issuer, id FROM issuers WHERE issuer = ANY($1)"

_CERTIFICATES: Final = """
WITH stored AS (
    INSERT INTO certificates
        (serial, issuer, service, profile, not_after, replaces, metadata, der)
    SELECT * FROM unnest($1::bytea[], $2::integer[], $3::text[], $4::text[], $5::bigint[],
                         $6::bytea[], $7::text[], $8::bytea[])
    RETURNING id, serial
), named AS (
    INSERT INTO certificate_names
    SELECT n.name, stored.id
    FROM unnest($9::text[], $10::bytea[]) AS n(name, serial) JOIN stored USING (serial)
)
INSERT INTO audit (leaf) SELECT unnest($11::bytea[])
"""
_AUDIT: Final = "INSERT INTO audit (leaf) SELECT unnest($1::bytea[])"
_REVOCATIONS: Final = """
INSERT INTO revocations (serial, issuer, certificate, revoked_at, reason, not_after, entry)
SELECT n.serial, n.issuer, c.id, n.revoked_at, n.reason, n.not_after, n.entry
FROM unnest($1::bytea[], $2::integer[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bytea[])
     AS n(serial, issuer, revoked_at, reason, not_after, entry)
LEFT JOIN certificates c ON c.serial = n.serial
"""
_BLOCKED: Final = "INSERT INTO blocked_keys SELECT unnest($1::bytea[]) ON CONFLICT DO NOTHING"
_NEW_TOKENS: Final = """
INSERT INTO tokens
SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bigint[])
"""
_BURN: Final = "DELETE FROM tokens WHERE sha256 = ANY($1)"
_REMEMBER: Final = """
INSERT INTO idempotency SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[])
"""
_MOVE_RATES: Final = """
INSERT INTO rates SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (key) DO UPDATE SET arrival = excluded.arrival
"""
_CHANGE_HOLDINGS: Final = """
INSERT INTO holdings SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[])
ON CONFLICT (service, day) DO UPDATE SET active = holdings.active + excluded.active
"""


class Issuers:
    """Row numbers of issuers, by id; they never change."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    async def numbers(self, connection: Any, ids: Iterable[str]) -> dict[str, int]:
        """Return the row numbers of all issuers named.

        Raises:
            Error: INTERNAL when one of them was never added.
        """
        wanted = set(ids) - self._known.keys()
        if wanted:
            self._known.update(await connection.fetch(_ISSUERS, list(wanted)))
        for issuer in wanted - self._known.keys():
            raise Error(Kind.INTERNAL, f"issuer '{issuer}' is not in the store")
        return self._known


def begin(conditions: Conditions) -> str:
    """Return the statements that open a transaction and take its locks.

    The transaction id comes first: `unsequenced` relies on ids of audit records being taken
    after it.
    """
    keys = [f"rate {key}" for key in conditions.arrivals]
    keys += [f"service {service}" for service in conditions.holdings]
    keys += [f"certificate {serial.hex()}" for serial in conditions.held]
    keys += [f"token {sha256.hex()}" for sha256 in conditions.tokens]
    keys += [f"request {key_sha256.hex()}" for key_sha256 in conditions.remembered]
    locks = sorted({zlib.crc32(key.encode()) & _LOCK_MASK for key in keys})
    statements = "BEGIN; SELECT pg_current_xact_id();"
    if locks:
        numbers = ",".join(map(str, locks))
        statements += (
            f" SELECT pg_advisory_xact_lock({_LOCK_SPACE}, n)"  # noqa: S608 - numbers
            f" FROM unnest('{{{numbers}}}'::integer[]) AS n"
        )
    return statements


async def write(
    connection: Any, batch: Sequence[tuple[Act, bytes]], issuers: Issuers, now: float
) -> list[Error | None]:
    """Commit a batch of acts with their leaves; return each act's refusal or None.

    Raises:
        Error: INTERNAL when an act names an issuer that is not there.
        asyncpg.PostgresError: nothing of the batch is stored.
    """
    conditions = Conditions((act for act, _ in batch), now)
    await connection.execute(begin(conditions))
    try:
        await _read_conditions(connection, conditions)
        refusals = [conditions.admit(act) for act, _ in batch]
        admitted = [pair for pair, refusal in zip(batch, refusals, strict=True) if not refusal]
        await _write_conditions(connection, conditions)
        if admitted:
            acts = [act for act, _ in admitted]
            await _write_revocations(connection, acts, issuers)
            await _write_rest(connection, acts)
            await _write_certificates(connection, admitted, issuers)
        await connection.execute("COMMIT")
    except (Error, asyncpg.PostgresError, ValueError):
        # After any other failure the connection is given up, and the server rolls back.
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
        raise
    return refusals


async def _read_conditions(connection: Any, conditions: Conditions) -> None:
    fetch = connection.fetch
    if conditions.arrivals:
        conditions.arrivals.update(await fetch(_ARRIVALS, list(conditions.arrivals)))
    if conditions.holdings:
        now = int(conditions.now)
        services = list(conditions.holdings)
        conditions.holdings.update(await fetch(_HOLDINGS, services, now // DAY, now))
    if conditions.held:
        for serial, service, not_after, active in await fetch(_HELD, list(conditions.held)):
            conditions.held[serial] = Held(service, not_after, active)
    if conditions.revoked:
        for (serial,) in await fetch(_REVOKED, list(conditions.revoked)):
            conditions.revoked[serial] = True
    if conditions.tokens:
        conditions.tokens.update(await fetch(_TOKENS, list(conditions.tokens)))
    if conditions.remembered:
        for (key_sha256,) in await fetch(_REMEMBERED, list(conditions.remembered)):
            conditions.remembered[key_sha256] = True


async def _write_certificates(
    connection: Any, admitted: Sequence[tuple[Act, bytes]], issuers: Issuers
) -> None:
    leaves = [leaf for _, leaf in admitted]
    certificates = [act.certificate for act, _ in admitted if act.certificate is not None]
    if not certificates:
        await connection.execute(_AUDIT, leaves)
        return
    numbers = await issuers.numbers(connection, {c.issuer for c in certificates})
    found_by = [(name, c.serial) for c in certificates for name in names(c)]
    await connection.execute(
        _CERTIFICATES,
        [c.serial for c in certificates],
        [numbers[c.issuer] for c in certificates],
        [c.service for c in certificates],
        [c.profile for c in certificates],
        [c.not_after for c in certificates],
        [c.replaces for c in certificates],
        [metadata_text(c) for c in certificates],
        [c.der for c in certificates],
        [name for name, _ in found_by],
        [serial for _, serial in found_by],
        leaves,
    )


async def _write_revocations(connection: Any, acts: Sequence[Act], issuers: Issuers) -> None:
    revocations = [revocation for act in acts for revocation in act.revocations]
    if not revocations:
        return
    numbers = await issuers.numbers(connection, {r.issuer for r in revocations})
    rows = [
        (
            r.serial,
            numbers[r.issuer],
            r.revoked_at,
            r.reason.value,
            r.not_after,
            entry(r.serial, r.revoked_at, r.reason),
        )
        for r in revocations
    ]
    await connection.execute(_REVOCATIONS, *_columns(rows))


async def _write_rest(connection: Any, acts: Sequence[Act]) -> None:
    blocked = [act.blocked_key for act in acts if act.blocked_key is not None]
    if blocked:
        await connection.execute(_BLOCKED, sorted(blocked))
    tokens = [token_row(act.token) for act in acts if act.token is not None]
    if tokens:
        await connection.execute(_NEW_TOKENS, *_columns(tokens))
    burned = [act.burns_token for act in acts if act.burns_token is not None]
    if burned:
        await connection.execute(_BURN, burned)
    remembered: list[tuple[Any, ...]] = [
        (
            act.idempotency.key_sha256,
            act.idempotency.request_sha256,
            act.certificate.serial if act.certificate else b"",
            act.idempotency.expires_at,
        )
        for act in acts
        if act.idempotency is not None
    ]
    if remembered:
        await connection.execute(_REMEMBER, *_columns(remembered))


async def _write_conditions(connection: Any, conditions: Conditions) -> None:
    if conditions.moved:
        keys = sorted(conditions.moved)
        await connection.execute(_MOVE_RATES, keys, [conditions.arrivals[key] for key in keys])
    # Sorted, because their rows are the one thing that batches wait for without a lock above.
    changes = [(*key, by) for key, by in sorted(conditions.changes.items()) if by]
    if changes:
        await connection.execute(_CHANGE_HOLDINGS, *_columns(changes))


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
