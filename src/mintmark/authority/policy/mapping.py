"""What groups and claims of an ID token give: entry, principals, profiles and lifetimes.

Pure: a provisioner's settings and the claims of a verified token go in, an entitlement or a
refusal comes out. Nothing is given that no setting gives, and an e-mail address counts only
when the provider says that it is verified (OpenID Connect Core 1.0 §5.7).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mintmark.authority.issuance.ssh_lints import principal_fault
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.provisioner import GroupMapping, Lifetimes, OIDCProvisioner
from mintmark.model.ssh import SSHCertificateType
from mintmark.wire.identifiers import parse

MAX_GROUPS: Final = 10_000
_NAMED: Final = 10  # groups or domains that a refusal lists
_GROUPS: Final = "groups"
_EMAIL: Final = "email"

_TEMPLATE: Final = re.compile(r"\{([^{}]*)\}")
_DROPPED: Final = re.compile(r"\.")
_UNUSUAL: Final = re.compile(r"[^a-z0-9-]")
_SUPERUSER: Final = "root"


@dataclass(frozen=True, slots=True)
class Person:
    """What a verified ID token says of whoever signed in.

    Args:
        subject: `sub`.
        email: canonical, and verified by the provider; else empty.
        no_email: why it is empty, for a refusal; empty when it is not.
        groups: empty when the provisioner asks for none.
        claims: all of them.
    """

    subject: str
    email: str
    no_email: str
    groups: frozenset[str]
    claims: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What logs call them: the e-mail address, or the subject without one.

        A subject that looks like an address is not one that was verified, and says so.
        """
        return self.email or ("sub:" if "@" in self.subject else "") + self.subject

    def values(self, claim: str) -> frozenset[str]:
        """Return the texts that a claim says; of `email` only a verified one."""
        if claim == _EMAIL:
            return frozenset({self.email} - {""})
        return _texts(self.claims.get(claim))


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What somebody may have of a provisioner.

    Args:
        admin: whether any names may be asked for.
        principals: of SSH user certificates; perhaps none.
        profiles: of X.509; perhaps none.
        ssh_profiles: of SSH; perhaps none.
        lifetime: seconds, the most that anything lives; None sets no bound.
    """

    admin: bool
    principals: tuple[str, ...]
    profiles: tuple[str, ...]
    ssh_profiles: tuple[str, ...]
    lifetime: int | None

    def within(self, lifetimes: Lifetimes) -> Lifetimes:
        """Return a provisioner's lifetimes, cut at the bound of the mappings."""
        if self.lifetime is None:
            return lifetimes
        return Lifetimes(
            min(lifetimes.minimum, self.lifetime),
            min(lifetimes.maximum, self.lifetime),
            min(lifetimes.default, self.lifetime),
        )


def person(settings: OIDCProvisioner, claims: Mapping[str, Any]) -> Person:
    """Return what a token says of a person.

    Args:
        settings: whose token it is.
        claims: of a verified token, with `sub` in it.

    Raises:
        Error: BAD_TOKEN when its groups are no list of texts, or too many.
    """
    email, no_email = _email(claims)
    groups = _groups(claims) if _asks_for_groups(settings) else frozenset[str]()
    return Person(claims["sub"], email, no_email, groups, claims)


def entitle(settings: OIDCProvisioner, who: Person) -> Entitlement:
    """Return what a person may have.

    Raises:
        Error: FORBIDDEN when a gate stays shut, or no mapping fits; it says what would open it.
    """
    _admit(settings, who)
    admin = not ({who.email, *who.groups} - {""}).isdisjoint(settings.admins)
    fitting = [one for one in settings.mappings if _fits(one, who)]
    bounds = [one.lifetime for one in fitting if one.lifetime is not None]
    lifetime = min(bounds, default=None)
    if settings.mappings and not (fitting or admin):
        raise _no_mapping(settings)
    if admin or not settings.mappings:
        mapped = _expanded(fitting, who)
        derived = principals_of(who.email) if who.email else ()
        return Entitlement(
            admin,
            _unique((*mapped, *derived)),
            settings.rules.profiles,
            settings.rules.ssh_profiles,
            lifetime,
        )
    return Entitlement(
        admin=False,
        principals=_expanded(fitting, who),
        profiles=_bounded(
            (name for one in fitting for name in one.profiles), settings.rules.profiles
        ),
        ssh_profiles=_bounded(
            (name for one in fitting for name in one.ssh_profiles), settings.rules.ssh_profiles
        ),
        lifetime=lifetime,
    )


def principals_of(subject: str) -> tuple[str, ...]:
    """Return the login names that a subject or an e-mail address stands for.

    Its local part as a login name, its local part as it is, and the whole, as far as they are
    principals; never `root`, which `ro.ot@example.com` would reach by losing its dot.
    """
    local = subject.partition("@")[0]
    login = _UNUSUAL.sub("_", _DROPPED.sub("", local.lower()))
    return tuple(
        name
        for name in _unique((login, local, subject))
        if name != _SUPERUSER and not principal_fault(SSHCertificateType.USER, name)
    )


def _email(claims: Mapping[str, Any]) -> tuple[str, str]:
    """Return the verified address, or the reason why there is none."""
    text = claims.get(_EMAIL)
    if not isinstance(text, str) or not text:
        return "", "the ID token has no e-mail address"
    # Core §5.1: a JSON boolean. "true" as text is some other program's word, and no promise.
    if claims.get("email_verified") is not True:
        return "", f"e-mail address {text[:80]!r} is not verified at the provider"
    try:
        return parse(IdentifierType.EMAIL, text).value, ""
    except Error as error:
        return "", error.detail


def _asks_for_groups(settings: OIDCProvisioner) -> bool:
    return bool(settings.groups or settings.admins or any(one.groups for one in settings.mappings))


def _groups(claims: Mapping[str, Any]) -> frozenset[str]:
    groups = claims.get(_GROUPS)
    if groups is None:
        return frozenset()
    if not isinstance(groups, list) or not all(isinstance(one, str) for one in groups):
        raise Error(
            Kind.BAD_TOKEN,
            "the ID token's 'groups' is not a list of texts",
            hint="have the provider send groups as a JSON array of strings",
        )
    if len(groups) > MAX_GROUPS:
        raise Error(
            Kind.BAD_TOKEN,
            f"the ID token lists {len(groups)} groups, the limit is {MAX_GROUPS}",
            hint="have the provider send only the groups that this client needs",
        )
    return frozenset(groups)


def _admit(settings: OIDCProvisioner, who: Person) -> None:
    """Check the gates: groups, domains and required claims, all of them."""
    if settings.groups and who.groups.isdisjoint(settings.groups):
        raise Error(
            Kind.FORBIDDEN,
            f"{who.name!r} is in no group that provisioner {settings.name!r} is open to "
            f"(groups that would do: {_some(settings.groups)})",
            hint="ask to be added to one at the provider, and sign in again",
        )
    if settings.domains:
        _admit_domain(settings, who)
    for claim, values in settings.required_claims.items():
        if who.values(claim).isdisjoint(values):
            raise Error(
                Kind.FORBIDDEN,
                f"claim {claim!r} of {who.name!r} has no value that provisioner "
                f"{settings.name!r} asks for (accepted: {_some(values)})",
                hint="have it set at the provider, and sign in again",
            )


def _admit_domain(settings: OIDCProvisioner, who: Person) -> None:
    if not who.email:
        raise Error(
            Kind.FORBIDDEN,
            f"provisioner {settings.name!r} is open to e-mail domains "
            f"({_some(settings.domains)}), and {who.no_email}",
            hint="verify the address at the provider, and ask for the scope 'email'",
        )
    # The whole domain: `evil-example.com` and `a.example.com` end with others' names too.
    domain = who.email.rpartition("@")[2]
    if domain not in {one.lower() for one in settings.domains}:
        raise Error(
            Kind.FORBIDDEN,
            f"e-mail address {who.email!r} is outside the domains of provisioner "
            f"{settings.name!r} ({_some(settings.domains)})",
            hint="sign in with an account of one of these",
        )


def _fits(mapping: GroupMapping, who: Person) -> bool:
    if mapping.groups and who.groups.isdisjoint(mapping.groups):
        return False
    return all(value in who.values(claim) for claim, value in mapping.claims.items())


def _no_mapping(settings: OIDCProvisioner) -> Error:
    groups = _unique(name for one in settings.mappings for name in one.groups)
    claims = _unique(name for one in settings.mappings for name in one.claims)
    ways = [f"groups: {_some(groups)}"] if groups else []
    if claims:
        ways.append(f"values of claims: {_some(claims)}")
    return Error(
        Kind.FORBIDDEN,
        f"no mapping of provisioner {settings.name!r} fits this sign-in "
        f"(what would do: {'; '.join(ways) or 'none'})",
        hint="ask to be added at the provider, and sign in again",
    )


def _expanded(mappings: Iterable[GroupMapping], who: Person) -> tuple[str, ...]:
    """Return the principals that mappings give, without those whose claim is missing."""
    expanded = (_expand(one, who) for mapping in mappings for one in mapping.principals)
    return _unique(one for one in expanded if one)


def _expand(template: str, who: Person) -> str:
    """Return a principal, empty when a claim in it is missing or no text.

    A claim's text goes in as it is and is never read as a template again; the signing function
    refuses what is no principal then (design rule 7). `root` has to be written out: people can
    choose names like `preferred_username` themselves.
    """
    missing = False

    def value(match: re.Match[str]) -> str:
        nonlocal missing
        text = _claim_text(match[1], who)
        missing = missing or not text
        return text

    expanded = _TEMPLATE.sub(value, template)
    if expanded == _SUPERUSER != template:
        return ""
    return "" if missing else expanded


def _claim_text(name: str, who: Person) -> str:
    if name == _EMAIL:
        return who.email
    if name == f"{_EMAIL}.local":
        return who.email.rpartition("@")[0]
    text = who.claims.get(name)
    return text if isinstance(text, str) else ""


def _texts(claim: object) -> frozenset[str]:
    """Return a claim's texts; JSON's booleans and whole numbers as JSON writes them."""
    if isinstance(claim, list):
        return frozenset(one for one in claim if isinstance(one, str))
    if isinstance(claim, bool):
        return frozenset({"true" if claim else "false"})
    if isinstance(claim, int) and claim.bit_length() <= 64:
        return frozenset({str(claim)})
    return frozenset({claim}) if isinstance(claim, str) else frozenset()


def _bounded(names: Iterable[str], allowed: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in _unique(names) if name in allowed)


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
