"""Who asks, and what the whitelist lets a service do."""

from __future__ import annotations

from enum import Enum
from typing import Final

from msgspec import Struct

from mintmark.model.identifiers import Identifier
from mintmark.model.provisioner import Lifetimes
from mintmark.model.ssh import SSHCertificateType


class Operation(Enum):
    """What a service can be allowed to do; ADMIN includes the others, for every service."""

    REQUEST = "request"
    RENEW = "renew"
    REVOKE = "revoke"
    DOWNLOAD = "download"
    ADMIN = "admin"

    __hash__ = object.__hash__  # one object a member; Enum would hash its name anew each time


_ADMIN: Final = Operation.ADMIN  # a constant is read in a tenth of a member's time


class ServiceRule(Struct, frozen=True, gc=False):
    """One entry of the whitelist: `services` by exact id, `patterns` by glob.

    Args:
        pattern: the service id, or a glob over service ids (`test-*`).
        operations: what it may do.
        names: globs of names that its certificates may carry, beside the service id itself
            and the names of the certificate or token it presents.
        profiles: profile names it may ask for; empty allows the three built-in ones.
        max_certificates: how many active, not yet replaced certificates it may hold; None
            sets no limit.
        certificates_per_hour: its own rate limit; None takes the configured default, 0 none.
        principals: globs of principals that its SSH user certificates may carry; host
            principals are names.
    """

    pattern: str
    operations: frozenset[Operation]
    names: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    max_certificates: int | None = None
    certificates_per_hour: int | None = None
    principals: tuple[str, ...] = ()


class Credential(Enum):
    """How a requester proved who it is."""

    CERTIFICATE = "certificate"
    TOKEN = "token"  # noqa: S105 - a kind of credential, not one
    LOCAL = "local"  # opened the authority's own directory
    ACME = "acme"  # an account key, and challenges met for every identifier
    JWK = "jwk"  # a token signed by a provisioner's key
    OIDC = "oidc"  # an ID token of an OpenID provider
    X5C = "x5c"  # a token signed by a certificate's key
    SSHPOP = "sshpop"  # a token signed by an SSH certificate's key


class Burn(Struct, frozen=True, gc=False):
    """A token used up by an act, remembered for as long as it could be used again.

    Args:
        sha256: of the token's reuse key: type, provisioner and jti, or the whole token.
        expires_at: Unix seconds.
    """

    sha256: bytes
    expires_at: int


class SSHGrant(Struct, frozen=True, gc=False):
    """What a credential vouches for in SSH certificates; policy looks at it once more.

    Args:
        types: user, host or both.
        key_id: the only key id allowed; empty leaves it to the request (an admin's).
        user_principals: of a user certificate: the default, and all that may be asked for.
        host_principals: the same of a host certificate.
        any_principals: whether the request may name others (an admin's).
        user: lifetimes of user certificates.
        host: lifetimes of host certificates.
        profiles: SSH profiles that may be asked for; the first of a type is its default.
        valid_after: Unix seconds; nothing begins before, and by default it begins then.
        valid_before: Unix seconds; nothing ends later, and by default it ends then.
    """

    types: frozenset[SSHCertificateType]
    user: Lifetimes
    host: Lifetimes
    key_id: str = ""
    user_principals: tuple[str, ...] = ()
    host_principals: tuple[str, ...] = ()
    any_principals: bool = False
    profiles: tuple[str, ...] = ()
    valid_after: int | None = None
    valid_before: int | None = None

    def principals(self, type_: SSHCertificateType) -> tuple[str, ...]:
        """Return the principals of a type of certificate."""
        is_user = type_ is SSHCertificateType.USER
        return self.user_principals if is_user else self.host_principals


class Requester(Struct, frozen=True, gc=False):
    """The authenticated party that asks now.

    Args:
        service: its service id.
        rule: what the whitelist says of it.
        credential: how it proved that.
        serial: of the certificate it presented; None without one.
        token: SHA-256 of the one-time token it presented; None without one.
        identifiers: names of that certificate or token: it may ask for these again.
        profiles: profiles a token is bound to; empty when not bound.
        address: where the request came from, for the audit log.
        provisioner: name of the provisioner that vouches for it; empty without one.
        burns: the token it presented, used up by the act; None without one.
        common_names: texts that the credential vouches for as common name, beside the names.
        any_names: whether it may ask for every X.509 name that its provisioner's rules allow
            (an admin's of an OpenID provisioner).
        lifetimes: bounds that its provisioner sets for X.509; None sets none.
        expires_at: Unix seconds that nothing it asks for may outlive; None sets no end.
        ssh: what its credential vouches for in SSH; None leaves it to the whitelist.
        key_sha256: of the only CSR, or of the blob of the only SSH key, that may be certified
            (RFC 7800 `cnf`); None for any.
    """

    service: str
    rule: ServiceRule
    credential: Credential
    serial: bytes | None = None
    token: bytes | None = None
    identifiers: tuple[Identifier, ...] = ()
    profiles: tuple[str, ...] = ()
    address: str = ""
    provisioner: str = ""
    burns: Burn | None = None
    common_names: tuple[str, ...] = ()
    any_names: bool = False
    lifetimes: Lifetimes | None = None
    expires_at: int | None = None
    ssh: SSHGrant | None = None
    key_sha256: bytes | None = None

    def may(self, operation: Operation) -> bool:
        """Whether the whitelist allows the operation; ADMIN allows all."""
        return operation in self.rule.operations or _ADMIN in self.rule.operations

    @property
    def is_admin(self) -> bool:
        """Whether it may act for every service."""
        return _ADMIN in self.rule.operations
