"""Validation beside the requests: begun by a client, finished whatever happens to it.

A validation that is over within a moment writes its outcome and nothing else. One that takes
longer is made durable as PROCESSING before the client hears of it, with a time from which any
server may take it over; so it survives a crash of this one. Which server writes the outcome is
decided by the authorization's version.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, Protocol

from mintmark.authority.policy.provisioners import ACME, DNS_CHALLENGES
from mintmark.authority.workflow.authority import Authority
from mintmark.model.acme import (
    Account,
    AccountStatus,
    Authorization,
    AuthorizationStatus,
    Challenge,
    ChallengeStatus,
    Change,
    Pause,
)
from mintmark.model.act import Act
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.provisioner import ACMEProvisioner, ChallengeType
from mintmark.model.time import DAY
from mintmark.protocol.acme import problem
from mintmark.protocol.acme.problem import TYPES, ACMEError
from mintmark.protocol.acme.states import authorization_now, move
from mintmark.protocol.acme.validation.outcome import Failed, Validated
from mintmark.wire import jose

log = logging.getLogger(__name__)

PATIENCE: Final = 0.8  # seconds that a client's request waits for the outcome
PERIOD: Final = 1.0  # seconds between looks for what is due
RETRIES: Final = (2, 3, 5)  # seconds after each failed attempt: at 0, 2, 5 and 10 s
MOST: Final = 100  # validations that one process takes over in one look
MOST_RUNNING: Final = 5000  # validations of one process, most of which wait for their turn

# What may be different a moment later: a listener that starts, a zone that is copied.
_TRANSIENT: Final = frozenset({"connection", "dns", "tls", "serverInternal"})
_PROPAGATING: Final = frozenset({"unauthorized", "incorrectResponse"})


class Validator(Protocol):
    """Shows whether a challenge is met; never raises, always ends."""

    async def validate(
        self,
        challenge: ChallengeType,
        identifier: Identifier,
        wildcard: bool,  # noqa: FBT001 - a fact about the identifier
        token: str,
        thumbprint: str,
        account_url: str,
    ) -> Validated | Failed:
        """Return the outcome."""


class Validations:
    """The validations under way in this process.

    Args:
        authority: whose store knows them.
        validator: looks at what the client has set up.
        seconds: that one attempt takes at most; another server takes over after that.
        patience: seconds that `begin` waits for the outcome.
    """

    def __init__(
        self, authority: Authority, validator: Validator, seconds: float, patience: float = PATIENCE
    ) -> None:
        self._authority: Final = authority
        self._validator: Final = validator
        self._claim: Final = int(seconds) + 5
        self._patience: Final = patience
        self._running: Final[dict[tuple[str, ChallengeType], _Validation]] = {}

    async def begin(
        self, authorization: Authorization, challenge: Challenge, account: Account, account_url: str
    ) -> Authorization:
        """Begin a validation, or join it; return the authorization once something is durable.

        Raises:
            Error: UNAVAILABLE, also when so many are under way that this one would wait long.
        """
        key = (authorization.id, challenge.type)
        running = self._running.get(key)
        if running is None:
            if len(self._running) >= MOST_RUNNING:
                raise Error(
                    Kind.UNAVAILABLE,
                    f"{MOST_RUNNING} challenges are being validated already",
                    hint="answer the challenge again in a while",
                    retry_after=10,
                )
            noted = replace(challenge, account_url=account_url)
            running = self._start(_put(authorization, noted), noted, account)
        return await asyncio.shield(running.durable)

    async def run(self, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        """Take over what is due until cancelled; what fails is tried again."""
        while True:
            try:
                await self.turn()
            except Error as error:
                log.warning("due challenges: %s", error.detail)
            except Exception:
                log.exception("due challenges could not be looked for")
            await sleep(PERIOD)

    async def turn(self) -> None:
        """Take over validations whose time has come: retries, and those of servers that died."""
        now = int(self._authority.clock())
        room = min(MOST, MOST_RUNNING - len(self._running))
        if room <= 0:
            return
        for authorization in await self._authority.store.due_challenges(now, room):
            for challenge in authorization.challenges:
                due = challenge.next_attempt is not None and challenge.next_attempt <= now
                if due and (authorization.id, challenge.type) not in self._running:
                    await self._resume(authorization, challenge)

    async def stop(self) -> None:
        """End what is under way; what clients were told of is durable, and taken over later."""
        tasks = [one.task for one in self._running.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _resume(self, authorization: Authorization, challenge: Challenge) -> None:
        account = await self._authority.store.account(authorization.account)
        if account is None:
            return
        try:
            claimed = await self._claimed(authorization, challenge)
        except Error as error:
            if error.kind is Kind.CONFLICT:  # another server was faster
                return
            raise
        self._start(claimed, _same(claimed, challenge), account)

    def _start(
        self, authorization: Authorization, challenge: Challenge, account: Account
    ) -> _Validation:
        key = (authorization.id, challenge.type)
        running = _Validation(authorization, challenge, account)
        self._running[key] = running
        running.task = asyncio.get_running_loop().create_task(self._attempt(running))
        running.task.add_done_callback(lambda _: self._running.pop(key, None))
        return running

    async def _attempt(self, running: _Validation) -> None:
        """Make one attempt, and its outcome durable."""
        outcome = asyncio.ensure_future(self._outcome(running))
        try:
            if running.challenge.status is ChallengeStatus.PENDING:
                await asyncio.wait({outcome}, timeout=self._patience)
                if not outcome.done():
                    claimed = await self._claimed(running.authorization, running.challenge)
                    running.is_durable(claimed)
            authorization = await self._conclude(running, await outcome)
            running.is_durable(authorization)
        except Error as error:
            await self._give_up(running, error)
        except Exception as error:
            log.exception("a validation failed")
            running.failed(error)
        finally:
            outcome.cancel()
            running.failed(Error(Kind.UNAVAILABLE, "the server is stopping", retry_after=5))

    async def _outcome(self, running: _Validation) -> Validated | Failed:
        authorization, challenge = running.authorization, running.challenge
        now = self._authority.clock()
        if running.account.status is not AccountStatus.VALID:
            return Failed(
                "unauthorized", "the account was deactivated before its challenge was met"
            )
        if authorization_now(authorization, now).status is not AuthorizationStatus.PENDING:
            return Failed("unauthorized", "the authorization expired before its challenge was met")
        return await self._validator.validate(
            challenge.type,
            authorization.identifier,
            authorization.wildcard,
            challenge.token,
            jose.encode(running.account.thumbprint),
            challenge.account_url,
        )

    async def _give_up(self, running: _Validation, error: Error) -> None:
        """Let another server's word stand; what could not be stored is tried again later."""
        if error.kind is Kind.CONFLICT:
            stored = await self._authority.store.authorization(running.authorization.id)
            if stored is not None:
                running.is_durable(stored)
                return
        else:
            log.warning("a validation could not be stored: %s", error.detail)
        running.failed(error)

    async def _claimed(self, authorization: Authorization, challenge: Challenge) -> Authorization:
        """Make it durable that this challenge is being validated, for the time of an attempt."""
        until = int(self._authority.clock()) + self._claim
        changed = _processing(authorization, challenge, next_attempt=until)
        await self._authority.store.commit(Act(changes=(changed,)))
        return changed

    async def _conclude(self, running: _Validation, outcome: Validated | Failed) -> Authorization:
        """Store what an attempt found: met, to be tried again, or failed."""
        authorization = running.authorization
        challenge = _same(authorization, running.challenge)
        attempts = challenge.attempts + 1
        now = int(self._authority.clock())
        changes: tuple[Change, ...]
        if isinstance(outcome, Validated):
            lifetime = _settings(self._authority, running.account).authorization_lifetime
            until = now + lifetime
            if outcome.valid_until is not None:
                until = min(until, outcome.valid_until)
            changed = _met(authorization, challenge, now, until)
            changes = (changed,)
        elif attempts <= len(RETRIES) and _may_change(challenge.type, outcome):
            changed = _processing(
                authorization,
                replace(challenge, error=_problem(outcome), attempts=attempts),
                next_attempt=now + RETRIES[attempts - 1],
            )
            changes = (changed,)
        else:
            changed = _failed(authorization, challenge, _problem(outcome), attempts)
            changes = (changed, await self._pause(running.account, authorization, now))
        await self._authority.store.commit(Act(changes=changes))
        return changed

    async def _pause(self, account: Account, authorization: Authorization, now: int) -> Pause:
        """Return the count of failures of an account and identifier, one more than before."""
        store, name = self._authority.store, authorization.identifier.value
        known = next(iter(await store.pauses(account.id, [name])), None)
        if known is None or (known.paused_at is None and now - known.since >= DAY):
            known = Pause(account.id, name, 0, now)
        failures = known.failures + 1
        limit = _settings(self._authority, account).failures_until_pause
        paused_at = known.paused_at
        if paused_at is None and failures >= limit:
            paused_at = now
            log.warning("orders of account %s for '%s' are paused", account.id, name)
        return replace(known, failures=failures, paused_at=paused_at)


class _Validation:
    """One attempt under way.

    Args:
        authorization: as it is stored.
        challenge: that is looked at.
        account: whose it is.
    """

    __slots__ = ("account", "authorization", "challenge", "durable", "task")

    def __init__(
        self, authorization: Authorization, challenge: Challenge, account: Account
    ) -> None:
        self.authorization = authorization
        self.challenge: Final = challenge
        self.account: Final = account
        self.durable: Final[asyncio.Future[Authorization]] = (
            asyncio.get_running_loop().create_future()
        )
        self.task: asyncio.Task[None] | None = None

    def is_durable(self, authorization: Authorization) -> None:
        """Take note of what the store has now, and let whoever waits go on."""
        self.authorization = authorization
        if not self.durable.done():
            self.durable.set_result(authorization)

    def failed(self, error: Exception) -> None:
        """Tell whoever waits that nothing became durable."""
        if not self.durable.done():
            self.durable.set_exception(error)
            self.durable.exception()  # nobody may be waiting


def _put(authorization: Authorization, challenge: Challenge) -> Authorization:
    """Return an authorization with one of its challenges replaced."""
    challenges = tuple(
        challenge if one.type is challenge.type else one for one in authorization.challenges
    )
    return replace(authorization, challenges=challenges)


def _same(authorization: Authorization, challenge: Challenge) -> Challenge:
    """Return a challenge as the authorization has it now."""
    return next(one for one in authorization.challenges if one.type is challenge.type)


def _processing(
    authorization: Authorization, challenge: Challenge, *, next_attempt: int
) -> Authorization:
    """Return an authorization, its next version, with a challenge being validated."""
    if challenge.status is ChallengeStatus.PROCESSING:
        changed = replace(challenge, next_attempt=next_attempt)
    else:
        changed = move(challenge, ChallengeStatus.PROCESSING, next_attempt=next_attempt)
    return replace(_put(authorization, changed), version=authorization.version + 1)


def _met(authorization: Authorization, challenge: Challenge, now: int, until: int) -> Authorization:
    """Return a valid authorization: only the challenge that was met stays (§7.1.4)."""
    met = move(
        challenge, ChallengeStatus.VALID, validated_at=now, error=None, next_attempt=None,
        account_url="",
    )  # fmt: skip
    return move(authorization, AuthorizationStatus.VALID, challenges=(met,), expires_at=until)


def _failed(
    authorization: Authorization, challenge: Challenge, error: dict[str, Any], attempts: int
) -> Authorization:
    failed = move(
        challenge, ChallengeStatus.INVALID, error=error, attempts=attempts, next_attempt=None,
        account_url="",
    )  # fmt: skip
    # What else was being validated has no meaning any more: the authorization is over.
    return move(_put(authorization, failed), AuthorizationStatus.INVALID)


def _may_change(challenge: ChallengeType, outcome: Failed) -> bool:
    if outcome.kind in _TRANSIENT:
        return True
    return challenge in DNS_CHALLENGES and outcome.kind in _PROPAGATING


def _problem(outcome: Failed) -> dict[str, Any]:
    word = outcome.kind if outcome.kind in TYPES else "unauthorized"
    return problem.document(ACMEError(word, outcome.detail))


def _settings(authority: Authority, account: Account) -> ACMEProvisioner:
    """Return the settings of an account's provisioner; defaults if it is gone."""
    found = authority.policy.provisioner(account.provisioner, ACME)
    return ACMEProvisioner(account.provisioner) if found is None else found.settings
