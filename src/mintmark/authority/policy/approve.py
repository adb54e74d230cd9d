"""Policy says yes: the only maker of an `Approval`.

It looks at the final names, key and validity, never at request parameters that could still
change (design rule 1), and says no to whatever it does not know (design rule 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mintmark.authority.issuance.approval import SEAL, Approval
from mintmark.authority.policy.keys import check_key
from mintmark.authority.policy.names import NameRules
from mintmark.authority.policy.provisioners import Provisioner
from mintmark.authority.policy.whitelist import Whitelist, require
from mintmark.model.access import Credential, Operation, Requester
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.issuer import Issuer
from mintmark.model.profile import BUILT_IN, Profile
from mintmark.model.provisioner import ACMEProvisioner
from mintmark.model.request import IssuanceRequest, SubjectKey
from mintmark.model.time import timestamp
from mintmark.wire.csr import MAX_COMMON_NAME
from mintmark.wire.identifiers import MAX_NAMES

BUILT_IN_NAMES = tuple(profile.name for profile in BUILT_IN)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in force.

    Args:
        profiles: by name.
        whitelist: what services may do.
        authority_keys: SHA-256 of the SPKI of every issuer, past and present: none of these
            keys is ever certified as a leaf.
        backdate: seconds by which not_before lies in the past, for clocks that run late.
        profile_names: the profiles' own name rules, compiled.
        provisioners: the ACME provisioners, by name.
    """

    profiles: Mapping[str, Profile]
    whitelist: Whitelist
    authority_keys: frozenset[bytes]
    backdate: int
    profile_names: Mapping[str, NameRules]
    provisioners: Mapping[str, Provisioner] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        profiles: Mapping[str, Profile],
        whitelist: Whitelist,
        issuers: tuple[Issuer, ...],
        backdate: int,
        provisioners: Iterable[ACMEProvisioner] = (),
    ) -> Policy:
        """Compile the rules once."""
        return cls(
            profiles,
            whitelist,
            frozenset(issuer.spki_sha256 for issuer in issuers),
            backdate,
            {name: NameRules(profile.names) for name, profile in profiles.items()},
            {one.name: Provisioner(one) for one in provisioners},
        )


def approve(
    policy: Policy,
    requester: Requester,
    request: IssuanceRequest,
    *,
    operation: Operation,
    issuer: Issuer,
    now: float,
) -> Approval:
    """Approve the request, or say why not.

    Raises:
        Error: FORBIDDEN, BAD_PROFILE, BAD_PUBLIC_KEY, REJECTED_IDENTIFIER, BAD_LIFETIME.
    """
    # 1. The requester may do this, for this service.
    may_act_for(requester, request.service, operation)

    # 2. The profile exists, and the requester may use it.
    profile = _profile(policy, requester, request.profile)

    # 3. The key is strong, of an allowed type, and not one of ours.
    _check_key(policy, profile, request.key)

    # 4. Every name may be in this profile's and this requester's certificates.
    _check_names(policy, profile, requester, request)

    # 5. The validity lies inside the profile's bounds and the issuer's own.
    not_before, not_after = validity(
        profile,
        issuer,
        now,
        policy.backdate,
        lifetime=request.lifetime,
        not_before=request.not_before,
        not_after=request.not_after,
    )

    return Approval(
        service=request.service,
        profile=profile,
        common_name=request.common_name if profile.common_name else "",
        identifiers=request.identifiers,
        key=request.key,
        not_before=not_before,
        not_after=not_after,
        issuer=issuer.id,
        replaces=request.replaces,
        metadata=request.metadata,
        seal=SEAL,
    )


def approve_own(
    profile: Profile,
    service: str,
    key: SubjectKey,
    *,
    issuer: Issuer,
    now: float,
    backdate: int,
) -> Approval:
    """Approve a nameless certificate that mintmark needs for itself: an OCSP responder.

    Raises:
        Error: BAD_LIFETIME when the issuer is about to end; RuntimeError for any profile
            that could carry a name.
    """
    if profile.identifier_types:
        raise RuntimeError(f"profile {profile.name!r} is not one of our own")
    not_before, not_after = validity(profile, issuer, now, backdate)
    return Approval(
        service=service,
        profile=profile,
        common_name=f"{issuer.name[:50]} OCSP",
        identifiers=(),
        key=key,
        not_before=not_before,
        not_after=not_after,
        issuer=issuer.id,
        replaces=None,
        metadata=None,
        seal=SEAL,
    )


def may_act_for(requester: Requester, service: str, operation: Operation) -> None:
    """Check that a requester may do something for a service: its own, or any as an admin.

    Raises:
        Error: FORBIDDEN.
    """
    require(requester.may(operation), requester.service, operation)
    if service != requester.service and not requester.is_admin:
        raise Error(
            Kind.FORBIDDEN,
            f"service {requester.service!r} may not act for service {service!r}",
            hint=f"ask as {service!r}, or with an admin certificate",
        )


def _profile(policy: Policy, requester: Requester, name: str) -> Profile:
    allowed = requester.profiles or requester.rule.profiles or BUILT_IN_NAMES
    profile = policy.profiles.get(name)
    if profile is None or not (requester.is_admin or name in allowed):
        usable = policy.profiles if requester.is_admin else allowed
        raise Error(
            Kind.BAD_PROFILE,
            f"profile {name!r} is not open to service {requester.service!r}",
            hint=f"allowed: {', '.join(sorted(usable))}",
        )
    return profile


def _check_key(policy: Policy, profile: Profile, key: SubjectKey) -> None:
    check_key(key, profile.key_types)
    if key.sha256 in policy.authority_keys:
        raise Error(
            Kind.BAD_PUBLIC_KEY,
            "the public key is the key of one of this authority's own issuers",
            hint="make a new key for every certificate",
        )


def _check_names(
    policy: Policy, profile: Profile, requester: Requester, request: IssuanceRequest
) -> None:
    identifiers = request.identifiers
    if not 1 <= len(identifiers) <= MAX_NAMES:
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"{len(identifiers)} names were asked for; a certificate carries 1 to {MAX_NAMES}",
            hint="give at least one DNS name, IP address, e-mail address or URI",
        )
    refusals = tuple(
        refusal
        for identifier in identifiers
        if (refusal := refusal_of(policy, profile, requester, request.service, identifier))
    )
    if refusals:
        raise refusals[0] if len(refusals) == 1 else _together(refusals)
    _check_common_name(request)


def _together(refusals: tuple[Error, ...]) -> Error:
    return Error(
        Kind.REJECTED_IDENTIFIER,
        f"{len(refusals)} names are refused, the first: {refusals[0].detail}",
        hint=refusals[0].hint,
        subproblems=refusals,
    )


def refusal_of(
    policy: Policy, profile: Profile, requester: Requester, service: str, identifier: Identifier
) -> Error | None:
    """Return why this name may not be in a certificate of the service, or None."""
    if identifier.type not in profile.identifier_types:
        kinds = ", ".join(kind.value for kind in profile.identifier_types) or "none"
        return Error(
            Kind.REJECTED_IDENTIFIER,
            f"{identifier.type.value} name {identifier.value!r} is not a kind of name that "
            f"profile {profile.name!r} carries (allowed: {kinds})",
        )
    if identifier.wildcard and not (profile.wildcards or _proved(requester, identifier)):
        return Error(
            Kind.REJECTED_IDENTIFIER,
            f"wildcard {identifier.value!r} is outside profile {profile.name!r}",
            hint="ask for the single names, or use a profile with 'wildcards: true'",
        )
    rules = policy.profile_names.get(profile.name)
    if rules and not rules.allow(identifier):
        return Error(
            Kind.REJECTED_IDENTIFIER,
            f"name {identifier.value!r} is outside profile {profile.name!r} (allowed: {rules})",
        )
    if not _whitelisted(policy, requester, service, identifier):
        # The rules are the operator's; the requester learns only what it asked for.
        return Error(
            Kind.REJECTED_IDENTIFIER,
            f"name {identifier.value!r} is not among the names of service {service!r}",
            hint=f"add it to 'names' of {service!r} in the whitelist, or ask an admin",
        )
    return None


def _whitelisted(
    policy: Policy, requester: Requester, service: str, identifier: Identifier
) -> bool:
    if requester.credential is Credential.ACME:
        return identifier in requester.identifiers  # what it showed control of, and no rule
    return (
        requester.is_admin
        or identifier.value == service
        or identifier in requester.identifiers
        or policy.whitelist.compiled(service).names.allow(identifier)
    )


def _proved(requester: Requester, identifier: Identifier) -> bool:
    """Whether the requester showed control of the whole domain (RFC 8555 §8.4)."""
    return requester.credential is Credential.ACME and identifier in requester.identifiers


def _check_common_name(request: IssuanceRequest) -> None:
    """Accept a common name only if it is one of the names.

    Relying parties such as PostgreSQL take it for the login name, so that a free common name
    would be a name without a rule.
    """
    name = request.common_name
    if not name:
        return
    if len(name) > MAX_COMMON_NAME:
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"common name {name!r} has {len(name)} characters, {MAX_COMMON_NAME} are allowed "
            "(RFC 5280 appendix A.1)",
            hint="leave the common name out: clients read the subject alternative names",
        )
    if all(name != identifier.value for identifier in request.identifiers):
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"common name {name!r} is not among the names asked for",
            hint="add it to the names, or leave it out",
        )


def validity(
    profile: Profile,
    issuer: Issuer,
    now: float,
    backdate: int,
    *,
    lifetime: int | None = None,
    not_before: int | None = None,
    not_after: int | None = None,
) -> tuple[int, int]:
    """Return not_before and not_after, inside the profile's bounds and the issuer's own.

    A default lifetime is cut at the issuer's end; what was asked for is refused when it does
    not fit, because nothing else than what was asked may come back (RFC 8555 §7.4).

    Raises:
        Error: BAD_LIFETIME.
    """
    is_asked = lifetime is not None or not_after is not None
    # Backdating takes three quarters of a short life at the most: nothing is born expired.
    backdate = min(backdate, (profile.lifetime if lifetime is None else lifetime) * 3 // 4)
    start = max(int(now) - backdate, issuer.not_before) if not_before is None else not_before
    if not_after is not None:
        lifetime = not_after - start
    asked = profile.lifetime if lifetime is None else lifetime
    if not profile.lifetime_min <= asked <= profile.lifetime_max:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a lifetime of {asked} s is outside profile {profile.name!r} "
            f"({profile.lifetime_min} to {profile.lifetime_max} s)",
        )
    if not_before is not None:
        _check_start(issuer, not_before, asked, now)
    if start + asked <= issuer.not_after:
        return start, start + asked
    room = issuer.not_after - start
    if is_asked or room < profile.lifetime_min:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a lifetime of {asked} s would outlive issuer {issuer.name!r}, which ends "
            f"{timestamp(issuer.not_after)}",
            hint=f"ask for at most {max(room, 0)} s, or renew the issuer",
        )
    return start, issuer.not_after


def _check_start(issuer: Issuer, not_before: int, lifetime: int, now: float) -> None:
    """Refuse a certificate that would be over already, or begin before its issuer."""
    if not_before < issuer.not_before or not_before + lifetime < now:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a validity from {timestamp(not_before)} for {lifetime} s is over, or begins before "
            f"issuer {issuer.name!r}",
            hint="leave notBefore out",
        )
    if not_before > now + lifetime:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a validity from {timestamp(not_before)} begins too far in the future",
            hint="leave notBefore out",
        )
