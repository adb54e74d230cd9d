"""Challenges: answered by the client, validated beside the request (RFC 8555 §7.5.1)."""

from __future__ import annotations

from mintmark.model.acme import Authorization, AuthorizationStatus, Challenge, ChallengeStatus
from mintmark.model.errors import Error, Kind
from mintmark.protocol.acme.authorization import (
    RETRY_AFTER,
    challenge_document,
    own_authorization,
)
from mintmark.protocol.acme.background import Validations
from mintmark.protocol.acme.request import Call
from mintmark.wire import json
from mintmark.wire.http import Response


async def challenge(call: Call, validations: Validations) -> Response:
    """Return a challenge, or begin its validation."""
    authorization = await own_authorization(call, call.arguments["id"])
    one = _one(call, authorization)
    if not call.is_read:
        json.decode(call.signed[0].payload, dict[str, object])  # §7.5.1: an object, `{}`
        if one.status is ChallengeStatus.PENDING:
            _check_pending(authorization)
            authorization = await validations.begin(
                authorization, one, call.account, call.links.account(call.account.id)
            )
            one = _one(call, authorization)
    up = ("Link", f'<{call.links.authorization(authorization.id)}>;rel="up"')
    is_open = one.status is ChallengeStatus.PROCESSING
    return call.answer(
        challenge_document(call, authorization, one),
        headers=(up, RETRY_AFTER) if is_open else (up,),
    )


def _one(call: Call, authorization: Authorization) -> Challenge:
    wanted = call.arguments["type"]
    for one in authorization.challenges:
        if one.type.value == wanted:
            return one
    raise call.not_found("challenge")


def _check_pending(authorization: Authorization) -> None:
    if authorization.status is not AuthorizationStatus.PENDING:
        raise Error(
            Kind.MALFORMED,
            f"the authorization is {authorization.status.value}, no challenge can change it",
            hint="make a new order",
        )
