"""What the acts of one batch depend on, decided inside its transaction.

Both databases read the same few facts, let `Conditions` decide act after act, and write what
it changed: so a limit means the same everywhere, and one refused act costs the others nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mintmark.model.act import Act, IdempotencyKey, Quota, RateClaim
from mintmark.model.certificate import Certificate, Revocation
from mintmark.model.errors import Error, Kind
from mintmark.model.time import DAY, HOUR
from mintmark.store.ssh_conditions import SSHConditions
from mintmark.store.versions import Versions

_SECOND: Final = 1_000_000  # rates count in microseconds
_WINDOW: Final = HOUR * _SECOND


@dataclass(slots=True)
class Held:
    """A stored certificate that an act of the batch replaces or revokes.

    Args:
        service: whose it is.
        not_after: Unix seconds.
        active: neither revoked nor replaced, so that `holdings` counts it.
    """

    service: str
    not_after: int
    active: bool


class Conditions:
    """The facts a batch asks for, and the decisions made on them.

    The store fills in `arrivals`, `holdings`, `held`, `revoked`, `blocked`, `tokens`,
    `remembered`, `ssh` and `versions` for the keys it finds there; then it calls `admit` for
    each act in order.

    Args:
        acts: of the batch.
        now: Unix seconds.
    """

    __slots__ = (
        "arrivals",
        "blocked",
        "blocks",
        "changes",
        "held",
        "holdings",
        "moved",
        "now",
        "remembered",
        "revoked",
        "ssh",
        "tokens",
        "versions",
    )

    def __init__(self, acts: Iterable[Act], now: float) -> None:
        self.now: Final = now
        self.arrivals: dict[str, int] = {}
        self.holdings: dict[str, int] = {}
        self.held: dict[bytes, Held | None] = {}
        self.revoked: dict[bytes, bool] = {}
        self.blocked: dict[bytes, bool] = {}
        self.blocks = False  # whether an act of the batch blocks or bans anything
        self.tokens: dict[bytes, int | None] = {}
        self.remembered: dict[bytes, bool] = {}
        self.ssh: Final = SSHConditions()
        self.versions: Final = Versions()
        self.moved: set[str] = set()
        self.changes: dict[tuple[str, int], int] = {}
        for act in acts:
            self._ask(act)

    def _ask(self, act: Act) -> None:
        for claim in act.rates:
            self.arrivals[claim.key] = 0
        if act.quota is not None:
            self.holdings[act.quota.service] = 0
        for certificate in act.certificates:
            self.blocked[certificate.spki_sha256] = False
            if certificate.replaces is not None:
                self.held[certificate.replaces] = None
        if act.blocked_key is not None or act.bans:
            self.blocks = True
        for revocation in act.revocations:
            self.held[revocation.serial] = None
            self.revoked[revocation.serial] = False
        if act.burns_token is not None:
            self.tokens[act.burns_token] = None
        if act.idempotency is not None:
            self.remembered[act.idempotency.key_sha256] = False
        self.ssh.ask(act)
        if act.changes:
            self.versions.ask(act)

    def admit(self, act: Act) -> Error | None:
        """Decide an act and count it; a refused act changes nothing that others see."""
        # Most acts are a certificate and its record: what they do not have is not asked about.
        refusal = (
            (self._repeated(act.idempotency) if act.idempotency is not None else None)
            or (self._token_refused(act) if act.burns_token is not None else None)
            or (self._already_revoked(act) if act.revocations else None)
            or self._key_blocked(act)
            or self.ssh.refuse(act)
            or (self.versions.refuse(act) if act.changes else None)
            or (self._over_quota(act, act.quota) if act.quota is not None else None)
            or (self._over_rate(act) if act.rates else None)
        )
        if refusal is None:
            self._count(act)
        return refusal

    def _repeated(self, key: IdempotencyKey) -> Error | None:
        if not self.remembered[key.key_sha256]:
            return None
        return Error(
            Kind.CONFLICT,
            "a request with this idempotency key was answered already",
            hint="read the first answer, or take a new key for a new request",
        )

    def _token_refused(self, act: Act) -> Error | None:
        token = act.burns_token
        if token is None or act.audit is None:
            return None
        expires_at = self.tokens[token]
        if expires_at is not None and act.audit.time <= expires_at:
            return None
        what = "is unknown or used" if expires_at is None else "has expired"
        return Error(
            Kind.BAD_TOKEN, f"the one-time token {what}", hint="ask for a new one: mintmark token"
        )

    def _already_revoked(self, act: Act) -> Error | None:
        seen: set[bytes] = set()
        for revocation in act.revocations:
            serial = revocation.serial
            if self.revoked[serial] or serial in seen:
                return Error(
                    Kind.ALREADY_REVOKED, f"certificate 'cert_{serial.hex()}' is revoked already"
                )
            seen.add(serial)
        return None

    def _key_blocked(self, act: Act) -> Error | None:
        for certificate in act.certificates:
            if self.blocked[certificate.spki_sha256]:
                return Error(
                    Kind.BAD_PUBLIC_KEY,
                    "the public key was revoked for key compromise",
                    hint="make a new key",
                )
        return None

    def _over_quota(self, act: Act, quota: Quota) -> Error | None:
        service, wanted, freed = quota.service, 0, set()
        for certificate in act.certificates:
            if certificate.service == service:
                wanted += 1
                if self._frees_a_place(certificate, service):
                    freed.add(certificate.replaces)
        held = self.holdings[service] - len(freed)
        if not wanted or held + wanted <= quota.max_certificates:
            return None
        return Error(
            Kind.FORBIDDEN,
            f"service '{service}' holds {held} active certificates"
            f" (limit: {quota.max_certificates})",
            hint="renew or revoke one of them, or raise max_certificates of the service",
        )

    def _frees_a_place(self, certificate: Certificate, service: str) -> bool:
        if certificate.replaces is None:
            return False
        held = self.held[certificate.replaces]
        return (
            held is not None
            and held.active
            and held.service == service
            and held.not_after >= self.now
        )

    def _over_rate(self, act: Act) -> Error | None:
        for claim in act.rates:
            wait = self._wait(claim)
            if wait > 0:
                seconds = -(-wait // _SECOND)
                return Error(
                    Kind.RATE_LIMITED,
                    f"more than {claim.per_hour} acts an hour for '{claim.key}'",
                    hint=f"try again in {seconds} s",
                    retry_after=seconds,
                )
        return None

    def _wait(self, claim: RateClaim) -> int:
        """Return the microseconds until the claim would be granted; 0 or less grants it."""
        if claim.per_hour < 1:
            return _WINDOW
        now = int(self.now * _SECOND)
        arrival = self.arrivals[claim.key]
        if arrival > now + _WINDOW:
            # Only a clock that jumped back leaves this; it is stored even when the act is
            # refused, so that the wait shrinks from here on.
            arrival = now + _WINDOW
            self.arrivals[claim.key] = arrival
            self.moved.add(claim.key)
        return arrival + _WINDOW // claim.per_hour - _WINDOW - now

    def _count(self, act: Act) -> None:
        for claim in act.rates:
            self.arrivals[claim.key] = (
                max(self.arrivals[claim.key], int(self.now * _SECOND)) + _WINDOW // claim.per_hour
            )
            self.moved.add(claim.key)
        for certificate in act.certificates:
            if certificate.replaces is not None:
                self._release(self.held[certificate.replaces])
            self._change(certificate.service, certificate.not_after, 1)
        for revocation in act.revocations:
            self._revoke(revocation)
        if act.blocked_key in self.blocked:
            self.blocked[act.blocked_key] = True
        if act.burns_token is not None:
            self.tokens[act.burns_token] = None
        if act.idempotency is not None:
            self.remembered[act.idempotency.key_sha256] = True
        self.ssh.count(act)
        if act.changes:
            self.versions.count(act)

    def _revoke(self, revocation: Revocation) -> None:
        self.revoked[revocation.serial] = True
        self._release(self.held[revocation.serial])

    def _release(self, held: Held | None) -> None:
        if held is not None and held.active:
            held.active = False
            self._change(held.service, held.not_after, -1)

    def _change(self, service: str, not_after: int, by: int) -> None:
        key = (service, not_after // DAY)
        self.changes[key] = self.changes.get(key, 0) + by
        if service in self.holdings and not_after >= self.now:
            self.holdings[service] += by
