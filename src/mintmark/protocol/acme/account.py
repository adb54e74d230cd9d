"""Accounts: made, found, changed, deactivated, and their orders (RFC 8555 §7.1.2, §7.3)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs

from mintmark.model.acme import Account, AccountStatus, Change
from mintmark.model.act import Act, AuditRecord, RateClaim
from mintmark.model.errors import Error, Kind
from mintmark.protocol.acme import problem
from mintmark.protocol.acme.external_account import bind
from mintmark.protocol.acme.problem import ACMEError
from mintmark.protocol.acme.request import Call, Payload
from mintmark.protocol.acme.states import move
from mintmark.wire.http import Response

MAX_CONTACTS: Final = 10
ACCOUNTS_PER_HOUR: Final = 1000  # of one address: so many are no person's doing
CHANGES_PER_HOUR: Final = 100  # of one account: each is an audit record, which stays
ORDERS_A_PAGE: Final = 50

# RFC 6068, one address and no header fields (RFC 8555 §7.3).
_MAILTO: Final = re.compile(r"mailto:[^\s,?@]{1,64}@[A-Za-z0-9.-]{1,253}", re.IGNORECASE)


class NewAccount(Payload):
    """The payload of new-account (§7.3)."""

    contact: tuple[str, ...] = ()
    terms_of_service_agreed: bool = False
    only_return_existing: bool = False
    external_account_binding: Any = None


class AccountUpdate(Payload):
    """The payload of a change (§7.3.2, §7.3.6)."""

    contact: tuple[str, ...] | None = None
    terms_of_service_agreed: bool | None = None
    status: str | None = None


async def new_account(call: Call) -> Response:
    """Make an account, or return the one that the key has already (§7.3.1)."""
    wish = call.payload(NewAccount)
    _, key = call.signed
    store, provisioner = call.authority.store, call.provisioner
    existing = await store.account_by_key(provisioner.name, key.thumbprint)
    if existing is not None:
        return _existing(call, existing)
    if wish.only_return_existing:
        raise ACMEError(
            "accountDoesNotExist",
            f"provisioner '{provisioner.name}' has no account of this key",
            hint="register it first",
        )
    _check_terms(call, agreed=wish.terms_of_service_agreed)
    account = Account(
        id=call.nonces.name(call.nonce, "account"),
        provisioner=provisioner.name,
        jwk=key.jwk,
        thumbprint=key.thumbprint,
        status=AccountStatus.VALID,
        contacts=contacts(wish.contact),
        terms_agreed=wish.terms_of_service_agreed,
        external_key=None,
        created_at=call.now,
    )
    external = await bind(call, wish.external_account_binding, account.id)
    changes: tuple[Change, ...] = (account,)
    if external is not None:
        changes = (replace(account, external_key=external.id), external)
    try:
        await store.commit(
            Act(
                audit=record(call, account, "acme.account.create", key=_bound(external)),
                rates=(RateClaim(f"acme:accounts:{call.request.peer.network}", ACCOUNTS_PER_HOUR),),
                changes=changes,
            )
        )
    except Error as error:
        if error.kind is Kind.RATE_LIMITED:
            raise problem.limited(
                error, f"{ACCOUNTS_PER_HOUR} accounts an hour are made for one address"
            ) from error
        if error.kind is not Kind.CONFLICT:
            raise
        return await _lost_race(call, key.thumbprint, error)
    return call.answer(
        document(call, account), 201, (("Location", call.links.account(account.id)),)
    )


async def account(call: Call) -> Response:
    """Return, change or deactivate an account (§7.3.2, §7.3.3, §7.3.6)."""
    own = call.account
    if call.arguments["id"] != own.id:
        raise ACMEError("unauthorized", "an account sees only itself")
    if call.is_read:
        return call.answer(document(call, own))
    wish = call.payload(AccountUpdate)
    changed, action = _changed(own, wish)
    if changed is not own:
        await call.burn()
        # Giving the account up is the last change that there is, and never refused.
        is_last = changed.status is not AccountStatus.VALID
        await commit_change(call, changed, record(call, own, action), limited=not is_last)
    return call.answer(document(call, changed))


async def commit_change(
    call: Call, changed: Account, audit: AuditRecord, *, limited: bool = True
) -> None:
    """Store a change of an account with its record.

    Raises:
        ACMEError: rateLimited.
        Error: CONFLICT when it was changed meanwhile, or another account has the new key.
    """
    claim = RateClaim(f"acme:changes:{changed.id}", CHANGES_PER_HOUR)
    act = Act(audit=audit, changes=(changed,), rates=(claim,) if limited else ())
    try:
        await call.authority.store.commit(act)
    except Error as error:
        if error.kind is Kind.RATE_LIMITED:
            raise problem.limited(
                error, f"an account is changed {CHANGES_PER_HOUR} times an hour at most"
            ) from error
        raise


async def orders(call: Call) -> Response:
    """Return the account's orders that can still do something, in pages (§7.1.2.1)."""
    own = call.account
    if call.arguments["id"] != own.id:
        raise ACMEError("unauthorized", "an account sees only its own orders")
    after = parse_qs(call.request.query).get("after", [None])[0]
    found = await call.authority.store.orders(own.id, after=after, limit=ORDERS_A_PAGE + 1)
    page = found[:ORDERS_A_PAGE]
    headers: tuple[tuple[str, str], ...] = ()
    if len(found) > ORDERS_A_PAGE:
        following = f"{call.links.orders(own.id)}?after={page[-1].id}"
        headers = (("Link", f'<{following}>;rel="next"'),)
    return call.answer({"orders": [call.links.order(order.id) for order in page]}, headers=headers)


def document(call: Call, account: Account) -> dict[str, Any]:
    """Return an account as clients see it (§7.1.2)."""
    members: dict[str, Any] = {
        "status": account.status.value,
        "contact": list(account.contacts),
        "orders": call.links.orders(account.id),
    }
    if account.terms_agreed:
        members["termsOfServiceAgreed"] = True
    return members


def contacts(given: tuple[str, ...]) -> tuple[str, ...]:
    """Return contact URLs, if they are such as can be written to.

    Raises:
        ACMEError: unsupportedContact, invalidContact.
    """
    if len(given) > MAX_CONTACTS:
        raise ACMEError("invalidContact", f"{len(given)} contacts, at most {MAX_CONTACTS} are kept")
    for contact in given:
        if not contact.lower().startswith("mailto:"):
            raise ACMEError(
                "unsupportedContact",
                f"contact {contact[:80]!r} is not a mailto URL",
                hint="write mailto:ops@example.com",
            )
        if not _MAILTO.fullmatch(contact) or not contact.isprintable():
            raise ACMEError(
                "invalidContact",
                f"contact {contact[:80]!r} is not one address without header fields",
                hint="write mailto:ops@example.com (RFC 8555 §7.3)",
            )
    return tuple(dict.fromkeys(given))


def record(call: Call, account: Account, action: str, **details: Any) -> AuditRecord:
    """Return the audit record of an act on an account."""
    return AuditRecord(
        action,
        call.authority.clock(),
        call.provisioner.service(account.id),
        address=call.request.peer.address,
        details={name: value for name, value in details.items() if value is not None},
    )


def _existing(call: Call, account: Account) -> Response:
    if account.status is not AccountStatus.VALID:
        raise ACMEError(
            "unauthorized",
            f"the account of this key is {account.status.value}",
            hint="make a new key",
        )
    location = ("Location", call.links.account(account.id))
    return call.answer(document(call, account), headers=(location,))


async def _lost_race(call: Call, thumbprint: bytes, error: Error) -> Response:
    """Answer when another request made the same account, or used up the same external key."""
    existing = await call.authority.store.account_by_key(call.provisioner.name, thumbprint)
    if existing is None:
        raise ACMEError("unauthorized", "the external account key was used a moment ago") from error
    return _existing(call, existing)


def _check_terms(call: Call, *, agreed: bool) -> None:
    terms = call.provisioner.settings.terms_of_service
    if terms and not agreed:
        raise ACMEError(
            "userActionRequired",
            f"the terms of service at {terms} have to be agreed to",
            hint="repeat the request with termsOfServiceAgreed",
            headers=(("Link", f'<{terms}>;rel="terms-of-service"'),),
        )


def _changed(own: Account, wish: AccountUpdate) -> tuple[Account, str]:
    """Return the account as asked for, the same one if nothing changes, and the audit's word."""
    if wish.status is not None:
        if wish.status != AccountStatus.DEACTIVATED.value:
            raise Error(
                Kind.MALFORMED,
                f"an account's status cannot be set to {wish.status[:32]!r}",
                hint="only 'deactivated' can be asked for (RFC 8555 §7.3.6)",
            )
        return move(own, AccountStatus.DEACTIVATED), "acme.account.deactivate"
    agreed = own.terms_agreed or bool(wish.terms_of_service_agreed)
    new = own.contacts if wish.contact is None else contacts(wish.contact)
    if (new, agreed) == (own.contacts, own.terms_agreed):
        return own, ""
    changed = replace(own, contacts=new, terms_agreed=agreed, version=own.version + 1)
    return changed, "acme.account.update"


def _bound(external: Any) -> str | None:
    return None if external is None else external.id
