"""`mintmark db`: the database, opened directly."""

from __future__ import annotations

import asyncio
import time

from mintmark.cli.options import Place, print_json
from mintmark.cli.output import say
from mintmark.model.errors import Error, Kind
from mintmark.server.compose import open_store
from mintmark.server.directory import Directory
from mintmark.store.interface import Store


def migrate(place: Place) -> None:
    """Bring the schema up to date."""
    applied = asyncio.run(_store(place).migrate())
    if place.as_json:
        print_json({"applied": applied})
    elif applied:
        say(f"applied {', '.join(applied)}")
    else:
        say("the schema is up to date")


def check(place: Place) -> None:
    """Look for what is wrong with the database."""
    problems, counts = asyncio.run(_check(_store(place)))
    if problems:
        first, *others = (Error(Kind.UNAVAILABLE, one) for one in problems)
        raise Error(first.kind, first.detail, subproblems=tuple(others))
    if place.as_json:
        print_json({"problems": [], **counts})
    else:
        listed = ", ".join(f"{count} {what}" for what, count in counts.items())
        say(f"the database is fine: {listed}")


def _store(place: Place) -> Store:
    directory = Directory(place.directory)
    directory.require_ready()
    return open_store(directory, directory.settings(), time.time)


async def _check(store: Store) -> tuple[list[str], dict[str, int]]:
    await store.open()
    try:
        return await store.check(), await store.count()
    finally:
        await store.close()
