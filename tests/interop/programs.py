"""Programs of others, started for real: where they are, in what environment, until when.

Everything listens on loopback only. A program that is not installed skips the test that needs
it, with the reason.
"""

from __future__ import annotations

import contextlib
import getpass
import grp
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# Variables that silently change whom a client trusts or asks.
_FOREIGN = ("SSL_CERT", "_CA_BUNDLE", "_CA_CERTS", "_SSL_CAINFO", "_PROXY", "_ROOTS_FILE_PATH")
_OURS = ("MINTMARK_", "PG", "REDISCLI_", "CURL_", "OPENSSL_")
_DIRECTORIES = ("/usr/sbin", "/sbin", "/usr/local/sbin")
_PORTS = range(20_000, 32_000)  # below the range that the kernel gives to clients


def environment(**more: str) -> dict[str, str]:
    """Return an environment in which only the command line says whom to trust."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not any(part in name.upper() for part in _FOREIGN) and not name.startswith(_OURS)
    }
    path = os.pathsep.join((str(Path(sys.executable).parent), kept["PATH"], *_DIRECTORIES))
    return kept | {"PATH": path, "LC_ALL": "C.UTF-8", "TZ": "UTC"} | more


def program(name: str) -> str:
    """Return where a program is, or skip the test."""
    found = shutil.which(name, path=environment()["PATH"]) or _postgresql(name)
    if found is None:
        pytest.skip(f"{name} is not installed (scripts/system-packages says how)")
    return found


def _postgresql(name: str) -> str | None:
    """Debian keeps the server's programs beside each version's libraries."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else None


def free_port() -> int:
    """Return a port of loopback on which nobody listens, and that no other test is given.

    A server binds it only later, and maybe again after it was killed. Until this process ends a
    name in Linux's abstract namespace keeps the port from tests in other processes.
    """
    for port in random.sample(_PORTS, 500):
        claim = socket.socket(socket.AF_UNIX)
        with socket.socket() as probe, contextlib.suppress(OSError):
            claim.bind(f"\0mintmark-test-port-{port}")
            probe.bind(("127.0.0.1", port))
            claim.detach()
            return port
        claim.close()
    raise RuntimeError("no free port")


@dataclass(frozen=True)
class Account:
    """Whom servers run as: like in production, not root."""

    user: str
    group: str

    @property
    def popen(self) -> dict[str, Any]:
        """Return what makes `subprocess` run a program as this account."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.user, "group": self.group, "extra_groups": []}

    def owns(self, path: Path) -> None:
        """Give a file or a whole directory to the account."""
        for one in (path, *path.rglob("*")):
            shutil.chown(one, self.user, self.group)


def account() -> Account:
    """Return the account `nobody` for root, and oneself for everybody else."""
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        return Account("nobody", grp.getgrgid(nobody.pw_gid).gr_name)
    return Account(getpass.getuser(), grp.getgrgid(os.getegid()).gr_name)


def until(condition: Callable[[], object], what: str, seconds: float = 20) -> Any:
    """Return the first true value of `condition`, asking again and again until then."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {what}")
        time.sleep(0.02)
    return found


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Daemon:
    """One server process, with its log.

    Args:
        command: its command line.
        log: file for what it says.
        options: for `subprocess.Popen`.
    """

    command: Sequence[str]
    log: Path
    options: dict[str, Any] = field(default_factory=dict)

    def start(self, ready: Callable[[], object], seconds: float = 60) -> None:
        """Start it and wait until it is ready."""
        options = {"env": environment()} | self.options
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )

        def ready_or_dead() -> object:
            if self.process.poll() is not None:
                pytest.fail(f"{self.command[0]} ended: {self.said()}")
            return ready()

        try:
            until(ready_or_dead, f"{self.command[0]} is ready", seconds)
        except BaseException:
            self.stop()
            raise

    def said(self) -> str:
        """Return the log."""
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self) -> None:
        """End it and whatever it started; its process group is its own."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running(daemon: Daemon, ready: Callable[[], object]) -> Iterator[Daemon]:
    """Run a daemon for the length of a block."""
    daemon.start(ready)
    try:
        yield daemon
    finally:
        daemon.stop()


@dataclass(frozen=True)
class Result:
    """What a command said and how it ended.

    Args:
        status: its exit status.
        text: standard output and standard error, as they came.
    """

    status: int
    text: str

    def succeeded(self) -> str:
        """Assert that it succeeded, and return what it said."""
        assert self.status == 0, self.text
        return self.text

    def refused(self, *reasons: str) -> str:
        """Assert that it failed for one of the reasons, and return what it said."""
        assert self.status != 0, f"was let in: {self.text}"
        assert any(reason in self.text for reason in reasons), self.text
        return self.text


def run(*command: str | Path, seconds: float = 20, **options: Any) -> Result:
    """Run a command to its end."""
    options = {"env": environment(), "stdin": subprocess.DEVNULL} | options
    if "input" in options:
        del options["stdin"]
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        text=True,
        errors="replace",
        check=False,
        **options,
    )
    return Result(done.returncode, done.stdout)
