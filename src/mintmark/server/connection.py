"""One HTTP/1.1 connection: requests to the application, answers back (RFC 9112).

Requests are answered one at a time, in the order in which they came. All answers of one turn of
the event loop are written together at its end (ADR 0015), and those of one connection at once.
Every wait has a deadline, and a client that does not read is not answered further.
ADR 0002 says why this is our own.
"""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any, Final, cast

from mintmark.model.errors import Error, Kind
from mintmark.server.connections import Connections, log
from mintmark.server.reader import BODY, HEADER, NOTHING, RequestReader
from mintmark.server.request_head import Refusal
from mintmark.server.responses import CLOSE, CONTINUE, refusal
from mintmark.wire.http import Peer, Request, Response

Answer = Response | asyncio.Future[Response] | Coroutine[Any, Any, Response]
"""What an application says to a request: at once, or later.

A coroutine is started at once; only if it suspends does the rest of it run in a task. Until
its first suspension it has no current task: `asyncio.timeout` works only after that.
"""

App = Callable[[Request], Answer]
"""What answers requests. HEAD arrives as HEAD; the body of its answer is counted and left out."""

_COALESCED_BYTES: Final = 64 * 1024
_PIECE_BYTES: Final = 256 * 1024

# What a connection is doing; from LINGERING on, nothing it receives is read any more.
HANDSHAKE: Final = 0
SERVING: Final = 1
LINGERING: Final = 2
CLOSING: Final = 3


async def _rest(started: Coroutine[Any, Any, Response], waits_for: Any) -> Response:
    return await _resumed(started, waits_for)


@types.coroutine
def _resumed(
    started: Coroutine[Any, Any, Response], waits_for: Any
) -> Generator[Any, Any, Response]:
    """Run a coroutine on that was started by hand and is suspended on `waits_for`."""
    try:
        while True:
            try:
                value = yield waits_for
            except BaseException as error:  # noqa: BLE001 - handed to the coroutine it is for
                waits_for = started.throw(error)
            else:
                waits_for = started.send(value)
    except StopIteration as stop:
        return cast("Response", stop.value)


class Connection(asyncio.Protocol):
    """One connection, plain; `TLSConnection` puts the encryption below it.

    Args:
        shared: the listener's connections, limits and application.
    """

    __slots__ = (
        "_address",
        "_app",
        "_is_blocked",
        "_is_reading",
        "_lingers",
        "_out",
        "_out_bytes",
        "_queue",
        "_reader",
        "_seconds",
        "_shared",
        "_state",
        "_step",
        "_tail",
        "_transport",
        "_waits_for",
        "deadline",
    )

    def __init__(self, shared: Connections) -> None:
        limits = shared.limits
        self._shared = shared
        self._app = shared.app
        self._seconds = (limits.idle_seconds, limits.header_seconds, limits.body_seconds)
        self._address = ""
        self._transport: Any = None
        self._reader: Any = None
        self._state = SERVING
        self._step = 1
        self.deadline = shared.now + limits.header_seconds
        # What waits for its turn: requests, and at most one refusal, which is the last.
        self._queue: deque[tuple[Request | Response, int]] = deque()
        self._waits_for: asyncio.Future[Response] | None = None
        self._lingers = False
        # What was answered and not yet handed to the transport.
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._tail: memoryview | None = None
        self._is_blocked = False
        self._is_reading = True

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection in, or turn it away."""
        self._transport = transport
        self._address = (transport.get_extra_info("peername") or ("",))[0]
        if self._shared.admit(self, self._address):
            self._begin()
        else:
            self._turn_away()

    def data_received(self, data: bytes) -> None:
        """Read what arrived, answer what is complete."""
        if self._state is not SERVING:
            return  # thrown away, see Limits.linger_seconds
        reader = self._reader
        try:
            reader.feed(data)
        except Refusal as no:
            self._take(reader)
            self._refuse(refusal(no.status, no.error))
        else:
            self._take(reader)
        self._proceed()

    def eof_received(self) -> bool:
        """Finish what was asked for before the client closed its half (RFC 9112 §9.6)."""
        if self._state is not SERVING or not self._is_busy:
            return False
        self._reader.has_ended = True
        return True

    def pause_writing(self) -> None:
        """Answer no further: the client does not read."""
        self._is_blocked = True
        self.deadline = self._shared.now + self._shared.limits.write_seconds

    def resume_writing(self) -> None:
        """Answer on."""
        self._is_blocked = False
        self._renew_deadline()
        self._proceed()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; an answer that is still being made is thrown away when made."""
        del exc  # a reset is one way to leave
        self._state = CLOSING
        self._shared.remove(self, self._address)
        self._queue.clear()
        self._out.clear()
        if self._reader is not None:
            self._reader.close()
        self._reader = self._tail = self._transport = None

    # What the listener calls.

    def expire(self) -> None:
        """End what took too long."""
        if self._waits_for is not None or self._out:
            return  # that is the application's time, or the turn's
        if self._state is not SERVING or self._is_blocked or self._tail is not None:
            self.abort()
        elif self._reader.phase is NOTHING:
            self._close()
        else:
            part = "header" if self._reader.phase is HEADER else "body"
            seconds = self._seconds[self._reader.phase]
            detail = f"the request's {part} did not arrive within {seconds:g} seconds"
            self._reader.has_ended = True
            self._refuse(refusal(408, Error(Kind.MALFORMED, detail)))
            self._proceed()

    def drain(self) -> None:
        """Close if nothing is asked for; else the next answer says that it is the last."""
        if self._state is HANDSHAKE:
            self.abort()
        elif self._state is SERVING:
            if self._out:
                self._flush()
            if not self._is_busy and self._reader.phase is NOTHING:
                self._close()

    def abort(self) -> None:
        """Drop the connection as it is."""
        self._state = CLOSING
        if self._transport is not None:
            self._transport.abort()

    # What TLS does in its own way.

    def _begin(self) -> None:
        """Start on a connection that was taken in."""
        self._serve(Peer(self._address))

    def _turn_away(self) -> None:
        """Answer a connection that is one too many."""
        error = Error(Kind.UNAVAILABLE, "too many connections are open", retry_after=1)
        answer = refusal(503, error)
        self._transport.write(self._shared.heads.encode(answer, CLOSE) + answer.body)
        self._close()

    def _send(self, data: bytes | memoryview) -> None:
        """Write octets of answers."""
        self._transport.write(data)

    # Reading.

    def _serve(self, peer: Peer) -> None:
        shared = self._shared
        self._state = SERVING
        self._reader = RequestReader(shared.request_heads, peer)
        self.deadline = shared.now + shared.limits.header_seconds

    def _take(self, reader: RequestReader) -> None:
        if reader.complete:
            self._queue.extend(reader.complete)
            reader.complete.clear()
        if reader.steps != self._step:
            self._step = reader.steps
            if not self._is_blocked:
                self._renew_deadline()

    def _refuse(self, answer: Response) -> None:
        """Answer what cannot be read when its turn comes, and nothing after it."""
        self._shared.tell_refusal(self._address, "a request", answer)
        self._queue.append((answer, CLOSE))

    def _renew_deadline(self) -> None:
        if self._state is SERVING:
            self.deadline = self._shared.now + self._seconds[self._reader.phase]

    # Answering.

    @property
    def _is_busy(self) -> bool:
        """Whether something that was asked for is not yet handed to the transport."""
        return (
            self._waits_for is not None
            or bool(self._queue)
            or bool(self._out)
            or self._tail is not None
        )

    def _proceed(self) -> None:
        """Answer what can be answered now, and see what is left to do."""
        while not self._is_blocked and self._state is SERVING:
            if self._tail is not None:
                self._pour(self._tail)
            elif self._queue and self._waits_for is None:
                item, after = self._queue.popleft()
                if type(item) is Request:
                    self._handle(item, after)
                else:
                    self._lingers = True
                    self._respond(cast("Response", item), after)
            else:
                break
        if self._out:
            self._shared.flush_soon(self)
        elif self._state is SERVING:
            self._rest_or_end()

    def flush(self) -> None:
        """Write the answers of this turn, and see what is left to do."""
        if self._state is SERVING:
            if self._out:
                self._flush()
            self._rest_or_end()

    def _rest_or_end(self) -> None:
        if self._is_busy or self._is_blocked:
            # Reading on while one request waits would only fill the queue; while none waits,
            # it shows whether the client is still there.
            self._read_on(not self._queue and not self._is_blocked)
        elif self._reader.has_ended:
            self._end()
        else:
            self._read_on(True)
            reader = self._reader
            if reader.expects_continue and reader.phase is BODY:
                reader.expects_continue = False
                self._send(CONTINUE)

    def _read_on(self, reading: bool) -> None:  # noqa: FBT001 - is the state it sets
        if reading is not self._is_reading:
            self._is_reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _handle(self, request: Request, after: int) -> None:
        """Ask the application; answer now, or when it can."""
        try:
            answer = self._app(request)
            if not isinstance(answer, Response):
                if not isinstance(answer, asyncio.Future):
                    rest = _rest(answer, answer.send(None))
                    answer = asyncio.get_running_loop().create_task(rest)
                self._waits_for = answer
                self._shared.tasks.add(answer)
                answer.add_done_callback(partial(self._finish, request, after))
                return
        except StopIteration as stop:
            answer = stop.value
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - design rule 10
            answer, after = self._defect(request, error), CLOSE
        self._answer(request, answer, after)

    def _finish(self, request: Request, after: int, made: asyncio.Future[Response]) -> None:
        """Answer what the application took its time for."""
        self._shared.tasks.discard(made)
        self._waits_for = None
        try:
            answer = made.result()
        except asyncio.CancelledError:
            self.abort()
            return
        except Exception as error:  # noqa: BLE001 - design rule 10: a bad request never ends a process
            answer, after = self._defect(request, error), CLOSE
        if self._state is SERVING:
            self._renew_deadline()
            self._answer(request, answer, after)
            self._proceed()

    def _defect(self, request: Request, error: BaseException) -> Response:
        """Log the exception that the application let fly; tell the client only where to look."""
        instance = f"urn:mintmark:request:{self._shared.entropy(8).hex()}"
        log.error("%s failed: %s %s", instance, request.method, request.path, exc_info=error)
        return refusal(500, Error(Kind.INTERNAL, "the server has a defect"), instance)

    def _answer(self, request: Request, answer: Response, after: int) -> None:
        if self._shared.is_draining:
            after = CLOSE
        try:
            if answer.status >= 400:
                asked = f"{request.method} {request.path}"
                self._shared.tell_refusal(self._address, asked, answer)
            self._respond(answer, after, with_body=request.method != "HEAD")
        except Exception as error:  # noqa: BLE001 - what the application answered cannot be sent
            self._respond(self._defect(request, error), CLOSE)

    def _respond(self, answer: Response, after: int, *, with_body: bool = True) -> None:
        if after is CLOSE or (self._reader.has_ended and not self._queue):
            after = CLOSE
            self._reader.has_ended = True
            self._queue.clear()
        head = self._shared.heads.encode(answer, after)
        body = answer.body
        if not body or not with_body or answer.status in (204, 304):
            self._out.append(head)
            return
        self._out_bytes += len(body)
        if self._out_bytes < _COALESCED_BYTES:
            self._out.append(head + body)
            return
        self._out.append(head)
        self._flush()
        self._tail = memoryview(body)

    def _flush(self) -> None:
        out = self._out
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._out_bytes = 0
        self._send(data)

    def _pour(self, tail: memoryview) -> None:
        """Write one piece of a large body; the next one follows when the client read it."""
        self._tail = tail[_PIECE_BYTES:] if len(tail) > _PIECE_BYTES else None
        self._send(tail[:_PIECE_BYTES])

    # Ending.

    def _end(self) -> None:
        """End after the last answer."""
        if self._lingers:
            self._linger()
        else:
            self._close()

    def _linger(self) -> None:
        """Throw away what still arrives, so that no reset overtakes the last answer."""
        self._state = LINGERING
        self.deadline = self._shared.now + self._shared.limits.linger_seconds
        self._read_on(True)
        self._transport.write_eof()

    def _close(self) -> None:
        """Close as soon as everything is written."""
        self._state = CLOSING
        self.deadline = self._shared.now + self._shared.limits.write_seconds
        self._transport.close()
