"""Provisioners added and changed while a server runs, as docs/how-to/provisioners.md has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.interop import pages
from tests.interop.authority import Authority
from tests.interop.programs import program

pytestmark = pytest.mark.interop
PAGE = "how-to/provisioners.md"


def test_the_page_works_as_it_is_written(place: Path):
    program("openssl")
    authority = Authority.create(place / "provisioning")
    sandbox = pages.Sandbox(place / "provisioners-page")
    (sandbox.root / "pki").symlink_to(sandbox.home)  # where the page's files are
    (sandbox.home / "mintmark").symlink_to(authority.directory)
    with authority.serving():
        sandbox.follow(PAGE)
