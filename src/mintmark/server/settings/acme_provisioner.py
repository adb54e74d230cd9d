"""Provisioners of type `acme`: ACME servers, each with its own accounts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from msgspec import Meta

from mintmark.authority.policy.names import NameRules
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.provisioner import ACMEProvisioner, ChallengeType
from mintmark.model.time import DAY, MINUTE, duration
from mintmark.server.sections import TAG, Section, key, span, wrong
from mintmark.server.settings.claims import Known, missing, refused
from mintmark.server.settings.values import (
    Count,
    Lifetime,
    Line,
    ProvisionerName,
    Rate,
    Some,
    Texts,
)

_ACME: Final = ACMEProvisioner("acme")


class ACMEEntry(Section, frozen=True, kw_only=True):
    """An ACME server of its own, at `/acme/NAME/directory`."""

    name: Annotated[ProvisionerName, key("In its URLs: a-z, 0-9 and '-'.", "nothing")]
    type: Annotated[Literal["acme"], key(TAG, "nothing")] = "acme"
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
    renewal: Annotated[
        bool,
        key(
            "Whether its certificates are also renewed by possession, without an order.",
            "a stolen key works for ever",
        ),
    ] = _ACME.renewal
    renewal_after_expiry: Annotated[
        bool,
        key("Whether even when they have expired.", "a key stolen long ago works again"),
    ] = _ACME.renewal_after_expiry

    def provisioner(self) -> ACMEProvisioner:
        """Return what the entry says."""
        return ACMEProvisioner(
            name=self.name,
            identifier_types=tuple(IdentifierType(kind) for kind in self.identifier_types),
            names=self.names,
            challenges=tuple(dict.fromkeys(self.challenges)),
            profiles=self.profiles,
            lifetime=self.lifetime,
            external_account_binding=self.external_account_binding,
            terms_of_service=self.terms_of_service or "",
            website=self.website or "",
            max_identifiers=self.max_identifiers,
            orders_per_hour=self.orders_per_hour,
            pending_authorizations=self.pending_authorizations,
            failures_until_pause=self.failures_until_pause,
            order_lifetime=self.order_lifetime,
            authorization_lifetime=self.authorization_lifetime,
            renewal=self.renewal,
            renewal_after_expiry=self.renewal_after_expiry,
        )

    @classmethod
    def of(cls, provisioner: ACMEProvisioner) -> ACMEEntry:
        """Return the entry that says this provisioner."""
        kinds: dict[IdentifierType, Literal["dns", "ip"]] = {
            IdentifierType.DNS: "dns",
            IdentifierType.IP: "ip",
        }
        return cls(
            name=provisioner.name,
            identifier_types=tuple(kinds[one] for one in provisioner.identifier_types),
            names=provisioner.names,
            challenges=provisioner.challenges,
            profiles=provisioner.profiles,
            lifetime=provisioner.lifetime,
            external_account_binding=provisioner.external_account_binding,
            terms_of_service=provisioner.terms_of_service or None,
            website=provisioner.website or None,
            max_identifiers=provisioner.max_identifiers,
            orders_per_hour=provisioner.orders_per_hour,
            pending_authorizations=provisioner.pending_authorizations,
            failures_until_pause=provisioner.failures_until_pause,
            order_lifetime=provisioner.order_lifetime,
            authorization_lifetime=provisioner.authorization_lifetime,
            renewal=provisioner.renewal,
            renewal_after_expiry=provisioner.renewal_after_expiry,
        )

    def problems(self, path: str, known: Known) -> Iterator[Error]:
        """Yield what is wrong although each key by itself is of its form."""
        yield from missing(f"{path}.profiles", "profile", self.profiles, known.profiles)
        yield from self._lifetime_problems(path, known)
        persistent = ChallengeType.DNS_PERSIST_01 in self.challenges
        if persistent and not known.issuer_domain_names:
            yield Error(
                Kind.CONFIGURATION,
                f"'{path}.challenges' has dns-persist-01, whose records name the authority",
                hint="say by which name in acme.validation.issuer_domain_names",
            )
        try:
            NameRules(self.names)
        except Error as error:
            yield refused(f"{path}.names", error)

    def _lifetime_problems(self, path: str, known: Known) -> Iterator[Error]:
        """Yield profiles that no certificate of this lifetime could have."""
        if self.lifetime is None:
            return
        for name in self.profiles:
            profile = known.profiles.get(name)
            if profile and not profile.lifetime_min <= self.lifetime <= profile.lifetime_max:
                yield wrong(
                    f"'{path}.lifetime' is {duration(self.lifetime)}; profile '{name}' allows "
                    f"{duration(profile.lifetime_min)} to {duration(profile.lifetime_max)}"
                )
