"""Runs commands in this process, in a directory of their own, and keeps what they print."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from mintmark.cli.main import main
from tests.pki import cheap_passphrases

PASSPHRASE = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Result:
    """What a command did.

    Args:
        status: exit status.
        data: standard output.
        err: standard error stream.
    """

    status: int
    data: bytes
    err: str

    @property
    def out(self) -> str:
        return self.data.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.data)


Run = Callable[..., Result]


def run_command(*arguments: object, stdin: bytes = b"") -> Result:
    """Run `mintmark` with arguments; what it reads is no terminal."""
    out, err = io.TextIOWrapper(io.BytesIO(), write_through=True), io.StringIO()
    source = io.TextIOWrapper(io.BytesIO(stdin))
    with (
        mock.patch.object(sys, "stdout", out),
        mock.patch.object(sys, "stderr", err),
        mock.patch.object(sys, "stdin", source),
        pytest.raises(SystemExit) as caught,
    ):
        main([str(one) for one in arguments])
    status = caught.value.code
    assert isinstance(status, int)
    return Result(status, out.buffer.getvalue(), err.getvalue())  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A clean environment and working directory."""
    for name in list(os.environ):
        if name.startswith("MINTMARK_") or name.endswith(("_CA_BUNDLE", "SSL_CERT_FILE")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def hurry() -> Iterator[None]:
    """Every command opens a key."""
    with cheap_passphrases():
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority made once, to be copied."""
    place = tmp_path_factory.mktemp("made")
    passphrase = place / "passphrase"
    passphrase.write_text(PASSPHRASE)
    passphrase.chmod(0o600)
    directory = place / "mintmark"
    with cheap_passphrases():
        result = run_command("init", "--dir", directory, "--passphrase-file", passphrase)
    assert result.status == 0, result.err
    shutil.move(passphrase, directory / "passphrase")
    return directory


@pytest.fixture
def authority(made: Path, tmp_path: Path) -> Path:
    """An authority in ./mintmark, which no server serves."""
    return Path(shutil.copytree(made, tmp_path / "mintmark"))


@pytest.fixture
def run() -> Run:
    """Run a command."""
    return run_command


@pytest.fixture
def offline(authority: Path) -> Run:
    """Run a command in the directory of `authority`, without a server."""
    del authority

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        return run_command(*arguments, "--offline", stdin=stdin)

    return run
