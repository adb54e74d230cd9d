"""The passphrase of the CA keys: a file, the environment or a person."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
import pytest

from mintmark.cli.options import Place
from mintmark.cli.passphrase import choose_passphrase, make_passphrase, read_passphrase
from mintmark.model.errors import Error

KEPT = Path("mintmark/passphrase")


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """A person at a terminal who types a passphrase; what was asked is kept."""
    asked: list[dict[str, object]] = []

    def prompt(text: str, **options: object) -> str:
        asked.append({"text": text, **options})
        return "typed by hand"

    monkeypatch.setattr(click, "prompt", prompt)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    return asked


def secret(name: str, text: str) -> Path:
    file = Path(name)
    file.write_text(text)
    file.chmod(0o600)
    return file


def test_file_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("MINTMARK_PASSPHRASE", "from the environment")
    place = Place(Path("mintmark"), passphrase_file=secret("file", "from the file\r\n"))

    assert read_passphrase(place, KEPT) == b"from the file"


def test_environment_is_read_once_and_emptied(monkeypatch):
    monkeypatch.setenv("MINTMARK_PASSPHRASE", "from the environment")

    assert read_passphrase(Place(Path("mintmark")), KEPT) == b"from the environment"
    assert "MINTMARK_PASSPHRASE" not in os.environ


def test_person_types_it_unseen(typed):
    assert read_passphrase(Place(Path("mintmark")), KEPT) == b"typed by hand"
    assert typed[0]["hide_input"] is True
    assert typed[0]["confirmation_prompt"] is False


def test_person_types_a_new_one_twice(typed):
    assert choose_passphrase(Place(Path("mintmark")), KEPT) == b"typed by hand"
    assert typed[0]["hide_input"] is True
    assert typed[0]["confirmation_prompt"] == "Once more"


def test_prepared_passphrase_is_taken_for_new_keys(typed):
    kept = secret("kept", "prepared by hand\n")

    assert choose_passphrase(Place(Path("mintmark")), kept) == b"prepared by hand"
    assert typed == []


def test_empty_file_is_refused():
    place = Place(Path("mintmark"), passphrase_file=secret("file", "\n"))

    with pytest.raises(Error, match="is empty"):
        read_passphrase(place, KEPT)


def test_made_up_passphrase_is_kept_for_its_owner():
    made = make_passphrase(Path("kept"))

    assert read_passphrase(Place(Path("mintmark")), Path("kept")) == made
    assert Path("kept").stat().st_mode & 0o777 == 0o600
    assert len(made) >= 32
    assert make_passphrase(Path("another")) != made
