"""Connections to one SQLite file: how it is opened, shared, migrated and given up.

WAL with synchronous=FULL: a commit is on disk when it returns. Processes that share the file
wait for each other here, briefly and bounded.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from mintmark.model.errors import Error, Kind
from mintmark.model.time import Clock
from mintmark.store.migrations import outstanding

T = TypeVar("T")

BUSY_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 1.0
SOON_SECONDS: Final = 0.005
_NAP_SECONDS: Final = 0.0001
_QUESTION_STEPS: Final = 500
_CACHE_KIB: Final = 16_384
_RETRY_SECONDS: Final = 5

_REASONS: Final = (
    (apsw.BusyError, "it stays locked by another process"),
    (apsw.LockedError, "it stays locked by another process"),
    (apsw.FullError, "the disk is full"),
    (apsw.ReadOnlyError, "it is read-only"),
    (apsw.CantOpenError, "its file cannot be opened"),
    (apsw.CorruptError, "its file is damaged"),
    (apsw.NotADBError, "its file is not a SQLite database"),
)


def unavailable(reason: str) -> Error:
    """Return the refusal of everything that needs the database now."""
    return Error(
        Kind.UNAVAILABLE,
        f"the database cannot be used: {reason}",
        hint="nothing was stored; try again later",
        retry_after=_RETRY_SECONDS,
    )


def explain(error: apsw.Error) -> Error:
    """Return what an SQLite error means for who asked."""
    for kind, reason in _REASONS:
        if isinstance(error, kind):
            return unavailable(reason)
    if isinstance(error, (apsw.ConstraintError, apsw.SQLError, apsw.MismatchError)):
        return Error(Kind.INTERNAL, f"the database refused what was to be stored: {error}")
    return unavailable("reading or writing its file failed")


class _Patience:
    """A busy handler: many short naps, because other processes hold the lock for a millisecond."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = 0.0

    def __call__(self, naps: int) -> bool:
        now = time.monotonic()
        if naps == 0:
            self._until = now + BUSY_SECONDS
        if now >= self._until:
            return False
        time.sleep(_NAP_SECONDS)
        return True


def connect(path: Path, *, create: bool = False) -> apsw.Connection:
    """Open a connection.

    Args:
        path: of the database file.
        create: whether a missing file is made, readable by its owner alone.

    Raises:
        apsw.Error: it cannot be opened.
    """
    if create and not path.exists():
        with contextlib.suppress(OSError):  # SQLite says better what is wrong
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        connection.set_busy_handler(_Patience())
        with contextlib.suppress(apsw.ReadOnlyError):  # what it holds can still be read
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA recursive_triggers = ON")  # REPLACE, too, meets the triggers
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Hold the write lock, commit at the end, roll back on any error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            # SQLite rolls back by itself when it cannot go on.
            with contextlib.suppress(apsw.Error):
                connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def snapshot(connection: apsw.Connection) -> Iterator[None]:
    """Read several statements from one state; by itself each takes and gives back a lock."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def mark_found(connection: apsw.Connection, sql: str, asked: dict[bytes, bool]) -> None:
    """Mark those of some keys that have a row.

    Args:
        connection: to ask.
        sql: returns a key if it has a row; asked once a key, all in one call of the library.
        asked: the keys.
    """
    if not asked:
        return
    for (key,) in connection.executemany(sql, [(key,) for key in asked]):
        asked[key] = True


def soon(connection: apsw.Connection, work: Callable[[apsw.Connection], T], steps: int) -> T | None:
    """Do some reading, or return None when it takes too many steps or waits for the disk.

    SQLite counts the steps of a statement over all its runs, so that now and then a short one
    is asked about too: what is counted here are the questions of all statements together. No
    transaction is left open.
    """
    connection.set_progress_handler(_Budget(steps // _QUESTION_STEPS), _QUESTION_STEPS)
    try:
        return work(connection)
    except apsw.InterruptError:
        return None
    finally:
        connection.set_progress_handler(None)
        if connection.in_transaction:  # the statement that was to end it was interrupted
            connection.execute("ROLLBACK")


class _Budget:
    """A progress handler that stops once: at one question, or when the time is over."""

    __slots__ = ("_left", "_until")

    def __init__(self, questions: int) -> None:
        self._left = questions
        self._until = time.monotonic() + SOON_SECONDS

    def __call__(self) -> bool:
        self._left -= 1
        if self._left == 0 or (self._left > 0 and time.monotonic() > self._until):
            self._left = 0
            return True
        return False


def version(connection: apsw.Connection) -> int:
    """Return the schema version, 0 for an empty database."""
    tables = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'")
    if not tables.get:
        return 0
    return int(connection.execute("SELECT coalesce(max(version), 0) FROM migrations").get)


def migrate(connection: apsw.Connection, clock: Clock) -> list[str]:
    """Apply outstanding migrations; processes that start together apply each once.

    Raises:
        Error: CONFIGURATION when the schema is newer than this program.
        apsw.Error: a statement failed; its migration left nothing behind.
    """
    applied: list[str] = []
    while steps := outstanding("sqlite", version(connection)):
        with transaction(connection):
            step = steps[0]
            if version(connection) >= step.version:
                continue  # another process was faster
            connection.execute(
                "CREATE TABLE IF NOT EXISTS migrations"
                " (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)"
            )
            connection.execute(step.sql)
            connection.execute(
                "INSERT INTO migrations VALUES (?, ?, ?)", (step.version, step.name, int(clock()))
            )
            applied.append(step.name)
    return applied


class Handle:
    """One connection that is opened when needed and given up when its file fails.

    Args:
        path: of the database file.
    """

    __slots__ = ("_connection", "_inode", "_look_at", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: apsw.Connection | None = None
        self._inode = 0
        self._look_at = 0.0

    def use(self) -> apsw.Connection:
        """Return the connection, reopened if it was given up.

        Its file was under that path a second ago: who reads on from a file that was moved away
        would not see what is revoked.

        Raises:
            apsw.Error: the file cannot be opened.
        """
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._drop_moved()
        if self._connection is None:
            self._connection = connect(self._path)
            self._inode = self._found()
        return self._connection

    def use_for_writing(self) -> apsw.Connection:
        """Return the connection, sure that its file is still the one under that path.

        A file that was moved away would take our commits with it. One that could only be read
        when it was opened may be writable by now.

        Raises:
            apsw.Error: the file cannot be opened.
        """
        self._drop_moved()
        if self._connection is not None and self._connection.readonly("main"):
            self.drop()
        return self.use()

    def _drop_moved(self) -> None:
        if self._connection is not None and self._found() != self._inode:
            self.drop()

    def _found(self) -> int:
        """Return which file is under the path now, 0 for none."""
        try:
            return os.stat(self._path).st_ino  # noqa: PTH116 - once a commit; Path costs more
        except OSError:
            return 0

    def drop(self) -> None:
        """Give the connection up; the next use opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                connection.close(True)

    def attempt(self, work: Callable[[apsw.Connection], Any], *, writing: bool = False) -> Any:
        """Do some work and explain what goes wrong.

        Raises:
            Error: UNAVAILABLE or INTERNAL, and whatever `work` raises.
        """
        try:
            connection = self.use_for_writing() if writing else self.use()
            return work(connection)
        except apsw.Error as error:
            raise self.explained(error) from error

    def explained(self, error: apsw.Error) -> Error:
        """Explain an error, and drop a connection that it made useless."""
        explanation = explain(error)
        if explanation.kind is Kind.UNAVAILABLE and not isinstance(
            error, (apsw.BusyError, apsw.LockedError)
        ):
            self.drop()
        return explanation
