"""ACME accounts in the operator's hand: locked out for good, or let in again after a pause."""

from __future__ import annotations

from dataclasses import replace

from mintmark.authority.policy.whitelist import require
from mintmark.authority.workflow.authority import Authority
from mintmark.model.access import Operation, Requester
from mintmark.model.acme import ACCOUNT_TRANSITIONS, Account, AccountStatus
from mintmark.model.act import Act, AuditRecord
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier


async def revoke_account(authority: Authority, requester: Requester, account_id: str) -> Account:
    """Lock an account out for good (RFC 8555 §7.1.2, "revoked"); its certificates stay valid.

    Raises:
        Error: FORBIDDEN for anyone but an admin, NOT_FOUND, or CONFLICT when it is not valid
            any more or changes at this moment.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    account = await _find(authority, account_id)
    if AccountStatus.REVOKED not in ACCOUNT_TRANSITIONS[account.status]:
        raise Error(Kind.CONFLICT, f"account {account_id!r} is {account.status.value} already")
    revoked = replace(account, status=AccountStatus.REVOKED, version=account.version + 1)
    audit = _record(authority, requester, "acme.account.revoke", account)
    await authority.store.commit(Act(audit=audit, changes=(revoked,)))
    return revoked


async def unpause(
    authority: Authority,
    requester: Requester,
    account_id: str,
    identifier: Identifier | None = None,
) -> int:
    """Forget failed validations of an account, so that it may order again.

    Args:
        authority: who forgets.
        requester: an admin.
        account_id: whose failures.
        identifier: of this identifier alone; None for all of them.

    Returns:
        For how many identifiers there were failures.

    Raises:
        Error: FORBIDDEN for anyone but an admin, NOT_FOUND.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    account = await _find(authority, account_id)
    # A wildcard's failures are those of its domain, whose authorization it is.
    name = None if identifier is None else identifier.value.removeprefix("*.")
    details = {} if name is None else {"identifier": name}
    # What is forgotten is on record before it is forgotten (design rule 8).
    audit = _record(authority, requester, "acme.unpause", account, **details)
    await authority.store.commit(Act(audit=audit))
    return await authority.store.unpause(account.id, name)


async def _find(authority: Authority, account_id: str) -> Account:
    account = await authority.store.account(account_id)
    if account is None:
        raise Error(
            Kind.NOT_FOUND,
            f"there is no ACME account {account_id[:128]!r}",
            hint="see: mintmark acme accounts",
        )
    return account


def _record(
    authority: Authority, requester: Requester, action: str, account: Account, **details: str
) -> AuditRecord:
    return AuditRecord(
        action,
        authority.clock(),
        requester.service,
        address=requester.address,
        details={"account": account.id, "provisioner": account.provisioner, **details},
    )
