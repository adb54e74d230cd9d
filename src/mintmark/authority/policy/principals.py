"""Principal rules: globs over login names, one meaning each.

`*` stands for any run of characters and nothing else is special. Host principals are names,
and `NameRules` are their globs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mintmark.authority.policy.names import NameRules
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHCertificateType
from mintmark.wire.identifiers import parse_any


class PrincipalRules:
    """A list of globs, compiled once; a principal is inside if any of them matches.

    Args:
        globs: the rules as written.

    Raises:
        Error: CONFIGURATION for one that no principal can match.
    """

    __slots__ = ("_pattern", "globs")

    def __init__(self, globs: Iterable[str]) -> None:
        self.globs = tuple(globs)
        self._pattern = re.compile("|".join(_pattern(glob) for glob in self.globs))

    def __bool__(self) -> bool:
        return bool(self.globs)

    def allow(self, principal: str) -> bool:
        """Whether any rule matches the principal."""
        return bool(self.globs) and self._pattern.fullmatch(principal) is not None

    def __str__(self) -> str:
        return ", ".join(self.globs) or "none"


class HostRules:
    """The same for host principals, by the meaning that globs have for names."""

    __slots__ = ("_names",)

    def __init__(self, names: NameRules) -> None:
        self._names = names

    def __bool__(self) -> bool:
        return bool(self._names)

    def allow(self, principal: str) -> bool:
        """Whether any rule matches the principal, a DNS name or an address."""
        return self._names.allow(parse_any(principal))

    def __str__(self) -> str:
        return str(self._names)


def rules_of(type_: SSHCertificateType, globs: Iterable[str]) -> PrincipalRules | HostRules:
    """Return the rules that globs mean for principals of a type.

    Raises:
        Error: CONFIGURATION for one that cannot mean anything.
    """
    if type_ is SSHCertificateType.HOST:
        return HostRules(NameRules(globs))
    return PrincipalRules(globs)


def _pattern(glob: str) -> str:
    if not glob or not glob.isascii() or not glob.isprintable() or set(glob) & set(" ,?"):
        raise Error(
            Kind.CONFIGURATION,
            f"principal rule {glob!r} is empty or has a blank, ',', '?' or a letter beyond ASCII",
            hint="write login names; '*' stands for any run of characters, as in 'deploy-*'",
        )
    return ".*".join(re.escape(part) for part in glob.split("*"))
