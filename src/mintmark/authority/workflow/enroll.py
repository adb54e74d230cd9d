"""Enrol: the first certificate of a service, by a one-time token from an admin.

A token is bound to one service, its names and its profiles, kept only as a hash, and burned in
the commit that stores the certificate (design rule 9).
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from mintmark.authority.issuance.ssh_lints import MAX_TEXT, principal_fault
from mintmark.authority.policy.whitelist import require, service_id
from mintmark.authority.workflow.authority import Authority
from mintmark.model.access import Credential, Operation, Requester, ServiceRule, SSHGrant
from mintmark.model.act import Act, AuditRecord, Token
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.provisioner import Claims, Lifetimes
from mintmark.model.ssh import SSH_USER, SSHCertificateType
from mintmark.model.time import DAY, MINUTE
from mintmark.wire.ssh.certificate import MAX_PRINCIPALS

PREFIX = "mmt_"  # lets secret scanners find a leaked token
LIFETIME_MIN, LIFETIME_MAX = MINUTE, 30 * DAY
_ANY: Final = Lifetimes(0, 1 << 40, 0)
_UNBOUNDED: Final = Claims(tls=_ANY, ssh_user=_ANY, ssh_host=_ANY)


async def create_token(
    authority: Authority,
    requester: Requester,
    *,
    service: str,
    identifiers: tuple[Identifier, ...],
    profiles: tuple[str, ...],
    lifetime: int,
    principals: tuple[str, ...] = (),
) -> str:
    """Make a token; its text is returned once and kept nowhere.

    Args:
        authority: who makes it.
        requester: an admin.
        service: the service that may enrol with it.
        identifiers: names its certificate may carry, beside those of the whitelist.
        profiles: X.509 and SSH profiles it is good for; empty allows those of the whitelist.
        lifetime: seconds, 60 to 30 days.
        principals: of an SSH user certificate that it may ask for.

    Raises:
        Error: FORBIDDEN for anyone but an admin, BAD_PROFILE, BAD_LIFETIME, MALFORMED,
            REJECTED_IDENTIFIER for a principal.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    service = service_id(service)
    known = {**authority.policy.profiles, **authority.policy.ssh_profiles}
    if unknown := [name for name in profiles if name not in known]:
        raise Error(
            Kind.BAD_PROFILE,
            f"profile {unknown[0]!r} does not exist",
            hint=f"profiles: {', '.join(sorted(known))}",
        )
    _check_principals(principals)
    if not LIFETIME_MIN <= lifetime <= LIFETIME_MAX:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a token lifetime of {lifetime} s is outside {LIFETIME_MIN} to {LIFETIME_MAX} s",
        )
    now = authority.clock()
    text = PREFIX + base64.urlsafe_b64encode(authority.entropy(32)).rstrip(b"=").decode()
    token = Token(_hash(text), service, identifiers, profiles, int(now) + lifetime, principals)
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
                    **({"principals": list(principals)} if principals else {}),
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
        principals=whitelisted.principals,
    )
    claims = _claims(authority)
    return Requester(
        service=token.service,
        rule=rule,
        credential=Credential.TOKEN,
        token=token.sha256,
        identifiers=token.identifiers,
        profiles=token.profiles,
        address=address,
        lifetimes=claims.tls,
        ssh=_grant(authority, token, claims),
    )


def _claims(authority: Authority) -> Claims:
    """Return the claims of the provisioner of one-time tokens, or those that bound nothing."""
    for provisioner in authority.policy.provisioners.values():
        if provisioner.type == "token":
            return provisioner.claims
    return _UNBOUNDED


def _grant(authority: Authority, token: Token, claims: Claims) -> SSHGrant | None:
    """Return what a token vouches for in SSH; None leaves it to the whitelist.

    Without principals of its own, and bound to SSH profiles, it is for its names as hosts.
    """
    known = authority.policy.ssh_profiles
    named = tuple(name for name in token.profiles if name in known)
    if not named and not token.principals:
        return None
    profiles = named or (SSH_USER.name,)
    hosts = tuple(
        name.value
        for name in token.identifiers
        if name.type in (IdentifierType.DNS, IdentifierType.IP) and not name.wildcard
    )
    return SSHGrant(
        types=frozenset(known[name].type for name in profiles),
        user=claims.ssh_user,
        host=claims.ssh_host,
        key_id=token.service,
        user_principals=token.principals,
        host_principals=hosts,
        profiles=profiles,
    )


def _check_principals(principals: tuple[str, ...]) -> None:
    if len(principals) > MAX_PRINCIPALS:
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"{len(principals)} principals are more than the {MAX_PRINCIPALS} of a certificate",
        )
    for principal in principals:
        if fault := principal_fault(SSHCertificateType.USER, principal):
            raise Error(
                Kind.REJECTED_IDENTIFIER,
                f"principal {principal[:MAX_TEXT]!r} {fault}",
                hint="give login names",
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
