"""Pieces that the grammar of commands is made of; they import none of the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from mintmark.cli.options import HELP, Command
from mintmark.model.errors import Error
from mintmark.model.keys import SSH_CA_KEY_TYPES, KeyType
from mintmark.model.status import Reason
from mintmark.model.time import parse_duration

FILE: Final = click.Path(dir_okay=False, path_type=Path)
DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)
KEY_TYPE: Final = click.Choice([key_type.value for key_type in KeyType])
SSH_CA_KEY_TYPE: Final = click.Choice([key_type.value for key_type in SSH_CA_KEY_TYPES])


class _Duration(click.ParamType[str]):
    """A duration, refused before anything is asked for; the text is passed on."""

    name = "duration"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            parse_duration(value)
        except Error as error:
            self.fail(f"{error.detail}; {error.hint}", param, ctx)
        return value


DURATION: Final = _Duration()


def option(*names: str, **more: Any) -> click.Parameter:
    """Return an option of a command."""
    return click.Option(names, **more)


def argument(name: str, **more: Any) -> click.Parameter:
    """Return an argument of a command."""
    return click.Argument([name], **more)


def limit() -> click.Parameter:
    """Return the option that bounds a list."""
    return option(
        "--limit",
        type=click.IntRange(1),
        metavar="N",
        default=100,
        show_default=True,
        help="How many at most.",
    )


def reason() -> click.Parameter:
    """Return the option that says why something is revoked."""
    return option(
        "--reason",
        type=click.Choice([reason.word for reason in Reason]),
        default=Reason.UNSPECIFIED.word,
        show_default=True,
        help="Why (RFC 5280 §5.3.1).",
    )


def group(name: str, summary: str, *commands: Command | click.Group) -> click.Group:
    """Return a family of commands."""
    return click.Group(
        name,
        commands={str(command.name): command for command in commands},
        help=summary,
        context_settings=HELP,
    )
