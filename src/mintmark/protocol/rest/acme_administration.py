"""What an admin does about ACME: external account keys, accounts, pauses, renewal windows."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from mintmark.authority.workflow import acme_accounts, external_keys, renewal_windows
from mintmark.client.documents import (
    AccountDocument,
    AccountId,
    AccountPage,
    ExternalKeyDocument,
    ExternalKeyPage,
    ExternalKeyRequest,
    NewExternalKey,
    PauseDocument,
    PausePage,
    ProvisionerName,
    RenewalWindowsMoved,
    RenewalWindowsRequest,
    Unpaused,
    UnpauseRequest,
)
from mintmark.model.acme import Account, ExternalKey
from mintmark.model.errors import Error, Kind
from mintmark.model.time import parse_duration, timestamp
from mintmark.protocol.rest.certificates import sequence_of
from mintmark.protocol.rest.presentation import json_answer
from mintmark.protocol.rest.routes import Call
from mintmark.wire.http import Response
from mintmark.wire.identifiers import parse_any
from mintmark.wire.jose import encode

_Limit = Annotated[int, Meta(ge=1, le=1000)]


class ProvisionerQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which external account keys or accounts to list.

    Args:
        provisioner: of this one alone.
        cursor: `next_cursor` of the page before.
        limit: how many a page.
    """

    provisioner: ProvisionerName | None = None
    cursor: AccountId | None = None
    limit: _Limit = 100


class PausedQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pauses to list.

    Args:
        cursor: `next_cursor` of the page before.
        limit: how many a page.
    """

    cursor: Annotated[str, Meta(max_length=400, pattern=r"^[!-~]+/[!-~]+(?![\s\S])")] | None = None
    limit: _Limit = 100


async def create_key(call: Call) -> Response:
    """Make an external account key and tell its secret, this once."""
    wish: ExternalKeyRequest = call.body
    key, hmac_key = await external_keys.create_external_key(
        call.authority, call.requester, provisioner=wish.provisioner, name=wish.name
    )
    return json_answer(201, NewExternalKey(**_key_fields(key), hmac_key=encode(hmac_key)))


async def list_keys(call: Call) -> Response:
    """Answer with one page of external account keys, by id."""
    query: ProvisionerQuery = call.query
    found = await call.authority.store.external_keys(
        query.provisioner, after=query.cursor, limit=query.limit + 1
    )
    page = found[: query.limit]
    return json_answer(
        200,
        ExternalKeyPage(
            external_keys=[ExternalKeyDocument(**_key_fields(key)) for key in page],
            next_cursor=page[-1].id if len(found) > len(page) else None,
        ),
    )


async def revoke_key(call: Call) -> Response:
    """Make an external account key worthless."""
    key = await external_keys.revoke_external_key(
        call.authority, call.requester, call.arguments["key_id"]
    )
    return json_answer(200, ExternalKeyDocument(**_key_fields(key)))


async def list_accounts(call: Call) -> Response:
    """Answer with one page of accounts, by id."""
    query: ProvisionerQuery = call.query
    found = await call.authority.store.accounts(
        query.provisioner, after=query.cursor, limit=query.limit + 1
    )
    page = found[: query.limit]
    return json_answer(
        200,
        AccountPage(
            accounts=[_account(account) for account in page],
            next_cursor=page[-1].id if len(found) > len(page) else None,
        ),
    )


async def revoke_one_account(call: Call) -> Response:
    """Lock an account out."""
    account = await acme_accounts.revoke_account(
        call.authority, call.requester, call.arguments["account_id"]
    )
    return json_answer(200, _account(account))


async def list_paused(call: Call) -> Response:
    """Answer with one page of pauses, by account and identifier."""
    query: PausedQuery = call.query
    after = None
    if query.cursor is not None:
        account, _, identifier = query.cursor.partition("/")
        after = (account, identifier)
    found = await call.authority.store.paused(after=after, limit=query.limit + 1)
    page = found[: query.limit]
    return json_answer(
        200,
        PausePage(
            paused=[
                PauseDocument(
                    account_id=one.account,
                    identifier=one.identifier,
                    failures=one.failures,
                    paused_at=timestamp(one.paused_at or 0),
                )
                for one in page
            ],
            next_cursor=f"{page[-1].account}/{page[-1].identifier}"
            if len(found) > len(page)
            else None,
        ),
    )


async def unpause_account(call: Call) -> Response:
    """Forget an account's failures."""
    wish: UnpauseRequest = call.body
    identifier = None if wish.identifier is None else parse_any(wish.identifier)
    count = await acme_accounts.unpause(call.authority, call.requester, wish.account_id, identifier)
    return json_answer(200, Unpaused(account_id=wish.account_id, identifiers=count))


async def move_renewal_windows(call: Call) -> Response:
    """Move the renewal windows of one page of certificates."""
    wish: RenewalWindowsRequest = call.body
    selection = _selection(wish)
    if selection == renewal_windows.Selection() and not wish.all:
        raise Error(
            Kind.MALFORMED,
            "no certificates are selected",
            hint="give service_name, profile, name, issuer or issued_before; or all: true",
        )
    moved = await renewal_windows.move_windows(
        call.authority,
        call.requester,
        selection,
        over=parse_duration(wish.over),
        explanation_url=wish.explanation_url or "",
        reason=wish.reason,
        after=None if wish.cursor is None else await sequence_of(call, wish.cursor),
    )
    cursor = None if moved.last is None else moved.last.certificate.id
    return json_answer(200, RenewalWindowsMoved(moved=moved.count, next_cursor=cursor))


def _selection(wish: RenewalWindowsRequest) -> renewal_windows.Selection:
    return renewal_windows.Selection(
        service=wish.service_name,
        profile=wish.profile,
        name=None if wish.name is None else parse_any(wish.name).value,
        issuer=wish.issuer,
        issued_before=None if wish.issued_before is None else _moment(wish.issued_before),
    )


def _moment(text: str) -> int:
    """Return the Unix seconds of an RFC 3339 time.

    Raises:
        Error: MALFORMED.
    """
    try:
        then = datetime.fromisoformat(text)
        if then.tzinfo is None:
            raise ValueError("no time zone")  # noqa: TRY301 - one refusal for both
        return int(then.timestamp())
    except (ValueError, OverflowError) as error:
        raise Error(
            Kind.MALFORMED,
            f"'issued_before' is {text!r}, not a date and time of RFC 3339",
            hint="write it as 2026-11-22T10:00:00Z",
        ) from error


def _key_fields(key: ExternalKey) -> dict[str, Any]:
    status = "unused" if key.account is None else "used"
    return {
        "key_id": key.id,
        "provisioner": key.provisioner,
        "name": key.name,
        "status": status if key.revoked_at is None else "revoked",
        "created_at": timestamp(key.created_at),
        "account_id": key.account,
        "revoked_at": None if key.revoked_at is None else timestamp(key.revoked_at),
    }


def _account(account: Account) -> AccountDocument:
    return AccountDocument(
        account_id=account.id,
        provisioner=account.provisioner,
        status=account.status.value,
        service_name=f"acme.{account.provisioner}.{account.id}",
        contacts=list(account.contacts),
        created_at=timestamp(account.created_at),
        external_key=account.external_key,
    )
