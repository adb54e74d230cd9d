"""Tokens signed by the key of a certificate under a provisioner's roots (RFC 7515 §4.1.6).

A certificate vouches for its own names, and is its own service. Only rules that an operator
wrote let it vouch for others: without them every certificate could ask for every name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import replace

from mintmark.authority.policy.mapping import principals_of
from mintmark.authority.policy.provisioners import X5C
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens import chain as chains
from mintmark.authority.workflow.tokens import claims as read
from mintmark.authority.workflow.tokens import signature, step_claims
from mintmark.authority.workflow.tokens.purpose import VOUCHED, Purpose, Verified
from mintmark.authority.workflow.tokens.revocation import revocation
from mintmark.model.access import Credential, Operation, Requester, SSHGrant
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.ssh import SSHCertificateType
from mintmark.wire import certificate as wire_certificate
from mintmark.wire.certificate import ParsedCertificate
from mintmark.wire.identifiers import parse_any
from mintmark.wire.jwt import JWT

HEADER: Final = "x5c"


def find(authority: Authority, token: JWT) -> X5C | None:
    """Return the provisioner that a token says it is of."""
    return authority.policy.provisioner(read.provisioner_name(token.claims, X5C.type), X5C)


async def verify(
    authority: Authority, provisioner: X5C, token: JWT, purpose: Purpose, address: str
) -> Verified:
    """Verify chain and signature, and return what the certificate vouches for.

    Raises:
        Error: as `requester_from_jwt`.
    """
    now = authority.clock()
    chain = chains.read(token.header.get(HEADER))
    await signature.verify(authority, token, chains.key_of(chain[0]))
    own = await chains.verify(authority, chain, provisioner.settings.roots, now)
    if own is not None:
        _check_standing(authority, own)
    leaf = wire_certificate.parse(chain[0])
    read.check_purpose(purpose, VOUCHED)
    claims = token.claims
    ends = read.check_times(claims, now)
    read.check_issuer(claims, provisioner)
    read.check_audience(claims, authority.names, purpose, provisioner)
    subject = read.subject(claims)
    service = provisioner.service(own.service if own else _holder(leaf))
    requester = Requester(
        service=service,
        rule=provisioner.rule(service, frozenset({Operation.REQUEST})),
        credential=Credential.X5C,
        serial=own.serial if own else None,
        address=address,
        provisioner=provisioner.name,
        burns=read.burn(provisioner.type, provisioner.name, token, ends),
        expires_at=leaf.not_after,
    )
    if purpose.is_revocation:
        return await revocation(authority, provisioner, requester, claims, purpose, service.__eq__)
    requester = replace(
        requester,
        identifiers=_names(provisioner, leaf, claims, subject, purpose),
        common_names=(leaf.common_name,) if leaf.common_name else (),
        lifetimes=provisioner.lifetimes,
        ssh=_ssh_grant(provisioner, leaf, claims, subject, purpose, now),
        key_sha256=step_claims.key_binding(claims),
    )
    return Verified(requester, subject, claims, provisioner)


def _check_standing(authority: Authority, own: Certificate) -> None:
    """Refuse a certificate of ours whose holder gets none by itself any more.

    Its provisioner may want to be asked anew each time, as of people who could have left, or is
    gone, or the service was struck off the whitelist: a token would be the way around that.

    Raises:
        Error: FORBIDDEN.
    """
    operations = authority.policy.rule(own.service).operations
    if operations.isdisjoint({Operation.REQUEST, Operation.RENEW, Operation.ADMIN}):
        raise Error(
            Kind.FORBIDDEN,
            f"certificate {own.id}, which signed the token, is not one of a service that may "
            f"request or renew ({own.service!r})",
            hint="ask the way that it was got, or have an operator allow it renewal",
        )


def _holder(leaf: ParsedCertificate) -> str:
    """Return what a foreign certificate calls its holder."""
    names = (leaf.common_name, *map(str, leaf.identifiers), leaf.serial.hex())
    return next(name for name in names if name)


def _names(
    provisioner: X5C,
    leaf: ParsedCertificate,
    claims: Mapping[str, Any],
    subject: str,
    purpose: Purpose,
) -> tuple[Identifier, ...]:
    asked = step_claims.names(claims, subject, purpose)
    vouched = tuple(one for one in asked if _vouches(provisioner, leaf, one))
    if purpose is Purpose.SIGN and len(vouched) < len(asked):
        refused = next(one for one in asked if one not in vouched)
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"name '{refused}' is not one of the certificate that signed the token",
            hint=f"have it added to 'rules.names' of provisioner {provisioner.name!r}",
        )
    return vouched


def _vouches(provisioner: X5C, leaf: ParsedCertificate, name: Identifier) -> bool:
    return name in leaf.identifiers or provisioner.names.allow(name)


def _ssh_grant(
    provisioner: X5C,
    leaf: ParsedCertificate,
    claims: Mapping[str, Any],
    subject: str,
    purpose: Purpose,
    now: float,
) -> SSHGrant | None:
    """Return what the token names, as far as the certificate or a rule vouches for it.

    Raises:
        Error: FORBIDDEN when nothing is left of what is asked for; else as `ssh_grant`.
    """
    grant = step_claims.ssh_grant(provisioner, claims, subject, purpose, now)
    if grant is None:
        return None
    own = {leaf.common_name, *map(str, leaf.identifiers)} - {""}
    # Who got a certificate for a host `deploy` is not thereby the user `deploy` of all hosts.
    hosts = {str(one) for one in leaf.identifiers if one.type is not IdentifierType.EMAIL}
    users = {name for one in own - hosts for name in principals_of(one)}
    grant = replace(
        grant,
        key_id=grant.key_id if grant.key_id in own else _holder(leaf),
        user_principals=tuple(
            one
            for one in grant.user_principals
            if one in users or (provisioner.rules.principals and provisioner.principals.allow(one))
        ),
        host_principals=tuple(
            one for one in grant.host_principals if one in own or _rules_name(provisioner, one)
        ),
    )
    given = {
        SSHCertificateType.USER: grant.user_principals,
        SSHCertificateType.HOST: grant.host_principals,
    }
    if not any(given[type_] for type_ in grant.types):
        raise Error(
            Kind.FORBIDDEN,
            "no principal of the token is one of the certificate that signed it",
            hint="have them added to 'rules.principals', or of hosts to 'rules.names', of "
            f"provisioner {provisioner.name!r}",
        )
    return grant


def _rules_name(provisioner: X5C, principal: str) -> bool:
    try:
        return provisioner.names.allow(parse_any(principal))
    except Error:
        return False
