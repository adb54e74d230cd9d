"""The reference page says what the table of routes says."""

from __future__ import annotations

import re

from mintmark.protocol.step.call import Access
from tests.pages import REFERENCE

WORDS = {
    Access.PUBLIC: "nothing",
    Access.TOKEN: "token",
    Access.CERTIFICATE: "certificate",
    Access.EITHER: "certificate or token",
}


def test_the_page_lists_every_route_and_who_may_call_it(world):
    page = (REFERENCE / "step.md").read_text("utf-8")

    listed = re.findall(r"^\| `((?:GET|POST) /[^`]*)` \| ([^|]+) \|", page, re.MULTILINE)

    assert listed == [
        (f"{route.method} /{route.path}", WORDS[route.access]) for route in world.step.routes
    ]
