"""OpenID providers, from both sides: whose keys a server trusts, and how a person signs in.

The server keeps the keys of providers (`OpenIDProviders`); the CLI is a public client that gets
an ID token by the authorization code flow with PKCE or by the device flow. OpenID Connect Core
and Discovery 1.0, RFC 7636, RFC 8252, RFC 8628, RFC 9207.
"""

from mintmark.client.oidc.browser import authorization_code
from mintmark.client.oidc.device import DevicePrompt, device_code
from mintmark.client.oidc.metadata import Metadata
from mintmark.client.oidc.providers import OpenIDProviders
from mintmark.client.oidc.token import discover

__all__ = [
    "DevicePrompt",
    "Metadata",
    "OpenIDProviders",
    "authorization_code",
    "device_code",
    "discover",
]
