"""Provisioners of type `oidc`: people who sign in at an OpenID provider."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from cryptography import x509
from msgspec import Meta, field

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.provisioner import GroupMapping, OIDCProvisioner
from mintmark.server.sections import TAG, Section, at, key, wrong
from mintmark.server.settings.claims import ClaimsEntry, Known, RulesEntry, missing
from mintmark.server.settings.values import Lifetime, Line, ProvisionerName, Texts
from mintmark.wire import pem
from mintmark.wire.identifiers import parse

_OIDC: Final = OIDCProvisioner("oidc", "", "")
_LOCAL: Final = "localhost"
_LISTEN: Final = re.compile(
    r"(?P<host>\[[0-9a-f:]+\]|[0-9a-z.]*):(?P<port>[1-9][0-9]{0,4})", re.ASCII
)
_SCOPE: Final = re.compile(r"[!#-\[\]-~]{1,256}", re.ASCII)  # RFC 6749 §3.3
_PLACEHOLDER: Final = re.compile(r"\{[A-Za-z0-9_.:/-]{1,128}\}", re.ASCII)
# What may stand in a principal beside placeholders (design rule 7).
_LITERAL: Final = re.compile(r"[!#-)+\-->@-\[\]-z|~]*", re.ASCII)

Certificates = Annotated[str, Meta(max_length=65536)]
Values = Annotated[tuple[str, ...], Meta(min_length=1, max_length=1000)]


class MappingEntry(Section, frozen=True, kw_only=True):
    """What members of groups, or holders of claims, may have; all that fit add up."""

    groups: Annotated[
        Texts, key("One of them has to be in the token's groups; empty asks for none.", "entry")
    ] = ()
    claims: Annotated[
        Annotated[dict[str, str], Meta(max_length=100)],
        key("Claims that all have to have these values; empty asks for none.", "entry"),
    ] = field(default_factory=dict)
    principals: Annotated[
        Texts,
        key(
            "Principals of SSH user certificates: words, with {claim} in them: {email}, "
            "{email.local}, {preferred_username}, {sub}.",
            "logins as other users",
        ),
    ] = ()
    profiles: Annotated[
        Texts, key("X.509 profiles, of those in rules.profiles.", "certificates of other shapes")
    ] = ()
    ssh_profiles: Annotated[
        Texts, key("SSH profiles, of those in rules.ssh_profiles.", "certificates of other shapes")
    ] = ()
    lifetime: Annotated[
        Lifetime | None,
        key(
            "The longest of these certificates; null sets no bound; the shortest of several holds.",
            "a stolen key works longer",
        ),
    ] = None

    def mapping(self) -> GroupMapping:
        """Return what the entry says."""
        return GroupMapping(
            self.groups,
            self.claims,
            self.principals,
            self.profiles,
            self.ssh_profiles,
            self.lifetime,
        )

    @classmethod
    def of(cls, mapping: GroupMapping) -> MappingEntry:
        """Return the entry that says this mapping."""
        return cls(
            groups=mapping.groups,
            claims=dict(mapping.claims),
            principals=mapping.principals,
            profiles=mapping.profiles,
            ssh_profiles=mapping.ssh_profiles,
            lifetime=mapping.lifetime,
        )

    def problems(self, path: str, rules: RulesEntry, known: Known) -> Iterator[Error]:
        """Yield what is wrong although each key by itself is of its form."""
        yield from missing(f"{path}.profiles", "profile", self.profiles, known.profiles)
        yield from missing(
            f"{path}.ssh_profiles", "SSH profile", self.ssh_profiles, known.ssh_profiles
        )
        for given, allowed, which in (
            (self.profiles, rules.profiles, "profiles"),
            (self.ssh_profiles, rules.ssh_profiles, "ssh_profiles"),
        ):
            for name in given:
                if name not in allowed:
                    yield Error(
                        Kind.CONFIGURATION,
                        f"'{path}.{which}' has '{name}', which 'rules.{which}' does not have "
                        f"(it has: {', '.join(allowed) or 'none'})",
                        hint="add it there: rules are the bounds of all mappings",
                    )
        for template in self.principals:
            if not _is_template(template):
                yield Error(
                    Kind.CONFIGURATION,
                    f"'{path}.principals' has '{template}', which no principal can be",
                    hint="write a login name without comma, blank, '*' or '?'; {claim} puts in "
                    "what the token says, as {email.local}",
                )
        given_any = self.principals or self.profiles or self.ssh_profiles
        if not given_any and self.lifetime is None:
            yield wrong(f"'{path}' gives nothing: no principals, profiles or lifetime")


class OIDCEntry(Section, frozen=True, kw_only=True):
    """People who sign in at an OpenID provider."""

    name: Annotated[ProvisionerName, key("What clients call it by.", "nothing")]
    type: Annotated[Literal["oidc"], key(TAG, "nothing")]
    configuration_endpoint: Annotated[
        Line,
        key(
            "URL of the provider's discovery document, or its issuer; https, or http on loopback.",
            "sign-ins as anybody",
        ),
    ]
    client_id: Annotated[
        Line, key("Ours at the provider, the aud of its tokens.", "sign-ins for another program")
    ]
    client_secret: Annotated[
        Annotated[str, Meta(max_length=2000)],
        key(
            "Of that client; every client of this authority is told it, so make it a native one.",
            "nothing: it is public",
        ),
    ] = ""
    scopes: Annotated[
        Annotated[tuple[str, ...], Meta(min_length=1, max_length=50)],
        key(
            "Asked for at sign-in; many providers send groups only if 'groups' is among them.",
            "nothing",
        ),
    ] = _OIDC.scopes
    listen_address: Annotated[
        Annotated[str, Meta(max_length=64)],
        key(
            "Loopback address and port of the browser's way back, as 127.0.0.1:10000; empty: any "
            "free port.",
            "nothing",
        ),
    ] = ""
    groups: Annotated[
        Texts,
        key("One of them has to be in the token's groups; empty asks for none.", "entry"),
    ] = ()
    domains: Annotated[
        Texts,
        key("One of them has to be the verified e-mail address's; empty asks for none.", "entry"),
    ] = ()
    required_claims: Annotated[
        Annotated[dict[str, Values], Meta(max_length=100)],
        key("Claims, each with the values one of which it has to have.", "entry"),
    ] = field(default_factory=dict)
    admins: Annotated[
        Texts,
        key(
            "E-mail addresses, or groups, that may ask for any names within the rules.",
            "certificates for other parties",
        ),
    ] = ()
    mappings: Annotated[
        Annotated[tuple[MappingEntry, ...], Meta(max_length=1000)],
        key(
            "What groups and claims may have; empty: SSH principals are made of the e-mail "
            "address, profiles are those of the rules.",
            "logins as other users",
        ),
    ] = ()
    ca_certificates: Annotated[
        Certificates,
        key("PEM of further roots to reach the provider with.", "sign-ins as anybody"),
    ] = ""
    claims: Annotated[ClaimsEntry, key("Lifetimes and renewal.", "a stolen key works longer")] = (
        ClaimsEntry()
    )
    rules: Annotated[
        RulesEntry,
        key("Bounds of whatever the mappings say.", "certificates for other parties"),
    ] = RulesEntry()

    def provisioner(self) -> OIDCProvisioner:
        """Return what the entry says."""
        return OIDCProvisioner(
            name=self.name,
            configuration_endpoint=self.configuration_endpoint,
            client_id=self.client_id,
            client_secret=self.client_secret,
            scopes=self.scopes,
            listen_address=self.listen_address,
            groups=self.groups,
            domains=tuple(_domain(one) for one in self.domains),
            required_claims=self.required_claims,
            admins=self.admins,
            mappings=tuple(one.mapping() for one in self.mappings),
            ca_certificates=self.ca_certificates,
            claims=self.claims.claims(_OIDC.claims),
            rules=self.rules.rules(),
        )

    @classmethod
    def of(cls, provisioner: OIDCProvisioner) -> OIDCEntry:
        """Return the entry that says this provisioner."""
        return cls(
            name=provisioner.name,
            type="oidc",
            configuration_endpoint=provisioner.configuration_endpoint,
            client_id=provisioner.client_id,
            client_secret=provisioner.client_secret,
            scopes=provisioner.scopes,
            listen_address=provisioner.listen_address,
            groups=provisioner.groups,
            domains=provisioner.domains,
            required_claims=dict(provisioner.required_claims),
            admins=provisioner.admins,
            mappings=tuple(MappingEntry.of(one) for one in provisioner.mappings),
            ca_certificates=provisioner.ca_certificates,
            claims=ClaimsEntry.of(provisioner.claims, _OIDC.claims),
            rules=RulesEntry.of(provisioner.rules),
        )

    def problems(self, path: str, known: Known) -> Iterator[Error]:
        """Yield what is wrong although each key by itself is of its form."""
        yield from _endpoint_problems(f"{path}.configuration_endpoint", self.configuration_endpoint)
        if self.listen_address and not _is_loopback_address(self.listen_address):
            yield Error(
                Kind.CONFIGURATION,
                f"'{path}.listen_address' is '{self.listen_address}'; it has to be a loopback "
                "address with a port",
                hint="write it as 127.0.0.1:10000, or leave it out",
            )
        for name, text in (("client_id", self.client_id), ("client_secret", self.client_secret)):
            if not text.isprintable():
                yield wrong(f"'{path}.{name}' has characters that cannot be printed")
        yield from self._scope_problems(path)
        for domain in self.domains:
            try:
                _domain(domain)
            except Error as error:
                yield Error(
                    Kind.CONFIGURATION,
                    f"'{path}.domains': {error.detail}",
                    hint="write what stands behind the '@', as example.com",
                )
        yield from certificate_problems(f"{path}.ca_certificates", self.ca_certificates)
        for number, mapping in enumerate(self.mappings):
            yield from mapping.problems(f"{path}.mappings[{number}]", self.rules, known)
        yield from self.claims.problems(f"{path}.claims", _OIDC.claims)
        yield from self.rules.problems(f"{path}.rules", known)

    def _scope_problems(self, path: str) -> Iterator[Error]:
        if "openid" not in self.scopes:
            yield wrong(f"'{path}.scopes' lacks 'openid', without which no ID token comes")
        for scope in self.scopes:
            if not _SCOPE.fullmatch(scope):
                yield wrong(f"'{path}.scopes' has '{scope}', which is no scope (RFC 6749 §3.3)")


def _domain(text: str) -> str:
    """Return a domain as canonical e-mail addresses have it.

    Raises:
        Error: REJECTED_IDENTIFIER.
    """
    found = parse(IdentifierType.DNS, text)
    if found.wildcard:
        raise Error(Kind.REJECTED_IDENTIFIER, f"'{text}' is a wildcard, not one domain")
    return found.value


def certificate_problems(path: str, text: str) -> Iterator[Error]:
    """Yield why a text is not PEM of certificates; an empty one is fine."""
    if not text:
        return
    try:
        ders = pem.decode(pem.CERTIFICATE, text.encode())
        for der in ders:
            x509.load_der_x509_certificate(der)
    except Error as error:
        yield at(path, Error(Kind.CONFIGURATION, error.detail, hint=error.hint))
    except ValueError:
        yield wrong(f"'{path}' has a certificate that cannot be read")
    else:
        if not ders:
            yield wrong(f"'{path}' holds no certificate; it has to be PEM (RFC 7468 §5)")


def _endpoint_problems(path: str, url: str) -> Iterator[Error]:
    """Yield why a provider cannot be asked there: what it says decides who signs in."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    plain = url.isascii() and url.isprintable() and " " not in url
    if not plain or not host or port == 0 or parts.scheme not in {"https", "http"}:
        yield wrong(f"'{path}' is '{url}'; it has to be an https URL")
    elif parts.username is not None or parts.fragment or parts.query:
        yield wrong(f"'{path}' is '{url}'; it has to be without user, query and fragment")
    elif parts.scheme == "http" and not _is_loopback(host):
        yield Error(
            Kind.CONFIGURATION,
            f"'{path}' is '{url}'; it has to be https, http is for loopback",
            hint="whoever can change what it answers signs in as anybody",
        )


def _is_loopback(host: str) -> bool:
    if host == _LOCAL:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_loopback_address(text: str) -> bool:
    match = _LISTEN.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        return False
    return not match["host"] or _is_loopback(match["host"].strip("[]"))


def _is_template(text: str) -> bool:
    """Whether a principal's template is one: placeholders, and what a principal may have."""
    literal = _PLACEHOLDER.sub("", text)
    return 1 <= len(text) <= 255 and _LITERAL.fullmatch(literal) is not None
