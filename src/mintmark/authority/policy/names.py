"""Name rules: globs over identifiers, one meaning each.

A rule is written as the names look. In a DNS rule `*` stands for one label or a part of one,
`**` for one label or more; in a URI rule `*` does not cross `/` and `**` does; an IP rule is
an address or a network in CIDR form; in an e-mail rule `*` stands for any local part.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType

Patterns = dict[IdentifierType, re.Pattern[str]]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NameRules:
    """A list of globs, compiled once; an identifier is inside if any of them matches.

    Args:
        globs: the rules as written.

    Raises:
        Error: CONFIGURATION if one cannot mean anything.
    """

    __slots__ = ("_networks", "_patterns", "globs")

    def __init__(self, globs: Iterable[str]) -> None:
        self.globs = tuple(globs)
        self._networks: list[Network] = []
        patterns: dict[IdentifierType, list[str]] = {}
        for glob in self.globs:
            if network := _network(glob):
                self._networks.append(network)
            else:
                kind, pattern = _pattern(glob)
                patterns.setdefault(kind, []).append(pattern)
        self._patterns: Patterns = {
            kind: re.compile("|".join(f"(?:{one})" for one in several))
            for kind, several in patterns.items()
        }

    def __bool__(self) -> bool:
        return bool(self.globs)

    def allow(self, identifier: Identifier) -> bool:
        """Whether any rule matches the identifier."""
        pattern = self._patterns.get(identifier.type)
        if pattern is not None:
            return pattern.fullmatch(identifier.value) is not None
        if identifier.type is not IdentifierType.IP:
            return False
        address = ipaddress.ip_address(identifier.value)
        return any(address in network for network in self._networks)

    def __str__(self) -> str:
        return ", ".join(self.globs) or "none"


def _network(glob: str) -> Network | None:
    try:
        return ipaddress.ip_network(glob)
    except ValueError:
        if re.fullmatch(r"[0-9.]+/[0-9]+|[0-9a-fA-F:]+:[0-9a-fA-F:]*/[0-9]+", glob):
            raise Error(
                Kind.CONFIGURATION,
                f"name rule {glob!r} is not a network: bits beyond the prefix are set",
                hint="write the network's own address, as 10.0.0.0/8",
            ) from None
        return None


def _pattern(glob: str) -> tuple[IdentifierType, str]:
    if not glob or not glob.isascii() or any(character.isspace() for character in glob):
        raise Error(
            Kind.CONFIGURATION,
            f"name rule {glob!r} is empty or has blanks or letters beyond ASCII",
            hint="write names as in certificates: A-labels (xn--…) for international names",
        )
    if "://" in glob:
        return IdentifierType.URI, _expand(glob, {"**": ".+", "*": "[^/]+"})
    if "@" in glob:
        local, _, domain = glob.rpartition("@")
        return IdentifierType.EMAIL, _expand(local, {"*": "[^@]+"}) + "@" + _dns(domain)
    return IdentifierType.DNS, _dns(glob)


def _dns(glob: str) -> str:
    """Return the regular expression of a DNS glob.

    A first label that is only `*` also allows the wildcard name itself: a rule that allows
    every single name below a domain gives nothing away by allowing `*.domain`; whether a
    wildcard may be certified at all is the profile's to say.
    """
    labels = glob.lower().split(".")
    first, *rest = (_label(label) for label in labels)
    if labels[0] in {"*", "**"}:
        first = rf"(?:\*|{first})"
    return r"\.".join((first, *rest))


def _label(label: str) -> str:
    if label == "**":
        return r"[a-z0-9-]+(?:\.[a-z0-9-]+)*"
    return _expand(label, {"*": "[a-z0-9-]+" if label == "*" else "[a-z0-9-]*"})


def _expand(text: str, stars: dict[str, str]) -> str:
    parts = re.split(r"(\*\*|\*)", text)
    return "".join(stars.get(part, re.escape(part)) for part in parts)
