"""Signing in on another device: a code is shown here and typed there (RFC 8628)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mintmark.client.oidc.metadata import Metadata, checked_url, wrong
from mintmark.client.oidc.reach import Reach
from mintmark.client.oidc.token import discover, id_token, printable, refusal, send
from mintmark.client.ssh_documents import SignInProvider
from mintmark.model.errors import Error, Kind

GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL: Final = 5  # seconds between questions, where the provider names none (RFC 8628 §3.2)
_SLOWER: Final = 5  # seconds more after `slow_down` (§3.5)
_INTERVAL_MAX: Final = 60
_PATIENCE: Final = 1800  # seconds, whatever the provider says


@dataclass(frozen=True, slots=True)
class DevicePrompt:
    """What the person needs.

    Args:
        user_code: to be typed.
        verification_uri: where.
        complete_uri: the same with the code in it, for a QR code or a click; perhaps empty.
        expires_in: seconds.
    """

    user_code: str
    verification_uri: str
    complete_uri: str
    expires_in: int


def device_code(
    provider: SignInProvider,
    show: Callable[[DevicePrompt], object],
    *,
    reach: Reach | None = None,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Have a person sign in on another device, and return the ID token.

    Args:
        provider: where, and as which client.
        show: shows the prompt.
        reach: how the provider is reached.
        sleep: waits for seconds.
        clock: seconds since whenever.

    Raises:
        Error: UNAUTHENTICATED when the person or the provider refuses, or the code expired;
            UNAVAILABLE when the provider cannot be reached or answers wrongly; CONFIGURATION.
    """
    reach = reach or Reach()
    metadata = discover(provider, reach)
    if not metadata.device_authorization_endpoint or not metadata.token_endpoint:
        raise wrong("it offers no sign-in on another device")
    form = {"scope": " ".join(provider.scopes)}
    url = metadata.device_authorization_endpoint
    answer, members = send(reach, metadata, provider, url, form)
    if answer.status != 200:
        raise refusal(members)
    prompt = _prompt(members)
    show(prompt)
    return _poll(reach, metadata, provider, members, prompt, sleep, clock)


def _poll(
    reach: Reach,
    metadata: Metadata,
    provider: SignInProvider,
    members: Mapping[str, Any],
    prompt: DevicePrompt,
    sleep: Callable[[float], object],
    clock: Callable[[], float],
) -> str:
    """Ask until the person is done (RFC 8628 §3.4, §3.5)."""
    interval = min(_number(members, "interval", _INTERVAL), _INTERVAL_MAX)
    end = clock() + prompt.expires_in
    form = {"grant_type": GRANT, "device_code": str(members["device_code"])}
    while clock() + interval < end:
        sleep(interval)
        try:
            answer, said = send(reach, metadata, provider, metadata.token_endpoint, form)
        except Error as error:
            if error.kind is not Kind.UNAVAILABLE:
                raise
            interval = min(2 * interval, _INTERVAL_MAX)  # §3.5: back off when it does not answer
            continue
        if answer.status == 200:
            return id_token(metadata, provider, said, "")
        if said.get("error") == "slow_down":
            interval += _SLOWER
        elif said.get("error") != "authorization_pending":
            raise refusal(said)
    raise refusal({"error": "expired_token", "error_description": "nobody typed the code in time"})


def _prompt(members: Mapping[str, Any]) -> DevicePrompt:
    """Return what is shown; a provider's words reach a terminal, so they are looked at."""
    code = printable(members.get("user_code"), "")
    uri = printable(members.get("verification_uri"), "")
    if not code or not uri or not isinstance(members.get("device_code"), str):
        raise wrong("its answer has no device_code, user_code or verification_uri")
    complete = printable(members.get("verification_uri_complete"), "")
    return DevicePrompt(
        code,
        checked_url(uri, "the provider's verification_uri"),
        checked_url(complete, "the provider's verification_uri_complete") if complete else "",
        min(_number(members, "expires_in", _PATIENCE), _PATIENCE),
    )


def _number(members: Mapping[str, Any], name: str, default: int) -> int:
    value = members.get(name, default)
    return value if type(value) is int and value > 0 else default
