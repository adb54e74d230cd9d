"""`mintmark up` and `mintmark serve`."""

from __future__ import annotations

import logging
import sys
from typing import Any, Final

from msgspec import structs

from mintmark.cli.options import Place, print_json
from mintmark.cli.output import pairs, say
from mintmark.cli.passphrase import (
    choose_passphrase,
    is_given,
    make_passphrase,
    read_passphrase,
)
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.server.directory import Directory, State
from mintmark.wire import identifiers

EXAMPLE: Final = "redis.example.internal"


def up(place: Place, **options: Any) -> None:
    """Create an authority if there is none, and serve it."""
    directory = Directory(place.directory)
    given = {name: value for name, value in options.items() if value}
    _recover(directory)
    created = directory.state() is State.ABSENT
    if created:
        passphrase = _create(place, directory, given)
    elif given:
        raise Error(
            Kind.CONFLICT,
            f"the authority in '{directory.path}' exists, so options cannot shape it",
            hint=f"leave out --{next(iter(given)).replace('_', '-')}, and edit "
            f"'{directory.settings_file}'",
        )
    else:
        directory.require_ready()
        passphrase = read_passphrase(place, directory.passphrase_file)
    _run(place, directory, passphrase, created=created)


def serve(place: Place, workers: int | None) -> None:
    """Serve an authority."""
    directory = Directory(place.directory)
    _recover(directory)
    directory.require_ready()
    passphrase = read_passphrase(place, directory.passphrase_file)
    _run(place, directory, passphrase, workers=workers)


def _recover(directory: Directory) -> None:
    """Finish or undo an interrupted change; a directory without one is not even written to."""
    if directory.is_changing:
        with directory.lock():
            directory.recover()


def _create(place: Place, directory: Directory, options: dict[str, Any]) -> bytes:
    """Create an authority and return its passphrase."""
    from mintmark.cli.creating import create, plan_of  # noqa: PLC0415 - only once in a lifetime

    with directory.lock():
        if directory.state() is not State.ABSENT:  # somebody was faster
            directory.require_ready()
            return read_passphrase(place, directory.passphrase_file)
        plan = plan_of(directory, options)
        if is_given(place) or directory.passphrase_file.exists():
            passphrase = choose_passphrase(place, directory.passphrase_file)
        else:
            passphrase = make_passphrase(directory.passphrase_file)
        create(directory, plan, passphrase)
    return passphrase


def _run(
    place: Place,
    directory: Directory,
    passphrase: bytes,
    *,
    created: bool = False,
    workers: int | None = None,
) -> None:
    """Serve until a signal says to stop."""
    from mintmark.server import app  # noqa: PLC0415 - as late as possible: it is large

    settings = directory.settings()
    if workers is not None:
        server = structs.replace(settings.server, workers=workers)
        settings = structs.replace(settings, server=server)
    # The first DNS name loads the list of public suffixes, 0.1 s: not in the first request.
    identifiers.parse(IdentifierType.DNS, "localhost")
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )

    def ready() -> None:
        from mintmark.cli.creating import facts  # noqa: PLC0415 - after the first connection

        if place.as_json:
            print_json({name.replace(" ", "_"): value for name, value in facts(directory)})
        else:
            say(_welcome(place, directory, created=created))
        sys.stdout.flush()

    app.run(directory, settings, passphrase, ready=ready)


def _welcome(place: Place, directory: Directory, *, created: bool) -> str:
    """Return what to know of the authority that now serves, and what to try."""
    from mintmark.cli.creating import facts  # noqa: PLC0415 - after the first connection

    lines = [pairs(facts(directory)), ""]
    if created and directory.passphrase_file.exists():
        kept = directory.passphrase_file
        lines += [
            f"passphrase of the CA keys: in {kept}; move it away, then use --passphrase-file",
            "",
        ]
    return "\n".join(
        (
            *lines,
            "try next, in another terminal:",
            f"  {place.command(f'issue {EXAMPLE} --san 127.0.0.1')}",
            f"  {place.command(f'verify {EXAMPLE}')}",
            f"  {place.command(f'revoke {EXAMPLE} --reason key-compromise')}",
        )
    )
