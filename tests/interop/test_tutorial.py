"""The tutorial, typed by somebody who has never seen mintmark."""

from __future__ import annotations

import contextlib
import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop import pages
from tests.interop.authority import MINTMARK
from tests.interop.programs import Daemon, Result, environment, free_port, program, running

pytestmark = pytest.mark.interop
PAGE = "tutorial/first-certificates.md"


def test_the_tutorial_works_as_it_is_written(place: Path):
    for name in ("redis-server", "redis-cli", "curl"):
        program(name)
    https_port, http_port, redis_port = (str(free_port()) for _ in range(3))
    words = {
        "localhost:8443": f"localhost:{https_port}",
        "localhost:8080": f"localhost:{http_port}",
        "6380": redis_port,
    }
    sandbox = pages.Sandbox(place / "tutorial", words)

    def make(command: str) -> Result:
        assert command == "make up"
        log = sandbox.root / "up.log"
        ports = ("--https-port", https_port, "--http-port", http_port)
        options = {"cwd": sandbox.home, "env": environment()}
        daemon = Daemon((str(MINTMARK), "up", *ports), log, options)
        stack.enter_context(running(daemon, lambda: "--reason key-compromise" in daemon.said()))
        return Result(0, daemon.said())

    sandbox.handlers = {"make": make}
    pid_file = sandbox.home / "redis.pid"
    with ExitStack() as stack:
        stack.callback(_end, pid_file)
        sandbox.follow(PAGE)


def _end(pid_file: Path) -> None:
    """End a Redis that the page has not ended, because a test failed before."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
