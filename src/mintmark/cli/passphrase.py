"""The passphrase of the CA keys: from a file, the environment or a person, never from argv."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Final

import click

from mintmark.authority.signer.files import read_secret, write_secret
from mintmark.cli.options import Place
from mintmark.model.errors import Error, Kind

VARIABLE: Final = "MINTMARK_PASSPHRASE"
MIN_CHARACTERS: Final = 8
_HINT: Final = f"use --passphrase-file, the environment's {VARIABLE}, or a terminal to type it"


def read_passphrase(place: Place, kept: Path) -> bytes:
    """Return the passphrase of keys that exist.

    Args:
        place: for its --passphrase-file.
        kept: the file in which `mintmark up` keeps a passphrase that it made up.

    Raises:
        Error: CONFIGURATION when there is none to be had.
    """
    given = _given(place)
    if given is not None:
        return given
    if kept.exists():
        return _from_file(kept)
    if not sys.stdin.isatty():
        raise Error(Kind.CONFIGURATION, "the CA keys need their passphrase", hint=_HINT)
    return _typed("Passphrase of the CA keys")


def choose_passphrase(place: Place, kept: Path) -> bytes:
    """Return the passphrase for keys to be made; a person types it twice.

    Raises:
        Error: CONFIGURATION when there is none to be had, or it is too short.
    """
    passphrase = _given(place)
    if passphrase is None and kept.exists():
        passphrase = _from_file(kept)
    if passphrase is None:
        if not sys.stdin.isatty():
            raise Error(Kind.CONFIGURATION, "the new CA keys need a passphrase", hint=_HINT)
        passphrase = _typed("Passphrase for the new CA keys", twice=True)
    if len(passphrase) < MIN_CHARACTERS:
        raise Error(
            Kind.CONFIGURATION,
            f"the passphrase has {len(passphrase)} octets; it needs {MIN_CHARACTERS}",
            hint="four random words are easy to type and hard to guess",
        )
    return passphrase


def is_given(place: Place) -> bool:
    """Whether a passphrase comes from a file or the environment, so that nobody need type it."""
    return place.passphrase_file is not None or VARIABLE in os.environ


def make_passphrase(kept: Path) -> bytes:
    """Make up a passphrase, keep it in a file for its owner alone, and return it."""
    passphrase = secrets.token_urlsafe(24).encode()
    write_secret(kept, passphrase + b"\n")
    return passphrase


def _given(place: Place) -> bytes | None:
    if place.passphrase_file is not None:
        return _from_file(place.passphrase_file)
    # Taken out, so that no child process inherits it.
    text = os.environ.pop(VARIABLE, None)
    return None if text is None else text.encode()


def _from_file(path: Path) -> bytes:
    passphrase = read_secret(path).rstrip(b"\r\n")
    if not passphrase:
        raise Error(Kind.CONFIGURATION, f"passphrase file '{path}' is empty")
    return passphrase


def _typed(prompt: str, *, twice: bool = False) -> bytes:
    typed: str = click.prompt(
        prompt, hide_input=True, err=True, confirmation_prompt="Once more" if twice else False
    )
    return typed.encode()
