"""The real OpenID provider of the tests: npm's oidc-provider, on loopback."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.programs import Daemon, free_port, listens, program, running

_HERE = Path(__file__).parent
_MODULES = _HERE.parents[2] / ".venv" / "openid-provider"
ALICE = {
    "email": "alice@example.com",
    "email_verified": True,
    "groups": ["staff", "operators"],
    "preferred_username": "alice.l",
}


class OpenIDProvider:
    """The provider and the people who it knows.

    Args:
        path: a directory of its own.
    """

    def __init__(self, path: Path) -> None:
        if not (_MODULES / "installed").exists():
            pytest.skip("oidc-provider is not installed (scripts/openid-provider does it)")
        self.port = free_port()
        self._people = path / "people.json"
        command = (program("node"), _HERE / "idp.mjs", self.port, self._people, _MODULES)
        self._daemon = Daemon(tuple(map(str, command)), path / "provider.log")
        self.forget()

    @property
    def issuer(self) -> str:
        """Its issuer."""
        return f"http://localhost:{self.port}"

    def forget(self) -> None:
        """Know Alice as she was at first, and nobody else."""
        self._people.write_text(json.dumps({"alice": ALICE}))

    def says(self, **claims: Any) -> None:
        """Say something else of Alice from now on."""
        self._people.write_text(json.dumps({"alice": ALICE | claims}))

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Run it for the length of a block, with new keys."""
        with running(self._daemon, lambda: listens(self.port)):
            yield
