"""Reference pages whose second half is made from the source.

`WRITE_REFERENCE=1 pytest tests/cli/test_grammar.py tests/unit/server/test_settings.py` writes
them anew.
"""

from __future__ import annotations

import os
from pathlib import Path

MARKER = "<!-- What follows is made from the source; a test compares the two. -->"
REFERENCE = Path(__file__).parents[1] / "docs" / "reference"


def assert_made_from_source(page: str, made: str) -> None:
    """Compare the made part of a page, or write it when the environment says so."""
    document = REFERENCE / page
    written, marker, found = document.read_text("utf-8").partition(MARKER)
    if os.environ.get("WRITE_REFERENCE") == "1":
        document.write_text(f"{written}{MARKER}\n\n{made.strip()}\n", "utf-8")
        return

    assert marker, f"{document} has no line '{MARKER}'"
    assert found.strip() == made.strip(), "write it anew: WRITE_REFERENCE=1, see tests/pages.py"
