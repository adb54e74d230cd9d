"""The `mintmark` command: runs what was typed, and reports what was refused.

Help, version and usage errors import nothing but click: a command's work is imported when it
runs. Errors are two lines on the standard error stream, `mintmark: error: …` and
`mintmark: hint: …`; exit status 0 means done, 1 refused or failed, 2 wrongly typed.
"""

from __future__ import annotations

import difflib
import os
import signal
import sys
from typing import NoReturn

import click

from mintmark import __version__
from mintmark.cli.grammar import COMMANDS
from mintmark.cli.options import HELP, global_options
from mintmark.cli.output import visible
from mintmark.model.errors import Error


class Mintmark(click.Group):
    """The group of all commands, in the order of a certificate's life."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names in the order of the grammar."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or name the nearest one."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.commands, n=1, cutoff=0.5)
            hint = f"did you mean 'mintmark {near[0]}'?" if near else "see: mintmark --help"
            raise UnknownCommand(f"there is no command '{args[0]}'", hint)
        return super().resolve_command(ctx, args)


class UnknownCommand(click.UsageError):
    """A command that is not there.

    Args:
        message: what was typed.
        hint: what may have been meant.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@click.command(
    cls=Mintmark,
    commands={str(command.name): command for command in COMMANDS},
    name="mintmark",
    params=global_options(),
    context_settings=HELP,
    epilog="Files: DIR/mintmark.yaml. Environment: MINTMARK_DIR, MINTMARK_PASSPHRASE, "
    "MINTMARK_DEBUG=1 for tracebacks.",
)
@click.version_option(__version__, message="mintmark %(version)s", help="Show the version.")
def mintmark(**_options: object) -> None:
    """Run a private certification authority, and use it."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and end the process with its status."""
    try:
        status = mintmark.main(arguments, prog_name="mintmark", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_quietly()
    except Exception as error:  # noqa: BLE001 - the last one who can tell the user
        status = report(error)
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    sys.exit(status if isinstance(status, int) else 0)


def report(error: Exception) -> int:
    """Tell the user about an error and return the exit status it means."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.exceptions.Abort):
        return 128 + signal.SIGINT
    if os.environ.get("MINTMARK_DEBUG") == "1":
        import traceback  # noqa: PLC0415 - only who debugs pays for it

        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, Error):
        complain(error.detail, error.hint)
        for one in error.subproblems:
            complain(one.detail, one.hint)
        return 1
    detail = str(error).splitlines()[0] if str(error) else "no details"
    complain(
        f"{type(error).__name__}: {detail}",
        "this is a defect in mintmark; MINTMARK_DEBUG=1 shows where",
    )
    return 1


def complain(detail: str, hint: str = "") -> None:
    """Write an error and its hint."""
    click.echo(f"mintmark: error: {visible(detail)}", err=True)
    if hint:
        click.echo(f"mintmark: hint: {visible(hint)}", err=True)


def _usage(error: click.ClickException) -> int:
    """Report wrong usage in the form of our own errors; without a command, show the help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return error.exit_code
    message = error.format_message().rstrip(".")
    hint = getattr(error, "hint", "")
    if not hint and isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"see: {error.ctx.command_path} --help"
    complain(message[:1].lower() + message[1:], hint)
    return error.exit_code


def _leave_quietly() -> NoReturn:
    """End as a program does whose reader went away, without Python's complaint at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(128 + signal.SIGPIPE)
