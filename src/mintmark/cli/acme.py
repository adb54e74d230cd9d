"""`mintmark acme`: external account keys, accounts, and what is paused."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeVar

import msgspec

from mintmark.cli.options import Place, print_json
from mintmark.cli.output import note, say, table
from mintmark.cli.reach import distant_url, reach, trust_anchor
from mintmark.client.documents import ExternalKeyRequest, UnpauseRequest

T = TypeVar("T")


def add_key(place: Place, provisioner: str, name: str) -> None:
    """Make an external account key and say how certbot uses it."""
    with reach(place) as api:
        made = api.create_external_key(ExternalKeyRequest(provisioner=provisioner, name=name))
    url = f"{distant_url(place)}/acme/{made.provisioner}/directory"
    if place.as_json:
        print_json({**_plain(made), "directory": url})
        return
    say(f"key id    {made.key_id}")
    say(f"HMAC key  {made.hmac_key}")
    say(f"good for one new account of provisioner {made.provisioner}; shown only now")
    say("")
    say(f"on its host, with {trust_anchor(place)} as ca.pem:")
    say(
        f"  REQUESTS_CA_BUNDLE=ca.pem certbot certonly --standalone --server {shlex.quote(url)} "
        f"--eab-kid {made.key_id} --eab-hmac-key={made.hmac_key} -d NAME"
    )


def list_keys(place: Place, provisioner: str | None, limit: int) -> None:
    """List external account keys."""
    with reach(place) as api:
        found = api.external_keys(provisioner=provisioner, limit=limit + 1)
        keys, more = _bounded(found, limit)
    if place.as_json:
        print_json({"external_keys": _plain(keys), "more": more})
        return
    rows = [
        (
            one.key_id,
            one.provisioner,
            one.status,
            one.account_id or "",
            _when(one.created_at),
            one.name,
        )
        for one in keys
    ]
    say(table(("KEY ID", "PROVISIONER", "STATUS", "ACCOUNT", "CREATED", "NAME"), rows))
    _tell_more(limit, more=more)


def revoke_key(place: Place, key_id: str) -> None:
    """Make an external account key worthless."""
    with reach(place) as api:
        key = api.revoke_external_key(key_id)
    if place.as_json:
        print_json(_plain(key))
        return
    say(f"revoked external account key {key.key_id}")
    if key.account_id is not None:
        say(f"account {key.account_id}, made with it, stays; end it with:")
        say(f"  {place.command(f'acme revoke-account {key.account_id}')}")


def list_accounts(place: Place, provisioner: str | None, limit: int) -> None:
    """List accounts."""
    with reach(place) as api:
        accounts, more = _bounded(api.accounts(provisioner=provisioner, limit=limit + 1), limit)
    if place.as_json:
        print_json({"accounts": _plain(accounts), "more": more})
        return
    rows = [
        (
            one.account_id,
            one.provisioner,
            one.status,
            _when(one.created_at),
            ", ".join(contact.removeprefix("mailto:") for contact in one.contacts),
        )
        for one in accounts
    ]
    say(table(("ACCOUNT", "PROVISIONER", "STATUS", "CREATED", "CONTACTS"), rows))
    _tell_more(limit, more=more)


def revoke_account(place: Place, account: str) -> None:
    """Lock an account out."""
    with reach(place) as api:
        revoked = api.revoke_account(account)
    if place.as_json:
        print_json(_plain(revoked))
        return
    say(f"revoked account {revoked.account_id}; it gets nothing any more")
    say("its certificates stay valid; see them with:")
    say(f"  {place.command(f'list --service {revoked.service_name}')}")


def list_paused(place: Place, limit: int) -> None:
    """List what is paused."""
    with reach(place) as api:
        paused, more = _bounded(api.paused(limit=limit + 1), limit)
    if place.as_json:
        print_json({"paused": _plain(paused), "more": more})
        return
    rows = [
        (one.account_id, one.identifier, str(one.failures), _when(one.paused_at)) for one in paused
    ]
    say(table(("ACCOUNT", "IDENTIFIER", "FAILURES", "SINCE"), rows))
    _tell_more(limit, more=more)


def unpause(place: Place, account: str, identifier: str | None) -> None:
    """Let an account order again."""
    with reach(place) as api:
        answer = api.unpause(UnpauseRequest(account_id=account, identifier=identifier))
    if place.as_json:
        print_json(_plain(answer))
    elif answer.identifiers:
        count = answer.identifiers
        say(f"forgot failures of {count} identifier{'' if count == 1 else 's'}")
    else:
        say("there were no failures to forget")


def _bounded(found: Iterator[T], limit: int) -> tuple[list[T], bool]:
    """Return up to `limit` of what was found, and whether there is more."""
    shown = list(islice(found, limit))
    return shown, next(found, None) is not None


def _tell_more(limit: int, *, more: bool) -> None:
    if more:
        note(f"there are more than {limit}; see them with --limit")


def _when(moment: str) -> str:
    return moment.replace("T", " ")


def _plain(documents: object) -> Any:
    return msgspec.to_builtins(documents)
