"""What the authority asks of OpenID providers; `client.oidc` answers it over the network."""

from __future__ import annotations

from typing import Protocol

from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import OIDCProvisioner, ProviderKeys


class Providers(Protocol):
    """Tells the keys of OpenID providers, from a cache where that is young enough."""

    async def keys(self, provisioner: OIDCProvisioner, *, missing: str = "") -> ProviderKeys:
        """Return issuer and keys.

        Args:
            provisioner: whose provider.
            missing: a `kid` that the cached set did not have: the provider may have rolled its
                keys over, so that it is asked again, but not more often than once in a while.

        Raises:
            Error: UNAVAILABLE with `retry_after` when the provider cannot be reached and
                nothing usable is cached; the message says that existing certificates go on.
        """


class NoProviders:
    """An authority without a network: no ID token is accepted."""

    async def keys(self, provisioner: OIDCProvisioner, *, missing: str = "") -> ProviderKeys:
        """Refuse."""
        del missing
        raise Error(
            Kind.UNAVAILABLE,
            f"the provider of '{provisioner.name}' cannot be asked from here",
            hint="sign in at a running server",
        )
