"""Worker processes: one in this process, or several under a parent that keeps them alive.

Workers are forked from a parent that has neither an event loop nor a second thread nor an
open database, and never gets one: that is when a fork is safe. A fork and not a spawn, because
a CA key's passphrase is typed once into the parent and never leaves memory, and because a
worker that crashed is back in milliseconds.

A service manager is told READY=1 when every worker serves (sd_notify(3)).
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from mintmark.model.errors import Error, Kind

log = logging.getLogger("mintmark.server")

_FORWARDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_BACK_OFF_SECONDS: Final = 0.1
_BACK_OFF_SECONDS_MAX: Final = 10.0
_STEADY_SECONDS: Final = 60.0  # a worker that lived this long is not crashing in a loop
_MISCONFIGURED: Final = 78  # EX_CONFIG of sysexits.h: crashing again would not help


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker is told about itself.

    Args:
        index: 0, 1, 2 …
        count: how many there are; with more than one, sockets are bound `shared`.
        ready: call it once when this worker serves.
        restarted: whether it takes the place of one that ended; the files that its parent has
            read may have changed since then.
    """

    index: int
    count: int
    ready: Callable[[], None]
    restarted: bool = False


Main = Callable[[Worker], None]
"""What a worker does from start to end; it returns when it was asked to stop."""


def run(
    count: int,
    main: Main,
    *,
    environment: Mapping[str, str] = os.environ,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """Run `main` in this process, or in `count` supervised ones, until it is asked to stop.

    SIGTERM and SIGINT end every worker, SIGHUP reaches every worker; see `handle_signals`.

    Args:
        count: how many processes serve.
        main: see `Main`.
        environment: where NOTIFY_SOCKET stands.
        monotonic: seconds that never jump.

    Returns:
        The exit code: 0 after a stop, 1 if workers cannot be started at all.

    Raises:
        Error: CONFIGURATION, from `main` of the only worker; INTERNAL, this process has
            several threads and must not fork.
    """
    _raise_open_files()
    if count == 1:
        with _reload_waiting():
            main(Worker(0, 1, lambda: notify("READY=1", environment)))
        return 0
    if threading.active_count() > 1:
        raise Error(Kind.INTERNAL, "workers cannot be forked from a process with several threads")
    return _Supervisor(count, main, environment, monotonic).run()


def _raise_open_files() -> None:
    """Take as many open files as allowed: the soft limit is for programs that use select(2)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):  # some systems call unlimited what they do not give
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _reload_waiting() -> Iterator[None]:
    """Keep a SIGHUP that comes before `handle_signals` waiting; it would end the process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGHUP,))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))


def handle_signals(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """In a worker, inside its loop: call `stop` on SIGTERM and SIGINT, `reload` on SIGHUP."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGHUP, reload)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))


def notify(state: str, environment: Mapping[str, str] = os.environ) -> None:
    """Tell the service manager, if one asked to be told (sd_notify(3))."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        try:
            sender.sendto(state.encode(), address)
        except OSError as error:
            log.warning("the service manager cannot be told %s: %s", state, error)


@dataclass(slots=True)
class _Slot:
    """One worker's place: who is in it, and when it may be filled again."""

    index: int
    pid: int = 0
    started: float = 0.0
    is_ready: bool = False
    restarted: bool = False
    back_off: float = _BACK_OFF_SECONDS
    start_at: float = 0.0


class _Supervisor:
    """Starts workers, starts them again when they crash, and passes signals on."""

    def __init__(
        self,
        count: int,
        main: Main,
        environment: Mapping[str, str],
        monotonic: Callable[[], float],
    ) -> None:
        self._main: Final = main
        self._environment: Final = environment
        self._monotonic: Final = monotonic
        self._slots: Final = [_Slot(index) for index in range(count)]
        self._is_stopping = False
        self._is_ready = False
        self._exit_code = 0
        # Signals, readiness and the parent's death travel as octets, so that one select waits
        # for all of them and nothing runs inside a signal handler.
        self._signals, self._signal = os.pipe()
        self._readiness, self._ready = os.pipe()
        self._life, self._parent = os.pipe()

    def run(self) -> int:
        """Supervise until every worker has ended."""
        os.set_blocking(self._signal, False)
        previous = {
            each: signal.signal(each, lambda *_: None) for each in (*_FORWARDED, signal.SIGCHLD)
        }
        previous_wakeup = signal.set_wakeup_fd(self._signal, warn_on_full_buffer=False)
        try:
            while not self._is_stopping or any(slot.pid for slot in self._slots):
                self._fill()
                self._wait()
                self._reap()
        finally:
            signal.set_wakeup_fd(previous_wakeup)
            for each, handler in previous.items():
                signal.signal(each, handler)
            for slot in self._slots:
                if slot.pid:
                    os.kill(slot.pid, signal.SIGKILL)
            for descriptor in self._descriptors():
                os.close(descriptor)
        return self._exit_code

    def _descriptors(self) -> tuple[int, ...]:
        return (
            self._signals,
            self._signal,
            self._readiness,
            self._ready,
            self._life,
            self._parent,
        )

    def _fill(self) -> None:
        now = self._monotonic()
        for slot in self._slots:
            if not slot.pid and not self._is_stopping and slot.start_at <= now:
                slot.started, slot.is_ready = now, False
                # A signal between fork and the worker's own handlers must wait, not get lost.
                signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)
                slot.pid = os.fork()
                if not slot.pid:
                    self._be_worker(slot)
                slot.restarted = True
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)

    def _wait(self) -> None:
        """Wait for signals, readiness, or the time to start a worker again."""
        now = self._monotonic()
        pauses = [slot.start_at - now for slot in self._slots if not slot.pid]
        pause = max(0.0, min(pauses)) if pauses and not self._is_stopping else None
        readable, _, _ = select.select([self._signals, self._readiness], [], [], pause)
        if self._signals in readable:
            for number in os.read(self._signals, 512):
                if number in _FORWARDED:
                    self._forward(number)
        if self._readiness in readable:
            for index in os.read(self._readiness, 512):
                self._slots[index].is_ready = True
            if not self._is_ready and all(slot.is_ready for slot in self._slots):
                self._is_ready = True
                notify("READY=1", self._environment)

    def _forward(self, number: int) -> None:
        if number != signal.SIGHUP and not self._is_stopping:
            self._is_stopping = True
            notify("STOPPING=1", self._environment)
        for slot in self._slots:
            if slot.pid:
                with suppress(ProcessLookupError):  # it ended, and is not reaped yet
                    os.kill(slot.pid, number)

    def _reap(self) -> None:
        for slot in self._slots:
            if not slot.pid:
                continue
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if not pid:
                continue
            slot.pid = 0
            code = os.waitstatus_to_exitcode(status)
            if self._is_stopping:
                continue
            if code == _MISCONFIGURED and not slot.is_ready:
                self._exit_code = 1
                self._forward(signal.SIGTERM)
                continue
            self._restart_later(slot, code)

    def _restart_later(self, slot: _Slot, code: int) -> None:
        now = self._monotonic()
        if now - slot.started >= _STEADY_SECONDS:
            slot.back_off = _BACK_OFF_SECONDS
        slot.start_at = now + slot.back_off
        log.error(
            "worker %d ended with %s; it is started again in %.1f s",
            slot.index,
            signal.Signals(-code).name if code < 0 else code,
            slot.back_off,
        )
        slot.back_off = min(slot.back_off * 2, _BACK_OFF_SECONDS_MAX)

    def _be_worker(self, slot: _Slot) -> None:
        """Be the worker, in the forked process; never return into the parent's code."""
        code, index = 1, slot.index
        try:
            signal.set_wakeup_fd(-1)
            for each in (*_FORWARDED, signal.SIGCHLD):
                signal.signal(each, signal.SIG_DFL)
            # SIGHUP waits for `handle_signals`.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))
            for descriptor in (self._signals, self._signal, self._readiness, self._parent):
                os.close(descriptor)
            threading.Thread(target=_end_with_parent, args=(self._life,), daemon=True).start()
            self._main(
                Worker(index, len(self._slots), lambda: _tell(self._ready, index), slot.restarted)
            )
            code = 0
        except Error as error:
            log.error("worker %d cannot serve: %s", index, error.detail)  # noqa: TRY400 - told
            code = _MISCONFIGURED if error.kind is Kind.CONFIGURATION else 1
        except BaseException:
            log.exception("worker %d crashed", index)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            logging.shutdown()
            os._exit(code)


def _tell(descriptor: int, index: int) -> None:
    os.write(descriptor, bytes((index,)))


def _end_with_parent(life: int) -> None:
    """Wait until the parent is gone, however it went: then nobody holds the other end."""
    os.read(life, 1)
    os.kill(os.getpid(), signal.SIGTERM)
