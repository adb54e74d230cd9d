"""Refusals that are remembered: as long as the store said, and no longer."""

from __future__ import annotations

import pytest

from mintmark.authority.policy.limits import Refusals
from mintmark.model.act import RateClaim
from mintmark.model.errors import Error, Kind

NOW = 1_795_000_000.0
WEB = (RateClaim("service:web", 100),)


@pytest.fixture
def refusals():
    told = Refusals()
    error = Error(Kind.RATE_LIMITED, "more than 100 acts an hour for 'service:web'", retry_after=36)
    told.remember(WEB, error, NOW)
    return told


@pytest.mark.parametrize("seconds", [0, 1, 35])
def test_refusal_holds_as_long_as_was_said(refusals, seconds):
    with pytest.raises(Error) as refused:
        refusals.check(WEB, NOW + seconds)
    assert refused.value.kind is Kind.RATE_LIMITED
    assert refused.value.retry_after == 36 - seconds + 1


@pytest.mark.parametrize("seconds", [36, 3600])
def test_refusal_ends_when_its_time_is_over(refusals, seconds):
    refusals.check(WEB, NOW + seconds)


@pytest.mark.parametrize("seconds", [-1, -1800, -3600, -86400])
def test_refusal_is_forgotten_when_the_clock_jumped_back(refusals, seconds):
    refusals.check(WEB, NOW + seconds)


def test_others_are_not_refused(refusals):
    refusals.check((RateClaim("service:other", 100),), NOW)
