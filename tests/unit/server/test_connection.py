"""What a connection answers, and in which order (RFC 9112, RFC 9110)."""

from __future__ import annotations

import asyncio
import gc
import json
import socket

import pytest

from mintmark.server.connection import Connection
from mintmark.server.connections import TOLD_A_SECOND, Connections
from mintmark.server.limits import Limits
from mintmark.server.reader import RequestReader
from mintmark.server.responses import Heads
from mintmark.wire.http import Response
from tests.unit.server.http_world import NOW, echo, get, message, reset, serving


def test_answer_has_length_and_date_and_names_no_server():
    with serving() as world:
        status, headers, body = world.client(get("/x")).answer()
    assert (status, body) == (200, b"GET /x")
    assert headers["Date"] == "Wed, 18 Nov 2026 11:06:40 GMT"
    assert headers["Content-Type"] == "text/plain"
    assert "Server" not in headers
    assert "Connection" not in headers


def test_request_reaches_the_application_as_sent():
    seen = []

    def app(request):
        seen.append(request)
        return Response(204)

    head = (
        b"PUT /a%20b/%C3%A9?x=%2F&y HTTP/1.1\r\nHOST: h\r\nX-List: a\r\nx-list: b\r\n"
        b"Latin: \xe9\r\nEmpty:\r\nContent-Length: 4\r\n\r\nbody"
    )
    with serving(app) as world:
        status, headers, _ = world.client(head).answer()
    (request,) = seen
    assert (status, "Content-Length" in headers) == (204, False)
    assert (request.method, request.path, request.query) == ("PUT", "/a b/é", "x=%2F&y")
    assert (request.body, request.peer.address) == (b"body", "127.0.0.1")
    assert request.headers["x-list"] == "a, b"
    assert request.headers["latin"] == "é"
    assert request.headers["empty"] == ""
    with pytest.raises(TypeError):
        request.headers["x"] = "written to a mapping that other requests share"


@pytest.mark.parametrize("member", ["detail", "message"])
def test_who_was_refused_what_and_why_is_in_the_log(caplog, member):
    caplog.set_level("INFO", "mintmark.server")
    why = json.dumps({"status": 403, member: "the name 'x' is another's"}).encode()

    def app(request):
        return Response(200 if request.path == "/good" else 403, why, "application/json")

    with serving(app) as world:
        world.client(get("/good")).answer()
        world.client(get("/api/v1/x?token=hush", "Authorization: Bearer hush")).answer()
    (line,) = caplog.messages
    assert line == "127.0.0.1 was refused GET /api/v1/x: 403, the name 'x' is another's"


@pytest.mark.parametrize("body", [b"", b"\x30\x03", b"[]", b'{"detail": 5}', b"{}"])
def test_a_refusal_in_no_words_is_in_the_log_too(caplog, body):
    caplog.set_level("INFO", "mintmark.server")
    with serving(lambda _: Response(404, body)) as world:
        world.client(get("/x")).answer()
    assert caplog.messages == ["127.0.0.1 was refused GET /x: 404"]


def test_a_stranger_writes_no_line_of_his_own_into_the_log(caplog):
    caplog.set_level("INFO", "mintmark.server")
    why = json.dumps({"detail": "no name: 'a\nb\x1b[2J\u2028c" + "d" * 5000}).encode()
    with serving(lambda _: Response(400, why)) as world:
        world.client(get("/x%E2%80%A82026%20ERROR%E2%80%AE")).answer()
        world.client(b"GET / HTTP/1.1\r\nHost: a\r\nX y\r\n\r\n").answer()
    assert all(line.isprintable() and len(line) < 700 for line in caplog.messages)
    asked, unread = caplog.messages
    assert "GET /x?2026 ERROR?: 400, no name: 'a?b?[2J?cddd" in asked
    assert unread.startswith("127.0.0.1 was refused a request: 400, ")


def test_a_flood_of_refusals_is_a_few_lines_and_a_count(caplog):
    caplog.set_level("INFO", "mintmark.server")
    with serving(lambda _: Response(401)) as world:
        client = world.client(*[get("/x")] * 100)
        for _ in range(100):
            client.answer()
        world.advance(1)
    assert len(caplog.messages) == TOLD_A_SECOND + 1
    assert caplog.messages[-1] == f"{100 - TOLD_A_SECOND} more lines of this kind are left out"


def test_connection_is_kept_and_serves_on():
    with serving() as world:
        client = world.client(get("/1"))
        assert client.answer()[2] == b"GET /1"
        client.send(get("/2", "X: other"))
        assert client.answer()[2] == b"GET /2"
        client.send(get("/2", "X: other"))
        assert client.answer()[2] == b"GET /2"
        assert len(world.connections) == 1


def test_connection_close_is_honored():
    with serving() as world:
        client = world.client(get("/", "Connection: close"), b"junk after the last request")
        assert client.answer()[1]["Connection"] == "close"
        assert client.is_closed()


def test_http_1_0_closes_unless_it_asks_to_be_kept():
    with serving() as world:
        client = world.client(b"GET /a HTTP/1.0\r\n\r\n")
        assert client.answer()[1]["Connection"] == "close"
        assert client.is_closed()
        client = world.client(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        assert client.answer()[1]["Connection"] == "keep-alive"
        client.send(get("/b"))
        assert client.answer()[2] == b"GET /b"


def test_head_is_answered_without_its_body():
    with serving() as world:
        client = world.client(message("HEAD", "/x"), get("/y"))
        status, headers, _ = client.answer(head_only=True)
        assert (status, headers["Content-Length"]) == (200, "7")
        assert client.answer()[2] == b"GET /y"


def test_status_without_content_has_no_body():
    def app(request):
        return Response(304 if request.path == "/304" else 204, b"ignored")

    with serving(app) as world:
        client = world.client(get("/304"), get("/204"), get("/204"))
        assert client.answer(head_only=True)[0] == 304
        assert client.answer()[0] == 204
        assert client.answer()[0] == 204


def test_body_arrives_whole_in_whatever_pieces():
    body = bytes(range(256)) * 8
    whole = message("POST", "/", f"Content-Length: {len(body)}", body=body)
    chunks = b"".join(b"%x;e=1\r\n%b\r\n" % (100, body[i : i + 100]) for i in range(0, 2000, 100))
    chunked = message("POST", "/", "Transfer-Encoding: chunked") + chunks + b"0\r\nT: x\r\n\r\n"
    with serving() as world:
        client = world.client(*(whole[i : i + 300] for i in range(0, len(whole), 300)))
        assert client.answer()[2] == b"POST /" + body
        client.send(*(chunked[i : i + 50] for i in range(0, len(chunked), 50)))
        assert client.answer()[2] == b"POST /" + body[:2000]
        for octet in get("/slowly", "Trailer: x"):
            client.send(bytes((octet,)))
        assert client.answer()[2] == b"GET /slowly"


def test_trailer_fields_do_not_become_header_fields_of_anything():
    seen = []

    def app(request):
        seen.append(dict(request.headers))
        return Response(200)

    first = message("POST", "/", "Transfer-Encoding: chunked", body=b"0\r\nEvil: 1\r\n\r\n")
    with serving(app) as world:
        client = world.client(first + get("/next"))
        client.answer()
        client.answer()
    assert seen == [{"host": "a", "transfer-encoding": "chunked"}, {"host": "a"}]


def test_continue_is_sent_only_when_the_body_is_waited_for():
    head = message("POST", "/x", "Content-Length: 2", "Expect: 100-continue")
    with serving() as world:
        client = world.client(head)
        assert client.answer()[0] == 100
        client.send(b"ok")
        assert client.answer()[2] == b"POST /xok"
        client.send(head + b"ok")
        assert client.answer()[0] == 200
        client.send(head.replace(b"Length: 2", b"Length: 99999999"))
        assert client.answer()[0] == 413


def test_continue_comes_after_the_answers_before_it():
    release = asyncio.Event()

    async def app(request):
        if request.path == "/slow":
            await release.wait()
        return echo(request)

    head = message("POST", "/x", "Content-Length: 2", "Expect: 100-continue")
    with serving(app) as world:
        client = world.client(get("/slow") + head)
        world.call(release.set)
        assert client.answer()[2] == b"GET /slow"
        assert client.answer()[0] == 100
        client.send(b"ok")
        assert client.answer()[2] == b"POST /xok"


def test_other_expectation_is_refused():
    with serving() as world:
        request = message("POST", "/", "Content-Length: 2", "Expect: the-worst")
        assert world.client(request).answer()[0] == 417


def test_pipelined_requests_are_answered_in_order():
    async def app(request):
        number = int(request.path[1:])
        if number % 3 == 0:
            await asyncio.sleep(0)
        if number % 7 == 0:
            await asyncio.sleep(0.002)
        return echo(request)

    with serving(app) as world:
        client = world.client(b"".join(get(f"/{number}") for number in range(1, 200)))
        for number in range(1, 200):
            assert client.answer()[2] == b"GET /%d" % number


def test_coroutine_that_never_suspends_needs_no_task():
    async def app(request):
        assert not world.connections.tasks
        return echo(request)

    with serving(app) as world:
        assert world.client(get("/x")).answer()[2] == b"GET /x"


def test_suspended_coroutine_runs_on_with_values_and_exceptions():
    async def app(request):
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, KeyError("late"))
        try:
            await future
        except KeyError:
            async with asyncio.timeout(1):
                return Response(200, str(await asyncio.sleep(0, 42)).encode())

    with serving(app) as world:
        assert world.client(get()).answer()[2] == b"42"


def test_answers_that_come_later_keep_the_order_of_the_requests():
    waiting = {}

    def app(request):
        if request.path == "/at-once":
            return echo(request)
        waiting[request.path] = asyncio.get_running_loop().create_future()
        return waiting[request.path]

    with serving(app) as world:
        client = world.client(get("/later") + get("/at-once") + get("/last"))
        world.until(lambda: waiting)
        assert len(waiting) == 1
        world.call(waiting["/later"].set_result, Response(200, b"later"))
        assert client.answer()[2] == b"later"
        assert client.answer()[2] == b"GET /at-once"
        world.until(lambda: "/last" in waiting)
        world.call(waiting["/last"].set_result, Response(200, b"last"))
        assert client.answer()[2] == b"last"
        assert not world.connections.tasks


def test_answer_that_nobody_gives_is_cancelled_at_the_end_of_the_grace():
    given = []

    def app(_):
        given.append(asyncio.get_running_loop().create_future())
        return given[0]

    with serving(app) as world:
        client = world.client(get())
        world.until(lambda: given)
        world.run(world.listener.stop(0.01))
        assert client.is_closed()
    assert given[0].cancelled()


@pytest.mark.parametrize(
    "when",
    ["at once", "in a coroutine", "after a wait", "in a future", "no response", "cancelled"],
)
def test_defect_of_the_application_is_a_500_and_the_process_lives(when, caplog):
    def app(request):
        if request.path == "/fine":
            return Response(200)
        if when == "at once":
            raise ValueError("the secret")
        if when == "in a future":
            future = asyncio.get_running_loop().create_future()
            future.set_exception(ValueError("the secret"))
            return future
        return late()

    async def late():
        if when == "after a wait":
            await asyncio.sleep(0)
        if when == "cancelled":
            raise asyncio.CancelledError
        if when == "no response":
            return "not a response"
        raise ValueError("the secret")

    with serving(app) as world:
        client = world.client(get("/broken") + get("/next"))
        status, headers, body = client.answer()
        assert (status, headers["Connection"]) == (500, "close")
        assert headers["Content-Type"] == "application/problem+json"
        assert json.loads(body)["instance"] == "urn:mintmark:request:" + "11" * 8
        assert b"secret" not in body
        assert client.is_closed()
        assert world.client(get("/fine")).answer()[0] == 200
    assert "11" * 8 in caplog.text
    assert "/broken" in caplog.text


def test_header_that_would_break_the_answer_is_a_defect(caplog):
    def app(_):
        return Response(200, headers=(("Location", "/a\r\nSet-Cookie: b"),))

    with serving(app) as world:
        status, headers, _ = world.client(get()).answer()
    assert status == 500
    assert "Set-Cookie" not in headers
    assert "cannot be sent" in caplog.text


@pytest.mark.parametrize(
    "response",
    [
        Response(100),
        Response(600),
        Response(200, headers=(("A B", "c"),)),
        Response(200, headers=(("A", "c "),)),
        Response(200, headers=(("A", "\0"),)),
        Response(200, content_type="a\nb"),
    ],
    ids=["interim", "unknown", "name", "blank", "nul", "content type"],
)
def test_response_that_is_not_http_is_not_encoded(response):
    with pytest.raises(ValueError, match=r"status|header"):
        Heads(0).encode(response, 0)


def test_head_is_kept_for_a_second_and_only_for_its_equals():
    heads = Heads(0)
    first = heads.encode(Response(200, b"a", "x/y"), 0)
    assert heads.encode(Response(200, b"ab", "x/y"), 0) == first.replace(b": 1\r", b": 2\r")
    assert b"Connection: close" in heads.encode(Response(200, b"a", "x/y"), 1)
    heads.date(1)
    assert heads.encode(Response(200, b"a", "x/y"), 0) == first.replace(b"00:00 ", b"00:01 ")
    for number in range(1000):
        heads.encode(Response(200, headers=(("ETag", str(number)), ("Age", "1"))), 0)
    assert len(heads._known) < 300


def test_heads_that_differ_in_their_last_field_have_the_others_in_common():
    heads = Heads(0)
    for tag in ("a", "b", "c\xe9"):
        response = Response(201, b"", "x/y", (("Vary", "Accept"), ("ETag", tag)))
        head = heads.encode(response, 0).decode("latin-1")
        assert head.startswith("HTTP/1.1 201 Created\r\nDate: ")
        assert head.endswith(
            f"Content-Type: x/y\r\nVary: Accept\r\nETag: {tag}\r\nContent-Length: 0\r\n\r\n"
        )
    assert len(heads._known) == 1
    response = Response(201, b"", "x/y", (("Vary", "Accept"), ("ETag", "a\r\nX: y")))
    with pytest.raises(ValueError, match="header"):
        heads.encode(response, 0)


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 3_000_000])
def test_answer_of_any_size_arrives_whole(size):
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]

    with serving(lambda _: Response(200, body)) as world:
        client = world.client(get() * 3)
        for _ in range(3):
            assert client.answer()[2] == body


def test_client_that_closed_its_half_gets_its_answers():
    async def app(request):
        await asyncio.sleep(0.002)
        return echo(request)

    with serving(app) as world:
        client = world.client(get("/1") + get("/2"))
        client.sock.shutdown(socket.SHUT_WR)
        assert client.answer()[2] == b"GET /1"
        assert client.answer()[2] == b"GET /2"
        assert client.is_closed()


@pytest.mark.parametrize("size", [10, 60_000, 600_000])
def test_reset_while_answers_are_written_is_no_defect(size, caplog):
    clients = []

    def app(_):
        if clients:
            reset(clients.pop())
        return Response(200, bytes(size))

    async def later(request):
        await asyncio.sleep(0)
        return app(request)

    for answer in (app, later):
        with serving(answer) as world:
            client = world.client()
            clients.append(client)
            client.send(get() * 20 + b"nonsense")
            world.until(lambda: not clients)
            world.until(lambda: not len(world.connections))
    assert caplog.text == ""


def test_connection_leaves_no_garbage_for_the_collector():
    with serving() as world:
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                client = world.client(get())
                client.answer()
                client.close()
            world.until(lambda: not len(world.connections))
            left = [each for each in gc.get_objects() if isinstance(each, RequestReader)]
        finally:
            gc.enable()
    assert left == []


def test_answer_to_a_client_that_left_is_thrown_away():
    release = asyncio.Event()

    async def app(request):
        await release.wait()
        return echo(request)

    with serving(app) as world:
        client = world.client(get("/"))
        world.until(lambda: world.connections.tasks)
        reset(client)
        world.until(lambda: not len(world.connections))
        world.call(release.set)
        world.until(lambda: not world.connections.tasks)


def test_upgrade_is_ignored_and_the_request_answered():
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    with_body = message("POST", "/b", *upgrade, "Content-Length: 5", body=b"hello")
    chunked = message("POST", "/c", *upgrade, "Transfer-Encoding: chunked")
    with serving() as world:
        client = world.client(get("/a", *upgrade) + with_body + chunked)
        assert client.answer()[2] == b"GET /a"
        assert client.answer()[2] == b"POST /bhello"
        client.send(b"2\r\nhi\r\n0\r\n\r\n", get("/d", *upgrade) * 300)
        assert client.answer()[2] == b"POST /chi"
        assert client.answer()[2] == b"GET /d"


def test_stop_closes_idle_connections_and_finishes_the_others():
    release = asyncio.Event()

    async def app(request):
        await release.wait()
        return echo(request)

    with serving(app) as world:
        idle, busy = world.client(), world.client(get("/busy"))
        world.until(lambda: len(world.connections) == 2 and world.connections.tasks)
        stopped = asyncio.run_coroutine_threadsafe(world.listener.stop(5), world.loop)
        assert idle.is_closed()
        world.call(release.set)
        status, headers, body = busy.answer()
        assert (status, headers["Connection"], body) == (200, "close", b"GET /busy")
        assert busy.is_closed()
        stopped.result(5)
        with pytest.raises(ConnectionRefusedError):
            world.sock()


def test_stop_cancels_what_outlasts_the_grace():
    cancelled = []

    async def app(_):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    with serving(app) as world:
        client = world.client(get())
        world.until(lambda: world.connections.tasks)
        world.run(world.listener.stop(0.01))
        assert client.is_closed()
    assert cancelled == [True]


class Wire:
    """A transport that writes down what it is told."""

    def __init__(self, *, broken=False):
        self.told = []
        self.broken = broken

    def get_extra_info(self, name):
        return ("127.0.0.1", 1)

    def write(self, data):
        if self.broken:
            raise ValueError("broken")
        self.told.append(bytes(data).rpartition(b"\r\n")[2].decode())

    def close(self):
        self.told.append("close")

    def abort(self):
        self.told.append("abort")


def in_one_turn(act, *wires):
    """Let clients ask for their number, `act`, and let the turn end; return the connections."""

    async def turn():
        shared = Connections(echo, Limits(), lambda: NOW)
        made = [Connection(shared) for _ in wires]
        for number, (each, wire) in enumerate(zip(made, wires, strict=True)):
            each.connection_made(wire)
            each.data_received(get(f"/{number}") + get("/next"))
        assert not any(wire.told for wire in wires)
        act(*made)
        await asyncio.sleep(0)
        return made

    return asyncio.run(turn())


def test_answers_of_a_turn_are_written_at_its_end_and_those_of_a_connection_at_once():
    wires = Wire(), Wire()
    in_one_turn(lambda *_: None, *wires)
    assert sorted(wire.told[0] for wire in wires) == ["GET /next"] * 2
    assert all(len(wire.told) == 1 for wire in wires)


@pytest.mark.parametrize(
    ("act", "then"),
    [
        (Connection.drain, ["close"]),
        (Connection.expire, []),
        (Connection.eof_received, ["close"]),
        (Connection.resume_writing, []),
    ],
    ids=["drained", "expired", "half closed", "resumed"],
)
def test_no_answer_is_lost_before_it_is_written(act, then):
    wire = Wire()
    in_one_turn(act, wire)
    assert wire.told == ["GET /next", *then]


def test_what_was_lost_or_aborted_before_the_end_of_the_turn_is_not_written_to():
    lost, aborted = Wire(), Wire()

    def act(first, second):
        first.connection_lost(None)
        second.abort()

    in_one_turn(act, lost, aborted)
    assert (lost.told, aborted.told) == ([], ["abort"])


def test_connection_that_cannot_be_written_to_hinders_no_other(caplog):
    wires = [Wire(broken=number % 2 == 0) for number in range(6)]
    in_one_turn(lambda *_: None, *wires)
    assert [wire.told[0] for wire in wires] == ["abort", "GET /next"] * 3
    assert caplog.text.count("ValueError: broken") == 3
