"""Name constraints of an issuer's whole chain: what its leaves may be called.

RFC 5280 §6.1 lets every certificate of a path narrow the names below it (§4.2.1.10): a name
must lie inside each certificate's permitted subtrees of its kind, if it has any, and outside
all excluded ones. Relying parties disagree at the edges, so that a leaf is refused here
wherever one of them might refuse it, or should: excluded names compare without case, and a
wildcard that could stand for an excluded name is excluded.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography import x509

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Subtrees:
    """The name constraints of one CA certificate, sorted by kind of name.

    Args:
        issuer: what the message calls it: its subject.
        permitted: by kind; a kind without an entry is not restricted.
        excluded: by kind.
        permitted_subjects: directory names that a subject must lie in one of.
        excluded_subjects: directory names that a subject must not lie in.
    """

    issuer: str
    permitted: dict[IdentifierType, tuple[Any, ...]]
    excluded: dict[IdentifierType, tuple[Any, ...]]
    permitted_subjects: tuple[x509.Name, ...]
    excluded_subjects: tuple[x509.Name, ...]


class NameConstraints:
    """The constraints of a chain, gathered once per issuer; without any it costs nothing.

    Args:
        chain: every CA certificate of the path, the trust anchor included: RFC 5280 §6.1.1
            leaves it to the relying party to look at the anchor's, and some do.
    """

    __slots__ = ("_subtrees",)

    def __init__(self, chain: Iterable[x509.Certificate]) -> None:
        self._subtrees: Final = tuple(
            subtrees for certificate in chain if (subtrees := _subtrees(certificate)) is not None
        )

    def __bool__(self) -> bool:
        return bool(self._subtrees)

    def check(
        self, identifiers: Iterable[Identifier], common_name: str, subject: x509.Name | None = None
    ) -> None:
        """Check a leaf's names.

        Args:
            identifiers: its subject alternative names.
            common_name: constrained like a DNS name when it looks like one: clients still
                read it as such when there is no DNS name beside it.
            subject: for constraints on directory names; an empty one is not constrained.

        Raises:
            Error: REJECTED_IDENTIFIER for the first name outside.
        """
        if not self._subtrees:
            return
        names = list(identifiers)
        if _looks_like_dns(common_name):
            names.append(Identifier(IdentifierType.DNS, common_name.lower()))
        for subtrees in self._subtrees:
            for name in names:
                _check(subtrees, name)
            if subject:
                _check_subject(subtrees, subject)


def _check(subtrees: Subtrees, name: Identifier) -> None:
    """Check one name against one certificate's subtrees (RFC 5280 §6.1.3 (b) and (c))."""
    for constraint in subtrees.excluded.get(name.type, ()):
        if _EXCLUDES[name.type](constraint, name.value):
            raise Error(
                Kind.REJECTED_IDENTIFIER,
                f"name {name.value!r} is excluded by the name constraints of "
                f"{subtrees.issuer!r} ({constraint})",
                hint="ask for a name outside, or use another issuer",
            )
    permitted = subtrees.permitted.get(name.type)
    if permitted is None:
        return
    if not any(_PERMITS[name.type](constraint, name.value) for constraint in permitted):
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"name {name.value!r} is outside the name constraints of {subtrees.issuer!r} "
            f"(permitted: {', '.join(map(str, permitted))})",
            hint="ask for a name inside, or use another issuer",
        )


def _check_subject(subtrees: Subtrees, subject: x509.Name) -> None:
    """Check the subject against constraints on directory names (RFC 5280 §4.2.1.10)."""
    permitted = subtrees.permitted_subjects
    if any(_within_name(subject, base) for base in subtrees.excluded_subjects) or (
        permitted and not any(_within_name(subject, base) for base in permitted)
    ):
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"subject {subject.rfc4514_string()!r} is outside the name constraints of "
            f"{subtrees.issuer!r}",
            hint="give the profile subject attributes inside, or use another issuer",
        )


def _subtrees(certificate: x509.Certificate) -> Subtrees | None:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return None
    permitted = extension.value.permitted_subtrees or []
    excluded = extension.value.excluded_subtrees or []
    return Subtrees(
        issuer=certificate.subject.rfc4514_string(),
        permitted=_by_kind(permitted),
        excluded=_by_kind(excluded),
        permitted_subjects=_directory_names(permitted),
        excluded_subjects=_directory_names(excluded),
    )


_KINDS: Final[dict[type[x509.GeneralName], IdentifierType]] = {
    x509.DNSName: IdentifierType.DNS,
    x509.IPAddress: IdentifierType.IP,
    x509.RFC822Name: IdentifierType.EMAIL,
    x509.UniformResourceIdentifier: IdentifierType.URI,
}


def _by_kind(names: Iterable[x509.GeneralName]) -> dict[IdentifierType, tuple[Any, ...]]:
    """Sort constraints; kinds of name that no leaf of ours carries do not restrict it."""
    sorted_by_kind: dict[IdentifierType, tuple[Any, ...]] = {}
    for name in names:
        kind = _KINDS.get(type(name))
        if kind is not None:
            sorted_by_kind[kind] = (*sorted_by_kind.get(kind, ()), name.value)
    return sorted_by_kind


def _directory_names(names: Iterable[x509.GeneralName]) -> tuple[x509.Name, ...]:
    return tuple(name.value for name in names if isinstance(name, x509.DirectoryName))


def _within_domain(base: str, host: str) -> bool:
    """Whether a host is a domain or below it; an empty base is above all."""
    return not base or host == base or host.endswith(f".{base}")


def _permits_dns(constraint: str, name: str) -> bool:
    """Whether every host that a DNS name stands for lies inside the subtree.

    A leading dot, which RFC 5280 does not define for DNS names, asks for at least one label
    more, as OpenSSL reads it.
    """
    base = constraint.lower()
    if name.startswith("*."):
        return _within_domain(base.removeprefix("."), name[2:])
    return name.endswith(base) if base.startswith(".") else _within_domain(base, name)


def _excludes_dns(constraint: str, name: str) -> bool:
    """Whether a host that a DNS name stands for lies, or may lie, inside the subtree."""
    base = constraint.lower().removeprefix(".")
    name = name.lower()
    if not name.startswith("*."):
        return _within_domain(base, name)
    parent = name[2:]
    label, _, rest = base.partition(".")
    # `*.example.org` stands for `a.example.org`: excluding that excludes the wildcard.
    return _within_domain(base, parent) or (bool(label) and rest == parent)


def _within_network(network: Network, name: str) -> bool:
    address = ipaddress.ip_address(name)
    return address.version == network.version and address in network


def _permits_host(constraint: str, host: str) -> bool:
    """Whether a host meets a constraint of the form `host` or `.domain`."""
    base = constraint.lower()
    return host.endswith(base) if base.startswith(".") else host == base


def _permits_email(constraint: str, name: str) -> bool:
    """Whether a mailbox meets `mailbox`, `host` or `.domain` (RFC 5280 §4.2.1.10)."""
    local, _, host = constraint.rpartition("@")
    name_local, _, name_host = name.rpartition("@")
    if local:
        return local == name_local and host.lower() == name_host.lower()
    return _permits_host(constraint, name_host.lower())


def _excludes_email(constraint: str, name: str) -> bool:
    return _permits_email(constraint.lower(), name.lower())


def _uri_host(name: str) -> str:
    """Return the host of a URI, empty when it has none or an IP address."""
    try:
        host = urlsplit(name).hostname or ""
    except ValueError:
        return ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host.lower()
    return ""


def _permits_uri(constraint: str, name: str) -> bool:
    """Whether a URI's host lies inside.

    RFC 5280 §4.2.1.10: a URI without a host name, or with an IP address, must be rejected
    where URIs are constrained.
    """
    host = _uri_host(name)
    return bool(host) and _permits_host(constraint, host)


def _excludes_uri(constraint: str, name: str) -> bool:
    host = _uri_host(name)
    return not host or _permits_host(constraint, host)


_PERMITS: Final[dict[IdentifierType, Callable[[Any, str], bool]]] = {
    IdentifierType.DNS: _permits_dns,
    IdentifierType.IP: _within_network,
    IdentifierType.EMAIL: _permits_email,
    IdentifierType.URI: _permits_uri,
}
_EXCLUDES: Final[dict[IdentifierType, Callable[[Any, str], bool]]] = {
    IdentifierType.DNS: _excludes_dns,
    IdentifierType.IP: _within_network,
    IdentifierType.EMAIL: _excludes_email,
    IdentifierType.URI: _excludes_uri,
}


def _within_name(subject: x509.Name, base: x509.Name) -> bool:
    """Whether a directory name begins with all of another's RDNs (RFC 5280 §7.1)."""
    wanted, given = list(base.rdns), list(subject.rdns)
    return len(wanted) <= len(given) and all(
        _folded(left) == _folded(right) for left, right in zip(wanted, given, strict=False)
    )


def _folded(rdn: x509.RelativeDistinguishedName) -> set[tuple[str, str]]:
    """Return an RDN without the case and white space that comparison ignores (RFC 4518)."""
    return {(each.oid.dotted_string, " ".join(str(each.value).split()).casefold()) for each in rdn}


def _looks_like_dns(text: str) -> bool:
    """Whether a client might take a common name for a host name."""
    return bool(text) and all(
        label and label.replace("-", "").replace("_", "").isalnum() and label.isascii()
        for label in text.removeprefix("*.").removesuffix(".").split(".")
    )
