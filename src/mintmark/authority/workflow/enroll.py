"""Enrol: the first certificate of a service, by a one-time token from an admin.

A token is bound to one service, its names and its profiles, kept only as a hash, and burned in
the commit that stores the certificate (design rule 9).
"""

from __future__ import annotations

import base64
import hashlib

from mintmark.authority.policy.whitelist import require, service_id
from mintmark.authority.workflow.authority import Authority
from mintmark.model.access import Credential, Operation, Requester, ServiceRule
from mintmark.model.act import Act, AuditRecord, Token
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.time import DAY, MINUTE

PREFIX = "mmt_"  # lets secret scanners find a leaked token
LIFETIME_MIN, LIFETIME_MAX = MINUTE, 30 * DAY


async def create_token(
    authority: Authority,
    requester: Requester,
    *,
    service: str,
    identifiers: tuple[Identifier, ...],
    profiles: tuple[str, ...],
    lifetime: int,
) -> str:
    """Make a token; its text is returned once and kept nowhere.

    Args:
        authority: who makes it.
        requester: an admin.
        service: the service that may enrol with it.
        identifiers: names its certificate may carry, beside those of the whitelist.
        profiles: profiles it is good for; empty allows those of the whitelist.
        lifetime: seconds, 60 to 30 days.

    Raises:
        Error: FORBIDDEN for anyone but an admin, BAD_PROFILE, BAD_LIFETIME, MALFORMED.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    service = service_id(service)
    if unknown := [name for name in profiles if name not in authority.policy.profiles]:
        raise Error(
            Kind.BAD_PROFILE,
            f"profile {unknown[0]!r} does not exist",
            hint=f"profiles: {', '.join(sorted(authority.policy.profiles))}",
        )
    if not LIFETIME_MIN <= lifetime <= LIFETIME_MAX:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a token lifetime of {lifetime} s is outside {LIFETIME_MIN} to {LIFETIME_MAX} s",
        )
    now = authority.clock()
    text = PREFIX + base64.urlsafe_b64encode(authority.entropy(32)).rstrip(b"=").decode()
    token = Token(_hash(text), service, identifiers, profiles, int(now) + lifetime)
    await authority.store.commit(
        Act(
            audit=AuditRecord(
                "token.create",
                now,
                requester.service,
                address=requester.address,
                details={
                    "service": service,
                    "names": [str(identifier) for identifier in identifiers],
                    "expires_at": token.expires_at,
                },
            ),
            token=token,
        )
    )
    return text


async def requester_from_token(authority: Authority, text: str, address: str) -> Requester:
    """Return who a token speaks for; it may ask for one certificate and nothing else.

    Raises:
        Error: BAD_TOKEN, the same for unknown, used and expired ones.
    """
    token = await authority.store.token(_hash(text))
    if token is None or authority.clock() > token.expires_at:
        raise bad_token()
    whitelisted = authority.policy.whitelist.rule(token.service)
    rule = ServiceRule(
        pattern=token.service,
        operations=frozenset({Operation.REQUEST}),
        names=whitelisted.names,
        profiles=whitelisted.profiles,
        max_certificates=whitelisted.max_certificates,
        certificates_per_hour=whitelisted.certificates_per_hour,
    )
    return Requester(
        service=token.service,
        rule=rule,
        credential=Credential.TOKEN,
        token=token.sha256,
        identifiers=token.identifiers,
        profiles=token.profiles,
        address=address,
    )


def bad_token() -> Error:
    """Return the one refusal of all bad tokens, so that guessing teaches nothing."""
    return Error(
        Kind.BAD_TOKEN,
        "the token is unknown, used up or expired",
        hint="ask an admin for a new one: mintmark token NAME",
    )


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
