"""Stored provisioners beside the configured ones: what both together put in force.

What is stored is sealed under the authority's secret, together with its name, type and version:
who can write to the database vouches for nobody. What cannot be read, or takes a name or a
client id that is taken, is left out and named; it never keeps the others from working.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec

from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.provisioners import compiled, segment
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.secrets import PROVISIONERS, seal, unseal
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import (
    PROVISIONER_TYPES,
    AnyProvisioner,
    OIDCProvisioner,
    StoredProvisioner,
)

_TYPES = {class_: word for word, class_ in PROVISIONER_TYPES.items()}


def type_of(provisioner: AnyProvisioner) -> str:
    """Return the word for a provisioner's type."""
    return _TYPES[type(provisioner)]


def merge(
    authority: Authority, configured: Policy, rows: Iterable[StoredProvisioner]
) -> tuple[Policy, dict[str, str]]:
    """Return the policy with stored provisioners in it, and why some of them are not."""
    together: dict[str, AnyProvisioner] = {
        name: each.settings for name, each in configured.provisioners.items()
    }
    problems: dict[str, str] = {}
    for row in rows:
        try:
            settings = decode(authority, row)
            compiled((settings,))
            check_free(settings, together.values())
        except Error as error:
            problems[row.name] = error.detail
        else:
            together[row.name] = settings
    return configured.with_provisioners(together.values()), problems


def encode(authority: Authority, provisioner: AnyProvisioner, version: int) -> StoredProvisioner:
    """Return a provisioner as it is stored."""
    name, type_ = provisioner.name, type_of(provisioner)
    sealed = seal(
        authority, PROVISIONERS, msgspec.json.encode(provisioner), _context(type_, name, version)
    )
    return StoredProvisioner(name, type_, sealed, version, int(authority.clock()))


def decode(authority: Authority, row: StoredProvisioner) -> AnyProvisioner:
    """Return a stored provisioner.

    Raises:
        Error: CONFIGURATION when it is not one that this authority stored there, or not of
            this program's form.
    """
    if row.type not in PROVISIONER_TYPES:
        raise Error(Kind.CONFIGURATION, f"its type '{row.type}' is not known here")
    context = _context(row.type, row.name, row.version)
    document = unseal(authority, PROVISIONERS, row.document, context)
    try:
        found: AnyProvisioner = _decoder(row.type).decode(document)
    except msgspec.MsgspecError as error:
        raise Error(Kind.CONFIGURATION, f"its stored form cannot be read: {error}") from error
    return found


def check_free(provisioner: AnyProvisioner, others: Iterable[AnyProvisioner]) -> None:
    """Refuse a provisioner whose name or client id another one has.

    Tokens name their provisioner by one of the two, so that each may be there once; names that
    service ids cannot tell apart are one name.

    Raises:
        Error: CONFLICT.
    """
    for other in others:
        if segment(other.name) == segment(provisioner.name):
            raise taken(other.name)
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


def _context(type_: str, name: str, version: int) -> str:
    """Return what a stored form belongs to: no row passes for another one, or an older one."""
    return f"{type_} {name} {version}"


@cache
def _decoder(type_: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(PROVISIONER_TYPES[type_])
