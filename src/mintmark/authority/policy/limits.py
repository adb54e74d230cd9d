"""Rate limits on issuance.

The limits themselves are kept and decided in the store, with the commit, so that they hold
over all processes (GCRA; see `store`). What stands here says which limits an act has to pass,
and remembers refusals, so that a requester over its limit costs no signature.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mintmark.model.access import Requester
from mintmark.model.act import RateClaim
from mintmark.model.errors import Error, Kind


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be issued.

    Args:
        certificates_per_hour: for each service that has no number of its own; None sets no
            limit.
        total_certificates_per_hour: over all services; None sets no limit.
    """

    certificates_per_hour: int | None
    total_certificates_per_hour: int | None

    def claims(self, requester: Requester, service: str) -> tuple[RateClaim, ...]:
        """Return the limits that one more certificate of a service has to pass.

        An admin passes the service's limit, since it acts for all, but not the total.
        """
        claims = []
        own = requester.rule.certificates_per_hour
        per_service = self.certificates_per_hour if own is None else own
        if per_service and not requester.is_admin:
            claims.append(RateClaim(f"service:{service}", per_service))
        if self.total_certificates_per_hour:
            claims.append(RateClaim("total", self.total_certificates_per_hour))
        return tuple(claims)


class Refusals:
    """Limits that were found exhausted, each until the moment it was told to come back."""

    MAX = 10_000  # entries; the memory of a flood must not become the flood

    def __init__(self) -> None:
        self._told: dict[str, tuple[float, float]] = {}  # since when, and until when

    def check(self, claims: Iterable[RateClaim], now: float) -> None:
        """Refuse at once what the store refused a moment ago.

        Raises:
            Error: RATE_LIMITED with `retry_after`.
        """
        if not self._told:
            return
        for claim in claims:
            since, until = self._told.get(claim.key, (0.0, 0.0))
            # A clock that jumped back must not prolong a refusal: then the store decides.
            if since <= now < until:
                raise rate_limited(claim, int(until - now) + 1)
            self._told.pop(claim.key, None)

    def remember(self, claims: Iterable[RateClaim], error: Error, now: float) -> None:
        """Keep a refusal of the store for as long as it said."""
        if error.kind is not Kind.RATE_LIMITED or not error.retry_after:
            return
        if len(self._told) >= self.MAX:
            self._told.clear()
        refused = [claim.key for claim in claims if f"'{claim.key}'" in error.detail]
        for key in refused:
            self._told[key] = now, now + error.retry_after


def rate_limited(claim: RateClaim, retry_after: int) -> Error:
    """Return the refusal of one claim; the store raises the same."""
    return Error(
        Kind.RATE_LIMITED,
        f"rate limit '{claim.key}' is used up: {claim.per_hour} certificates an hour",
        hint=f"try again in {retry_after} s, or raise certificates_per_hour",
        retry_after=retry_after,
    )
