"""A PostgreSQL server of one's own, gone with the test."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from tests.interop.programs import Account, Daemon, program, run, running


def postgresql(root: Path, nobody: Account, settings: str) -> AbstractContextManager[Daemon]:
    """Return a context in which a new PostgreSQL runs as an account other than root.

    Args:
        root: holds its data, its socket (in `data`) and its log.
        nobody: whom it runs as.
        settings: lines for its postgresql.conf.
    """
    data = root / "data"
    data.mkdir()
    nobody.owns(data)
    run(
        program("initdb"), "--pgdata", data, "--username", "postgres", "--auth", "trust",
        "--no-sync", "--no-instructions", cwd="/", **nobody.popen,
    ).succeeded()  # fmt: skip
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"fsync = off\nunix_socket_directories = '{data}'\n{settings}")
    daemon = Daemon(
        (program("postgres"), "-D", str(data)),
        root / "postgresql.log",
        {"cwd": "/", **nobody.popen},
    )
    return running(daemon, lambda: "ready to accept connections" in daemon.said())


def as_superuser(root: Path, port: str) -> str:
    """Return how the superuser is called here, where the page says `sudo -u postgres psql`."""
    return f"env -u PGHOSTADDR -u PGPORT psql -h {root}/data -p {port} -U postgres"
