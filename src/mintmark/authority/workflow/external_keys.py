"""External account keys: an operator vouches for an ACME account (RFC 8555 §7.3.4).

A key is told once, when it is made; the store has it sealed under the authority's secret, so
that a copy of the database vouches for nobody.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Final

from mintmark.authority.policy.provisioners import ACME
from mintmark.authority.policy.whitelist import require
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.secrets import EXTERNAL_KEYS, seal
from mintmark.model.access import Operation, Requester
from mintmark.model.acme import ExternalKey
from mintmark.model.act import Act, AuditRecord
from mintmark.model.errors import Error, Kind

_ID: Final = 15  # octets: 24 letters and digits, no padding
_HMAC_KEY: Final = 32  # octets; RFC 7518 §3.2: as long as the hash of HS256 at least


async def create_external_key(
    authority: Authority, requester: Requester, *, provisioner: str, name: str
) -> tuple[ExternalKey, bytes]:
    """Make a key that lets one account be made.

    Args:
        authority: who makes it.
        requester: an admin.
        provisioner: the ACME provisioner where it is good.
        name: what the operator calls it, perhaps empty.

    Returns:
        What is stored of it, and the HMAC key, which is kept nowhere in the clear.

    Raises:
        Error: FORBIDDEN for anyone but an admin, NOT_FOUND for an unknown provisioner.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    check_provisioner(authority, provisioner)
    key_id = base64.b32encode(authority.entropy(_ID)).decode("ascii").lower()
    hmac_key = authority.entropy(_HMAC_KEY)
    now = authority.clock()
    key = ExternalKey(
        id=key_id,
        provisioner=provisioner,
        hmac_key=seal(authority, EXTERNAL_KEYS, hmac_key, key_id),
        name=name,
        created_at=int(now),
    )
    audit = AuditRecord(
        "acme.external-key.create",
        now,
        requester.service,
        address=requester.address,
        details={"key": key_id, "provisioner": provisioner, "name": name},
    )
    await authority.store.commit(Act(audit=audit, changes=(key,)))
    return key, hmac_key


async def revoke_external_key(
    authority: Authority, requester: Requester, key_id: str
) -> ExternalKey:
    """Make a key worthless; an account that was made with it stays.

    Raises:
        Error: FORBIDDEN, NOT_FOUND, ALREADY_REVOKED, or CONFLICT when an account was made with
            it at this moment.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    key = await authority.store.external_key(key_id)
    if key is None:
        raise Error(
            Kind.NOT_FOUND,
            f"there is no external account key {key_id[:128]!r}",
            hint="see: mintmark acme eab list",
        )
    if key.revoked_at is not None:
        raise Error(Kind.ALREADY_REVOKED, f"external account key {key_id!r} is revoked already")
    now = authority.clock()
    revoked = replace(key, revoked_at=int(now), version=key.version + 1)
    audit = AuditRecord(
        "acme.external-key.revoke",
        now,
        requester.service,
        address=requester.address,
        details={"key": key_id, "provisioner": key.provisioner},
    )
    await authority.store.commit(Act(audit=audit, changes=(revoked,)))
    return revoked


def check_provisioner(authority: Authority, name: str) -> None:
    """Refuse the name of an ACME provisioner that is not there.

    Raises:
        Error: NOT_FOUND.
    """
    policy = authority.policy
    if policy.provisioner(name, ACME) is None:
        offered = (each for each in policy.provisioners.values() if isinstance(each, ACME))
        known = ", ".join(sorted(each.name for each in offered)) or "none"
        raise Error(
            Kind.NOT_FOUND,
            f"there is no ACME provisioner {name[:64]!r}",
            hint=f"provisioners: {known}",
        )
