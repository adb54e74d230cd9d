"""What an OpenID provider says of itself (OpenID Connect Discovery 1.0 §3, §4)."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from mintmark.model.errors import Error, Kind
from mintmark.wire import json

MAX_BYTES: Final = 1024 * 1024
WELL_KNOWN: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Metadata:
    """A provider's discovery document, as far as it is used here.

    Args:
        issuer: what `iss` of its tokens is.
        jwks_uri: where its keys are.
        authorization_endpoint: where a browser signs in; perhaps empty.
        token_endpoint: where codes become tokens; perhaps empty.
        device_authorization_endpoint: where the device flow begins; perhaps empty.
        names_itself: whether the way back from the browser always has `iss` (RFC 9207 §3).
        basic: whether a client secret goes into the Authorization header, not into the form.
    """

    issuer: str
    jwks_uri: str
    authorization_endpoint: str
    token_endpoint: str
    device_authorization_endpoint: str
    names_itself: bool
    basic: bool


def issuer_of(configuration_endpoint: str) -> str:
    """Return the issuer that a configured URL stands for, without a slash at its end."""
    return configuration_endpoint.removesuffix(WELL_KNOWN).rstrip("/")


def discovery_url(configuration_endpoint: str) -> str:
    """Return where the discovery document is.

    Raises:
        Error: CONFIGURATION for a URL that is not safe to ask.
    """
    url = issuer_of(configuration_endpoint) + WELL_KNOWN
    return checked_url(url, "the provider's configuration_endpoint", Kind.CONFIGURATION)


def parse(body: bytes, configuration_endpoint: str) -> Metadata:
    """Read a discovery document.

    Raises:
        Error: UNAVAILABLE when it is none, or says that it is another provider's.
    """
    members = decode(body, "discovery document")
    issuer = members.get("issuer")
    # Discovery §4.3: it MUST be exactly the one that was asked for; configured URLs are let
    # differ in a slash at the end, which some issuers have and people leave out.
    if not isinstance(issuer, str) or issuer.rstrip("/") != issuer_of(configuration_endpoint):
        raise wrong(f"it says that its issuer is {str(issuer)[:200]!r}")
    methods = members.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Metadata(
        issuer=issuer,
        jwks_uri=_url(members, "jwks_uri", needed=True),
        authorization_endpoint=_url(members, "authorization_endpoint"),
        token_endpoint=_url(members, "token_endpoint"),
        device_authorization_endpoint=_url(members, "device_authorization_endpoint"),
        names_itself=members.get("authorization_response_iss_parameter_supported") is True,
        basic=isinstance(methods, list) and "client_secret_basic" in methods,
    )


def checked_url(url: str, what: str, kind: Kind = Kind.UNAVAILABLE) -> str:
    """Return a URL if nobody on the way can read or change what it answers.

    Plain HTTP is for loopback only, where a provider in a test listens.

    Raises:
        Error: of the kind.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    # It is printed, too: a terminal reads more in an escape sequence than urlsplit does.
    is_plain = url.isascii() and url.isprintable() and " " not in url
    if not is_safe or not host or "@" in parts.netloc or not is_plain:
        raise Error(
            kind,
            f"{what} {url[:200]!r} is no https URL",
            hint="OpenID providers are asked over https; plain http is for loopback only",
        )
    return url


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def decode(body: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object in an answer.

    Raises:
        Error: UNAVAILABLE.
    """
    try:
        return json.decode(body, dict[str, Any], max_bytes=MAX_BYTES)
    except Error as error:
        raise wrong(f"its {what} cannot be read: {error.detail}") from error


def wrong(why: str) -> Error:
    """Return the refusal of an answer that a provider must not give."""
    return Error(
        Kind.UNAVAILABLE,
        f"the OpenID provider does not answer as it should: {why}",
        hint="is its URL the right one? it ends where '/.well-known/' would follow",
        retry_after=30,
    )


def _url(members: dict[str, Any], name: str, *, needed: bool = False) -> str:
    value = members.get(name, "")
    if not isinstance(value, str) or (needed and not value):
        raise wrong(f"its discovery document has no {name}")
    return checked_url(value, f"the provider's {name}") if value else ""
