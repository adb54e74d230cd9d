"""The whitelist: what each service may do, deny by default.

Entries by exact service id come first, then patterns in the order in which they are written;
a service that matches nothing may do nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

from mintmark.authority.policy.names import NameRules
from mintmark.authority.policy.principals import PrincipalRules
from mintmark.model.access import Operation, ServiceRule
from mintmark.model.errors import Error, Kind

PREFIXES: Final = ("acme.", "jwk.", "oidc.", "x5c.", "sshpop.")
"""Begin the service ids of whom a provisioner vouches for, such as ACME accounts."""
_REMEMBERED: Final = 4096  # services that only a pattern names, or nothing
SERVICE_ID = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?")


def service_id(text: str) -> str:
    """Return `text` if it is a service id.

    Lower case only, so that two spellings can never be two services.

    Raises:
        Error: MALFORMED otherwise.
    """
    if SERVICE_ID.fullmatch(text):
        return text
    raise Error(
        Kind.MALFORMED,
        f"service id {text!r} is not of its form",
        hint="use 1 to 128 of a-z, 0-9, '.', '_' and '-', beginning and ending with a letter "
        "or digit",
    )


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule together with its globs, compiled once."""

    rule: ServiceRule
    names: NameRules
    principals: PrincipalRules


class Whitelist:
    """The rules of all services.

    Args:
        services: rules whose `pattern` is an exact service id.
        patterns: rules whose `pattern` is a glob: `*` matches any run of characters, but no
            glob that does not itself begin with the same one of `PREFIXES` matches whom a
            provisioner vouches for. What is given to all services is not meant for whoever
            meets a challenge or signs in somewhere.
    """

    def __init__(
        self, services: Iterable[ServiceRule] = (), patterns: Iterable[ServiceRule] = ()
    ) -> None:
        self._services = {rule.pattern: _compile(rule) for rule in services}
        globs = tuple((_glob(rule.pattern), _compile(rule)) for rule in patterns)
        # What the rules say of a service never changes: another configuration is another whitelist.
        self._matching = lru_cache(maxsize=_REMEMBERED)(partial(_first_match, globs))

    def compiled(self, service: str) -> CompiledRule:
        """Return the rule of a service; one that allows nothing if it has none."""
        return self._services.get(service) or self._matching(service)

    def rule(self, service: str) -> ServiceRule:
        """Return what the whitelist says of a service."""
        return self.compiled(service).rule


def require(allowed: bool, service: str, operation: Operation) -> None:  # noqa: FBT001 - the verdict is the argument
    """Refuse unless `allowed`.

    Raises:
        Error: FORBIDDEN, naming the service and the missing operation.
    """
    if not allowed:
        raise Error(
            Kind.FORBIDDEN,
            f"service {service!r} may not {operation.value}",
            hint=f"add {operation.value!r} to its allowed_operations in the whitelist",
        )


def _first_match(
    globs: tuple[tuple[re.Pattern[str], CompiledRule], ...], service: str
) -> CompiledRule:
    for glob, compiled in globs:
        if glob.fullmatch(service) and _is_meant(compiled.rule.pattern, service):
            return compiled
    return _compile(ServiceRule(service, frozenset()))


def _compile(rule: ServiceRule) -> CompiledRule:
    return CompiledRule(rule, NameRules(rule.names), PrincipalRules(rule.principals))


def prefix_of(service: str) -> str:
    """Return which of `PREFIXES` a service id begins with, or an empty text."""
    prefix = service[: service.find(".") + 1]
    return prefix if prefix in PREFIXES else ""


def _is_meant(pattern: str, service: str) -> bool:
    return pattern.startswith(prefix_of(service))


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in pattern.split("*")))
