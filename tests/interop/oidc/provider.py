"""The real OpenID provider of the tests: npm's oidc-provider, on loopback, with a root of its own.

`sign_in` and `browser` stand for a person who sits before one.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mintmark.wire import pem
from tests import pki
from tests.interop.oidc import browser
from tests.interop.programs import Daemon, free_port, listens, program, running

_HERE = Path(__file__).parent
_MODULES = _HERE.parents[2] / ".venv" / "openid-provider"
STEP, STEP_SECRET = "step", "public by protocol"
ALICE = {
    "email": "alice@example.com",
    "email_verified": True,
    "groups": ["staff", "operators"],
    "preferred_username": "alice.l",
}


class OpenIDProvider:
    """The provider, and Alice whom it knows.

    Args:
        path: a directory for its files; it is made.
    """

    def __init__(self, path: Path) -> None:
        if not (_MODULES / "installed").exists():
            pytest.skip("oidc-provider is not installed (scripts/openid-provider does it)")
        path.mkdir()
        self.port = free_port()
        self.root = path / "root.pem"
        self._people = path / "people.json"
        _write_certificate(path / "server.pem", self.root)
        command = (
            program("node"), _HERE / "idp.mjs", self.port, self._people, path / "server.pem",
            _MODULES,
        )  # fmt: skip
        self._daemon = Daemon(tuple(map(str, command)), path / "provider.log")
        self.forget()

    @property
    def issuer(self) -> str:
        """Its issuer."""
        return f"https://localhost:{self.port}"

    def forget(self) -> None:
        """Know Alice as she was at first, and nobody else."""
        self.says()

    def says(self, **claims: Any) -> None:
        """Say something else of Alice from now on."""
        self._people.write_text(json.dumps({"alice": ALICE | claims}))

    def sign_in(self, url: str) -> str:
        """Sign Alice in at a URL, and return the last page that she sees."""
        return browser.sign_in("alice", self.root, url)

    @property
    def browser(self) -> str:
        """A command line that signs Alice in when a URL comes behind it."""
        return shlex.join((sys.executable, browser.__file__, "alice", str(self.root)))

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Run it for the length of a block, with new signing keys."""
        with running(self._daemon, lambda: listens(self.port)):
            yield


def _write_certificate(file: Path, root: Path) -> None:
    """Write the private key and a certificate for localhost, and their root."""
    now = int(time.time())
    hierarchy = pki.pki(now=now - 3600, number=7)
    leaf = pki.leaf(hierarchy.issuing, "localhost", not_before=now - 60)
    key = pki.private_key(number=100)
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + pem.certificates((leaf.der, hierarchy.issuer.der))
    )
    root.write_bytes(pem.certificate(hierarchy.root_der))
