"""The validator: one challenge of one identifier, answered yes or no in bounded time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final
from weakref import WeakValueDictionary

from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.model.provisioner import ChallengeType
from mintmark.model.time import Clock
from mintmark.protocol.acme.validation import (
    dns01,
    dns_account01,
    dns_persist01,
    http01,
    tls_alpn01,
)
from mintmark.protocol.acme.validation.outcome import Attempt, ChallengeError, Failed, Validated
from mintmark.protocol.acme.validation.reach import Reach, client_context
from mintmark.protocol.acme.validation.resolver import Resolver
from mintmark.protocol.acme.validation.settings import ValidationSettings

log = logging.getLogger(__name__)

_OF_THE_DNS: Final = frozenset(
    {ChallengeType.DNS_01, ChallengeType.DNS_ACCOUNT_01, ChallengeType.DNS_PERSIST_01}
)


class Validator:
    """Looks whether challenges are met.

    Args:
        settings: limits and ways.
        clock: Unix seconds.
        resolver: of names; None makes the one that the settings describe.

    Raises:
        Error: CONFIGURATION for a resolver or source address that is not of its form.
    """

    def __init__(
        self, settings: ValidationSettings, clock: Clock, resolver: Resolver | None = None
    ) -> None:
        self._settings: Final = settings
        self._clock: Final = clock
        self._resolver: Final = resolver or Resolver(settings)
        self._reach: Final = Reach(settings, self._resolver)
        self._https: Final = client_context()
        self._acme_tls: Final = client_context(tls_alpn01.ALPN)
        self._slots: Final = asyncio.Semaphore(settings.concurrency)
        self._accounts: Final[WeakValueDictionary[str, asyncio.Semaphore]] = WeakValueDictionary()

    async def validate(
        self,
        challenge: ChallengeType,
        identifier: Identifier,
        wildcard: bool,  # noqa: FBT001 - as the authorization has it
        token: str,
        thumbprint: str,
        account_url: str,
        former_thumbprints: Sequence[str] = (),
    ) -> Validated | Failed:
        """Look whether a challenge is met, now.

        It waits for its turn, has `timeout` seconds from then on, can be cancelled at any
        moment, and raises nothing else.

        Args:
            challenge: which way.
            identifier: without `*.`.
            wildcard: whether it stands for `*.identifier`.
            token: of the challenge; empty for dns-persist-01.
            thumbprint: of the account's key (RFC 7638), base64url.
            account_url: as the client knows it.
            former_thumbprints: of keys that the account had before, latest first; only
                dns-persist-01 looks at them.
        """
        attempt = Attempt(
            identifier, wildcard, token, thumbprint, account_url, tuple(former_thumbprints)
        )
        try:
            async with self._turns_of(_account(account_url)), self._slots:
                async with asyncio.timeout(self._settings.timeout):
                    return await self._validate(challenge, attempt)
        except ChallengeError as error:
            return error.failed
        except TimeoutError:
            return Failed(
                attempt.step_kind,
                f"{attempt.step}: not done when the {self._settings.timeout:g} s of a validation "
                "were over",
            )
        except Exception:
            log.exception("validating %s of '%s'", challenge.value, identifier)
            return Failed(
                "serverInternal", "the validation failed for a reason in the server's log"
            )

    def _turns_of(self, account: str) -> asyncio.Semaphore:
        """Return the semaphore of an account, which lives as long as somebody holds it."""
        turns = self._accounts.get(account)
        if turns is None:
            turns = self._accounts[account] = asyncio.Semaphore(self._settings.account_concurrency)
        return turns

    async def _validate(self, challenge: ChallengeType, attempt: Attempt) -> Validated:
        _check_fit(challenge, attempt)
        match challenge:
            case ChallengeType.HTTP_01:
                return await http01.validate(attempt, self._reach, self._https)
            case ChallengeType.TLS_ALPN_01:
                return await tls_alpn01.validate(attempt, self._reach, self._acme_tls)
            case ChallengeType.DNS_01:
                return await dns01.validate(attempt, self._resolver)
            case ChallengeType.DNS_ACCOUNT_01:
                return await dns_account01.validate(attempt, self._resolver)
            case ChallengeType.DNS_PERSIST_01:
                names = self._settings.issuer_domain_names
                return await dns_persist01.validate(attempt, self._resolver, names, self._clock)


def _account(url: str) -> str:
    """Return what names an account under every name of the server: the end of its URL."""
    return url.rpartition("/")[2]


def _check_fit(challenge: ChallengeType, attempt: Attempt) -> None:
    """Refuse what a challenge cannot show, whoever offered it."""
    kind = attempt.identifier.type
    if challenge in _OF_THE_DNS and kind is not IdentifierType.DNS:
        rule = "shows control of DNS names only (RFC 8738 §7)"
    elif kind not in {IdentifierType.DNS, IdentifierType.IP}:
        rule = "shows control of DNS names and IP addresses only"
    elif attempt.wildcard and challenge not in _OF_THE_DNS:
        rule = "does not show control of a wildcard's names (RFC 8555 §8.3, RFC 8737 §3)"
    else:
        return
    raise ChallengeError("malformed", f"{challenge.value} {rule}")
