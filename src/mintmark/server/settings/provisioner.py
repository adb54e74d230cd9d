"""Section `provisioners`: ACME servers, each with its own accounts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta

from mintmark.authority.policy.names import NameRules
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.provisioner import ACMEProvisioner, ChallengeType
from mintmark.model.time import DAY, MINUTE, duration
from mintmark.server.sections import Section, at, key, span, unknown, wrong
from mintmark.server.settings.acme import Validation
from mintmark.server.settings.profile import ProfileEntry, profile_names, profiles
from mintmark.server.settings.values import NAME, Count, Lifetime, Line, Rate, Some, Texts

_ACME: Final = ACMEProvisioner("acme")


class ProvisionerEntry(Section, frozen=True, kw_only=True):
    """An ACME server of its own, at `/acme/NAME/directory`."""

    name: Annotated[
        Annotated[str, Meta(min_length=1, max_length=32)],
        key("In its URLs: a-z, 0-9 and '-'.", "nothing"),
    ]
    type: Annotated[Literal["acme"], key("What it speaks.", "nothing")] = "acme"
    identifier_types: Annotated[
        Annotated[tuple[Literal["dns", "ip"], ...], Meta(min_length=1, max_length=2)],
        key("Kinds of identifier that orders may have.", "certificates for addresses or names"),
    ] = ("dns", "ip")
    names: Annotated[
        Texts,
        key(
            "Globs that every identifier must match one of; empty: whatever a challenge proves.",
            "certificates for more of the names whose hosts it controls",
        ),
    ] = ()
    challenges: Annotated[
        Annotated[tuple[ChallengeType, ...], Meta(min_length=1, max_length=5)],
        key(
            "How control of an identifier is shown, in the order in which they are offered; "
            "uacme before 1.8 stumbles over dns-persist-01.",
            "certificates for names whose validation is weak",
        ),
    ] = _ACME.challenges
    profiles: Annotated[
        Some,
        key("Profiles that orders may name, the default first.", "certificates of other shapes"),
    ] = _ACME.profiles
    lifetime: Annotated[
        Lifetime | None,
        key("Of certificates; null takes the profile's.", "a stolen key works longer"),
    ] = None
    external_account_binding: Annotated[
        bool,
        key("Whether a new account needs a key of mintmark acme eab add.", "accounts for anyone"),
    ] = False
    terms_of_service: Annotated[
        Line | None, key("URL that new accounts have to agree to.", "a misleading link")
    ] = None
    website: Annotated[Line | None, key("URL for people.", "a misleading link")] = None
    max_identifiers: Annotated[
        Annotated[int, Meta(ge=1, le=100)], key("Of one order.", "memory and time")
    ] = _ACME.max_identifiers
    orders_per_hour: Annotated[
        Rate, key("Of one account, renewals not counted; 0: no limit.", "more certificates")
    ] = _ACME.orders_per_hour
    pending_authorizations: Annotated[
        Count, key("Of one account at a time.", "memory of the database")
    ] = _ACME.pending_authorizations
    failures_until_pause: Annotated[
        Count,
        key(
            "Failed validations of an account and a name within a day, after which orders for it "
            "are refused until mintmark acme unpause.",
            "endless validations, which knock at hosts",
        ),
    ] = _ACME.failures_until_pause
    order_lifetime: Annotated[
        Annotated[int, span(10 * MINUTE, 30 * DAY)],
        key("After this an order that was not finished expires.", "memory of the database"),
    ] = _ACME.order_lifetime
    authorization_lifetime: Annotated[
        Annotated[int, span(MINUTE, 90 * DAY)],
        key(
            "So long a valid authorization is used again.",
            "certificates for names that are no longer controlled",
        ),
    ] = _ACME.authorization_lifetime


DEFAULT: Final = (ProvisionerEntry(name=_ACME.name),)


def provisioners(entries: Iterable[ProvisionerEntry]) -> tuple[ACMEProvisioner, ...]:
    """Return the ACME provisioners."""
    return tuple(
        ACMEProvisioner(
            name=entry.name,
            identifier_types=tuple(IdentifierType(kind) for kind in entry.identifier_types),
            names=entry.names,
            challenges=tuple(dict.fromkeys(entry.challenges)),
            profiles=entry.profiles,
            lifetime=entry.lifetime,
            external_account_binding=entry.external_account_binding,
            terms_of_service=entry.terms_of_service or "",
            website=entry.website or "",
            max_identifiers=entry.max_identifiers,
            orders_per_hour=entry.orders_per_hour,
            pending_authorizations=entry.pending_authorizations,
            failures_until_pause=entry.failures_until_pause,
            order_lifetime=entry.order_lifetime,
            authorization_lifetime=entry.authorization_lifetime,
        )
        for entry in entries
    )


def problems(
    entries: Iterable[ProvisionerEntry],
    own_profiles: Mapping[str, ProfileEntry],
    validation: Validation,
) -> Iterator[Error]:
    """Yield what is wrong although each key by itself is of its form.

    Args:
        entries: the section.
        own_profiles: section `profiles`.
        validation: section `acme.validation`.
    """
    known = profile_names(own_profiles)
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        path = f"provisioners[{number}]"
        if not NAME.fullmatch(entry.name):
            yield wrong(f"'{path}.name' is '{entry.name}'; it has to be of a-z, 0-9 and '-'")
        if entry.name in seen:
            yield wrong(f"'{path}' is a second provisioner '{entry.name}'")
        seen.add(entry.name)
        for profile in entry.profiles:
            if profile not in known:
                yield unknown(f"'{path}.profiles' has unknown profile '{profile}'", profile, known)
        yield from _lifetime_problems(path, entry, own_profiles)
        persistent = ChallengeType.DNS_PERSIST_01 in entry.challenges
        if persistent and not validation.issuer_domain_names:
            yield Error(
                Kind.CONFIGURATION,
                f"'{path}.challenges' has dns-persist-01, whose records name the authority",
                hint="say by which name in acme.validation.issuer_domain_names",
            )
        try:
            NameRules(entry.names)
        except Error as error:
            yield at(f"{path}.names", error)


def _lifetime_problems(
    path: str, entry: ProvisionerEntry, own_profiles: Mapping[str, ProfileEntry]
) -> Iterator[Error]:
    """Yield profiles that no certificate of a provisioner's lifetime could have."""
    if entry.lifetime is None:
        return
    try:
        known = profiles(own_profiles)
    except Error:  # which has been told already
        return
    for name in entry.profiles:
        profile = known.get(name)
        if profile and not profile.lifetime_min <= entry.lifetime <= profile.lifetime_max:
            yield wrong(
                f"'{path}.lifetime' is {duration(entry.lifetime)}; profile '{name}' allows "
                f"{duration(profile.lifetime_min)} to {duration(profile.lifetime_max)}"
            )
