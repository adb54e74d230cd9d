"""Authorizations: what an account may have in certificates (RFC 8555 §7.1.4, §7.4.1, §7.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mintmark.model.acme import (
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Order,
)
from mintmark.model.act import Act, RateClaim
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.provisioner import ChallengeType
from mintmark.model.time import timestamp
from mintmark.protocol.acme import policy, problem
from mintmark.protocol.acme.problem import ACMEError
from mintmark.protocol.acme.request import Call, Payload, replayed
from mintmark.protocol.acme.states import authorization_now, is_processing, move
from mintmark.protocol.acme.validation.dns_persist01 import account_hash, account_hash_prefix
from mintmark.wire import jose
from mintmark.wire.http import Response

RETRY_AFTER = ("Retry-After", "1")  # whole seconds: some clients read no date
RENEWAL = "acme:renewal:"  # begins the key of the limit of one certificate's renewals
_TOKEN = 32  # octets; RFC 8555 §8: at least 128 bits of entropy


class NewAuthorization(Payload):
    """The payload of new-authz (§7.4.1)."""

    identifier: policy.GivenIdentifier


class Deactivation(Payload):
    """The payload that deactivates an authorization (§7.5.2)."""

    status: str | None = None


async def new_authorization(call: Call) -> Response:
    """Authorize an identifier before there is an order (§7.4.1)."""
    (identifier,) = policy.identifiers(call, (call.payload(NewAuthorization).identifier,))
    if identifier.wildcard:
        raise ACMEError(
            "malformed",
            f"wildcard '{identifier}' cannot be authorized before an order",
            hint="make an order for it (RFC 8555 §7.4.1)",
        )
    policy.check_identifiers(call, (identifier,), call.provisioner.settings.profiles[0])
    await policy.check_pauses(call, (identifier,))
    authorizations, new = await authorize(call, (identifier,))
    (authorization,) = authorizations
    if new:
        await commit_new(call, new, orders_claim(call))
    location = ("Location", call.links.authorization(authorization.id))
    return call.answer(document(call, authorization), 201 if new else 200, (location,))


async def authorization(call: Call) -> Response:
    """Return or deactivate an authorization (§7.5, §7.5.2)."""
    found = await own_authorization(call, call.arguments["id"])
    if not call.is_read:
        wish = call.payload(Deactivation)
        if wish.status != AuthorizationStatus.DEACTIVATED.value:
            raise Error(
                Kind.MALFORMED,
                "an authorization can only be read or deactivated",
                hint='send an empty payload or {"status": "deactivated"} (RFC 8555 §7.5.2)',
            )
        found = move(found, AuthorizationStatus.DEACTIVATED)
        await call.authority.store.commit(Act(changes=(found,)))
    headers = (RETRY_AFTER,) if is_processing(found) else ()
    return call.answer(document(call, found), headers=headers)


async def own_authorization(call: Call, id: str) -> Authorization:  # noqa: A002 - its name
    """Return an authorization of the account, as it is now.

    Raises:
        Error: NOT_FOUND, also for one of another account.
    """
    found = await call.authority.store.authorization(id)
    if found is None or found.account != call.account.id:
        raise call.not_found("authorization")
    return authorization_now(found, call.authority.clock())


async def authorize(
    call: Call, identifiers: Sequence[Identifier]
) -> tuple[list[Authorization], tuple[Authorization, ...]]:
    """Return an authorization for each identifier, in order, and those that are new.

    Valid ones are used again; the new ones are not stored yet.

    Raises:
        ACMEError: rateLimited when too many are pending.
    """
    pairs = [(base(identifier), identifier.wildcard) for identifier in identifiers]
    store = call.authority.store
    reusable = {
        (one.identifier, one.wildcard): one
        for one in await store.reusable(call.account.id, pairs, call.now)
    }
    new: list[Authorization] = []
    found = []
    for identifier, pair in zip(identifiers, pairs, strict=True):
        one = reusable.get(pair)
        if one is None:
            one = _new(call, identifier, len(new))
            new.append(one)
        found.append(one)
    if new:
        await _check_pending(call, len(new))
    return found, tuple(new)


def orders_claim(call: Call) -> RateClaim:
    """Return what one more order, or authorization before one, takes of the account's limit."""
    return RateClaim(f"acme:order:{call.account.id}", call.provisioner.settings.orders_per_hour)


async def commit_new(call: Call, new: tuple[Order | Authorization, ...], claim: RateClaim) -> None:
    """Store objects that are named after the request's nonce, as far as the limit allows it.

    Raises:
        ACMEError: rateLimited; badNonce when they are there: another process has answered this
            request.
    """
    rates = (claim,) if claim.per_hour else ()
    refusals, now = call.authority.refusals, call.authority.clock()
    try:
        refusals.check(rates, now)
        await call.authority.store.commit(Act(changes=new, rates=rates))
    except Error as error:
        if error.kind is Kind.CONFLICT:
            raise replayed() from error
        if error.kind is not Kind.RATE_LIMITED:
            raise
        refusals.remember(rates, error, now)
        what = "for one renewal " if claim.key.startswith(RENEWAL) else ""
        raise problem.limited(
            error,
            f"the account may make {claim.per_hour} orders an hour {what}and has made them",
        ) from error


def base(identifier: Identifier) -> Identifier:
    """Return what an authorization calls an identifier: a wildcard's domain (§7.1.4)."""
    if identifier.wildcard:
        return Identifier(IdentifierType.DNS, identifier.value.removeprefix("*."))
    return identifier


def document(call: Call, authorization: Authorization) -> dict[str, Any]:
    """Return an authorization as clients see it (§7.1.4)."""
    members: dict[str, Any] = {
        "identifier": problem.identifier(authorization.identifier),
        "status": authorization.status.value,
        "expires": timestamp(authorization.expires_at),
        "challenges": [
            challenge_document(call, authorization, one) for one in authorization.challenges
        ],
    }
    if authorization.wildcard:
        members["wildcard"] = True
    return members


def challenge_document(
    call: Call, authorization: Authorization, challenge: Challenge
) -> dict[str, Any]:
    """Return a challenge as clients see it (§7.1.5, §8)."""
    members: dict[str, Any] = {
        "type": challenge.type.value,
        "url": call.links.challenge(authorization.id, challenge.type),
        "status": challenge.status.value,
    }
    if challenge.token:
        members["token"] = challenge.token
    if challenge.validated_at is not None:
        members["validated"] = timestamp(challenge.validated_at)
    if challenge.error is not None and challenge.status is not ChallengeStatus.VALID:
        members["error"] = challenge.error
    if challenge.type is ChallengeType.DNS_PERSIST_01:
        members |= _persistent(call, authorization)
    return members


def _persistent(call: Call, authorization: Authorization) -> dict[str, Any]:
    """Return what stands in the place of a token (draft-ietf-acme-dns-persist-02 §3.1).

    Clients of its earlier versions know the names under another word, and take the URI for
    their record from the challenge.
    """
    url = call.links.account(authorization.account)
    digest = account_hash(authorization.identifier.value, call.signed[1].thumbprint_text, url)
    names = list(call.issuer_domain_names)
    return {
        "issuerDomainNames": names,
        "issuer-domain-names": names,
        "accounturi": account_hash_prefix(url) + digest,
    }


def _new(call: Call, identifier: Identifier, number: int) -> Authorization:
    return Authorization(
        id=call.nonces.name(call.nonce, f"authorization {number}"),
        account=call.account.id,
        identifier=base(identifier),
        wildcard=identifier.wildcard,
        status=AuthorizationStatus.PENDING,
        expires_at=call.now + call.provisioner.settings.order_lifetime,
        challenges=tuple(
            Challenge(one, _token(call, one)) for one in call.provisioner.challenges(identifier)
        ),
    )


def _token(call: Call, type: ChallengeType) -> str:  # noqa: A002 - its name
    if type is ChallengeType.DNS_PERSIST_01:  # its record lasts, and no token changes it
        return ""
    return jose.encode(call.authority.entropy(_TOKEN))


async def _check_pending(call: Call, count: int) -> None:
    limit = call.provisioner.settings.pending_authorizations
    pending = await call.authority.store.pending_count(call.account.id, call.now)
    if pending + count > limit:
        raise ACMEError(
            "rateLimited",
            f"the account has {pending} pending authorizations, {limit} are allowed",
            hint="finish or deactivate some; they also expire",
            retry_after=3600,
        )
