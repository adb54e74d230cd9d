"""What provisioners of every type but ACME say: how long, and what their certificates may carry."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec.structs import replace

from mintmark.authority.policy.names import NameRules
from mintmark.authority.policy.principals import PrincipalRules
from mintmark.model.errors import Error, Kind
from mintmark.model.profile import Profile
from mintmark.model.provisioner import Claims, Lifetimes, Rules
from mintmark.model.ssh import SSHProfile
from mintmark.model.time import duration
from mintmark.server.sections import Section, key, unknown, wrong
from mintmark.server.settings.values import Lifetime, Some, Texts


@dataclass(frozen=True, slots=True)
class Known:
    """What entries refer to.

    Args:
        profiles: X.509 profiles by name; None for one that contradicts itself.
        ssh_profiles: SSH profiles by name.
        issuer_domain_names: by which dns-persist-01 records speak of this authority.
    """

    profiles: Mapping[str, Profile | None]
    ssh_profiles: Mapping[str, SSHProfile]
    issuer_domain_names: tuple[str, ...] = ()


class LifetimesEntry(Section, frozen=True, kw_only=True):
    """Bounds of a lifetime; what is left out is as built in, but never above `max`."""

    max: Annotated[
        Lifetime | None, key("The longest; null: as built in.", "a stolen key works longer")
    ] = None
    min: Annotated[
        Lifetime | None, key("The shortest; null: as built in.", "more certificates")
    ] = None
    default: Annotated[
        Lifetime | None,
        key("Used when a request names none; null: as built in.", "a stolen key works longer"),
    ] = None

    def lifetimes(self, base: Lifetimes) -> Lifetimes:
        """Return the bounds, with those of `base` where the entry says nothing."""
        longest = base.maximum if self.max is None else self.max
        shortest = min(base.minimum, longest) if self.min is None else self.min
        usual = self.default
        if usual is None:
            # A default of 0 is the profile's, which may be above a bound that is set here.
            usual = base.default if self.max is None else min(base.default or longest, longest)
            usual = max(usual, shortest) if usual else usual
        return Lifetimes(shortest, longest, usual)


class TLSLifetimes(LifetimesEntry, frozen=True, kw_only=True):
    """Of X.509 certificates: built in are 5m to 1d, 1d by default; a profile's bounds hold too."""


class SSHUserLifetimes(LifetimesEntry, frozen=True, kw_only=True):
    """Of SSH user certificates: built in are 5m to 1d, 16h by default."""


class SSHHostLifetimes(LifetimesEntry, frozen=True, kw_only=True):
    """Of SSH host certificates: built in are 5m to 30d, 30d by default."""


class ClaimsEntry(Section, frozen=True, kw_only=True):
    """What certificates of a provisioner may claim."""

    tls: Annotated[
        TLSLifetimes, key("Lifetimes of X.509 certificates.", "a stolen key works longer")
    ] = TLSLifetimes()
    ssh_user: Annotated[
        SSHUserLifetimes, key("Lifetimes of SSH user certificates.", "a stolen key works longer")
    ] = SSHUserLifetimes()
    ssh_host: Annotated[
        SSHHostLifetimes, key("Lifetimes of SSH host certificates.", "a stolen key works longer")
    ] = SSHHostLifetimes()
    ssh: Annotated[bool, key("Whether it issues SSH certificates at all.", "logins")] = True
    renewal: Annotated[
        bool | None,
        key(
            "Whether its certificates are renewed by possession of the current one; null: yes, but "
            "of types oidc and x5c only if one of the next two is true.",
            "a stolen key works for ever, and who has left stays",
        ),
    ] = None
    renewal_after_expiry: Annotated[
        bool,
        key("Whether even when that one has expired.", "a key stolen long ago works again"),
    ] = False
    ssh_user_renewal: Annotated[
        bool,
        key(
            "Whether SSH user certificates are renewed by possession too: for services; a person "
            "signs in again, so that who has left is locked out.",
            "who has left stays",
        ),
    ] = False

    def claims(self, base: Claims) -> Claims:
        """Return the claims, with those of `base` where the entry says nothing."""
        return Claims(
            tls=self.tls.lifetimes(base.tls),
            ssh_user=self.ssh_user.lifetimes(base.ssh_user),
            ssh_host=self.ssh_host.lifetimes(base.ssh_host),
            ssh=self.ssh,
            renewal=self._built_in(base) if self.renewal is None else self.renewal,
            renewal_after_expiry=self.renewal_after_expiry,
            ssh_user_renewal=self.ssh_user_renewal,
        )

    @classmethod
    def of(cls, claims: Claims, base: Claims) -> ClaimsEntry:
        """Return the entry that says these claims."""
        entry = cls(
            tls=_lifetimes_entry(TLSLifetimes, claims.tls, base.tls),
            ssh_user=_lifetimes_entry(SSHUserLifetimes, claims.ssh_user, base.ssh_user),
            ssh_host=_lifetimes_entry(SSHHostLifetimes, claims.ssh_host, base.ssh_host),
            ssh=claims.ssh,
            renewal_after_expiry=claims.renewal_after_expiry,
            ssh_user_renewal=claims.ssh_user_renewal,
        )
        if entry.claims(base) == claims:
            return entry
        return replace(entry, renewal=claims.renewal)

    def _built_in(self, base: Claims) -> bool:
        """Return whether there is renewal where the entry does not say it outright."""
        return base.renewal or self.renewal_after_expiry or self.ssh_user_renewal

    def problems(self, path: str, base: Claims) -> Iterator[Error]:
        """Yield lifetimes that contradict each other."""
        for name, lifetimes in (
            ("tls", self.tls.lifetimes(base.tls)),
            ("ssh_user", self.ssh_user.lifetimes(base.ssh_user)),
            ("ssh_host", self.ssh_host.lifetimes(base.ssh_host)),
        ):
            low, usual, high = lifetimes.minimum, lifetimes.default, lifetimes.maximum
            if low > high:
                yield wrong(
                    f"'{path}.{name}.min' is {duration(low)}, above the maximum of {duration(high)}"
                )
            elif usual and not low <= usual <= high:
                yield wrong(
                    f"'{path}.{name}.default' is {duration(usual)}; it has to be from "
                    f"{duration(low)} to {duration(high)}"
                )


class RulesEntry(Section, frozen=True, kw_only=True):
    """What certificates of a provisioner may carry."""

    names: Annotated[
        Texts,
        key(
            "Globs that every X.509 name and SSH host name must match one of; empty: whatever "
            "the credential vouches for.",
            "certificates for other parties' names",
        ),
    ] = ()
    principals: Annotated[
        Texts,
        key(
            "Globs that every principal of an SSH user certificate must match one of; empty: "
            "whatever the credential vouches for.",
            "logins as other users",
        ),
    ] = ()
    profiles: Annotated[
        Some,
        key("X.509 profiles that requests may name, the default first.", "other shapes"),
    ] = Rules().profiles
    ssh_profiles: Annotated[
        Texts,
        key(
            "SSH profiles that requests may name; the first one of each type is the default.",
            "other shapes",
        ),
    ] = Rules().ssh_profiles

    def rules(self) -> Rules:
        """Return the rules."""
        return Rules(self.names, self.principals, self.profiles, self.ssh_profiles)

    @classmethod
    def of(cls, rules: Rules) -> RulesEntry:
        """Return the entry that says these rules."""
        return cls(
            names=rules.names,
            principals=rules.principals,
            profiles=rules.profiles,
            ssh_profiles=rules.ssh_profiles,
        )

    def problems(self, path: str, known: Known) -> Iterator[Error]:
        """Yield globs that mean nothing and profiles that are not there."""
        try:
            NameRules(self.names)
        except Error as error:
            yield refused(f"{path}.names", error)
        try:
            PrincipalRules(self.principals)
        except Error as error:
            yield refused(f"{path}.principals", error)
        yield from missing(f"{path}.profiles", "profile", self.profiles, known.profiles)
        yield from missing(
            f"{path}.ssh_profiles", "SSH profile", self.ssh_profiles, known.ssh_profiles
        )


def refused(path: str, error: Error) -> Error:
    """Return what is wrong with the value of a key as the configuration's fault."""
    return Error(Kind.CONFIGURATION, f"'{path}': {error.detail}", hint=error.hint)


def missing(path: str, noun: str, names: Iterable[str], known: Collection[str]) -> Iterator[Error]:
    """Yield names of profiles that are not there."""
    for name in names:
        if name not in known:
            yield unknown(f"'{path}' has unknown {noun} '{name}'", name, known)


def _lifetimes_entry(section: type[LifetimesEntry], lifetimes: Lifetimes, base: Lifetimes) -> Any:
    """Return the shortest entry that says these lifetimes."""
    longest = None if lifetimes.maximum == base.maximum else lifetimes.maximum
    left_out = section(max=longest).lifetimes(base)
    shortest = None if lifetimes.minimum == left_out.minimum else lifetimes.minimum
    left_out = section(max=longest, min=shortest).lifetimes(base)
    usual = None if lifetimes.default == left_out.default else lifetimes.default
    return section(max=longest, min=shortest, default=usual)
