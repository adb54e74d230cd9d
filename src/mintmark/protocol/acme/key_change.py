"""Account key rollover: signed by the old key around the new one (RFC 8555 §7.3.5)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mintmark.model.errors import Error, Kind
from mintmark.protocol.acme.account import commit_change, document, record
from mintmark.protocol.acme.problem import ACMEError
from mintmark.protocol.acme.request import Call, Payload, check_signature, check_url
from mintmark.wire import jose, json
from mintmark.wire.http import Response
from mintmark.wire.jose import PublicKey


class KeyChange(Payload):
    """The payload of the inner JWS."""

    account: str
    old_key: dict[str, Any]


async def key_change(call: Call) -> Response:
    """Give an account a new key; the old one is worth nothing from then on."""
    own = call.account
    key = _new_key(call)
    store = call.authority.store
    holder = await store.account_by_key(call.provisioner.name, key.thumbprint)
    if holder is not None:
        raise _in_use(call.links.account(holder.id))
    changed = replace(own, jwk=key.jwk, thumbprint=key.thumbprint, version=own.version + 1)
    await call.burn()
    try:
        await commit_change(
            call,
            changed,
            record(
                call,
                own,
                "acme.account.key-change",
                old=jose.encode(own.thumbprint),
                new=key.thumbprint_text,
            ),
        )
    except Error as error:
        if error.kind is Kind.CONFLICT:
            raise _in_use(call.links.account(own.id)) from error
        raise
    return call.answer(document(call, changed))


def _new_key(call: Call) -> PublicKey:
    """Return the new key, once all eight checks of §7.3.5 have passed."""
    outer, old_key = call.signed
    inner = jose.parse(outer.payload)
    if "jwk" not in inner.header or "kid" in inner.header or "nonce" in inner.header:
        raise Error(
            Kind.MALFORMED,
            "the inner JWS has no 'jwk', or has a 'kid' or nonce",
            hint="sign it with the new key, named by 'jwk' (RFC 8555 §7.3.5)",
        )
    key = jose.public_key(inner.header["jwk"])
    check_signature(inner, key)
    check_url(inner, call.url)
    wish = json.decode(inner.payload, KeyChange)
    if wish.account != outer.header["kid"]:
        raise ACMEError("malformed", "'account' of the inner JWS is not the account that asks")
    if jose.public_key(wish.old_key).thumbprint != old_key.thumbprint:
        raise ACMEError("malformed", "'oldKey' of the inner JWS is not the account's key")
    return key


def _in_use(account_url: str) -> ACMEError:
    return ACMEError(
        "malformed",
        "the new key is that of an account already, or the account has just changed",
        hint="make a new key",
        status=409,
        headers=(("Location", account_url),),
    )
