"""Group commit on SQLite: the acts of one batch in one transaction.

The facts are read, every act is decided, and what was admitted is written with one statement a
table. All of it happens between BEGIN IMMEDIATE and COMMIT, so no other process comes between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

from mintmark.model.act import Act
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHCertificate
from mintmark.model.time import DAY
from mintmark.store.conditions import Conditions, Held
from mintmark.store.rows import metadata_text, names, remembered_row, token_row
from mintmark.store.sqlite import ssh
from mintmark.store.sqlite.acme import read_versions, write_changes
from mintmark.store.sqlite.connection import mark_found, transaction
from mintmark.store.ssh_rows import X509, host_names, kind, revocation_entry

# Still counted: not expired, not revoked, not replaced. The day of `now` is counted one by one.
_HOLDINGS: Final = """
SELECT (SELECT coalesce(sum(active), 0) FROM holdings WHERE service = :service AND day > :day)
     + (SELECT count(*) FROM certificates c
        WHERE service = :service AND not_after / 86400 = :day AND not_after >= :now
        AND NOT EXISTS (SELECT 1 FROM revocations WHERE certificate = c.id)
        AND NOT EXISTS (SELECT 1 FROM certificates r WHERE r.replaces = c.serial))
"""
_HELD: Final = """
SELECT service, not_after,
       NOT EXISTS (SELECT 1 FROM revocations WHERE certificate = c.id)
       AND NOT EXISTS (SELECT 1 FROM certificates r WHERE r.replaces = c.serial)
FROM certificates c WHERE serial = ?
"""
_CERTIFICATE: Final = """
INSERT INTO certificates
(serial, issuer, service, profile, not_after, replaces, metadata, der, kind)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_REVOKED: Final = "SELECT serial FROM revocations WHERE serial = ?"
_REMEMBERED: Final = "SELECT key_sha256 FROM idempotency WHERE key_sha256 = ?"
BLOCKED: Final = "SELECT spki_sha256 FROM blocked_keys WHERE spki_sha256 = ?"


def read_conditions(connection: apsw.Connection, conditions: Conditions) -> None:
    """Fill in the facts that the acts of a batch depend on."""
    one, each = connection.execute, connection.executemany
    if conditions.arrivals:
        asked = [(key,) for key in conditions.arrivals]
        for key, arrival in each("SELECT key, arrival FROM rates WHERE key = ?", asked):
            conditions.arrivals[key] = arrival
    for service in conditions.holdings:
        conditions.holdings[service] = one(
            _HOLDINGS,
            {
                "service": service,
                "day": int(conditions.now) // DAY,
                "now": int(conditions.now),
            },
        ).get
    for serial in conditions.held:
        row = one(_HELD, (serial,)).get
        conditions.held[serial] = Held(row[0], row[1], active=bool(row[2])) if row else None
    mark_found(connection, _REVOKED, conditions.revoked)
    mark_found(connection, BLOCKED, conditions.blocked)
    for token in conditions.tokens:
        conditions.tokens[token] = one(
            "SELECT expires_at FROM tokens WHERE sha256 = ?", (token,)
        ).get
    mark_found(connection, _REMEMBERED, conditions.remembered)
    ssh.read_conditions(connection, conditions.ssh)
    read_versions(connection, conditions.versions)


class Issuers:
    """Row numbers and kinds of issuers, by id; they never change."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, str]] = {}

    def find(self, connection: apsw.Connection, issuer: str) -> tuple[int, str]:
        """Return the row number and the kind.

        Raises:
            Error: INTERNAL when the issuer was never added.
        """
        return self._known.get(issuer) or self._look_up(connection, issuer)

    def _look_up(self, connection: apsw.Connection, issuer: str) -> tuple[int, str]:
        found: tuple[int, str] | None = connection.execute(
            "SELECT id, kind FROM issuers WHERE issuer = ?", (issuer,)
        ).fetchone()
        if found is None:
            raise Error(Kind.INTERNAL, f"issuer '{issuer}' is not in the store")
        self._known[issuer] = found
        return found

    def number(self, connection: apsw.Connection, issuer: str, signs: str) -> int:
        """Return the row number of an issuer of a kind.

        Raises:
            Error: INTERNAL when the issuer was never added, or signs other certificates.
        """
        number, found = self.find(connection, issuer)
        if found != signs:
            raise Error(Kind.INTERNAL, f"issuer '{issuer}' signs '{found}' and not '{signs}'")
        return number


def write(
    connection: apsw.Connection,
    batch: Sequence[tuple[Act, bytes]],
    issuers: Issuers,
    now: float,
) -> list[Error | None]:
    """Commit a batch of acts with their leaves; return each act's refusal or None.

    Raises:
        Error: INTERNAL when an act names an issuer that is not there, CONFLICT when the first
            version of an ACME object exists.
        apsw.Error: nothing of the batch is stored.
    """
    acts = [act for act, _ in batch]
    conditions = Conditions(acts, now)
    with transaction(connection):
        read_conditions(connection, conditions)
        refusals = [conditions.admit(act) for act in acts]
        if any(refusals):
            batch = [pair for pair, refusal in zip(batch, refusals, strict=True) if not refusal]
            acts = [act for act, _ in batch]
        if acts:
            _write_certificates(connection, acts, issuers)
            _write_revocations(connection, acts, issuers)
            _write_rest(connection, acts)
            write_changes(connection, conditions.versions)
            # Record ids have no gaps: they are taken under the write lock, in commit order.
            connection.executemany(
                "INSERT INTO audit (leaf) VALUES (?)", [(leaf,) for _, leaf in batch if leaf]
            )
        _write_conditions(connection, conditions)
    return refusals


def _write_certificates(connection: apsw.Connection, acts: Sequence[Act], issuers: Issuers) -> None:
    certificates = [one for act in acts for one in act.certificates]
    if not certificates:
        return
    rows: list[tuple[Any, ...]] = []
    for one in certificates:
        ssh_kind = kind(one)
        rows.append(
            (
                one.serial,
                issuers.number(connection, one.issuer, ssh_kind or X509),
                one.service,
                one.profile,
                one.not_after,
                one.replaces,
                metadata_text(one),
                one.der,
                ssh_kind,
            )
        )
    connection.executemany(_CERTIFICATE, rows)
    # As the ids of records, these have no gaps.
    first = connection.last_insert_rowid() - len(rows) + 1
    found_by: list[tuple[str, int]] = []
    hosts: list[tuple[str, int, int]] = []
    for number, one in enumerate(certificates, first):
        found_by += [(name, number) for name in names(one)]
        if isinstance(one, SSHCertificate):
            hosts += [(host, one.not_after, number) for host in host_names(one)]
    connection.executemany("INSERT INTO certificate_names VALUES (?,?)", found_by)
    if hosts:
        connection.executemany("INSERT INTO ssh_hosts VALUES (?,?,?)", hosts)


def _write_revocations(connection: apsw.Connection, acts: Sequence[Act], issuers: Issuers) -> None:
    rows: list[tuple[Any, ...]] = []
    for act in acts:
        for revocation in act.revocations:
            number, signs = issuers.find(connection, revocation.issuer)
            rows.append(
                (
                    revocation.serial,
                    number,
                    revocation.serial,
                    revocation.revoked_at,
                    revocation.reason.value,
                    revocation.not_after,
                    revocation_entry(revocation, signs),
                )
            )
    if rows:
        connection.executemany(
            "INSERT INTO revocations"
            " VALUES (?, ?, (SELECT id FROM certificates WHERE serial = ?), ?, ?, ?, ?)",
            rows,
        )


def _write_rest(connection: apsw.Connection, acts: Sequence[Act]) -> None:
    blocked = [(act.blocked_key,) for act in acts if act.blocked_key is not None]
    if blocked:
        connection.executemany("INSERT OR IGNORE INTO blocked_keys VALUES (?)", blocked)
    tokens = [token_row(act.token) for act in acts if act.token is not None]
    if tokens:
        connection.executemany("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?)", tokens)
    burned = [(act.burns_token,) for act in acts if act.burns_token is not None]
    if burned:
        connection.executemany("DELETE FROM tokens WHERE sha256 = ?", burned)
    remembered = [
        remembered_row(act, act.idempotency) for act in acts if act.idempotency is not None
    ]
    if remembered:
        connection.executemany("INSERT INTO idempotency VALUES (?, ?, ?, ?)", remembered)
    ssh.write(connection, acts)


def _write_conditions(connection: apsw.Connection, conditions: Conditions) -> None:
    if conditions.moved:
        connection.executemany(
            "INSERT INTO rates VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET arrival = excluded.arrival",
            [(key, conditions.arrivals[key]) for key in conditions.moved],
        )
    changes = [(*key, by) for key, by in conditions.changes.items() if by]
    if changes:
        connection.executemany(
            "INSERT INTO holdings VALUES (?, ?, ?)"
            " ON CONFLICT (service, day) DO UPDATE SET active = active + excluded.active",
            changes,
        )
