"""A throw-away PostgreSQL for tests: one cluster a process, one schema a test.

It lives in a temporary directory, is reached through a Unix socket there, and is gone with the
process. Without PostgreSQL the tests that need it are skipped; MINTMARK_NO_SKIP=1 fails them.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg
import pytest

from tests.places import memory

T = TypeVar("T")

_numbers = itertools.count(1)
_FEW_ROWS = 1000

# Every row of the catalog that says what a schema is made of, with the transaction that wrote it.
_SHAPE = """
SELECT md5(string_agg(fact, ' ' ORDER BY fact)) FROM (
    SELECT 'class' || oid || '/' || xmin AS fact FROM pg_class
    WHERE relnamespace = $1::text::regnamespace
    UNION ALL SELECT 'proc' || oid || '/' || xmin FROM pg_proc
    WHERE pronamespace = $1::text::regnamespace
    UNION ALL SELECT 'trigger' || t.oid || '/' || t.xmin FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid WHERE c.relnamespace = $1::text::regnamespace
    UNION ALL SELECT 'attribute' || a.attrelid || '.' || a.attnum || '/' || a.xmin
    FROM pg_attribute a
    JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = $1::text::regnamespace
    UNION ALL SELECT 'constraint' || oid || '/' || xmin FROM pg_constraint
    WHERE connamespace = $1::text::regnamespace
) facts
"""


def binaries() -> Path:
    """Where the newest installed server lies; skips the test when there is none."""
    versions = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0,
    )
    found = versions[-1] if versions else shutil.which("postgres")
    if found is None:
        reason = "needs PostgreSQL: apt-get install postgresql"
        if os.environ.get("MINTMARK_NO_SKIP") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return Path(found).parent


@dataclass(frozen=True)
class _Schema:
    """A schema with all tables.

    Args:
        name: of the schema.
        shape: changes with anything that is done to a table, a trigger or a function.
        tables: those that a test fills.
    """

    name: str
    shape: str
    tables: tuple[str, ...]


class Cluster:
    """One PostgreSQL server of our own.

    Args:
        fsync: whether its commits survive a power cut; slower.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        self._bin = binaries()
        self.directory = Path(tempfile.mkdtemp(prefix="mm-pg-", dir=None if fsync else memory()))
        self._data = self.directory / "data"
        self._user = pwd.getpwuid(os.geteuid()).pw_name
        self._become: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self._user = "postgres" if _exists("postgres") else "nobody"
            entry = pwd.getpwnam(self._user)
            os.chown(self.directory, entry.pw_uid, entry.pw_gid)
            self._become = [
                "setpriv",
                f"--reuid={entry.pw_uid}",
                f"--regid={entry.pw_gid}",
                "--clear-groups",
                "--",
            ]
        self._run("initdb", "-D", self._data, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        durability = "on" if fsync else "off"
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(
                f"unix_socket_directories = '{self.directory}'\nlisten_addresses = ''\n"
                f"fsync = {durability}\nshared_buffers = 32MB\nmax_connections = 60\n"
                "autovacuum = off\njit = off\nwal_level = minimal\nmax_wal_senders = 0\n"
            )
        self._server: subprocess.Popen[bytes] | None = None
        self._empty: list[_Schema] = []
        self._runner = asyncio.Runner()
        self._superuser: asyncpg.Connection | None = None
        self.start()
        atexit.register(self.remove)

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._become, str(self._bin / program), *map(str, arguments)]
        done = subprocess.run(
            command, check=False, capture_output=True, cwd=self.directory, env={"LC_ALL": "C"}
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode(errors='replace')[-2000:]}")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        with (self.directory / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*self._become, str(self._bin / "postgres"), "-D", str(self._data)],
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                self._run("pg_isready", "-q", "-h", self.directory)
            except RuntimeError:
                if time.monotonic() > deadline or self._server.poll() is not None:
                    log_text = (self.directory / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL does not start: {log_text[-2000:]}") from None
                time.sleep(0.02)
            else:
                return

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._server is not None
        return self._server.pid

    def stop(self, *, kill: bool = False) -> None:
        """Stop the server: at once without a checkpoint when `kill`."""
        superuser, self._superuser = self._superuser, None
        if superuser is not None:
            self._runner.run(superuser.close())
        server, self._server = self._server, None
        if server is not None and server.poll() is None:
            server.send_signal(signal.SIGQUIT if kill else signal.SIGINT)
            server.wait(30)

    def remove(self) -> None:
        """Stop the server and delete all it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop(kill=True)
        self._runner.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def database(self) -> str:
        """Make a database and return its URL."""
        name = f"t{os.getpid()}_{next(_numbers)}"
        self._run("createdb", "-h", self.directory, "-U", self._user, name)
        return self.url(name)

    def schema(self) -> str:
        """Make an empty schema, which is quicker than a database, and return a URL into it."""
        return self.into(self._run_sql(_create))

    @contextlib.contextmanager
    def migrated(self, migrate: Callable[[str], object]) -> Iterator[str]:
        """Return a context with a URL into a schema whose tables are there and empty.

        Making them takes longer than most tests. One that is as it was made is emptied and given
        to the next test; any other one is left alone.

        Args:
            migrate: makes the tables where a URL leads.
        """
        if not self._empty:
            name = self._run_sql(_create)
            migrate(self.into(name))
            self._empty.append(self._run_sql(_look, name))
        schema = self._empty.pop()
        yield self.into(schema.name)
        if self._run_sql(_empty, schema):
            self._empty.append(schema)

    def _run_sql(self, work: Callable[..., Coroutine[Any, Any, T]], *arguments: object) -> T:
        """Do something as the superuser."""
        if self._superuser is None:
            self._superuser = self._runner.run(asyncpg.connect(self.url("postgres")))
        return self._runner.run(work(self._superuser, *arguments))

    def into(self, schema: str) -> str:
        """Return the URL of a schema."""
        return f"{self.url('postgres')}&search_path={schema}"

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://{self._user}@/{name}?host={quote(str(self.directory), safe='')}"


async def _create(connection: asyncpg.Connection) -> str:
    """Make a schema, and return its name."""
    name = f"s{next(_numbers)}"
    await connection.execute(f"CREATE SCHEMA {name}")
    return name


async def _look(connection: asyncpg.Connection, name: str) -> _Schema:
    """Return what a schema is before a test has it."""
    tables = await connection.fetch(
        "SELECT tablename FROM pg_tables WHERE schemaname = $1 AND tablename <> 'migrations'", name
    )
    return _Schema(
        name, await connection.fetchval(_SHAPE, name), tuple(table for (table,) in tables)
    )


async def _empty(connection: asyncpg.Connection, schema: _Schema) -> bool:
    """Empty a schema's tables, unless a test changed what they are or left many rows behind."""
    if await connection.fetchval(_SHAPE, schema.name) != schema.shape:
        return False
    # As a replica: rows that nobody may delete have triggers against it.
    deleted = " UNION ALL ".join(
        f"SELECT count(*) FROM t{number}" for number in range(len(schema.tables))
    )
    deletions = ", ".join(
        f"t{number} AS (DELETE FROM {schema.name}.{table} RETURNING 1)"
        for number, table in enumerate(schema.tables)
    )
    await connection.execute("SET session_replication_role = replica")
    rows = await connection.fetchval(f"WITH {deletions} SELECT sum(count) FROM ({deleted}) counts")
    await connection.execute(
        "SELECT setval(c.oid, s.seqstart, false) FROM pg_sequence s JOIN pg_class c"
        f" ON c.oid = s.seqrelid WHERE c.relnamespace = '{schema.name}'::regnamespace"
    )
    return bool(rows < _FEW_ROWS)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


@cache
def cluster() -> Cluster:
    """Return this process's cluster, started at the first call."""
    return Cluster()
