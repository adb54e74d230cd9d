"""Tokens of JWK provisioners: signed by a key whose owners are trusted with names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from mintmark.authority.policy.provisioners import JWK
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens import claims as read
from mintmark.authority.workflow.tokens import signature, step_claims
from mintmark.authority.workflow.tokens.purpose import VOUCHED, Purpose, Verified
from mintmark.authority.workflow.tokens.revocation import revocation
from mintmark.model.access import Credential, Operation, Requester
from mintmark.model.identifiers import Identifier
from mintmark.wire.jwt import JWT

_REQUEST: Final = frozenset({Operation.REQUEST})


def find(authority: Authority, token: JWT) -> JWK | None:
    """Return the provisioner that a token says it is of: `iss` is its name, `kid` its key."""
    found = authority.policy.provisioner(token.claims.get("iss"), JWK)
    return found if found is not None and found.key_id == token.key_id else None


async def verify(
    authority: Authority, provisioner: JWK, token: JWT, purpose: Purpose, address: str
) -> Verified:
    """Verify a token with the provisioner's key, and return what it vouches for.

    Raises:
        Error: as `requester_from_jwt`.
    """
    await signature.verify(authority, token, provisioner.key)
    read.check_purpose(purpose, VOUCHED)
    claims = token.claims
    now = authority.clock()
    ends = read.check_times(claims, now)
    read.check_audience(claims, authority.names, purpose, provisioner)
    subject = read.subject(claims)
    service = provisioner.service(subject)
    vouches = not purpose.is_revocation
    requester = Requester(
        service=service,
        rule=provisioner.rule(service, _REQUEST),
        credential=Credential.JWK,
        address=address,
        provisioner=provisioner.name,
        burns=read.burn(provisioner.type, provisioner.name, token, ends),
        identifiers=_identifiers(claims, subject, purpose) if vouches else (),
        common_names=(subject,) if vouches else (),
        lifetimes=provisioner.lifetimes,
        ssh=step_claims.ssh_grant(provisioner, claims, subject, purpose, now) if vouches else None,
        key_sha256=step_claims.key_binding(claims) if vouches else None,
    )
    if vouches:
        return Verified(requester, subject, claims, provisioner)
    return await revocation(
        authority,
        provisioner,
        requester,
        claims,
        purpose,
        lambda service: service.startswith(provisioner.prefix),
    )


def with_names(verified: Verified) -> Requester:
    """Return who asks for a certificate of X.509 beside one of SSH, with the names for it."""
    names = step_claims.names(verified.claims, verified.subject, Purpose.SSH_SIGN)
    return replace(verified.requester, identifiers=names)


def _identifiers(
    claims: Mapping[str, Any], subject: str, purpose: Purpose
) -> tuple[Identifier, ...]:
    """Return the names of a token for X.509; one for SSH has them read by `with_names` alone.

    Raises:
        Error: as `step_claims.names`, and for SSH, too, when they have a wrong form.
    """
    if purpose is Purpose.SIGN:
        return step_claims.names(claims, subject, purpose)
    read.texts(claims, "sans")
    return ()
