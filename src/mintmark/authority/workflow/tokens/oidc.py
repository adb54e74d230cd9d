"""ID tokens of OpenID providers (OpenID Connect Core 1.0 §3.1.3.7), used as tokens once.

The provider says who somebody is and in which groups; the provisioner's settings say what that
gives (`policy.mapping`). A provider rolls its keys over whenever it likes: a key that is not
known is asked for once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from msgspec.structs import replace

from mintmark.authority.policy import mapping
from mintmark.authority.policy.mapping import Entitlement, Person
from mintmark.authority.policy.provisioners import OIDC
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.tokens import claims as read
from mintmark.authority.workflow.tokens import signature, step_claims
from mintmark.authority.workflow.tokens.purpose import VOUCHED, Purpose, Verified
from mintmark.client.oidc.metadata import issuer_of
from mintmark.model.access import Credential, Operation, Requester, SSHGrant
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.provisioner import OIDCProvisioner, ProviderKeys
from mintmark.model.ssh import SSHCertificateType
from mintmark.wire import jose
from mintmark.wire.identifiers import parse
from mintmark.wire.jose import JWK
from mintmark.wire.jwt import JWT

_FRAGMENT: Final = "!$&'()*+,;=:@/?"  # what a fragment has beside letters, digits and -._~
_USER: Final = frozenset({SSHCertificateType.USER})


def find(authority: Authority, token: JWT) -> OIDC | None:
    """Return the provisioner that a token says it is of: its client, at its provider."""
    issuer, client = token.claims.get("iss"), token.claims.get("azp")
    clients = (client,) if isinstance(client, str) else read.audiences(token.claims)
    if not isinstance(issuer, str):
        return None
    for _, one in sorted(authority.policy.provisioners.items()):
        if (
            isinstance(one, OIDC)
            and one.settings.client_id in clients
            and issuer_of(one.settings.configuration_endpoint) == issuer.rstrip("/")
        ):
            return one
    return None


async def verify(
    authority: Authority, provisioner: OIDC, token: JWT, purpose: Purpose, address: str
) -> Verified:
    """Verify an ID token with its provider's keys, and return what it gives.

    Raises:
        Error: as `requester_from_jwt`.
    """
    provider = await _verify_signature(authority, provisioner, token)
    read.check_purpose(purpose, VOUCHED)
    claims = token.claims
    _check_parties(claims, provider, provisioner.settings)
    ends = read.check_age(claims, authority.clock())
    subject = read.subject(claims)
    burn = read.burn(provisioner.type, provisioner.name, token, ends)
    who = mapping.person(provisioner.settings, claims)
    entitled = mapping.entitle(provisioner.settings, who)
    service = provisioner.service(subject)  # Core §5.7: only `sub` is never another's later
    requester = Requester(
        service=service,
        rule=provisioner.rule(service, frozenset({Operation.REQUEST})),
        credential=Credential.OIDC,
        address=address,
        provisioner=provisioner.name,
        burns=burn,
    )
    if purpose.is_revocation:
        requester = _revoker(requester, entitled)
    else:
        requester = _signer(requester, provisioner, who, entitled, provider.issuer, purpose)
    return Verified(requester, subject, claims, provisioner)


async def _verify_signature(authority: Authority, provisioner: OIDC, token: JWT) -> ProviderKeys:
    provider = await authority.providers.keys(provisioner.settings)
    key = _key(provider, token)
    if key is None and token.key_id:
        provider = await authority.providers.keys(provisioner.settings, missing=token.key_id)
        key = _key(provider, token)
    if key is None:
        raise read.forged()
    await signature.verify(authority, token, key)
    return provider


def _key(provider: ProviderKeys, token: JWT) -> JWK | None:
    """Return the provider's key that a token names; without a name, its only one of that kind.

    Core §10.1: a token MUST name its key when there are several. Keys for encryption, for other
    algorithms and of kinds that are not verified here are passed over.
    """
    found = [
        key
        for members in provider.keys
        if (not token.key_id or members.get("kid") == token.key_id)
        and (key := _usable(members)) is not None
        and token.algorithm in key.algorithms
    ]
    return found[0] if len(found) == 1 else None


def _usable(members: dict[str, Any]) -> JWK | None:
    try:
        return jose.jwk(members)
    except Error:
        return None


def _check_parties(
    claims: Mapping[str, Any], provider: ProviderKeys, settings: OIDCProvisioner
) -> None:
    """Check who made the token and for whom (Core §3.1.3.7, steps 2 to 5)."""
    audiences = read.audiences(claims)
    authorized = claims.get("azp")
    if claims.get("iss") != provider.issuer:
        raise read.refused(f"the ID token is not of the provider {provider.issuer!r}")
    if settings.client_id not in audiences or (len(audiences) > 1 and authorized is None):
        raise read.refused(f"the ID token is not for the client {settings.client_id!r} alone")
    if authorized is not None and authorized != settings.client_id:
        raise read.refused(f"the ID token was not asked for by the client {settings.client_id!r}")


def _revoker(requester: Requester, entitled: Entitlement) -> Requester:
    """Return an admin, who may revoke every certificate with this token, and do nothing else."""
    if not entitled.admin:
        raise Error(
            Kind.FORBIDDEN,
            f"only admins of provisioner {requester.provisioner!r} revoke by signing in",
            hint="revoke with the certificate itself, or have an admin do it",
        )
    operations = frozenset({Operation.REVOKE, Operation.ADMIN})
    return replace(requester, rule=replace(requester.rule, operations=operations))


def _signer(
    requester: Requester,
    provisioner: OIDC,
    who: Person,
    entitled: Entitlement,
    issuer: str,
    purpose: Purpose,
) -> Requester:
    if purpose is Purpose.SIGN and not entitled.profiles:
        raise Error(
            Kind.FORBIDDEN,
            f"nothing that provisioner {provisioner.name!r} knows of {who.name!r} gives an X.509 "
            "profile",
            hint="have 'profiles' added to a mapping of the provisioner",
        )
    lifetimes = provisioner.lifetimes
    # Who has no X.509 profile has no names either: an SSH login brings no identity certificate.
    return replace(
        requester,
        identifiers=_identifiers(who, issuer) if entitled.profiles else (),
        profiles=entitled.profiles,
        common_names=(who.subject,),
        any_names=entitled.admin and bool(entitled.profiles),
        lifetimes=None if lifetimes is None else entitled.within(lifetimes),
        ssh=_ssh_grant(provisioner, who, entitled, purpose),
    )


def _identifiers(who: Person, issuer: str) -> tuple[Identifier, ...]:
    """Return a person's names: the verified address, and the subject as a part of the issuer."""
    email = (parse(IdentifierType.EMAIL, who.email),) if who.email else ()
    try:
        uri = parse(IdentifierType.URI, f"{issuer}#{quote(who.subject, safe=_FRAGMENT)}")
    except Error:  # an issuer with a path, or a subject, that makes it too long
        return email
    return (*email, uri)


def _ssh_grant(
    provisioner: OIDC, who: Person, entitled: Entitlement, purpose: Purpose
) -> SSHGrant | None:
    """Return what a person may have in SSH; None for nothing.

    Raises:
        Error: FORBIDDEN when nothing is what they ask for.
    """
    claims = provisioner.claims
    missing = _missing(provisioner, who, entitled)
    if missing is not None:
        if purpose is Purpose.SSH_SIGN:
            raise missing
        return None
    return SSHGrant(
        types=step_claims.BOTH if entitled.admin else _USER,
        user=entitled.within(claims.ssh_user),
        host=entitled.within(claims.ssh_host),
        key_id="" if entitled.admin else who.name,
        user_principals=entitled.principals,
        any_principals=entitled.admin,
        profiles=entitled.ssh_profiles,
    )


def _missing(provisioner: OIDC, who: Person, entitled: Entitlement) -> Error | None:
    if not provisioner.claims.ssh:
        return step_claims.no_ssh(provisioner)
    if not entitled.ssh_profiles:
        return Error(
            Kind.FORBIDDEN,
            f"nothing that provisioner {provisioner.name!r} knows of {who.name!r} gives an SSH "
            "profile",
            hint="have 'ssh_profiles' added to a mapping of the provisioner",
        )
    if not entitled.principals and not entitled.admin:
        reason = f", and {who.no_email}" if who.no_email else ""
        return Error(
            Kind.FORBIDDEN,
            f"nothing that provisioner {provisioner.name!r} knows of {who.name!r} gives a login "
            f"name{reason}",
            hint="have 'principals' added to a mapping of the provisioner, or the e-mail address "
            "verified at the provider",
        )
    return None
