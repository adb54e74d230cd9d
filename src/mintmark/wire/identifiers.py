"""Names from text, always in their one canonical form.

RFC 5280 §7 says how names are compared; RFC 1123 §2.1
and RFC 5890 §2.3.1 rule DNS labels, RFC 5952 IP literals, RFC 5321 §4.1.2 mailboxes, RFC 3986
URIs. What is refused is refused with the rule and with what would be accepted.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NoReturn

import idna
from publicsuffixlist import PSLFILE

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType

MAX_NAMES: Final = 100
MAX_DNS_OCTETS: Final = 253  # RFC 1035 §2.3.4: 255 on the wire, with root and length octets
MAX_EMAIL_OCTETS: Final = 254  # RFC 5321 §4.5.3.1.3, without the angle brackets
MAX_URI_OCTETS: Final = 2048
_REMEMBERED: Final = 2048
_DNS: Final = IdentifierType.DNS  # a constant is read in a tenth of a member's time

# What most names look like: no label can be longer than 63 octets when all together are not, and
# none is an A-label or reserved, as no two hyphens stand together.
_is_plain: Final = re.compile(r"[a-z0-9]++(?:[-.][a-z0-9]++)*+").fullmatch
_MAX_PLAIN: Final = 63  # octets (RFC 1035 §2.3.4, of a label)
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_LDH_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_RESERVED_LDH: Final = re.compile(r"(?:^|\.)..--")
_NUMERIC_LABEL: Final = re.compile(r"(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$")
_LOCAL_PART: Final = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)
_URI: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)"
    r"(?P<path>(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)*)"
    r"(?P<query>(?:\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?)"
    r"(?P<fragment>(?:#(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?)"
)
_HOST_AND_PORT: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?P<port>(?::[1-9][0-9]{0,4})?)")
_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_SPIFFE_PATH: Final = re.compile(r"(?:/[A-Za-z0-9._-]+)*")
_PERCENT: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f-\x9f\s]")


def refuse(what: str, text: str, rule: str, hint: str) -> NoReturn:
    """Refuse a name, with the rule it breaks and what is accepted.

    Raises:
        Error: REJECTED_IDENTIFIER, always.
    """
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    raise Error(Kind.REJECTED_IDENTIFIER, f"{what} {shown!r} {rule}", hint=hint)


def parse(type: IdentifierType, text: str) -> Identifier:  # noqa: A002 - Identifier's own word
    """Return the canonical identifier that `text` stands for.

    Raises:
        Error: REJECTED_IDENTIFIER with the value, the rule it breaks and what is accepted.
    """
    if type is _DNS:
        return parse_dns(text)
    if type is IdentifierType.IP:
        return _ip(text)
    return _email(text) if type is IdentifierType.EMAIL else _uri(text)


def parse_any(text: str) -> Identifier:
    """Return the identifier that `text` stands for, its type told by its look.

    `://` makes it a URI, `@` an e-mail address, an IP literal an IP address, and all else has
    to be a DNS name.

    Raises:
        Error: REJECTED_IDENTIFIER as `parse`.
    """
    if "://" in text:
        return _uri(text)
    if "@" in text:
        return _email(text)
    if text.count(":") > 1 or _NUMERIC_LABEL.search(text):  # one colon is a host and a port
        return _ip(text)
    return parse_dns(text)


def parse_all(texts: Iterable[str]) -> tuple[Identifier, ...]:
    """Return the identifiers of several texts as `parse_any`, repetitions left out.

    Raises:
        Error: REJECTED_IDENTIFIER; when several names are refused each is a subproblem.
    """
    return collect(parse_any, [(text,) for text in texts])


def collect(
    read: Callable[..., Identifier], names: Iterable[tuple[Any, ...]]
) -> tuple[Identifier, ...]:
    """Return `read(*name)` of each name, in order, without repetition, refusing all at once.

    Raises:
        Error: REJECTED_IDENTIFIER; TOO_LARGE with more than `MAX_NAMES` names.
    """
    found: dict[str, Identifier] = {}  # canonical texts of two types are never equal
    refused: list[Error] = []
    for name in names:
        try:
            identifier = read(*name)
        except Error as error:
            refused.append(error)
        else:
            found[identifier.value] = identifier
    if len(refused) == 1:
        raise refused[0]
    if refused:
        details = "; ".join(error.detail for error in refused[:3])
        more = f"; and {len(refused) - 3} more" if len(refused) > 3 else ""
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"{len(refused)} names are refused: {details}{more}",
            hint=refused[0].hint,
            subproblems=tuple(refused),
        )
    if len(found) > MAX_NAMES:
        raise Error(
            Kind.TOO_LARGE,
            f"{len(found)} names are asked for, the limit is {MAX_NAMES}",
            hint="ask for several certificates",
        )
    return tuple(found.values())


def _is_public_suffix(name: str) -> bool:
    """Whether a name in canonical form is a public suffix by itself (publicsuffix.org/list).

    The parent of a wildcard rule counts as one, as the list's own tests want it.
    """
    suffixes, parents, exceptions = _public_suffixes()
    if name in suffixes:
        return True
    return name.partition(".")[2] in parents and name not in exceptions


@functools.lru_cache(maxsize=1)
def _public_suffixes() -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return suffixes, parents of wildcard rules, and exceptions from these, all in A-labels.

    The list is read on first use: the command line can do without. The package's own lookup
    tries each parent of a name and joins its labels anew for that; here one name is asked
    about, and nothing above it.
    """
    lines = Path(PSLFILE).read_text("utf-8").splitlines()
    rules = frozenset(
        rule.lower() if rule.isascii() else rule.encode("idna").decode()
        for rule in [line.split(maxsplit=1)[0] for line in lines if line and not line.isspace()]
        if not rule.startswith("//")
    )
    exceptions = frozenset(rule[1:] for rule in rules if rule.startswith("!"))
    parents = frozenset(rule[2:] for rule in rules if rule.startswith("*.")) - exceptions
    return (rules | parents) - exceptions, parents, exceptions


def _dns_refused(text: str, rule: str, hint: str = "") -> NoReturn:
    hint = hint or "letters, digits and hyphens between dots, as in 'web-1.example.internal'"
    refuse("DNS name", text, rule, hint)


def parse_dns(text: str) -> Identifier:
    """Parse a DNS name, with or without a wildcard in its first label.

    Raises:
        Error: REJECTED_IDENTIFIER as `parse`.
    """
    wildcard = False
    if (
        len(text) <= _MAX_PLAIN
        and _is_plain(text)
        and text[text.rfind(".") + 1] > "9"  # its last label begins with a letter
    ):
        name = text
    else:
        rest = text.removeprefix("*.")
        name = _host(rest, text)
        wildcard = rest != text
        if wildcard and "." not in name:
            rule = "has a wildcard above a single label"
            _dns_refused(text, rule, "'*.' needs two labels after it")
    if _is_public_suffix(name):
        _dns_refused(
            text,
            "is a wildcard over a public suffix" if wildcard else "is a public suffix",
            f"put the name of an organization before it, as in 'example.{name}'",
        )
    if wildcard:
        name = f"*.{name}"
        if len(name) > MAX_DNS_OCTETS:
            _dns_refused(text, f"is longer than {MAX_DNS_OCTETS} octets")
    return Identifier(_DNS, name)


@functools.lru_cache(maxsize=_REMEMBERED)
def _host(text: str, whole: str) -> str:
    """Return a host name in canonical form: lower case A-labels, no trailing dot."""
    if len(text) > MAX_DNS_OCTETS + 1:
        _dns_refused(whole, f"is longer than {MAX_DNS_OCTETS} octets")
    name = text.lower() if text.isascii() else _a_labels(text, whole)
    name = name.removesuffix(".")
    if not _LDH_NAME.fullmatch(name) or len(name) > MAX_DNS_OCTETS:
        _explain_dns(name, whole)
    if _NUMERIC_LABEL.search(name):
        # Resolvers read such names as IPv4 addresses, in many historic spellings.
        _dns_refused(whole, "ends in a numeric label, so it would be read as an IP address")
    if "--" in name and _RESERVED_LDH.search(name):
        _check_a_labels(name, whole)
    return name


def _a_labels(text: str, whole: str) -> str:
    """Return the A-label form of a name with U-labels (RFC 5891 §4, mapped by UTS #46)."""
    try:
        return idna.encode(text.removesuffix("."), uts46=True, std3_rules=True).decode().lower()
    except (idna.IDNAError, UnicodeError) as error:
        _dns_refused(
            whole,
            f"cannot be written in A-labels: {error}",
            "only letters and digits that IDNA 2008 allows",
        )


def _check_a_labels(name: str, whole: str) -> None:
    """Refuse reserved LDH labels and A-labels that stand for no U-label (RFC 5890 §2.3.1)."""
    for label in name.split("."):
        if label[2:4] != "--":
            continue
        if not label.startswith("xn--"):
            _dns_refused(whole, f"has a label {label!r} that RFC 5890 reserves for later use")
        try:
            idna.ulabel(label)
        except (idna.IDNAError, UnicodeError):
            _dns_refused(whole, f"has a label {label!r} that stands for no U-label")


def _explain_dns(name: str, whole: str) -> NoReturn:
    """Say which rule of RFC 1123 §2.1 a name breaks."""
    labels = name.split(".")
    if not name:
        _dns_refused(whole, "is empty")
    if _UNPRINTABLE.search(name):
        _dns_refused(whole, "has white space or a control character in it")
    if ":" in name or "/" in name:
        _dns_refused(whole, "is an address or a URL", "give the host name alone")
    if "*" in name:
        _dns_refused(whole, "has '*' elsewhere than as its whole first label")
    if "_" in name:
        _dns_refused(
            whole,
            "has an underscore, which host names exclude (RFC 1123 §2.1)",
            f"use a hyphen: {name.replace('_', '-')!r}",
        )
    if "" in labels:
        _dns_refused(whole, "has an empty label")
    if max(map(len, labels)) > 63:
        _dns_refused(whole, "has a label longer than 63 octets")
    if len(name) > MAX_DNS_OCTETS:
        _dns_refused(whole, f"is longer than {MAX_DNS_OCTETS} octets")
    if any(label[0] == "-" or label[-1] == "-" for label in labels):
        _dns_refused(whole, "has a label that starts or ends with a hyphen")
    _dns_refused(whole, "has a character other than letters, digits and hyphens")


@functools.lru_cache(maxsize=_REMEMBERED)
def _ip(text: str) -> Identifier:
    """Parse an IP literal and write it as RFC 5952 does."""
    hint = "a full address, as in '10.0.0.1' or '2001:db8::1'"
    if "%" in text:
        refuse("IP address", text, "has a zone, which means nothing on another host", hint)
    if "/" in text or text.startswith("["):
        refuse("IP address", text, "has brackets or a prefix length", hint)
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        refuse("IP address", text, "is no complete IPv4 or IPv6 literal", hint)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        refuse("IP address", text, "is an IPv4 address in disguise", f"'{address.ipv4_mapped}'")
    return Identifier(IdentifierType.IP, str(address))


@functools.lru_cache(maxsize=_REMEMBERED)
def _email(text: str) -> Identifier:
    """Parse a mailbox; its local part keeps its case, its domain does not (RFC 5280 §7.5)."""
    local, at, domain = text.partition("@")
    hint = "one '@' with an unquoted ASCII part before it, as in 'alice@example.com'"
    if not at or "@" in domain:
        refuse("e-mail address", text, "has not exactly one '@'", hint)
    if len(local) > 64 or not _LOCAL_PART.fullmatch(local):
        rule = "has a local part that is no dot-atom of at most 64 octets (RFC 5321 §4.1.2)"
        refuse("e-mail address", text, rule, hint)
    try:
        value = f"{local}@{_host(domain, domain)}"
    except Error as error:
        refuse("e-mail address", text, f"has a bad domain: {error.detail}", error.hint)
    if len(value) > MAX_EMAIL_OCTETS:
        refuse("e-mail address", text, f"is longer than {MAX_EMAIL_OCTETS} octets", hint)
    return Identifier(IdentifierType.EMAIL, value)


@functools.lru_cache(maxsize=_REMEMBERED)
def _uri(text: str) -> Identifier:
    """Parse a URI with an authority (RFC 5280 §4.2.1.6, RFC 3986 §3)."""
    hint = "a scheme, '://', a host and a path, as in 'spiffe://example.internal/web'"
    if len(text) > MAX_URI_OCTETS:
        refuse("URI", text, f"is longer than {MAX_URI_OCTETS} octets", hint)
    match = _URI.fullmatch(text)
    if match is None:
        refuse("URI", text, "is no URI of ASCII characters with a scheme (RFC 3986 §3)", hint)
    if "@" in match["authority"]:
        refuse("URI", text, "has user information in it", hint)
    scheme = match["scheme"].lower()
    path = _PERCENT.sub(_unescape, match["path"])
    if any(segment in {".", ".."} for segment in path.split("/")):
        refuse("URI", text, "has a '.' or '..' segment in its path", hint)
    if scheme == "spiffe":
        authority = _spiffe_authority(match, path, text)
    else:
        authority = _uri_authority(match["authority"], text)
    rest = _PERCENT.sub(_unescape, match["query"] + match["fragment"])
    return Identifier(IdentifierType.URI, f"{scheme}://{authority}{path}{rest}")


def _unescape(match: re.Match[str]) -> str:
    """Return an escape in its normal form (RFC 3986 §6.2.2)."""
    octet = int(match[0][1:], 16)
    return chr(octet) if octet in _UNRESERVED else match[0].upper()


def _spiffe_authority(match: re.Match[str], path: str, text: str) -> str:
    """Return the trust domain (SPIFFE-ID §2.1), after looking at the path too (§2.2)."""
    hint = "'spiffe://', a trust domain and a path, as in 'spiffe://example.internal/web'"
    trust_domain = match["authority"].lower()
    if not _TRUST_DOMAIN.fullmatch(trust_domain):
        refuse("SPIFFE id", text, "has a trust domain of other than a-z, 0-9, '.', '_', '-'", hint)
    if match["query"] or match["fragment"] or not _SPIFFE_PATH.fullmatch(path):
        rule = "has a query, a fragment, an empty segment or an escape in its path"
        refuse("SPIFFE id", text, rule, hint)
    return trust_domain


def _uri_authority(authority: str, text: str) -> str:
    """Return host and port in canonical form (RFC 5280 §4.2.1.6: a host name or an address)."""
    hint = "a host name or address, and a port if any, as in 'https://web.example.internal:8443/'"
    match = _HOST_AND_PORT.fullmatch(authority)
    if match is None or not match["host"] or int(match["port"][1:] or "1") > 65535:
        refuse("URI", text, "has no host, or a port outside 1 to 65535", hint)
    host = match["host"]
    try:
        if host.startswith("["):
            host = f"[{_ip(host[1:-1]).value}]"
        elif _NUMERIC_LABEL.search(host.lower()):
            host = _ip(host).value
        else:
            host = _host(host, host)
    except Error as error:
        refuse("URI", text, f"has a bad host: {error.detail}", error.hint or hint)
    return host + match["port"]
