"""The command line as a reference page, made from the grammar."""

from __future__ import annotations

from collections.abc import Iterator

import click

from mintmark.cli.grammar import COMMANDS
from mintmark.cli.options import global_options


def reference() -> str:
    """Return the generated part of `docs/reference/cli.md`."""
    return "\n".join(_page())


def _page() -> Iterator[str]:
    yield "## Options of every command\n"
    yield from _options(global_options())
    shared = {str(option.name) for option in global_options()}
    for command in COMMANDS:
        yield from _command(command, f"mintmark {command.name}", shared)


def _command(command: click.Command, line: str, shared: set[str]) -> Iterator[str]:
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _command(inner, f"{line} {inner.name}", shared)
        return
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    own = [one for one in command.params if one.name not in shared and one not in arguments]
    metavars = [str(one.metavar or f"[{str(one.name).upper()}]") for one in arguments]
    yield f"## `{' '.join((line, *metavars))}`\n"
    yield f"{command.help}\n"
    if own:
        yield from _options(own)
    taken = [
        f"`{one.opts[0]}`"
        for one in command.params
        if isinstance(one, click.Option) and one.name in shared
    ]
    yield f"And {', '.join(taken)}.\n"


def _options(options: list[click.Parameter]) -> Iterator[str]:
    yield "| option | meaning |\n|---|---|"
    for option in options:
        assert isinstance(option, click.Option)  # noqa: S101 - arguments are not passed here
        yield f"| `{option.opts[0]}{_value(option)}` | {_meaning(option)} |"
    yield ""


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return ""
    return f" {option.metavar or option.type.name.upper()}"


def _meaning(option: click.Option) -> str:
    parts = [option.help or ""]
    if isinstance(option.type, click.Choice):
        parts.append(f"One of {', '.join(f'`{one}`' for one in option.type.choices)}.")
    if option.show_default and option.default is not None:
        parts.append(f"[default: {option.default}]")
    if option.multiple:
        parts.append("May be given more than once.")
    return " ".join(part for part in parts if part).replace("|", "\\|").replace("  [", " [")
