"""Section `whitelist`: who may ask for what."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Annotated, Final

from msgspec import Meta

from mintmark.authority.policy.names import NameRules
from mintmark.authority.policy.principals import PrincipalRules
from mintmark.authority.policy.whitelist import SERVICE_ID
from mintmark.model.access import Operation, ServiceRule
from mintmark.model.errors import Error
from mintmark.server.sections import Section, at, key, unknown, wrong
from mintmark.server.settings.values import Count, Rate, Texts


class WhitelistEntry(Section, frozen=True, kw_only=True):
    """What an entry of the whitelist allows."""

    names: Annotated[
        Texts,
        key(
            "Globs of names it may ask for, beside its own id.",
            "certificates for other parties' names",
        ),
    ] = ()
    principals: Annotated[
        Texts,
        key(
            "Globs of principals that its SSH user certificates may carry; host principals are "
            "names.",
            "logins as other users",
        ),
    ] = ()
    profiles: Annotated[
        Texts,
        key(
            "Profiles it may ask for; empty means server, client and peer.",
            "certificates for other purposes",
        ),
    ] = ()
    max_certificates: Annotated[
        Count | None,
        key("Active, not yet replaced certificates it may hold; null: any.", "more certificates"),
    ] = None
    allowed_operations: Annotated[
        tuple[Operation, ...],
        key(
            "What it may do; admin includes everything, for every service.",
            "with admin, everything that can be asked for",
        ),
    ] = (Operation.REQUEST, Operation.RENEW, Operation.REVOKE, Operation.DOWNLOAD)
    certificates_per_hour: Annotated[
        Rate | None,
        key(
            "Its own rate; null means limits.certificates_per_hour, 0 no limit.",
            "more certificates",
        ),
    ] = None

    def rule(self, pattern: str) -> ServiceRule:
        """Return the entry as the policy's rule for `pattern`."""
        return ServiceRule(
            pattern,
            frozenset(self.allowed_operations),
            self.names,
            self.profiles,
            self.max_certificates,
            self.certificates_per_hour,
            self.principals,
        )


class ServiceEntry(WhitelistEntry, frozen=True, kw_only=True):
    """What the whitelist allows one service."""

    service_id: Annotated[
        Annotated[str, Meta(min_length=1, max_length=128)],
        key("The service's id, exact.", "gives these rights to another service"),
    ]


class PatternEntry(WhitelistEntry, frozen=True, kw_only=True):
    """What the whitelist allows every service that no entry before it names."""

    pattern: Annotated[
        Annotated[str, Meta(min_length=1, max_length=128)],
        key(
            "A glob over service ids, as test-*; whom a provisioner vouches for only if it begins "
            "with the provisioner's type, as acme.* does.",
            "gives these rights to other services",
        ),
    ]


ADMIN: Final = ServiceEntry(
    service_id="admin-cli", allowed_operations=(Operation.ADMIN,), certificates_per_hour=0
)
OWN_CERTIFICATES: Final = PatternEntry(
    pattern="*", allowed_operations=(Operation.RENEW, Operation.REVOKE, Operation.DOWNLOAD)
)


class Whitelist(Section, frozen=True, kw_only=True):
    """Who may ask for what; whoever matches no entry may do nothing."""

    services: Annotated[
        Annotated[tuple[ServiceEntry, ...], Meta(max_length=100_000)],
        key(
            "Services by exact id, looked at first. admin-cli is an admin unless it has an "
            "entry of its own.",
            "every right there is",
        ),
    ] = (ADMIN,)
    patterns: Annotated[
        Annotated[tuple[PatternEntry, ...], Meta(max_length=10_000)],
        key("Globs over service ids, in order, for all other services.", "every right there is"),
    ] = (OWN_CERTIFICATES,)


def service_rules(whitelist: Whitelist) -> tuple[ServiceRule, ...]:
    """Return the whitelist's rules for single services.

    The command line's administrator is one of them even if the file names only others: whoever
    adds the first service shall not lock himself out.
    """
    entries = whitelist.services
    if all(entry.service_id != ADMIN.service_id for entry in entries):
        entries = (*entries, ADMIN)
    return tuple(entry.rule(entry.service_id) for entry in entries)


def pattern_rules(whitelist: Whitelist) -> tuple[ServiceRule, ...]:
    """Return the whitelist's rules by glob, in order."""
    return tuple(entry.rule(entry.pattern) for entry in whitelist.patterns)


def problems(whitelist: Whitelist, known: Collection[str]) -> Iterator[Error]:
    """Yield what is wrong although each key by itself is of its form.

    Args:
        whitelist: the section.
        known: names of the profiles there are.
    """
    seen: set[str] = set()
    for number, entry in enumerate(whitelist.services):
        path = f"whitelist.services[{number}]"
        if not SERVICE_ID.fullmatch(entry.service_id):
            yield wrong(
                f"'{path}.service_id' is '{entry.service_id}'; it has to be 1 to 128 of a-z, "
                "0-9, '.', '_' and '-', beginning and ending with a letter or digit"
            )
        if entry.service_id in seen:
            yield wrong(f"'{path}' is a second entry for service '{entry.service_id}'")
        seen.add(entry.service_id)
        yield from _entry_problems(entry, path, known)
    for number, pattern in enumerate(whitelist.patterns):
        yield from _entry_problems(pattern, f"whitelist.patterns[{number}]", known)


def _entry_problems(entry: WhitelistEntry, path: str, known: Collection[str]) -> Iterator[Error]:
    for profile in entry.profiles:
        if profile not in known:
            yield unknown(f"'{path}.profiles' has unknown profile '{profile}'", profile, known)
    try:
        NameRules(entry.names)
    except Error as error:
        yield at(f"{path}.names", error)
    try:
        PrincipalRules(entry.principals)
    except Error as error:
        yield at(f"{path}.principals", error)
