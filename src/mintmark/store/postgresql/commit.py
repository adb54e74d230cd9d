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
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.model.time import DAY
from mintmark.store.conditions import Conditions, Held
from mintmark.store.postgresql import ssh
from mintmark.store.postgresql.acme import read_versions, write_changes
from mintmark.store.rows import metadata_text, names, remembered_row, token_row
from mintmark.store.ssh_rows import X509, kind, revocation_entry

_LOCK_SPACE: Final = 0x6D6D  # "mm": apart from other users of advisory locks
_LOCK_MASK: Final = 0xFFFF
_KEYS_LOCK: Final = 0x10000  # beyond the mask

# One round trip for all facts: (kind, text key, octet key, number, flag).
# What is held is still counted: not expired, not revoked, not replaced; the day of $8, now, is
# counted one by one.
_FACTS: Final = """
SELECT 'rate', key, NULL::bytea, arrival, NULL::boolean FROM rates WHERE key = ANY($1::text[])
UNION ALL
SELECT 'service', s.service, NULL,
       (SELECT coalesce(sum(active), 0)::bigint FROM holdings h
        WHERE h.service = s.service AND day > $7::bigint)
     + (SELECT count(*) FROM certificates c
        WHERE c.service = s.service AND not_after / 86400 = $7 AND not_after >= $8::bigint
        AND NOT EXISTS (SELECT 1 FROM revocations WHERE certificate = c.id)
        AND NOT EXISTS (SELECT 1 FROM certificates r WHERE r.replaces = c.serial)), NULL
FROM unnest($2::text[]) AS s(service)
UNION ALL
SELECT 'held', service, serial, not_after,
       NOT EXISTS (SELECT 1 FROM revocations WHERE certificate = c.id)
       AND NOT EXISTS (SELECT 1 FROM certificates r WHERE r.replaces = c.serial)
FROM certificates c WHERE serial = ANY($3::bytea[])
UNION ALL
SELECT 'revoked', NULL, serial, NULL, NULL FROM revocations WHERE serial = ANY($4::bytea[])
UNION ALL
SELECT 'token', NULL, sha256, expires_at, NULL FROM tokens WHERE sha256 = ANY($5::bytea[])
UNION ALL
SELECT 'request', NULL, key_sha256, NULL, NULL FROM idempotency
WHERE key_sha256 = ANY($6::bytea[])
UNION ALL
SELECT 'blocked', NULL, spki_sha256, NULL, NULL FROM blocked_keys
WHERE spki_sha256 = ANY($9::bytea[])
UNION ALL
SELECT 'used', NULL, sha256, NULL, NULL FROM used_tokens WHERE sha256 = ANY($10::bytea[])
"""
_ISSUERS: Final = "SELECT issuer, id, kind FROM issuers WHERE issuer = ANY($1)"

# One round trip for what almost every batch writes.
_WRITE: Final = """
WITH stored AS (
    INSERT INTO certificates
        (serial, issuer, service, profile, not_after, replaces, metadata, der, kind)
    SELECT * FROM unnest($1::bytea[], $2::integer[], $3::text[], $4::text[], $5::bigint[],
                         $6::bytea[], $7::text[], $8::bytea[], $17::text[])
    RETURNING id, serial
), named AS (
    INSERT INTO certificate_names
    SELECT n.name, stored.id
    FROM unnest($9::text[], $10::bytea[]) AS n(name, serial) JOIN stored USING (serial)
), moved AS (
    INSERT INTO rates SELECT * FROM unnest($12::text[], $13::bigint[])
    ON CONFLICT (key) DO UPDATE SET arrival = excluded.arrival
), changed AS (
    INSERT INTO holdings SELECT * FROM unnest($14::text[], $15::bigint[], $16::bigint[])
    ON CONFLICT (service, day) DO UPDATE SET active = holdings.active + excluded.active
), used AS (
    INSERT INTO used_tokens SELECT * FROM unnest($18::bytea[], $19::bigint[])
)
INSERT INTO audit (leaf) SELECT unnest($11::bytea[])
"""
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
SELECT * FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[])
"""
_BURN: Final = "DELETE FROM tokens WHERE sha256 = ANY($1)"
_REMEMBER: Final = """
INSERT INTO idempotency SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bigint[])
"""


class Issuers:
    """Row numbers and kinds of issuers, by id; they never change."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, str]] = {}

    async def find(self, connection: Any, ids: Iterable[str]) -> dict[str, tuple[int, str]]:
        """Return the row numbers and kinds of all issuers named.

        Raises:
            Error: INTERNAL when one of them was never added.
        """
        wanted = set(ids) - self._known.keys()
        if wanted:
            for issuer, number, signs in await connection.fetch(_ISSUERS, list(wanted)):
                self._known[issuer] = number, signs
        for issuer in wanted - self._known.keys():
            raise Error(Kind.INTERNAL, f"issuer '{issuer}' is not in the store")
        return self._known

    async def numbers(self, connection: Any, certificates: Sequence[Certificate]) -> list[int]:
        """Return the row numbers of the certificates' issuers.

        Raises:
            Error: INTERNAL when one of them was never added, or signs other certificates.
        """
        known = await self.find(connection, {one.issuer for one in certificates})
        numbers = []
        for certificate in certificates:
            number, found = known[certificate.issuer]
            signs = kind(certificate) or X509
            if found != signs:
                raise Error(
                    Kind.INTERNAL,
                    f"issuer '{certificate.issuer}' signs '{found}' and not '{signs}'",
                )
            numbers.append(number)
        return numbers


def begin(conditions: Conditions) -> str:
    """Return the statements that open a transaction and take its locks.

    The transaction id comes first: `unsequenced` relies on ids of audit records being taken
    after it.
    """
    keys = [f"rate {key}" for key in conditions.arrivals]
    keys += [f"service {service}" for service in conditions.holdings]
    keys += [f"certificate {serial.hex()}" for serial in conditions.held]
    keys += [f"token {sha256.hex()}" for sha256 in conditions.tokens]
    keys += [f"used {sha256.hex()}" for sha256 in conditions.ssh.used]
    keys += [f"provisioner {name}" for name in conditions.ssh.provisioners]
    keys += [f"request {key_sha256.hex()}" for key_sha256 in conditions.remembered]
    keys += [f"account {name} {key.hex()}" for name, key in conditions.versions.owners]
    locks = sorted({zlib.crc32(key.encode()) & _LOCK_MASK for key in keys})
    statements = "BEGIN; SELECT pg_current_xact_id();"
    # Who certifies keys waits for who blocks or bans one, and not for each other.
    if conditions.blocks:
        statements += f" SELECT pg_advisory_xact_lock({_LOCK_SPACE}, {_KEYS_LOCK});"
    elif conditions.blocked:
        statements += f" SELECT pg_advisory_xact_lock_shared({_LOCK_SPACE}, {_KEYS_LOCK});"
    if locks:
        numbers = ",".join(map(str, locks))
        statements += (
            f" SELECT pg_advisory_xact_lock({_LOCK_SPACE}, n)"  # noqa: S608 - numbers
            f" FROM unnest('{{{numbers}}}'::integer[]) AS n"
        )
    return statements


async def write(
    connection: Any, batch: Sequence[tuple[Act, bytes]], issuers: Issuers, now: float
) -> tuple[list[Error | None], int]:
    """Commit a batch of acts with their leaves; return each act's refusal or None, and the rows.

    Raises:
        Error: INTERNAL when an act names an issuer that is not there, CONFLICT when the first
            version of an ACME object exists.
        asyncpg.PostgresError: nothing of the batch is stored.
    """
    conditions = Conditions((act for act, _ in batch), now)
    await connection.execute(begin(conditions))
    try:
        await _read_conditions(connection, conditions)
        refusals = [conditions.admit(act) for act, _ in batch]
        admitted = [pair for pair, refusal in zip(batch, refusals, strict=True) if not refusal]
        acts = [act for act, _ in admitted]
        rows = await write_changes(connection, conditions.versions)
        rows += await _write_revocations(connection, acts, issuers)
        rows += await _write_rest(connection, acts)
        rows += await _write_certificates(connection, admitted, conditions, issuers)
        await connection.execute("COMMIT")
    except (Error, asyncpg.PostgresError, ValueError):
        # After any other failure the connection is given up, and the server rolls back.
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
        raise
    return refusals, rows


async def _read_conditions(connection: Any, conditions: Conditions) -> None:
    now = int(conditions.now)
    keys = [
        list(keys)
        for keys in (
            conditions.arrivals,
            conditions.holdings,
            conditions.held,
            conditions.revoked,
            conditions.tokens,
            conditions.remembered,
        )
    ]
    blocked, used = list(conditions.blocked), list(conditions.ssh.used)
    if any(keys) or blocked or used:
        await _read_facts(connection, conditions, [*keys, now // DAY, now, blocked, used])
    await ssh.read_conditions(connection, conditions.ssh)
    await read_versions(connection, conditions.versions)


async def _read_facts(connection: Any, conditions: Conditions, asked: Sequence[Any]) -> None:
    for fact, text, octets, number, flag in await connection.fetch(_FACTS, *asked):
        if fact == "rate":
            conditions.arrivals[text] = number
        elif fact == "service":
            conditions.holdings[text] = number
        elif fact == "held":
            conditions.held[octets] = Held(text, number, flag)
        elif fact == "revoked":
            conditions.revoked[octets] = True
        elif fact == "blocked":
            conditions.blocked[octets] = True
        elif fact == "used":
            conditions.ssh.used[octets] = True
        elif fact == "token":
            conditions.tokens[octets] = number
        else:
            conditions.remembered[octets] = True


async def _write_certificates(
    connection: Any,
    admitted: Sequence[tuple[Act, bytes]],
    conditions: Conditions,
    issuers: Issuers,
) -> int:
    certificates = [one for act, _ in admitted for one in act.certificates]
    numbers = await issuers.numbers(connection, certificates)
    found_by = [(name, c.serial) for c in certificates for name in names(c)]
    moved = sorted(conditions.moved)
    # Sorted, because their rows are the one thing that batches wait for without a lock above.
    changes = [(*key, by) for key, by in sorted(conditions.changes.items()) if by]
    leaves = [leaf for _, leaf in admitted if leaf]
    burns = [act.burns for act, _ in admitted if act.burns is not None]
    rows = len(certificates) + len(found_by) + len(leaves) + len(moved) + len(changes) + len(burns)
    if not rows:
        return 0
    await connection.execute(
        _WRITE,
        [c.serial for c in certificates],
        numbers,
        [c.service for c in certificates],
        [c.profile for c in certificates],
        [c.not_after for c in certificates],
        [c.replaces for c in certificates],
        [metadata_text(c) for c in certificates],
        [c.der for c in certificates],
        [name for name, _ in found_by],
        [serial for _, serial in found_by],
        leaves,
        moved,
        [conditions.arrivals[key] for key in moved],
        [service for service, _, _ in changes],
        [day for _, day, _ in changes],
        [by for _, _, by in changes],
        [kind(c) for c in certificates],
        [burn.sha256 for burn in burns],
        [burn.expires_at for burn in burns],
    )
    return rows + await ssh.write_hosts(connection, certificates)


async def _write_revocations(connection: Any, acts: Sequence[Act], issuers: Issuers) -> int:
    revocations = [revocation for act in acts for revocation in act.revocations]
    if not revocations:
        return 0
    known = await issuers.find(connection, {r.issuer for r in revocations})
    rows = [
        (
            r.serial,
            known[r.issuer][0],
            r.revoked_at,
            r.reason.value,
            r.not_after,
            revocation_entry(r, known[r.issuer][1]),
        )
        for r in revocations
    ]
    await connection.execute(_REVOCATIONS, *_columns(rows))
    return len(rows)


async def _write_rest(connection: Any, acts: Sequence[Act]) -> int:
    blocked = [act.blocked_key for act in acts if act.blocked_key is not None]
    if blocked:
        await connection.execute(_BLOCKED, sorted(blocked))
    tokens = [token_row(act.token) for act in acts if act.token is not None]
    if tokens:
        await connection.execute(_NEW_TOKENS, *_columns(tokens))
    burned = [act.burns_token for act in acts if act.burns_token is not None]
    if burned:
        await connection.execute(_BURN, burned)
    remembered = [
        remembered_row(act, act.idempotency) for act in acts if act.idempotency is not None
    ]
    if remembered:
        await connection.execute(_REMEMBER, *_columns(remembered))
    rows = len(blocked) + len(tokens) + len(burned) + len(remembered)
    return rows + await ssh.write(connection, acts)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
