"""`mintmark config`: is it right, and what is in force."""

from __future__ import annotations

from pathlib import Path

from mintmark.cli.options import Place, print_json
from mintmark.cli.output import say
from mintmark.model.errors import Error, Kind
from mintmark.server import settings, settings_text, ssh_files
from mintmark.server.directory import Directory
from mintmark.server.sections import plain


def check(place: Place, file: Path | None) -> None:
    """Look for mistakes in a configuration file, and for SSH CA keys that lie there by halves."""
    path = file or Directory(place.directory).settings_file
    problems = settings.check(path)
    if file is None:
        problems += ssh_files.problems(Directory(place.directory))
    if problems:
        raise Error(
            Kind.CONFIGURATION,
            f"{path}: {problems[0]}",
            subproblems=tuple(Error(Kind.CONFIGURATION, f"{path}: {one}") for one in problems[1:]),
        )
    if place.as_json:
        print_json({"file": str(path), "problems": []})
    else:
        say(f"{path} is fine")


def show(place: Place, *, template: bool) -> None:
    """Show what is in force, or the commented file of defaults."""
    if template:
        say(settings_text.template(settings.Settings()).rstrip("\n"))
        return
    found = Directory(place.directory).settings()
    if place.as_json:
        print_json(plain(found))
    else:
        say(settings_text.show(found).rstrip("\n"))
