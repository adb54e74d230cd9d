"""Durations and times as Go programs write them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.model.errors import Error, Kind
from mintmark.wire.go_time import go_duration, moment, parse_go_duration

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("24h", 86400),
        ("1000h0m0s", 3_600_000),
        ("-1m", -60),
        ("+90s", 90),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5m", 30),
        ("1500ms", 1),
        ("-1500ms", -1),
        ("999\N{MICRO SIGN}s", 0),
        ("1.s", 1),
    ],
)
def test_a_go_duration_is_read(text, seconds):
    assert parse_go_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["24", "h", "1d", "1h ", " 1h", "1h-1m", "--1h", "1e3s", "", ".", ".s", "1" * 60 + "h",
     "9999999h", "\N{ARABIC-INDIC DIGIT ONE}h", "1h" * 100],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(Error) as refused:
        parse_go_duration(text)
    assert refused.value.kind is Kind.MALFORMED


@pytest.mark.parametrize("text", ["", None, "0", "0s", "-0m", "0001-01-01T00:00:00Z"])
def test_go_programs_leave_out_what_is_zero(text):
    assert moment(text, NOW) is None


@pytest.mark.parametrize(("text", "seconds"), [("1ns", NOW), ("-1ns", NOW), ("1s", NOW + 1)])
def test_a_moment_is_not_left_out_however_near(text, seconds):
    assert moment(text, NOW) == seconds


@given(st.integers(0, 10**9))
@settings(max_examples=50)
def test_what_is_written_is_read_again(seconds):
    assert parse_go_duration(go_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (30, "30s"), (300, "5m0s"), (86400, "24h0m0s"), (3661, "1h1m1s")],
)
def test_durations_are_written_as_go_writes_them(seconds, text):
    assert go_duration(seconds) == text


@pytest.mark.parametrize("text", [None, "", "0001-01-01T00:00:00Z"])
def test_a_time_that_is_left_out_is_none(text):
    assert moment(text, NOW) is None


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("24h", NOW + 86400),
        ("-1m", NOW - 60),
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T09:00:00.999+01:00", NOW),
    ],
)
def test_a_moment_is_a_time_or_counts_from_now(text, second):
    assert moment(text, NOW) == second


@pytest.mark.parametrize(
    "text",
    ["tomorrow", "2027-01-15", "2027-13-15T08:00:00Z", "2027-01-15T08:00:00", "-2000000h",
     "2027-W03-5T08:00:00Z", "2562048h", "0001-01-02T00:00:00Z", "\x00"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(Error) as refused:
        moment(text, NOW)
    assert refused.value.kind is Kind.MALFORMED


@given(st.text(max_size=80))
@settings(max_examples=100)
def test_no_text_does_more_than_be_refused(text):
    with suppress(Error):
        second = moment(text, NOW)
        assert second is None or 0 <= second <= 253402300799
