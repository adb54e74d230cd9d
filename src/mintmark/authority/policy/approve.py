"""Policy says yes: the only maker of an `Approval`.

It looks at the final names, key and validity, never at request parameters that could still
change (design rule 1), and says no to whatever it does not know (design rule 5).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from mintmark.authority.issuance.approval import SEAL, Approval
from mintmark.authority.policy.keys import check_key
from mintmark.authority.policy.names import NameRules
from mintmark.authority.policy.principals import HostRules, PrincipalRules, rules_of
from mintmark.authority.policy.provisioners import ACME, AnyCompiled, Provisioner, compiled
from mintmark.authority.policy.whitelist import Whitelist, prefix_of, require
from mintmark.model.access import Credential, Operation, Requester, ServiceRule
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.issuer import Issuer
from mintmark.model.profile import BUILT_IN, CLIENT, PEER, SERVER, Profile
from mintmark.model.provisioner import AnyProvisioner, Lifetimes
from mintmark.model.request import IssuanceRequest, SubjectKey
from mintmark.model.ssh import SSH_BUILT_IN, SSHProfile
from mintmark.model.time import timestamp
from mintmark.wire.csr import MAX_COMMON_NAME
from mintmark.wire.identifiers import MAX_NAMES

P = TypeVar("P", bound=Provisioner)

_ACME: Final = Credential.ACME  # a constant is read in a tenth of a member's time
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
        profile_names: the name rules of profiles that have some, compiled.
        provisioners: of every type, by name, compiled.
        ssh_profiles: by name.
        ssh_principals: the SSH profiles' own rules for principals, compiled.
        vouchers: the provisioners, by what begins the service ids of theirs.
    """

    profiles: Mapping[str, Profile]
    whitelist: Whitelist
    authority_keys: frozenset[bytes]
    backdate: int
    profile_names: Mapping[str, NameRules]
    provisioners: Mapping[str, AnyCompiled] = field(default_factory=dict)
    ssh_profiles: Mapping[str, SSHProfile] = field(default_factory=dict)
    ssh_principals: Mapping[str, PrincipalRules | HostRules] = field(default_factory=dict)
    vouchers: Mapping[str, AnyCompiled] = field(init=False)

    def __post_init__(self) -> None:
        vouchers = {one.prefix: one for one in self.provisioners.values()}
        object.__setattr__(self, "vouchers", vouchers)

    @classmethod
    def of(
        cls,
        profiles: Mapping[str, Profile],
        whitelist: Whitelist,
        issuers: tuple[Issuer, ...],
        backdate: int,
        provisioners: Iterable[AnyProvisioner] = (),
        ssh_profiles: Iterable[SSHProfile] = (),
    ) -> Policy:
        """Compile the rules once; SSH profiles come beside the built-in ones."""
        ssh = {profile.name: profile for profile in (*SSH_BUILT_IN, *ssh_profiles)}
        return cls(
            profiles,
            whitelist,
            frozenset(issuer.spki_sha256 for issuer in issuers),
            backdate,
            {name: NameRules(each.names) for name, each in profiles.items() if each.names},
            compiled(provisioners),
            ssh,
            {name: rules_of(each.type, each.principals) for name, each in ssh.items()},
        )

    def with_provisioners(self, provisioners: Iterable[AnyProvisioner]) -> Policy:
        """Return the same rules with other provisioners."""
        return replace(self, provisioners=compiled(provisioners))

    def provisioner(self, name: object, kind: type[P]) -> P | None:
        """Return the provisioner of a name if it is of a kind; what is no text names none."""
        found = self.provisioners.get(name) if isinstance(name, str) else None
        return found if isinstance(found, kind) else None

    def needs_provisioner(self, service: str) -> bool:
        """Whether what a service may do is a provisioner's to say.

        Whom the whitelist names itself is a service like any other.
        """
        return bool(prefix_of(service)) and not self.whitelist.rule(service).operations

    def provisioner_of(self, service: str) -> AnyCompiled | None:
        """Return the provisioner that vouches for a service; None if none does, or it is gone."""
        if not self.needs_provisioner(service):
            return None
        type_, _, rest = service.partition(".")
        name, dot, _ = rest.partition(".")
        return self.vouchers.get(f"{type_}.{name}{dot}")

    def rule(self, service: str) -> ServiceRule:
        """Return what a service may do that shows a certificate of its own.

        Whom a provisioner vouched for never asks for more with it: it renews if its
        provisioner is still there and lets it, and revokes its own.
        """
        if not self.needs_provisioner(service):
            return self.whitelist.rule(service)
        provisioner = self.provisioner_of(service)
        if provisioner is None:
            return ServiceRule(service, frozenset({Operation.REVOKE}))
        return provisioner.holder_rule(service)


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

    # 3. The key is strong, of an allowed type, the one that the credential was made for, and
    #    none of ours.
    _check_key(policy, profile, request.key)
    if requester.key_sha256 is not None:  # few credentials are; else the CSR is not even hashed
        check_bound(requester, request.key.csr_sha256)

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
        lifetimes=requester.lifetimes,
        expires_at=requester.expires_at,
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
        vouched=request.common_name in requester.common_names,
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
    if requester.provisioner:
        provisioner = policy.provisioners.get(requester.provisioner)
        allowed = bound = () if provisioner is None else provisioner.rules.profiles
        if requester.profiles:
            allowed = tuple([one for one in requester.profiles if one in bound])
        if PEER.name in allowed:  # half of what it is for may be had alone
            allowed = (*allowed, SERVER.name, CLIENT.name)
    profile = policy.profiles.get(name)
    if profile is None or not (name in allowed or requester.is_admin):
        usable = policy.profiles if requester.is_admin else allowed
        raise Error(
            Kind.BAD_PROFILE,
            f"profile {name!r} is not open to service {requester.service!r}",
            hint=f"allowed: {', '.join(sorted(usable)) or 'none'}",
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


def check_bound(requester: Requester, sha256: bytes | None) -> None:
    """Check that a credential that is bound to one key is shown for that key (RFC 7800 §3).

    Every key that a request brings is looked at: who found a token that is bound to another's
    key would get a certificate beside it otherwise.

    Args:
        requester: who asks.
        sha256: of the CSR, or of the SSH key's blob; None for a key that came alone.

    Raises:
        Error: BAD_PUBLIC_KEY.
    """
    if requester.key_sha256 not in (None, sha256):
        raise Error(
            Kind.BAD_PUBLIC_KEY,
            "the credential was made for another certificate request or public key",
            hint="send the one that the token was bound to, or get a token for this one",
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
    refusals = [
        refusal
        for identifier in identifiers
        if (refusal := refusal_of(policy, profile, requester, request.service, identifier))
    ]
    if refusals:
        raise together(refusals)
    if request.common_name:
        _check_common_name(request, requester.common_names)


def together(refusals: Sequence[Error]) -> Error:
    """Return the refusals of names, at least one, as one refusal."""
    first = refusals[0]
    if len(refusals) == 1:
        return first
    return Error(
        Kind.REJECTED_IDENTIFIER,
        f"{len(refusals)} names are refused, the first: {first.detail}",
        hint=first.hint,
        subproblems=tuple(refusals),
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
    if identifier.wildcard and not (profile.wildcards or _proved(policy, requester, identifier)):
        return Error(
            Kind.REJECTED_IDENTIFIER,
            f"wildcard {identifier.value!r} is outside profile {profile.name!r}",
            hint="ask for the single names, or use a profile with 'wildcards: true'",
        )
    rules = policy.profile_names.get(profile.name)
    if rules is not None and not rules.allow(identifier):
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
    if requester.credential is _ACME:
        return identifier in requester.identifiers  # what it showed control of, and no rule
    if requester.provisioner and not requester.is_admin:
        return _vouched_for(policy, requester, identifier)
    return (
        identifier.value == service
        or identifier in requester.identifiers
        or policy.whitelist.compiled(service).names.allow(identifier)
        or requester.is_admin
    )


def _vouched_for(policy: Policy, requester: Requester, identifier: Identifier) -> bool:
    """Whether the credential names it and the rules of its provisioner, still there, allow it."""
    provisioner = policy.provisioners.get(requester.provisioner)
    return (
        provisioner is not None
        and (requester.any_names or identifier in requester.identifiers)
        and (not provisioner.names or provisioner.names.allow(identifier))
    )


def _proved(policy: Policy, requester: Requester, identifier: Identifier) -> bool:
    """Whether the requester showed control of the whole domain (RFC 8555 §8.4).

    Holders of certificates of an ACME server did so when they got them.
    """
    is_acme = requester.credential is _ACME
    if not is_acme and policy.provisioner(requester.provisioner, ACME) is None:
        return False
    return identifier in requester.identifiers


def _check_common_name(request: IssuanceRequest, vouched: tuple[str, ...]) -> None:
    """Accept a common name only if it is one of the names, or what a credential vouches for.

    Relying parties such as PostgreSQL take it for the login name, so that a free common name
    would be a name without a rule.
    """
    name = request.common_name
    if len(name) > MAX_COMMON_NAME:
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"common name {name!r} has {len(name)} characters, {MAX_COMMON_NAME} are allowed "
            "(RFC 5280 appendix A.1)",
            hint="leave the common name out: clients read the subject alternative names",
        )
    for identifier in request.identifiers:
        if identifier.value == name:
            return
    if name not in vouched:
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"common name {name!r} is not among the names asked for",
            hint="add it to the names, or leave it out",
        )


def validity(  # noqa: PLR0913 - whoever bounds a validity is named
    profile: Profile,
    issuer: Issuer,
    now: float,
    backdate: int,
    *,
    lifetime: int | None = None,
    not_before: int | None = None,
    not_after: int | None = None,
    lifetimes: Lifetimes | None = None,
    expires_at: int | None = None,
) -> tuple[int, int]:
    """Return not_before and not_after, inside all bounds and the issuer's own validity.

    A default lifetime is cut at the issuer's end, and at the latest one that a provisioner lets
    begin later; what was asked for is refused when it does not fit, because nothing else than
    what was asked may come back (RFC 8555 §7.4).

    Args:
        profile: its bounds hold always.
        issuer: nothing outlives it.
        now: Unix seconds.
        backdate: seconds by which a validity begins in the past.
        lifetime: seconds asked for.
        not_before: Unix seconds asked for.
        not_after: Unix seconds asked for, in place of a lifetime.
        lifetimes: bounds and default of a provisioner, beside the profile's.
        expires_at: Unix seconds of the credential's end, which nothing outlives either.

    Raises:
        Error: BAD_LIFETIME.
    """
    is_asked = lifetime is not None or not_after is not None
    bounds = bounded(profile, lifetimes)
    # Backdating takes three quarters of a short life at the most: nothing is born expired.
    backdate = min(backdate, (bounds.default if lifetime is None else lifetime) * 3 // 4)
    start = max(int(now) - backdate, issuer.not_before) if not_before is None else not_before
    if not_after is not None:
        lifetime = not_after - start
    asked = bounds.default if lifetime is None else lifetime
    if lifetimes and not_after is not None:
        # Clients of provisioners count from now: what lies before that is not counted.
        check_lifetime(asked - max(0, min(backdate, int(now) - start)), bounds, profile.name)
        bounds = bounded(profile)
    check_lifetime(asked, bounds, profile.name)
    if not_before is not None:
        _check_start(issuer, not_before, asked, now)
        if lifetimes:
            longest = bounded(profile, lifetimes).maximum
            if not is_asked:
                asked = min(asked, max(int(now) + longest - start, bounds.minimum))
            check_end(start + asked, now, longest)
    end, whose = issuer.not_after, f"issuer {issuer.name!r}"
    if expires_at is not None and expires_at < end:
        end, whose = expires_at, "the credential that asks for it"
    if start + asked <= end:
        return start, start + asked
    room = end - start
    if is_asked or room < bounds.minimum:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a lifetime of {asked} s would outlive {whose}, which ends {timestamp(end)}",
            hint=f"ask for at most {max(room, 0)} s, or renew what ends then",
        )
    return start, end


def bounded(profile: Profile | SSHProfile, lifetimes: Lifetimes | None = None) -> Lifetimes:
    """Return the bounds that a profile and a provisioner leave together, and the default."""
    low, high = profile.lifetime_min, profile.lifetime_max
    if lifetimes is None:
        return Lifetimes(low, high, profile.lifetime)
    low, high = max(low, lifetimes.minimum), min(high, lifetimes.maximum)
    default = lifetimes.default or profile.lifetime
    return Lifetimes(low, high, max(low, min(default, high)))


def check_lifetime(asked: int, bounds: Lifetimes, profile: str) -> None:
    """Refuse a lifetime outside its bounds.

    Raises:
        Error: BAD_LIFETIME.
    """
    if not bounds.minimum <= asked <= bounds.maximum:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a lifetime of {asked} s is outside profile {profile!r} and what the requester may "
            f"ask for ({bounds.minimum} to {bounds.maximum} s)",
        )


def check_end(end: int, now: float, maximum: int) -> None:
    """Refuse what ends later than the longest that a provisioner vouches for would now.

    Certificates for tomorrow, got today, would outlast what it was that they were given for.

    Raises:
        Error: BAD_LIFETIME.
    """
    if end > now + maximum:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a validity until {timestamp(end)} ends more than {maximum} s from now",
            hint="leave the beginning out: it is now",
        )


def _check_start(issuer: Issuer, not_before: int, lifetime: int, now: float) -> None:
    """Refuse a certificate that would be over already, or begin before its issuer."""
    if not_before > now + lifetime:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a validity from Unix second {not_before} on begins too far in the future",
            hint="leave notBefore out",
        )
    if not_before < issuer.not_before or not_before + lifetime < now:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a validity from Unix second {not_before} for {lifetime} s is over, or begins before "
            f"issuer {issuer.name!r}",
            hint="leave notBefore out",
        )
