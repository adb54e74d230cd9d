"""Who asks, and what the whitelist lets a service do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mintmark.model.identifiers import Identifier


class Operation(Enum):
    """What a service can be allowed to do; ADMIN includes the others, for every service."""

    REQUEST = "request"
    RENEW = "renew"
    REVOKE = "revoke"
    DOWNLOAD = "download"
    ADMIN = "admin"

    __hash__ = object.__hash__  # one object a member; Enum would hash its name anew each time


@dataclass(frozen=True, slots=True)
class ServiceRule:
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
    """

    pattern: str
    operations: frozenset[Operation]
    names: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    max_certificates: int | None = None
    certificates_per_hour: int | None = None


class Credential(Enum):
    """How a requester proved who it is."""

    CERTIFICATE = "certificate"
    TOKEN = "token"  # noqa: S105 - a kind of credential, not one
    LOCAL = "local"  # opened the authority's own directory
    ACME = "acme"  # an account key, and challenges met for every identifier


@dataclass(frozen=True, slots=True)
class Requester:
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
    """

    service: str
    rule: ServiceRule
    credential: Credential
    serial: bytes | None = None
    token: bytes | None = None
    identifiers: tuple[Identifier, ...] = ()
    profiles: tuple[str, ...] = ()
    address: str = ""

    def may(self, operation: Operation) -> bool:
        """Whether the whitelist allows the operation; ADMIN allows all."""
        return operation in self.rule.operations or Operation.ADMIN in self.rule.operations

    @property
    def is_admin(self) -> bool:
        """Whether it may act for every service."""
        return Operation.ADMIN in self.rule.operations
