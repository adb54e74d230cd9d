"""Options that every command has: where the authority is, as whom to talk to it, how to answer.

They may stand before or behind the command's name; behind wins.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from mintmark.model.errors import Error

HELP: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
DEFAULT_DIRECTORY: Final = "mintmark"
_FILE: Final = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the authority is, and how this command reaches it and answers.

    Args:
        directory: the authority's directory; it need not exist when `server` is given.
        is_default: whether nobody named that directory.
        server: URL of the server; None for the one of `directory`.
        certificate: client certificate file; None for the directory's administrator.
        key: its key file.
        ca: file of trust anchors; None for the directory's root.
        offline: whether to open the directory instead of asking a server.
        passphrase_file: file of the CA keys' passphrase.
        as_json: whether to answer in JSON.
    """

    directory: Path
    is_default: bool = True
    server: str | None = None
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    offline: bool = False
    passphrase_file: Path | None = None
    as_json: bool = False

    def command(self, text: str) -> str:
        """Return a command line that reaches the same authority from the same directory."""
        line = f"{program()} {text}"
        return line if self.is_default else f"{line} --dir {shlex.quote(str(self.directory))}"


def program() -> str:
    """Return how to call this program again from here."""
    typed = Path(sys.argv[0])
    if typed.name == "__main__.py":
        return f"{sys.executable} -m mintmark"
    found = shutil.which("mintmark")
    if typed.name != "mintmark" or (found is not None and Path(found).samefile(typed)):
        return "mintmark"
    return shlex.quote(min(str(typed), os.path.relpath(typed), key=len))


class Command(click.Command):
    """A command whose work is in a file of its own, imported when it runs.

    Args:
        run: the function, as `module:function` below `mintmark.cli`; it gets a `Place` and the
            command's own parameters.
        reach: whether the command can ask a server.
        passphrase: whether it reads the CA keys of the directory.
    """

    def __init__(
        self,
        run: str,
        *,
        params: list[click.Parameter],
        reach: bool = False,
        passphrase: bool = False,
        **more: Any,
    ) -> None:
        shared = _local_options()
        if reach:
            shared += _server_options()
        elif passphrase:
            shared.append(_passphrase_option())
        super().__init__(params=params + shared, callback=self._run, context_settings=HELP, **more)
        self._function = run

    def _run(self, **parameters: Any) -> None:
        place = _take_place(click.get_current_context(), parameters)
        module, _, function = self._function.partition(":")
        try:
            getattr(importlib.import_module(f"mintmark.cli.{module}"), function)(
                place, **parameters
            )
        except Error as error:  # in JSON, a refusal is an answer too
            if place.as_json:
                print_json({"error": _refusal(error)})
            raise


def global_options() -> list[click.Parameter]:
    """Return the options that may stand before the command."""
    return [*_local_options(), *_server_options()]


def print_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2))


def _refusal(error: Error) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": error.kind.value, "detail": error.detail}
    if error.hint:
        found["hint"] = error.hint
    if error.subproblems:
        found["subproblems"] = [_refusal(one) for one in error.subproblems]
    return found


def _take_place(ctx: click.Context, parameters: dict[str, Any]) -> Place:
    """Take the shared options out of the command's parameters; those behind the name win."""
    before = ctx.find_root().params
    given: dict[str, Any] = {}
    for option in global_options():
        name = str(option.name)
        here = parameters.pop(name, None)
        given[name] = here or before.get(name)
    directory = given.pop("directory")
    chosen = {name: value for name, value in given.items() if value}
    return Place(directory or Path(DEFAULT_DIRECTORY), is_default=directory is None, **chosen)


def _local_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--dir", "directory"],
            type=click.Path(file_okay=False, path_type=Path),
            envvar="MINTMARK_DIR",
            help=f"Directory of the authority.  [default: ./{DEFAULT_DIRECTORY}]",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Answer in JSON."),
    ]


def _server_options() -> list[click.Parameter]:
    return [
        click.Option(["--server"], metavar="URL", help="Ask this server."),
        click.Option(["--cert", "certificate"], type=_FILE, help="Client certificate to show it."),
        click.Option(["--key"], type=_FILE, help="Key of that certificate."),
        click.Option(["--ca"], type=_FILE, help="Trust anchors to know the server by."),
        click.Option(
            ["--offline"], is_flag=True, help="Open the directory instead of asking a server."
        ),
        _passphrase_option(),
    ]


def _passphrase_option() -> click.Parameter:
    return click.Option(
        ["--passphrase-file"], type=_FILE, help="File with the passphrase of the CA keys."
    )
