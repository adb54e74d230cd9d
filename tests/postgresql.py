"""A throw-away PostgreSQL for tests: one cluster a process, one database a test.

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
from functools import cache
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

_numbers = itertools.count(1)


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


class Cluster:
    """One PostgreSQL server of our own.

    Args:
        fsync: whether its commits survive a power cut; slower.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        self._bin = binaries()
        self.directory = Path(tempfile.mkdtemp(prefix="mm-pg-"))
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
                "autovacuum = off\njit = off\n"
            )
        self._server: subprocess.Popen[bytes] | None = None
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
        server, self._server = self._server, None
        if server is not None and server.poll() is None:
            server.send_signal(signal.SIGQUIT if kill else signal.SIGINT)
            server.wait(30)

    def remove(self) -> None:
        """Stop the server and delete all it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop(kill=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def database(self) -> str:
        """Make a database and return its URL."""
        name = f"t{os.getpid()}_{next(_numbers)}"
        self._run("createdb", "-h", self.directory, "-U", self._user, name)
        return self.url(name)

    def schema(self) -> str:
        """Make an empty schema, which is quicker than a database, and return a URL into it."""
        name = f"s{next(_numbers)}"

        async def make() -> None:
            connection = await asyncpg.connect(self.url("postgres"))
            await connection.execute(f"CREATE SCHEMA {name}")
            await connection.close()

        with asyncio.Runner() as runner:
            runner.run(make())
        return f"{self.url('postgres')}&search_path={name}"

    def url(self, name: str) -> str:
        """Return the URL of a database."""
        return f"postgresql://{self._user}@/{name}?host={quote(str(self.directory), safe='')}"


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
