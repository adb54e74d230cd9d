"""Reference pages that speak of tests: each of these is there."""

from __future__ import annotations

import re
from functools import cache

from tests.pages import REFERENCE

TESTS = REFERENCE.parents[1] / "tests"
HOLES = (REFERENCE / "peers-holes.md").read_text("utf-8")


@cache
def source(file: str) -> str:
    return (TESTS / file).read_text("utf-8")


def test_every_hole_of_the_peers_is_held_by_tests_that_exist():
    rows = re.findall(r"^\| (\d+) \|.*\| (.*) \|$", HOLES, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 25))
    for number, held_by in rows:
        named = re.findall(r"`([\w/]+\.py)::(test_\w+)`", held_by)
        assert named, f"row {number} names no test"
        for file, test in named:
            assert f"def {test}(" in source(file), f"row {number}: {file} has no {test}"
