"""Provisioners' rules, one compiled class a type: what each may vouch for, and as whom.

What stands here is decided before anything is issued; `approve` and `approve_ssh` look at the
final names once more. Whom a provisioner vouches for is a service with an id of its own,
`TYPE.NAME.SUBJECT`, that no general rule of the whitelist means.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from mintmark.authority.policy.names import NameRules
from mintmark.authority.policy.principals import PrincipalRules
from mintmark.model.access import Credential, Operation, Requester, ServiceRule
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.provisioner import (
    ACMEProvisioner,
    AnyProvisioner,
    ChallengeType,
    Claims,
    JWKProvisioner,
    Lifetimes,
    OIDCProvisioner,
    Rules,
    SSHPOPProvisioner,
    TokenProvisioner,
    X5CProvisioner,
)
from mintmark.wire import jose

DNS_CHALLENGES: Final = frozenset(
    {ChallengeType.DNS_01, ChallengeType.DNS_ACCOUNT_01, ChallengeType.DNS_PERSIST_01}
)
ISSUE: Final = frozenset({Operation.REQUEST, Operation.REVOKE})
MAX_SERVICE: Final = 128  # as `whitelist.SERVICE_ID`
_OTHER_CHARACTERS: Final = re.compile(r"[^a-z0-9._-]+")
_DIGITS: Final = 20  # of a hash: 80 bits, which nobody finds another subject for
_HASHED: Final = re.compile(rf"(?:.*-)?[0-9a-f]{{{_DIGITS}}}")
_OUTSIDE_SEGMENTS: Final = re.compile(r"[^a-z0-9-]")


def segment(name: str) -> str:
    """Return a provisioner's name as service ids have it; no two in force have the same."""
    return _OUTSIDE_SEGMENTS.sub("-", name.lower())


class Provisioner:
    """The rules of one provisioner, compiled once.

    Args:
        settings: as configured.

    Attributes:
        prefix: begins the service ids of all whom it vouches for.

    Raises:
        Error: CONFIGURATION for a rule or a key that cannot mean anything.
    """

    __slots__ = ("claims", "name", "names", "prefix", "principals", "profiles", "rules")

    type: str
    per_hour: int | None = 0
    """Certificates of one service; 0 where a key's owners, or limits of its own, bound them."""

    def __init__(self, name: str, claims: Claims, rules: Rules) -> None:
        self.name: Final = name
        self.claims: Final = claims
        self.rules: Final = rules
        self.names: Final = NameRules(rules.names)
        self.principals: Final = PrincipalRules(rules.principals)
        self.prefix: Final = f"{self.type}.{segment(name)}."

    @property
    def lifetimes(self) -> Lifetimes | None:
        """Bounds of X.509 certificates; None where profiles alone set them."""
        return self.claims.tls

    def service(self, subject: str) -> str:
        """Return the service id of whom it vouches for.

        A subject that is no part of a service id is brought into that form, and a hash of it
        keeps what two subjects became one of apart. One that looks as if it had been gets a hash
        too: people can choose their subjects at some providers, and would choose another's.
        """
        room = MAX_SERVICE - len(self.prefix)
        text = _OTHER_CHARACTERS.sub("-", subject.lower())[:room].strip("._-")
        if text != subject or not text or _HASHED.fullmatch(text):
            digest = hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
            text = f"{text[: room - _DIGITS - 1]}-{digest}" if text else digest
        return f"{self.prefix}{text}"

    def rule(self, service: str, operations: frozenset[Operation] = ISSUE) -> ServiceRule:
        """Return what a service of it may do.

        Args:
            service: from `service`.
            operations: what its credential is for.
        """
        return ServiceRule(
            service, operations, profiles=self.rules.profiles, certificates_per_hour=self.per_hour
        )

    def holder_rule(self, service: str) -> ServiceRule:
        """Return what holders of its certificates may do with them: never ask for others."""
        renews = {Operation.RENEW} if self.claims.renewal else set()
        rule = self.rule(service, frozenset({Operation.REVOKE} | renews))
        return replace(rule, certificates_per_hour=None)


class ACME(Provisioner):
    """An ACME server: which identifiers it takes orders for, and how it checks them."""

    __slots__ = ("settings",)

    type = "acme"

    def __init__(self, settings: ACMEProvisioner) -> None:
        claims = Claims(
            ssh=False,
            renewal=settings.renewal,
            renewal_after_expiry=settings.renewal_after_expiry,
        )
        rules = Rules(names=settings.names, profiles=settings.profiles, ssh_profiles=())
        super().__init__(settings.name, claims, rules)
        self.settings: Final = settings

    @property
    def lifetimes(self) -> None:
        """Orders have the bounds of their profile."""

    def service(self, subject: str) -> str:
        """Return the service id under which an account's certificates are on record."""
        return f"{self.prefix}{subject}"

    def challenges(self, identifier: Identifier) -> tuple[ChallengeType, ...]:
        """Return the challenges that can show control of an identifier here, in order.

        Wildcards need the DNS (RFC 8555 §8.4); addresses have none (RFC 8738 §7).
        """
        offered = self.settings.challenges
        if identifier.wildcard:
            return tuple(one for one in offered if one in DNS_CHALLENGES)
        if identifier.type is IdentifierType.IP:
            return tuple(one for one in offered if one not in DNS_CHALLENGES)
        return offered

    def refusal(self, identifier: Identifier) -> Error | None:
        """Return why no order may name this identifier, or None."""
        settings = self.settings
        if identifier.type not in settings.identifier_types:
            kinds = ", ".join(kind.value for kind in settings.identifier_types)
            return Error(
                Kind.REJECTED_IDENTIFIER,
                f"{identifier.type.value} identifier '{identifier}' is not of a kind that "
                f"provisioner '{self.name}' takes (allowed: {kinds})",
            )
        if self.names and not self.names.allow(identifier):
            return Error(
                Kind.REJECTED_IDENTIFIER,
                f"identifier '{identifier}' is outside provisioner '{self.name}' "
                f"(allowed: {self.names})",
            )
        if not self.challenges(identifier):
            offered = ", ".join(one.value for one in settings.challenges) or "none"
            return Error(
                Kind.REJECTED_IDENTIFIER,
                f"no challenge of provisioner '{self.name}' can show control of '{identifier}' "
                f"(it offers: {offered})",
                hint="wildcards need a DNS challenge, IP addresses http-01 or tls-alpn-01",
            )
        return None

    def requester(
        self, account: str, identifiers: tuple[Identifier, ...] = (), address: str = ""
    ) -> Requester:
        """Return an account as a requester; orders have a rate limit of their own.

        Args:
            account: its id.
            identifiers: those that it showed control of just now.
            address: where the request came from.
        """
        service = self.service(account)
        return Requester(
            service,
            self.rule(service),
            Credential.ACME,
            identifiers=identifiers,
            address=address,
            provisioner=self.name,
        )


class JWK(Provisioner):
    """Tokens signed by one key.

    Attributes:
        key: verifies them.
        key_id: the `kid` of its tokens, by default the key's RFC 7638 thumbprint.
    """

    __slots__ = ("key", "key_id", "settings")

    type = "jwk"

    def __init__(self, settings: JWKProvisioner) -> None:
        super().__init__(settings.name, settings.claims, settings.rules)
        self.settings: Final = settings
        try:
            self.key: Final = jose.jwk(msgspec.json.decode(settings.key))
        except msgspec.DecodeError as error:
            raise Error(
                Kind.CONFIGURATION,
                f"the key of provisioner '{settings.name}' is not JSON",
                hint="give a public JWK (RFC 7517)",
            ) from error
        except Error as error:
            raise Error(
                Kind.CONFIGURATION,
                f"the key of provisioner '{settings.name}' is refused: {error.detail}",
                hint=error.hint,
            ) from error
        self.key_id: Final = self.key.key_id


class OIDC(Provisioner):
    """People who sign in at an OpenID provider."""

    __slots__ = ("settings",)

    type = "oidc"
    per_hour = None

    def __init__(self, settings: OIDCProvisioner) -> None:
        super().__init__(settings.name, settings.claims, settings.rules)
        self.settings: Final = settings
        for mapping in settings.mappings:
            for profile in mapping.profiles:
                _check_inside(settings.name, profile, settings.rules.profiles, "profiles")
            for profile in mapping.ssh_profiles:
                _check_inside(settings.name, profile, settings.rules.ssh_profiles, "ssh_profiles")


class X5C(Provisioner):
    """Tokens signed by the key of a certificate under given roots."""

    __slots__ = ("settings",)

    type = "x5c"
    per_hour = None

    def __init__(self, settings: X5CProvisioner) -> None:
        super().__init__(settings.name, settings.claims, settings.rules)
        self.settings: Final = settings


class SSHPOP(Provisioner):
    """Holders of an SSH certificate, who renew, rekey and revoke it as its own service."""

    __slots__ = ("settings",)

    type = "sshpop"
    per_hour = None

    def __init__(self, settings: SSHPOPProvisioner) -> None:
        super().__init__(settings.name, settings.claims, Rules())
        self.settings: Final = settings


class Token(Provisioner):
    """One-time tokens of admins; who presents one is the service that it names."""

    __slots__ = ("settings",)

    type = "token"

    def __init__(self, settings: TokenProvisioner) -> None:
        super().__init__(settings.name, settings.claims, Rules())
        self.settings: Final = settings


AnyCompiled = ACME | JWK | OIDC | X5C | SSHPOP | Token
_CLASSES: Final[dict[type[AnyProvisioner], Any]] = {
    ACMEProvisioner: ACME,
    JWKProvisioner: JWK,
    OIDCProvisioner: OIDC,
    X5CProvisioner: X5C,
    SSHPOPProvisioner: SSHPOP,
    TokenProvisioner: Token,
}


def compiled(provisioners: Iterable[AnyProvisioner]) -> dict[str, AnyCompiled]:
    """Return provisioners by name, compiled.

    Raises:
        Error: CONFIGURATION for a name given twice, or a rule that cannot mean anything.
    """
    found: dict[str, AnyCompiled] = {}
    segments: set[str] = set()
    for settings in provisioners:
        if segment(settings.name) in segments:
            raise Error(
                Kind.CONFIGURATION,
                f"provisioner '{settings.name}' is there twice",
                hint="names of provisioners are unique, whatever their type",
            )
        segments.add(segment(settings.name))
        found[settings.name] = _CLASSES[type(settings)](settings)
    return found


def _check_inside(name: str, profile: str, allowed: tuple[str, ...], key: str) -> None:
    if profile not in allowed:
        raise Error(
            Kind.CONFIGURATION,
            f"a mapping of provisioner '{name}' gives profile '{profile[:64]}', which its rules "
            f"do not allow (allowed: {', '.join(allowed) or 'none'})",
            hint=f"add it to '{key}' of the provisioner's rules",
        )
