"""Provisioners added, replaced and removed while the servers run.

Configured provisioners stand in the configuration and are changed there; stored ones stand in
the database, where all servers of an authority see them within about a second (`refresh`), and
the one that changed them at once. Every change is an audit record, without secrets.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, fields, replace
from enum import Enum
from typing import Any, Final

import msgspec

from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.provisioners import compiled
from mintmark.authority.policy.whitelist import require
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.stored_provisioners import (
    check_free,
    decode,
    encode,
    merge,
    taken,
    type_of,
)
from mintmark.model.access import Operation, Requester
from mintmark.model.act import Act, AuditRecord
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import (
    AnyProvisioner,
    JWKProvisioner,
    StoredProvisioner,
)

log = logging.getLogger(__name__)

MOST: Final = 1000  # stored provisioners
# What no audit record repeats. The step protocol shows both to everybody; the log is for ever.
_UNTOLD: Final = frozenset({"name", "client_secret", "encrypted_key"})


class Origin(Enum):
    """Where a provisioner stands, and so how it is changed."""

    CONFIGURATION = "configuration"
    STORED = "stored"


@dataclass(frozen=True, slots=True)
class Listed:
    """One provisioner, as an admin sees it.

    Args:
        name: its name.
        type: a key of `PROVISIONER_TYPES`.
        origin: where it stands.
        settings: what it is like; None when its stored form cannot be read.
        version: of a stored one, for changes that must not meet others; else 0.
        updated_at: Unix seconds; None for a configured one.
        problem: why it is not in force; empty when it is.
    """

    name: str
    type: str
    origin: Origin
    settings: AnyProvisioner | None
    version: int = 0
    updated_at: int | None = None
    problem: str = ""


async def refresh(authority: Authority) -> None:
    """Take up what other servers changed; one cheap question when nothing did.

    Raises:
        Error: UNAVAILABLE.
    """
    state = authority.provisioned
    if state.merged is not authority.policy:
        _put_in_force(authority)
    seen = state.version, state.changes
    version = await authority.store.provisioners_version()
    if version == state.version:
        return
    found = await authority.store.provisioners()
    if seen != (state.version, state.changes):
        return  # this process learned something newer meanwhile; it asks again soon
    state.version = version
    state.rows = tuple(row for row in found if row.document)
    _put_in_force(authority)


def configure(authority: Authority, policy: Policy) -> None:
    """Put another configuration in force, together with the stored provisioners."""
    authority.policy = policy
    _put_in_force(authority)


def told(provisioner: AnyProvisioner) -> dict[str, Any]:
    """Return what a provisioner allows, for the audit log: what is not the default, no secrets."""
    found = {}
    for one in fields(provisioner):
        value = getattr(provisioner, one.name)
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if one.name not in _UNTOLD and value != default:
            found[one.name] = msgspec.to_builtins(value)
    return found


async def listed(authority: Authority) -> list[Listed]:
    """Return all provisioners by name, configured ones first.

    Raises:
        Error: UNAVAILABLE.
    """
    await refresh(authority)
    return _listed(authority)


async def find(authority: Authority, name: str) -> Listed:
    """Return one provisioner; of two of a name the one that is in force.

    Raises:
        Error: NOT_FOUND with those there are, or UNAVAILABLE.
    """
    await refresh(authority)
    return _find(authority, name)


async def add(authority: Authority, requester: Requester, provisioner: AnyProvisioner) -> Listed:
    """Store a new provisioner.

    Raises:
        Error: FORBIDDEN for anyone but an admin; CONFLICT when its name or client id is taken,
            or there are too many; MALFORMED for a rule that cannot mean anything.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    await refresh(authority)
    _check(provisioner)
    check_free(provisioner, _others(authority, ""))
    if len(authority.provisioned.rows) >= MOST:
        raise Error(
            Kind.CONFLICT,
            f"there are {MOST} stored provisioners, which is the limit",
            hint="remove those that nobody uses: mintmark provisioner list",
        )
    # A removed one leaves its row, whose version goes on: nothing old is ever mistaken for new.
    before = 0
    for row in await authority.store.provisioners():
        if row.name == provisioner.name:
            before = row.version
            if row.document:
                raise taken(row.name)
    return await _write(authority, requester, "provisioner.add", provisioner, before)


async def change(
    authority: Authority,
    requester: Requester,
    provisioner: AnyProvisioner,
    *,
    version: int | None = None,
    action: str = "provisioner.replace",
) -> Listed:
    """Replace a stored provisioner by another one of its name and type.

    Args:
        authority: whose.
        requester: an admin.
        provisioner: what it shall be.
        version: of the one that is replaced; None replaces whichever is there.
        action: for the audit record.

    Raises:
        Error: FORBIDDEN for anyone but an admin, NOT_FOUND, or CONFLICT for a configured one,
            another type, another version, or a client id that is taken; MALFORMED for a rule
            that cannot mean anything.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    await refresh(authority)
    row = _row(authority, provisioner.name, version)
    if row.type != type_of(provisioner):
        raise Error(
            Kind.CONFLICT,
            f"provisioner '{row.name}' is of type '{row.type}' and stays so",
            hint="remove it and add another one: who holds its certificates is another party",
        )
    _check(provisioner)
    check_free(provisioner, _others(authority, row.name))
    return await _write(authority, requester, action, provisioner, row.version)


async def rotate(
    authority: Authority,
    requester: Requester,
    provisioner: JWKProvisioner,
    *,
    version: int | None = None,
) -> Listed:
    """Give a JWK provisioner another key pair; tokens of the old one are refused at once.

    Raises:
        Error: as `change`; CONFLICT for the key that it has.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    await refresh(authority)
    before = _find(authority, _row(authority, provisioner.name, version).name).settings
    if isinstance(before, JWKProvisioner) and before.key == provisioner.key:
        raise Error(
            Kind.CONFLICT,
            f"provisioner '{provisioner.name}' has this key already",
            hint="make a new one, or replace the provisioner to change its password",
        )
    return await change(
        authority, requester, provisioner, version=version, action="provisioner.rotate"
    )


async def remove(
    authority: Authority, requester: Requester, name: str, *, version: int | None = None
) -> Listed:
    """Remove a stored provisioner: its tokens are refused at once, its certificates renew no more.

    Raises:
        Error: FORBIDDEN for anyone but an admin, NOT_FOUND, or CONFLICT for a configured one or
            another version.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    await refresh(authority)
    row = _row(authority, name, version)
    gone = next(
        one for one in _listed(authority) if one.name == name and one.origin is Origin.STORED
    )
    now = authority.clock()
    after = replace(row, document=b"", version=row.version + 1, updated_at=int(now))
    audit = _record(authority, requester, "provisioner.remove", after)
    await authority.store.commit(Act(audit=audit, provisioner=after))
    _apply(authority, after)
    return gone


async def _write(
    authority: Authority,
    requester: Requester,
    action: str,
    provisioner: AnyProvisioner,
    before: int,
) -> Listed:
    """Commit a provisioner as the version after `before`, and put it in force here."""
    row = encode(authority, provisioner, before + 1)
    audit = _record(authority, requester, action, row, told(provisioner))
    await authority.store.commit(Act(audit=audit, provisioner=row))
    _apply(authority, row)
    return _find(authority, provisioner.name)


def _check(provisioner: AnyProvisioner) -> None:
    """Refuse what could not be put in force.

    Raises:
        Error: MALFORMED.
    """
    try:
        compiled((provisioner,))
    except Error as error:
        raise Error(Kind.MALFORMED, error.detail, hint=error.hint) from error


def _apply(authority: Authority, row: StoredProvisioner) -> None:
    """Put a change of this process in force at once; the store is asked again soon."""
    state = authority.provisioned
    state.changes += 1
    others = [one for one in state.rows if one.name != row.name]
    kept = [*others, row] if row.document else others
    state.rows = tuple(sorted(kept, key=lambda one: one.name))
    _put_in_force(authority)


def _put_in_force(authority: Authority) -> None:
    state, policy = authority.provisioned, authority.policy
    if state.configured is None or state.merged is None:
        state.configured = policy
    elif policy.provisioners is state.merged.provisioners:  # no more than other parts changed
        state.configured = replace(policy, provisioners=state.configured.provisioners)
    else:  # the configuration was read again
        state.configured = policy
    merged, problems = merge(authority, state.configured, state.rows)
    for name, problem in problems.items():
        if state.problems.get(name) != problem:
            log.warning("stored provisioner '%s' is not in force: %s", name, problem)
    state.problems = problems
    authority.policy = state.merged = merged


def _listed(authority: Authority) -> list[Listed]:
    state = authority.provisioned
    configured = {} if state.configured is None else state.configured.provisioners
    return [
        *(
            Listed(name, each.type, Origin.CONFIGURATION, each.settings)
            for name, each in sorted(configured.items())
        ),
        *(_stored(authority, row, state.problems.get(row.name, "")) for row in state.rows),
    ]


def _stored(authority: Authority, row: StoredProvisioner, problem: str) -> Listed:
    try:
        settings = decode(authority, row)
    except Error:  # which is the problem
        settings = None
    return Listed(row.name, row.type, Origin.STORED, settings, row.version, row.updated_at, problem)


def _find(authority: Authority, name: str) -> Listed:
    everything = _listed(authority)
    for one in everything:
        if one.name == name:
            return one
    known = ", ".join(sorted({one.name for one in everything})) or "none"
    raise Error(
        Kind.NOT_FOUND, f"there is no provisioner {name[:64]!r}", hint=f"provisioners: {known}"
    )


def _row(authority: Authority, name: str, version: int | None) -> StoredProvisioner:
    """Return the stored provisioner that is to be changed.

    Raises:
        Error: NOT_FOUND, or CONFLICT for a configured one or another version.
    """
    row = next((one for one in authority.provisioned.rows if one.name == name), None)
    if row is None:
        _find(authority, name)
        raise Error(
            Kind.CONFLICT,
            f"provisioner '{name}' stands in the configuration",
            hint="change it in mintmark.yaml, and reload the server",
        )
    if version not in (None, row.version):
        raise Error(
            Kind.CONFLICT,
            f"provisioner '{name}' has version {row.version}, not {version}",
            hint="somebody else changed it: read it again and decide anew",
        )
    return row


def _others(authority: Authority, name: str) -> Iterable[AnyProvisioner]:
    """Return all provisioners but the stored one of a name, those not in force too."""
    return (
        one.settings
        for one in _listed(authority)
        if one.settings is not None and not (one.name == name and one.origin is Origin.STORED)
    )


def _record(
    authority: Authority,
    requester: Requester,
    action: str,
    row: StoredProvisioner,
    settings: dict[str, Any] | None = None,
) -> AuditRecord:
    details: dict[str, Any] = {"provisioner": row.name, "type": row.type, "version": row.version}
    if settings:
        details["settings"] = settings
    return AuditRecord(
        action,
        authority.clock(),
        requester.service,
        address=requester.address,
        details=details,
    )
