"""Provisioners' rules: which identifiers an ACME server takes orders for, and how it checks them.

What stands here is decided before anything is validated; `approve` looks at the final names
once more when the certificate is asked for.
"""

from __future__ import annotations

from typing import Final

from mintmark.authority.policy.names import NameRules
from mintmark.authority.policy.whitelist import ACME_PREFIX
from mintmark.model.access import Credential, Operation, Requester, ServiceRule
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.provisioner import ACMEProvisioner, ChallengeType

DNS_CHALLENGES: Final = frozenset(
    {ChallengeType.DNS_01, ChallengeType.DNS_ACCOUNT_01, ChallengeType.DNS_PERSIST_01}
)
_OPERATIONS: Final = frozenset({Operation.REQUEST, Operation.REVOKE})


class Provisioner:
    """The rules of one provisioner, compiled once.

    Args:
        settings: as configured.

    Raises:
        Error: CONFIGURATION for a name rule that cannot mean anything.
    """

    __slots__ = ("_names", "settings")

    def __init__(self, settings: ACMEProvisioner) -> None:
        self.settings: Final = settings
        self._names: Final = NameRules(settings.names)

    @property
    def name(self) -> str:
        """Its name, as in its URLs."""
        return self.settings.name

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
        if self._names and not self._names.allow(identifier):
            return Error(
                Kind.REJECTED_IDENTIFIER,
                f"identifier '{identifier}' is outside provisioner '{self.name}' "
                f"(allowed: {self._names})",
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

    def service(self, account: str) -> str:
        """Return the service id under which an account's certificates are on record."""
        return f"{ACME_PREFIX}{self.name}.{account}"

    def requester(
        self, account: str, identifiers: tuple[Identifier, ...] = (), address: str = ""
    ) -> Requester:
        """Return an account as a requester.

        Args:
            account: its id.
            identifiers: those that it showed control of just now.
            address: where the request came from.
        """
        service = self.service(account)
        rule = ServiceRule(
            service,
            _OPERATIONS,
            profiles=self.settings.profiles,
            certificates_per_hour=0,  # orders have a limit of their own
        )
        return Requester(service, rule, Credential.ACME, identifiers=identifiers, address=address)
