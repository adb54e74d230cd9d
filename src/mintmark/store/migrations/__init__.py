"""Numbered SQL files that bring a schema up to date, each in a transaction of its own.

A file once released is never edited; the next change is the next number.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from mintmark.model.errors import Error, Kind


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of a schema.

    Args:
        version: 1, 2, 3 …
        name: file name without `.sql`.
        sql: its statements.
    """

    version: int
    name: str
    sql: str


def migrations(dialect: str) -> list[Migration]:
    """Return all migrations of `sqlite` or `postgresql`, in order."""
    files = resources.files(__name__).joinpath(dialect).iterdir()
    texts = {file.name: file.read_text("utf-8") for file in files if file.name.endswith(".sql")}
    return [
        Migration(int(name.split("_")[0]), name.removesuffix(".sql"), texts[name])
        for name in sorted(texts)
    ]


def outstanding(dialect: str, version: int) -> list[Migration]:
    """Return the migrations above `version`.

    Raises:
        Error: CONFIGURATION when the schema is newer than this program.
    """
    known = migrations(dialect)
    if version > known[-1].version:
        raise Error(
            Kind.CONFIGURATION,
            f"the database has schema version {version}, newer than {known[-1].version},"
            " the newest that this program knows",
            hint="run the newer mintmark that migrated it",
        )
    return [migration for migration in known if migration.version > version]
