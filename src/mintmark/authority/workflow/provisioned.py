"""Stored provisioners beside the configured ones: what both together put in force.

A stored provisioner that cannot be read, or that takes a name or a client id that is taken, is
left out and named; it never keeps the others from working (design rule 5 denies what it would
have allowed).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import msgspec

from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.provisioners import compiled
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import (
    PROVISIONER_TYPES,
    AnyProvisioner,
    OIDCProvisioner,
    StoredProvisioner,
)


@dataclass(slots=True)
class Provisioned:
    """What one process knows of stored provisioners.

    Args:
        version: the store's `provisioners_version` of `rows`; below 0 before the first look.
        rows: those that are there, by name.
        changes: how often this process changed `rows` itself.
        configured: the policy as the configuration says it; None before the first look.
        merged: `configured` with `rows`; the authority's policy is this one unless the
            configuration was read again.
        problems: why a stored provisioner is not in force, by name.
    """

    version: int = -1
    rows: tuple[StoredProvisioner, ...] = ()
    changes: int = 0
    configured: Policy | None = None
    merged: Policy | None = None
    problems: dict[str, str] = field(default_factory=dict)


def merge(configured: Policy, rows: Iterable[StoredProvisioner]) -> tuple[Policy, dict[str, str]]:
    """Return the policy with stored provisioners in it, and why some of them are not."""
    together: dict[str, AnyProvisioner] = {
        name: each.settings for name, each in configured.provisioners.items()
    }
    problems: dict[str, str] = {}
    for row in rows:
        try:
            settings = decode(row)
            compiled((settings,))
            check_free(settings, together.values())
        except Error as error:
            problems[row.name] = error.detail
        else:
            together[row.name] = settings
    return configured.with_provisioners(together.values()), problems


def encode(provisioner: AnyProvisioner) -> bytes:
    """Return a provisioner in its stored form."""
    return msgspec.json.encode(provisioner)


def decode(row: StoredProvisioner) -> AnyProvisioner:
    """Return a stored provisioner.

    Raises:
        Error: CONFIGURATION when it is not of this program's form.
    """
    if row.type not in PROVISIONER_TYPES:
        raise Error(Kind.CONFIGURATION, f"its type '{row.type}' is not known here")
    try:
        found: AnyProvisioner = _decoder(row.type).decode(row.document)
    except msgspec.MsgspecError as error:
        raise Error(Kind.CONFIGURATION, f"its stored form cannot be read: {error}") from error
    if found.name != row.name:
        raise Error(Kind.CONFIGURATION, f"its stored form is that of '{found.name}'")
    return found


def check_free(provisioner: AnyProvisioner, others: Iterable[AnyProvisioner]) -> None:
    """Refuse a provisioner whose name or client id another one has.

    Tokens name their provisioner by one of the two, so that each may be there once.

    Raises:
        Error: CONFLICT.
    """
    for other in others:
        if other.name == provisioner.name:
            raise taken(provisioner.name)
        if (
            isinstance(other, OIDCProvisioner)
            and isinstance(provisioner, OIDCProvisioner)
            and other.client_id == provisioner.client_id
        ):
            raise Error(
                Kind.CONFLICT,
                f"client id '{provisioner.client_id}' is that of provisioner '{other.name}'",
                hint="register a client of its own at the provider",
            )


def taken(name: str) -> Error:
    """Return the refusal of a name that another provisioner has."""
    return Error(
        Kind.CONFLICT,
        f"there is a provisioner '{name}' already",
        hint="choose another name, whatever the type, or replace that one",
    )


@cache
def _decoder(type_: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(PROVISIONER_TYPES[type_])
