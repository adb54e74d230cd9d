"""The configuration, `mintmark.yaml`: every key optional, every unknown key refused.

Each key is declared once, with its limits, its meaning and what somebody gains who can change
it; decoding, messages, the commented file of a new authority and the reference page all read
that declaration. Values are checked when they are read, not when they are first used.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import parse_qs, urlsplit

from msgspec import Meta, field

from mintmark.authority.policy.names import NameRules
from mintmark.authority.policy.whitelist import SERVICE_ID
from mintmark.model.access import Operation, ServiceRule
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.keys import KeyType
from mintmark.model.profile import (
    BUILT_IN,
    CLIENT_AUTH,
    OCSP_RESPONDER,
    OCSP_SIGNING,
    SERVER_AUTH,
    KeyUsage,
    Profile,
    SubjectAttribute,
)
from mintmark.model.provisioner import ACMEProvisioner, ChallengeType
from mintmark.model.time import DAY, HOUR, MINUTE, YEAR, duration
from mintmark.protocol.acme.validation.settings import ValidationSettings
from mintmark.server import yaml
from mintmark.server.sections import Section, decode, key, span, unknown
from mintmark.wire import identifiers

V = TypeVar("V")

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Rate = Annotated[int, Meta(ge=0, le=10_000_000)]
Patience = Annotated[int, span(1, HOUR)]
Lifetime = Annotated[int, span(MINUTE, 10 * YEAR)]
Attribute = Annotated[str, Meta(min_length=1, max_length=64)]  # RFC 5280 appendix A.1: ub-*
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$", title="two capital letters, as DE")]
Line = Annotated[str, Meta(min_length=1, max_length=2000)]
Texts = Annotated[tuple[str, ...], Meta(max_length=1000)]
Some = Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)]


class ConnectionLimits(Section, frozen=True, kw_only=True):
    """What one client can take of the server."""

    header_bytes: Annotated[
        Annotated[int, Meta(ge=1024, le=1_048_576)],
        key("Octets of a request line with its headers.", "memory of every connection"),
    ] = 16_384
    body_bytes: Annotated[
        Annotated[int, Meta(ge=4096, le=16_777_216)],
        key("Octets of a request body.", "memory of every request"),
    ] = 65_536
    connections: Annotated[Count, key("Open connections of a process.", "memory")] = 4096
    connections_per_address: Annotated[
        Count,
        key(
            "Open connections of one client: an IPv4 address, or an IPv6 network of 64 bits.",
            "one client can starve others",
        ),
    ] = 1024
    header_timeout: Annotated[
        Patience, key("A request's headers arrive within this.", "slow clients hold connections")
    ] = 10
    body_timeout: Annotated[
        Patience, key("A request's body arrives within this.", "slow clients hold connections")
    ] = 30
    idle_timeout: Annotated[
        Patience,
        key(
            "A connection without a request is closed after this.", "idle clients hold connections"
        ),
    ] = 75


class Server(Section, frozen=True, kw_only=True):
    """Where the server listens, and how clients name it."""

    listen: Annotated[
        Some,
        key("Addresses to listen on; 0.0.0.0 and '::' mean all.", "more networks reach the server"),
    ] = ("127.0.0.1",)
    https_port: Annotated[Port, key("Port of the API, TLS.", "denial of service")] = 8443
    http_port: Annotated[
        Port,
        key(
            "Port of CRL, OCSP, issuer certificates and health: plain HTTP, signed content.",
            "denial of service",
        ),
    ] = 8080
    names: Annotated[
        Some,
        key(
            "DNS names and addresses in the server's own certificate.",
            "a server certificate for other names",
        ),
    ] = ("localhost", "127.0.0.1", "::1")
    public_http_url: Annotated[
        Line | None,
        key(
            "URL under which everybody reaches http_port; certificates carry it. "
            "null: http:// with the first DNS name above and http_port.",
            "keeps clients from revocation data, which it cannot forge",
        ),
    ] = None
    workers: Annotated[
        Annotated[int, Meta(ge=1, le=256)],
        key("Server processes: one for each processor core it may use.", "memory"),
    ] = 1
    limits: ConnectionLimits = ConnectionLimits()


class Storage(Section, frozen=True, kw_only=True):
    """Where the authority remembers."""

    url: Annotated[
        Line,
        key(
            "sqlite:FILE, relative to the authority directory, "
            "or postgresql://USER@HOST/DATABASE without a password.",
            "can hide revocations and certificates, which the audit log reveals",
        ),
    ] = "sqlite:mintmark.db"
    password_file: Annotated[
        Line | None,
        key("File with the database password, relative to the authority directory.", "as url"),
    ] = None


class Issuing(Section, frozen=True, kw_only=True):
    """How long the things are good that the authority signs for itself."""

    crl_lifetime: Annotated[
        Annotated[int, span(10 * MINUTE, 30 * DAY)],
        key(
            "From thisUpdate to nextUpdate of a CRL; it is signed anew before half of it.",
            "an old CRL can be replayed for so long",
        ),
    ] = DAY
    ocsp_lifetime: Annotated[
        Annotated[int, span(5 * MINUTE, 7 * DAY)],
        key(
            "From thisUpdate to nextUpdate of an OCSP response.",
            "an old response can be replayed for so long",
        ),
    ] = 12 * HOUR
    server_certificate_lifetime: Annotated[
        Annotated[int, span(HOUR, 398 * DAY)],
        key("Of the server's own certificate, which renews itself.", "a stolen key works longer"),
    ] = 90 * DAY
    backdate: Annotated[
        Annotated[int, span(0, DAY)],
        key("How far notBefore lies in the past, for clients whose clock is late.", "nothing"),
    ] = 60


class WhitelistEntry(Section, frozen=True, kw_only=True):
    """What an entry of the whitelist allows."""

    names: Annotated[
        Texts,
        key(
            "Globs of names it may ask for, beside its own id.",
            "certificates for other parties' names",
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
            "A glob over service ids, as test-*; ACME accounts only if it begins with acme.",
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


class ProfileSubject(Section, frozen=True, kw_only=True):
    """Subject attributes that every certificate of a profile carries."""

    organization: Annotated[Attribute | None, key("organizationName.", "a misleading subject")] = (
        None
    )
    organizational_unit: Annotated[
        Attribute | None, key("organizationalUnitName.", "a misleading subject")
    ] = None
    country: Annotated[
        Country | None, key("countryName; write 'NO' in quotes.", "a misleading subject")
    ] = None


class ProfileEntry(Section, frozen=True, kw_only=True):
    """A profile of your own; a key left out keeps the value of the profile it extends."""

    extends: Annotated[
        Literal["server", "client", "peer"] | None,
        key(
            "The built-in profile it starts from; null: the one of its own name, else server.",
            "as the keys below",
        ),
    ] = None
    extended_key_usage: Annotated[
        Some | None,
        key(
            "Purposes: serverAuth, clientAuth, codeSigning, emailProtection or dotted OIDs.",
            "certificates that pass for something else",
        ),
    ] = None
    key_usage: Annotated[
        tuple[
            Literal[
                "digitalSignature",
                "contentCommitment",
                "keyEncipherment",
                "dataEncipherment",
                "keyAgreement",
            ],
            ...,
        ]
        | None,
        key(
            "What the key is for; keyEncipherment goes into certificates of RSA keys only.",
            "keys used for something else",
        ),
    ] = None
    key_types: Annotated[
        tuple[KeyType, ...] | None, key("Subject keys that it certifies.", "weaker keys")
    ] = None
    san_types: Annotated[
        tuple[IdentifierType, ...] | None,
        key("Kinds of name it may carry.", "other kinds of name"),
    ] = None
    names: Annotated[
        Texts | None,
        key(
            "Globs that every name must match one of; empty leaves it to the whitelist.",
            "certificates for other parties' names",
        ),
    ] = None
    wildcards: Annotated[
        bool | None,
        key("Whether a DNS name may begin with '*.'.", "one certificate for many hosts"),
    ] = None
    lifetime: Annotated[
        Lifetime | None, key("Used when a request names none.", "a stolen key works longer")
    ] = None
    lifetime_min: Annotated[
        Lifetime | None, key("The shortest that may be asked for.", "more certificates")
    ] = None
    lifetime_max: Annotated[
        Lifetime | None, key("The longest that may be asked for.", "a stolen key works longer")
    ] = None
    subject: Annotated[
        ProfileSubject | None, key("Fixed subject attributes.", "a misleading subject")
    ] = None
    common_name: Annotated[
        bool | None, key("Whether the subject carries the common name asked for.", "nothing")
    ] = None
    certificate_policies: Annotated[
        Texts | None, key("Dotted OIDs of certificate policies.", "false assurance")
    ] = None
    must_staple: Annotated[
        bool | None,
        key("Adds the TLS feature extension: servers have to staple OCSP.", "denial of service"),
    ] = None


class Limits(Section, frozen=True, kw_only=True):
    """How fast certificates can be had."""

    certificates_per_hour: Annotated[
        Count | None,
        key(
            "Of one service, unless its entry says otherwise; null: no limit.", "more certificates"
        ),
    ] = 100
    total_certificates_per_hour: Annotated[
        Count | None, key("Of all services together; null: no limit.", "more certificates")
    ] = 10_000


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


class Validation(Section, frozen=True, kw_only=True):
    """How ACME challenges are looked at."""

    http_port: Annotated[
        Port,
        key(
            "Port of http-01; another than 80 is for tests and odd networks.",
            "certificates for names of hosts where anyone may listen on that port",
        ),
    ] = 80
    https_port: Annotated[
        Port,
        key(
            "Port of tls-alpn-01 and of redirects to https; another than 443 is for tests and "
            "odd networks.",
            "certificates for names of hosts where anyone may listen on that port",
        ),
    ] = 443
    resolvers: Annotated[
        Texts,
        key(
            "Addresses of DNS resolvers, as 10.0.0.53 or 10.0.0.53:5353; empty takes the hosts "
            "file and the system's.",
            "certificates for every name",
        ),
    ] = ()
    source_addresses: Annotated[
        Annotated[tuple[str, ...], Meta(max_length=2)],
        key(
            "Addresses that validation comes from, one of each family; empty: the system's choice.",
            "denial of service",
        ),
    ] = ()
    allow_private: Annotated[
        bool,
        key(
            "Whether loopback and private addresses are validated.",
            "GET requests from the authority's own network",
        ),
    ] = True
    timeout: Annotated[
        Annotated[int, span(1, MINUTE)], key("For one attempt, all in all.", "denial of service")
    ] = 10
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)],
        key("Validations of one process at the same time.", "sockets and memory"),
    ] = 128
    issuer_domain_names: Annotated[
        Annotated[tuple[str, ...], Meta(max_length=10)],
        key(
            "Names by which dns-persist-01 records speak of this authority.",
            "certificates for names whose records were written for others",
        ),
    ] = ()


class ACME(Section, frozen=True, kw_only=True):
    """What all ACME provisioners have in common."""

    validation: Validation = Validation()


class Settings(Section, frozen=True, kw_only=True):
    """The whole file."""

    server: Server = Server()
    storage: Storage = Storage()
    issuer: Issuing = Issuing()
    whitelist: Whitelist = Whitelist()
    profiles: Annotated[
        dict[str, ProfileEntry],
        key(
            "Profiles by name, beside or in place of the built-in server, client and peer.",
            "certificates of other shapes",
        ),
    ] = field(default_factory=dict)
    limits: Limits = Limits()
    provisioners: Annotated[
        Annotated[tuple[ProvisionerEntry, ...], Meta(max_length=100)],
        key(
            "ACME servers, each with its own accounts; an empty list: none.",
            "certificates for every name that a challenge can be met for",
        ),
    ] = (ProvisionerEntry(name=_ACME.name),)
    acme: ACME = ACME()


def load(path: Path) -> Settings:
    """Read and check a configuration file.

    Raises:
        Error: CONFIGURATION, with the file, the key and what it has to be.
    """
    text = _text(path)
    try:
        return of(yaml.read(text))
    except Error as error:
        raise Error(error.kind, f"{path}: {error.detail}", hint=error.hint) from error


def of(values: object) -> Settings:
    """Return the settings that plain values say, as a file would.

    Raises:
        Error: CONFIGURATION, with the key and what it has to be.
    """
    settings = decode(Settings, values)
    for problem in _contradictions(settings):
        raise problem
    return settings


def check(path: Path) -> list[str]:
    """Return what is wrong with a configuration file, as sentences; empty when all is well."""
    try:
        problems = list(_contradictions(decode(Settings, yaml.read(_text(path)))))
    except Error as error:
        problems = [error]
    return [f"{one.detail} ({one.hint})" if one.hint else one.detail for one in problems]


def public_http_url(settings: Settings) -> str:
    """Return the URL, without a slash at its end, that certificates point to."""
    if settings.server.public_http_url is not None:
        return settings.server.public_http_url.rstrip("/")
    names = settings.server.names
    first = next((name for name in names if not _is_address(name)), names[0])
    host = f"[{first}]" if ":" in first else first
    return f"http://{host}:{settings.server.http_port}"


def service_rules(settings: Settings) -> tuple[ServiceRule, ...]:
    """Return the whitelist's rules for single services.

    The command line's administrator is one of them even if the file names only others: whoever
    adds the first service shall not lock himself out.
    """
    entries = settings.whitelist.services
    if all(entry.service_id != ADMIN.service_id for entry in entries):
        entries = (*entries, ADMIN)
    return tuple(entry.rule(entry.service_id) for entry in entries)


def pattern_rules(settings: Settings) -> tuple[ServiceRule, ...]:
    """Return the whitelist's rules by glob, in order."""
    return tuple(entry.rule(entry.pattern) for entry in settings.whitelist.patterns)


def profiles(settings: Settings) -> dict[str, Profile]:
    """Return all profiles, the built-in ones included, by name.

    Raises:
        Error: CONFIGURATION for a profile that contradicts itself.
    """
    found = {profile.name: profile for profile in BUILT_IN}
    for name, entry in settings.profiles.items():
        found[name] = _profile(name, entry)
    return found


def provisioners(settings: Settings) -> tuple[ACMEProvisioner, ...]:
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
        for entry in settings.provisioners
    )


def validation(settings: Settings) -> ValidationSettings:
    """Return how far validation goes."""
    given = settings.acme.validation
    return ValidationSettings(
        resolvers=given.resolvers,
        source_addresses=given.source_addresses,
        http_port=given.http_port,
        https_port=given.https_port,
        tls_port=given.https_port,
        allow_private=given.allow_private,
        timeout=given.timeout,
        concurrency=given.concurrency,
        issuer_domain_names=given.issuer_domain_names,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise Error(
            Kind.CONFIGURATION,
            f"there is no file '{path}'",
            hint="make an authority with mintmark init, or name its directory with --dir",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Error(Kind.CONFIGURATION, f"cannot read '{path}': {reason}") from error


# What no single key can be blamed for.


def _contradictions(settings: Settings) -> Iterator[Error]:
    """Yield what is wrong although each key by itself is of its form."""
    yield from _server_problems(settings.server)
    yield from _storage_problems(settings.storage)
    yield from _whitelist_problems(settings)
    yield from _provisioner_problems(settings)
    for name, entry in settings.profiles.items():
        try:
            _profile(name, entry)
        except Error as error:
            yield Error(error.kind, f"'profiles.{name}': {error.detail}", hint=error.hint)


def _server_problems(server: Server) -> Iterator[Error]:
    for number, address in enumerate(server.listen):
        if not _is_address(address):
            yield _wrong(f"'server.listen[{number}]' is '{address}'; it has to be an IP address")
    if server.https_port == server.http_port:
        yield _wrong(f"'server.https_port' and 'server.http_port' are both {server.http_port}")
    for number, name in enumerate(server.names):
        # Parsing the first DNS name loads the list of public suffixes, 0.1 s; the defaults
        # need no look at it.
        if name == "localhost" or _is_address(name):
            continue
        try:
            found = identifiers.parse_any(name)
        except Error as error:
            yield _wrong(f"'server.names[{number}]': {error.detail}")
            continue
        if found.type not in (IdentifierType.DNS, IdentifierType.IP):
            yield _wrong(
                f"'server.names[{number}]' is '{name}'; it has to be a DNS name or address"
            )
    if server.public_http_url is not None and not _is_plain_http(server.public_http_url):
        yield _wrong(
            f"'server.public_http_url' is '{server.public_http_url}'; it has to be a URL of "
            "scheme http with a host and no query (RFC 5280 §8: https would loop)"
        )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_plain_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        fine = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    visible = url.isascii() and url.isprintable() and " " not in url
    return fine and visible and not (parts.query or parts.fragment or parts.username)


def _storage_problems(storage: Storage) -> Iterator[Error]:
    if not storage.url.startswith(("sqlite:", "postgresql://")):
        yield _wrong(
            f"'storage.url' is '{storage.url}'; it has to begin with sqlite: or postgresql://"
        )
    elif storage.url.startswith("postgresql://") and _has_password(storage.url):
        yield Error(
            Kind.CONFIGURATION,
            "'storage.url' holds a password",
            hint="put it into a file of mode 0600 and name that in storage.password_file",
        )


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:
        return False


def _whitelist_problems(settings: Settings) -> Iterator[Error]:
    known = {profile.name for profile in BUILT_IN} | set(settings.profiles)
    seen: set[str] = set()
    for number, entry in enumerate(settings.whitelist.services):
        path = f"whitelist.services[{number}]"
        if not SERVICE_ID.fullmatch(entry.service_id):
            yield _wrong(
                f"'{path}.service_id' is '{entry.service_id}'; it has to be 1 to 128 of a-z, "
                "0-9, '.', '_' and '-', beginning and ending with a letter or digit"
            )
        if entry.service_id in seen:
            yield _wrong(f"'{path}' is a second entry for service '{entry.service_id}'")
        seen.add(entry.service_id)
        yield from _entry_problems(entry, path, known)
    for number, pattern in enumerate(settings.whitelist.patterns):
        yield from _entry_problems(pattern, f"whitelist.patterns[{number}]", known)


def _entry_problems(entry: WhitelistEntry, path: str, known: set[str]) -> Iterator[Error]:
    for profile in entry.profiles:
        if profile not in known:
            yield unknown(f"'{path}.profiles' has unknown profile '{profile}'", profile, known)
    try:
        NameRules(entry.names)
    except Error as error:
        yield Error(error.kind, f"'{path}.names': {error.detail}", hint=error.hint)


def _provisioner_problems(settings: Settings) -> Iterator[Error]:
    known = {profile.name for profile in BUILT_IN} | set(settings.profiles)
    seen: set[str] = set()
    for number, entry in enumerate(settings.provisioners):
        path = f"provisioners[{number}]"
        if not _PROFILE_NAME.fullmatch(entry.name):
            yield _wrong(f"'{path}.name' is '{entry.name}'; it has to be of a-z, 0-9 and '-'")
        if entry.name in seen:
            yield _wrong(f"'{path}' is a second provisioner '{entry.name}'")
        seen.add(entry.name)
        for profile in entry.profiles:
            if profile not in known:
                yield unknown(f"'{path}.profiles' has unknown profile '{profile}'", profile, known)
        yield from _lifetime_problems(settings, path, entry)
        persistent = ChallengeType.DNS_PERSIST_01 in entry.challenges
        if persistent and not settings.acme.validation.issuer_domain_names:
            yield Error(
                Kind.CONFIGURATION,
                f"'{path}.challenges' has dns-persist-01, whose records name the authority",
                hint="say by which name in acme.validation.issuer_domain_names",
            )
        try:
            NameRules(entry.names)
        except Error as error:
            yield Error(error.kind, f"'{path}.names': {error.detail}", hint=error.hint)
    yield from _validation_problems(settings.acme.validation)


def _lifetime_problems(settings: Settings, path: str, entry: ProvisionerEntry) -> Iterator[Error]:
    """Yield profiles that no certificate of a provisioner's lifetime could have."""
    if entry.lifetime is None:
        return
    try:
        known = profiles(settings)
    except Error:  # which has been told already
        return
    for name in entry.profiles:
        profile = known.get(name)
        if profile and not profile.lifetime_min <= entry.lifetime <= profile.lifetime_max:
            yield _wrong(
                f"'{path}.lifetime' is {duration(entry.lifetime)}; profile '{name}' allows "
                f"{duration(profile.lifetime_min)} to {duration(profile.lifetime_max)}"
            )


def _validation_problems(validation: Validation) -> Iterator[Error]:
    for number, resolver in enumerate(validation.resolvers):
        if not _is_resolver(resolver):
            yield _wrong(
                f"'acme.validation.resolvers[{number}]' is '{resolver}'; it has to be an IP "
                "address, with a port if it is not 53 ([2001:db8::53]:5353)"
            )
    for number, address in enumerate(validation.source_addresses):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            yield _wrong(
                f"'acme.validation.source_addresses[{number}]' is '{address}'; "
                "it has to be an IP address"
            )


def _is_resolver(text: str) -> bool:
    """Whether text is an address, or an address and a port."""
    host, colon, port = text.rpartition(":")
    try:
        if text.count(":") == 1 or text.startswith("["):
            ipaddress.ip_address(host.removeprefix("[").removesuffix("]") if colon else text)
            return 1 <= int(port) <= 65535
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _wrong(detail: str) -> Error:
    return Error(Kind.CONFIGURATION, detail)


# Profiles.

PURPOSES: Final = {
    "serverAuth": SERVER_AUTH,
    "clientAuth": CLIENT_AUTH,
    "codeSigning": "1.3.6.1.5.5.7.3.3",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
}
# What no profile may carry, and why.
_FORBIDDEN_WORDS: Final = {
    "OCSPSigning": OCSP_SIGNING,
    "anyExtendedKeyUsage": "2.5.29.37.0",
    "timeStamping": "1.3.6.1.5.5.7.3.8",
}
_FORBIDDEN_PURPOSES: Final = {
    OCSP_SIGNING: "it would let any holder answer OCSP for the issuer (RFC 6960 §4.2.2.2)",
    "2.5.29.37.0": "it would let any holder answer OCSP for the issuer (RFC 5280 §4.2.1.12)",
    "1.3.6.1.5.5.7.3.8": "time stamping wants a critical extension (RFC 3161 §2.3), "
    "which profiles do not make",
}
_USAGES: Final = {
    "digitalSignature": KeyUsage.DIGITAL_SIGNATURE,
    "contentCommitment": KeyUsage.CONTENT_COMMITMENT,
    "dataEncipherment": KeyUsage.DATA_ENCIPHERMENT,
    "keyAgreement": KeyUsage.KEY_AGREEMENT,
}
_OID: Final = re.compile(r"[0-2](?:\.(?:0|[1-9][0-9]{0,18})){1,30}", re.ASCII)
_PROFILE_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)


def _profile(name: str, entry: ProfileEntry) -> Profile:
    """Return the profile that an entry makes of the one it extends."""
    if not _PROFILE_NAME.fullmatch(name) or name == OCSP_RESPONDER.name:
        raise Error(
            Kind.CONFIGURATION,
            f"'{name}' cannot name a profile",
            hint="use 1 to 64 of a-z, 0-9 and '-'; ocsp-responder is the server's own",
        )
    built_in = {profile.name: profile for profile in BUILT_IN}
    base = built_in[entry.extends or (name if name in built_in else "server")]
    usages, encipherment = base.key_usages, base.rsa_key_encipherment
    if entry.key_usage is not None:
        usages = frozenset(_USAGES[word] for word in entry.key_usage if word in _USAGES)
        encipherment = "keyEncipherment" in entry.key_usage
    profile = Profile(
        name,
        base.extended_key_usages
        if entry.extended_key_usage is None
        else _purposes(entry.extended_key_usage),
        usages,
        _or(entry.key_types, base.key_types),
        _or(entry.san_types, base.identifier_types),
        _or(entry.names, base.names),
        _or(entry.wildcards, base.wildcards),
        _or(entry.lifetime, base.lifetime),
        _or(entry.lifetime_min, base.lifetime_min),
        _or(entry.lifetime_max, base.lifetime_max),
        base.subject if entry.subject is None else _subject(entry.subject),
        _or(entry.common_name, base.common_name),
        _or(entry.certificate_policies, base.certificate_policies),
        _or(entry.must_staple, base.ocsp_must_staple),
        rsa_key_encipherment=encipherment,
    )
    _check_profile(profile)
    return profile


def _or(given: V | None, inherited: V) -> V:
    return inherited if given is None else given


def _purposes(words: Iterable[str]) -> tuple[str, ...]:
    """Return extended key usages as dotted OIDs, without those that would break the CA."""
    found = []
    for word in words:
        oid = PURPOSES.get(word) or _FORBIDDEN_WORDS.get(word, word)
        if not _OID.fullmatch(oid):
            raise unknown(f"unknown purpose '{word}'", word, PURPOSES)
        if oid in _FORBIDDEN_PURPOSES:
            raise Error(
                Kind.CONFIGURATION,
                f"purpose '{word}' cannot be in a profile",
                hint=_FORBIDDEN_PURPOSES[oid],
            )
        if oid in found:
            raise _wrong(f"purpose '{word}' is written twice")
        found.append(oid)
    return tuple(found)


def _subject(entry: ProfileSubject) -> tuple[tuple[SubjectAttribute, str], ...]:
    """Return the fixed attributes, the widest first, as names are usually written."""
    attributes = (
        (SubjectAttribute.COUNTRY, entry.country),
        (SubjectAttribute.ORGANIZATION, entry.organization),
        (SubjectAttribute.ORGANIZATIONAL_UNIT, entry.organizational_unit),
    )
    return tuple((attribute, text) for attribute, text in attributes if text is not None)


def _check_profile(profile: Profile) -> None:
    """Refuse a profile that no certificate could satisfy."""
    low, usual, high = profile.lifetime_min, profile.lifetime, profile.lifetime_max
    if not low <= usual <= high:
        raise _wrong(
            f"lifetime {duration(usual)} is not between lifetime_min {duration(low)} "
            f"and lifetime_max {duration(high)}"
        )
    if not profile.key_types:
        raise _wrong("key_types is empty, so no key could be certified")
    _check_usages(profile)
    for oid in profile.certificate_policies:
        if not _OID.fullmatch(oid):
            raise _wrong(f"certificate policy '{oid}' is not a dotted OID")
    NameRules(profile.names)


def _check_usages(profile: Profile) -> None:
    """Refuse key usages that a key type of the profile cannot have (RFC 3279 §2.3, RFC 8410 §5)."""
    for key_type in profile.key_types:
        is_rsa, is_ec = key_type.rsa_bits is not None, key_type.value.startswith("ec-")
        allowed = {KeyUsage.DIGITAL_SIGNATURE, KeyUsage.CONTENT_COMMITMENT}
        allowed |= {KeyUsage.DATA_ENCIPHERMENT} if is_rsa else set()
        allowed |= {KeyUsage.KEY_AGREEMENT} if is_ec else set()
        if excess := profile.key_usages - allowed:
            word = next(word for word, usage in _USAGES.items() if usage in excess)
            raise Error(
                Kind.CONFIGURATION,
                f"key usage '{word}' does not fit key type '{key_type.value}'",
                hint="narrow key_types, or leave the usage out",
            )
        if not profile.key_usages and not (is_rsa and profile.rsa_key_encipherment):
            raise _wrong(f"key_usage leaves nothing for key type '{key_type.value}'")
