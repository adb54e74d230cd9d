"""The keys of OpenID providers, asked for when they are needed and remembered for a while.

A provider that is down locks nobody out at once: keys that were good an hour ago still verify.
After that nobody can sign in, and certificates that exist go on. A provider that rolled its keys
over is asked when a token names a key that is not known, but not as often as a stranger likes.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from mintmark.client.oidc import metadata
from mintmark.client.oidc.metadata import decode, wrong
from mintmark.client.oidc.reach import Answer, Parts, answer, options, unreachable
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import OIDCProvisioner, ProviderKeys
from mintmark.model.time import DAY, HOUR, MINUTE, Clock

AGE_MIN, AGE_MAX, AGE_DEFAULT = 5 * MINUTE, DAY, HOUR
STALE: Final = HOUR  # how long keys outlive their age while the provider is down
PAUSE: Final = 30  # seconds between two questions to one provider, whoever makes us ask
DEADLINE: Final = 10.0  # seconds for both documents
MAX_KEYS: Final = 100
_JITTER: Final = 0.2  # of an age, so that servers started together do not ask together
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})", re.ASCII | re.IGNORECASE)

Fetch = Callable[[str, str], Awaitable[Answer]]
"""Asks for a URL, with PEM of further roots."""


@dataclass(slots=True)
class _Known:
    """What is known of one provider.

    Args:
        keys: None until it answered once.
        fresh_until: Unix seconds.
        asked_at: Unix seconds; when it was asked last, with or without success.
        failure: of the last question; None when it was answered.
        asking: held while it is asked.
    """

    keys: ProviderKeys | None = None
    fresh_until: float = 0
    asked_at: float = float("-inf")
    failure: Error | None = None
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


async def fetch(url: str, ca_certificates: str) -> Answer:
    """Ask for a document.

    Raises:
        Error: UNAVAILABLE, CONFIGURATION.
    """
    import httpx  # noqa: PLC0415 - only servers where somebody signs in need it

    try:
        async with (
            httpx.AsyncClient(**options(ca_certificates)) as client,
            client.stream("GET", url) as response,
        ):
            parts = Parts()
            async for chunk in response.aiter_raw():
                parts.add(chunk)
            return answer(response, parts)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unreachable(url, error) from error


class OpenIDProviders:
    """Tells the keys of OpenID providers, from a cache where that is young enough.

    Args:
        clock: Unix seconds.
        fetch: asks for a document.
        jitter: returns a number from 0 to 1.
    """

    def __init__(
        self, clock: Clock, *, fetch: Fetch = fetch, jitter: Callable[[], float] = random.random
    ) -> None:
        self._clock = clock
        self._fetch = fetch
        self._jitter = jitter
        self._known: dict[tuple[str, str], _Known] = {}

    async def keys(self, provisioner: OIDCProvisioner, *, missing: str = "") -> ProviderKeys:
        """Return issuer and keys of a provisioner's provider.

        Args:
            provisioner: whose provider.
            missing: a `kid` that the cached set did not have.

        Raises:
            Error: UNAVAILABLE with `retry_after` when the provider cannot be reached and
                nothing usable is cached.
        """
        place = (provisioner.configuration_endpoint, provisioner.ca_certificates)
        known = self._known.setdefault(place, _Known())
        if not self._is_due(known, missing):
            return self._usable(provisioner, known)
        async with known.asking:
            if self._is_due(known, missing):  # nobody else has asked meanwhile
                await self._ask(provisioner, known)
        return self._usable(provisioner, known)

    def _is_due(self, known: _Known, missing: str) -> bool:
        """Whether the provider has to be asked, and may be by now."""
        now = self._clock()
        is_fresh = known.asked_at <= now < known.fresh_until  # or the clock was set back
        is_wanted = not is_fresh or (missing and not _has(known.keys, missing))
        return bool(is_wanted) and not 0 <= now - known.asked_at < PAUSE

    def _usable(self, provisioner: OIDCProvisioner, known: _Known) -> ProviderKeys:
        now = self._clock()
        if known.keys is not None and now < known.fresh_until + STALE:
            return known.keys
        reason = known.failure.detail if known.failure else "it was not asked yet"
        raise Error(
            Kind.UNAVAILABLE,
            f"the OpenID provider of '{provisioner.name}' cannot be reached: existing "
            "certificates go on working until they expire",
            hint=f"try again later; {reason}",
            retry_after=max(1, int(known.asked_at + PAUSE - now) + 1),
        )

    async def _ask(self, provisioner: OIDCProvisioner, known: _Known) -> None:
        # The server runs a request in a task only after its first suspension, and what bounds
        # time needs a task.
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(DEADLINE):
                keys, age = await self._fetched(provisioner)
        except TimeoutError as error:
            known.failure = unreachable(provisioner.configuration_endpoint, error)
        except Error as error:
            known.failure = error
        else:
            known.keys, known.failure = keys, None
            known.fresh_until = self._clock() + age * (1 - _JITTER * self._jitter())
        known.asked_at = self._clock()

    async def _fetched(self, provisioner: OIDCProvisioner) -> tuple[ProviderKeys, int]:
        """Return what the provider says now, and for how long, in seconds."""
        endpoint, roots = provisioner.configuration_endpoint, provisioner.ca_certificates
        discovery = _good(await self._fetch(metadata.discovery_url(endpoint), roots))
        found = metadata.parse(discovery.body, endpoint)
        answered = _good(await self._fetch(found.jwks_uri, roots))
        keys = decode(answered.body, "key set").get("keys")
        if not isinstance(keys, list) or len(keys) > MAX_KEYS:
            raise wrong(f"its key set is no list of at most {MAX_KEYS} keys")
        usable = tuple(one for one in keys if isinstance(one, dict))
        return ProviderKeys(found.issuer, usable), _age(answered)


def _has(keys: ProviderKeys | None, key_id: str) -> bool:
    return keys is not None and any(one.get("kid") == key_id for one in keys.keys)


def _good(answered: Answer) -> Answer:
    if answered.status != 200:
        raise wrong(f"it answers with status {answered.status}")
    return answered


def _age(answered: Answer) -> int:
    """Return how long a key set may be kept (RFC 9111 §5.2.2.1), within bounds of our own."""
    match = _MAX_AGE.search(answered.headers.get("cache-control", ""))
    return min(max(int(match[1]), AGE_MIN), AGE_MAX) if match else AGE_DEFAULT
