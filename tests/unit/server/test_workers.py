"""Worker processes: alone, several, crashing, stopping, orphaned."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from mintmark.model.errors import Error
from mintmark.server import workers
from mintmark.server.workers import notify, run


@pytest.fixture
def manager(tmp_path):
    """A service manager's end of NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(5)
        yield receiver


def test_single_worker_runs_in_this_process(manager):
    seen = []

    def main(worker):
        worker.ready()
        seen.append((worker.index, worker.count, os.getpid()))

    assert run(1, main, environment={"NOTIFY_SOCKET": manager.getsockname()}) == 0
    assert seen == [(0, 1, os.getpid())]
    assert manager.recv(100) == b"READY=1"


def test_manager_that_did_not_ask_or_left_is_not_told(caplog):
    notify("READY=1", {})
    notify("READY=1", {"NOTIFY_SOCKET": "/nowhere/at/all"})
    assert "cannot be told" in caplog.text


def test_manager_in_the_abstract_namespace_is_told():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0mintmark-test-{os.getpid()}")
        receiver.settimeout(5)
        notify("STOPPING=1", {"NOTIFY_SOCKET": f"@mintmark-test-{os.getpid()}"})
        assert receiver.recv(100) == b"STOPPING=1"


def test_process_with_threads_does_not_fork():
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    try:
        with pytest.raises(Error, match="several threads"):
            run(2, lambda _: None)
    finally:
        release.set()
        thread.join()


SCRIPT = """
import asyncio, os, signal, sys, time
from mintmark.model.errors import Error, Kind
from mintmark.server.workers import handle_signals, run

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def serve(worker):
    async def main():
        stopping = asyncio.Event()
        handle_signals(stopping.set, lambda: say("reload", worker.index))
        worker.ready()
        say("serving", worker.index, os.getpid())
        await stopping.wait()
        say("stopped", worker.index)
    asyncio.run(main())
"""


class Parent:
    """A supervising process, and what its workers say."""

    def __init__(self, script, environment):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT + textwrap.dedent(script)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self._text = b""

    def lines(self, count):
        """Return the next `count` lines, sorted, as words."""
        lines = []
        while len(lines) < count:
            line, newline, rest = self._text.partition(b"\n")
            if newline:
                self._text = rest
                lines.append(tuple(line.decode().split()))
                continue
            assert select.select([self.process.stdout], [], [], 10)[0], lines
            data = os.read(self.process.stdout.fileno(), 4096)
            assert data, (lines, self.process.stderr.read())
            self._text += data
        return sorted(lines)

    def send(self, number):
        self.process.send_signal(number)

    def end(self):
        """Return exit code and standard error."""
        errors = self.process.communicate(timeout=10)[1].decode()
        return self.process.returncode, errors


@pytest.fixture
def parent(manager):
    parents = []

    def start(script):
        parents.append(Parent(script, {"NOTIFY_SOCKET": manager.getsockname()}))
        return parents[-1]

    yield start
    for each in parents:
        each.process.kill()
        each.process.communicate()


def is_gone(pid):
    for _ in range(500):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if os.path.exists(f"/proc/{pid}/stat"):  # noqa: PTH110 - gone between two looks
            with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - as above
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        time.sleep(0.01)
    return False


def test_workers_serve_reload_and_stop_together(parent, manager):
    supervisor = parent("sys.exit(run(3, serve))")
    serving = supervisor.lines(3)
    assert [line[:2] for line in serving] == [("serving", str(index)) for index in range(3)]
    assert len({line[2] for line in serving}) == 3
    assert manager.recv(100) == b"READY=1"
    supervisor.send(signal.SIGHUP)
    assert supervisor.lines(3) == [("reload", str(index)) for index in range(3)]
    supervisor.send(signal.SIGTERM)
    assert supervisor.lines(3) == [("stopped", str(index)) for index in range(3)]
    assert manager.recv(100) == b"STOPPING=1"
    assert supervisor.end() == (0, "")


@pytest.mark.parametrize("count", [1, 2])
def test_reload_that_comes_before_a_worker_serves_waits_for_it(parent, count):
    """By default SIGHUP ends a process."""
    supervisor = parent(
        f"""
        def slow(worker):
            say("starting", worker.index)
            time.sleep(0.2)
            serve(worker)
        sys.exit(run({count}, slow))
        """
    )
    supervisor.lines(count)
    supervisor.send(signal.SIGHUP)
    said = supervisor.lines(2 * count)
    assert [line[:2] for line in said if line[0] == "reload"] == [
        ("reload", str(index)) for index in range(count)
    ]
    supervisor.send(signal.SIGTERM)
    supervisor.lines(count)
    assert supervisor.end() == (0, "")


def test_worker_is_told_that_it_takes_the_place_of_another(parent):
    supervisor = parent(
        """
        def tell(worker):
            say("started", worker.index, worker.restarted, os.getpid())
            serve(worker)
        sys.exit(run(2, tell))
        """
    )
    said = supervisor.lines(4)
    assert [line[:3] for line in said if line[0] == "started"] == [
        ("started", "0", "False"),
        ("started", "1", "False"),
    ]
    victim = next(line for line in said if line[:2] == ("serving", "1"))
    os.kill(int(victim[2]), signal.SIGKILL)
    assert supervisor.lines(2)[1][:3] == ("started", "1", "True")


def test_crashed_worker_is_started_again(parent):
    supervisor = parent("sys.exit(run(2, serve))")
    victim = supervisor.lines(2)[1]
    for _ in range(2):
        os.kill(int(victim[2]), signal.SIGKILL)
        (reborn,) = supervisor.lines(1)
        assert reborn[:2] == victim[:2]
        assert reborn[2] != victim[2]
        victim = reborn
    supervisor.send(signal.SIGINT)
    supervisor.lines(2)
    code, errors = supervisor.end()
    assert code == 0
    assert "worker 1 ended with SIGKILL; it is started again" in errors


def test_worker_that_raises_is_logged_and_started_again_ever_more_slowly(parent):
    supervisor = parent(
        """
        def crash(worker):
            say("crashing", worker.index)
            raise RuntimeError("a defect")
        sys.exit(run(2, crash))
        """
    )
    supervisor.lines(4)
    supervisor.send(signal.SIGTERM)
    code, errors = supervisor.end()
    assert code == 0
    assert "RuntimeError: a defect" in errors
    assert "worker 1 ended with 1; it is started again in 0.1 s" in errors


def test_misconfigured_workers_end_the_parent(parent):
    supervisor = parent(
        """
        def fail(worker):
            raise Error(Kind.CONFIGURATION, "cannot listen on 'x' port 1")
        sys.exit(run(2, fail))
        """
    )
    code, errors = supervisor.end()
    assert code == 1
    assert "cannot listen on 'x' port 1" in errors


def test_workers_do_not_outlive_their_parent(parent):
    supervisor = parent("sys.exit(run(2, serve))")
    pids = [int(line[2]) for line in supervisor.lines(2)]
    supervisor.send(signal.SIGKILL)
    for pid in pids:
        assert is_gone(pid)


def test_back_off_doubles_to_a_limit_and_is_forgotten_by_a_steady_worker():
    now = [0.0]
    supervisor = workers._Supervisor(1, lambda _: None, {}, lambda: now[0])
    try:
        (slot,) = supervisor._slots
        pauses = []
        for lived in (0, 0, 0, 0, 0, 0, 0, 0, 0, 100):
            slot.started = now[0]
            now[0] += lived
            supervisor._restart_later(slot, 1)
            pauses.append(round(slot.start_at - now[0], 3))
        assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 0.1]
    finally:
        for descriptor in supervisor._descriptors():
            os.close(descriptor)
