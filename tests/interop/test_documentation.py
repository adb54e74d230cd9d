"""The pages as pages: their links lead somewhere, and what carries them out can tell a lie."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.interop.pages import DOCUMENTS, answers

PAGES = sorted(
    page.relative_to(DOCUMENTS).as_posix()
    for folder in ("how-to", "tutorial", "explanation")
    for page in (DOCUMENTS / folder).glob("*.md")
)
_LINK = re.compile(r"\]\(([^)#:]*)(?:#([^)]*))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Return the anchors that a renderer gives to a page's headings."""
    headings = _HEADING.findall(page.read_text())
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name: str):
    page = DOCUMENTS / name
    for target, anchor in _LINK.findall(page.read_text()):
        found = (page.parent / target).resolve() if target else page
        assert found.is_file(), f"{name} links to {target}"
        assert not anchor or anchor in anchors(found), f"{name} links to {target}#{anchor}"


@pytest.mark.parametrize(
    ("promised", "said", "is_kept"),
    [
        pytest.param(["PONG"], ["PONG"], True, id="the same"),
        pytest.param(["PONG"], ["PING"], False, id="another word"),
        pytest.param(["PONG"], [], False, id="nothing"),
        pytest.param(["PONG"], ["PONG", "more"], False, id="more"),
        pytest.param(["serial=…"], ["serial=1F"], True, id="anything in a line"),
        pytest.param(["serial=…"], ["cereal=1F"], False, id="another line"),
        pytest.param(["…", "end"], ["a", "b", "end"], True, id="any lines"),
        pytest.param(["…"], [], True, id="no line"),
        pytest.param(["a", "…", "end"], ["a", "b"], False, id="no end"),
        pytest.param(["a  b"], ["a b"], True, id="other blanks"),
    ],
)
def test_what_a_page_promises_is_compared(promised: list[str], said: list[str], *, is_kept: bool):
    assert answers(promised, said) is is_kept
