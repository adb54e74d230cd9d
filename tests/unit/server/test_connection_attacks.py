"""What a connection refuses: framing that is ambiguous, and more than its limits."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.server import target
from mintmark.server.limits import Limits
from mintmark.server.reader import RequestReader
from mintmark.server.request_head import HeadReader, Refusal
from mintmark.wire.http import Peer, Response
from tests.unit.server.http_world import Client, echo, get, message, reset, serving

H = b"Host: a\r\n"
CL = b"Content-Length: 5\r\n"
TE = b"Transfer-Encoding: chunked\r\n"
P = b"POST / HTTP/1.1\r\n"
G = b"GET / HTTP/1.1\r\n"

REFUSED = {
    "length and chunked": (P + H + CL + TE + b"\r\n0\r\n\r\n", 400),
    "chunked and length": (P + H + TE + CL + b"\r\n0\r\n\r\n", 400),
    "two lengths": (P + H + CL + CL + b"\r\nhello", 400),
    "two different lengths": (P + H + CL + b"Content-Length: 6\r\n\r\nhello", 400),
    "list of lengths": (P + H + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    "signed length": (P + H + b"Content-Length: +5\r\n\r\nhello", 400),
    "hex length": (P + H + b"Content-Length: 0x5\r\n\r\nhello", 400),
    "empty length": (P + H + b"Content-Length:\r\n\r\nhello", 400),
    "overflowing length": (P + H + b"Content-Length: 18446744073709551621\r\n\r\nhello", 400),
    "chunked twice": (P + H + TE + TE + b"\r\n0\r\n\r\n", 400),
    "chunked is not last": (P + H + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    "other coding": (P + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "unknown coding": (P + H + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    "chunked in quotes": (P + H + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 501),
    "chunked in 1.0": (b"POST / HTTP/1.0\r\n" + TE + b"\r\n0\r\n\r\n", 400),
    "bad chunk size": (P + H + TE + b"\r\n0x2\r\nok\r\n0\r\n\r\n", 400),
    "chunk size with a blank": (P + H + TE + b"\r\n2 \r\nok\r\n0\r\n\r\n", 400),
    "chunk ended by LF": (P + H + TE + b"\r\n2\nok\n0\n\n", 400),
    "chunk longer than it says": (P + H + TE + b"\r\n2\r\noko\r\n0\r\n\r\n", 400),
    "overflowing chunk": (P + H + TE + b"\r\n10000000000000002\r\nok\r\n0\r\n\r\n", 400),
    "no host": (G + b"\r\n", 400),
    "two hosts": (G + H + b"Host: b\r\n\r\n", 400),
    "blank before colon": (G + b"Host : a\r\n\r\n", 400),
    "blank before name": (G + b" Host: a\r\n\r\n", 400),
    "folded header": (G + H + b"X: a\r\n b\r\n\r\n", 400),
    "no colon": (G + H + b"X\r\n\r\n", 400),
    "no name": (G + H + b": x\r\n\r\n", 400),
    "NUL in value": (G + H + b"X: a\0b\r\n\r\n", 400),
    "NUL in name": (G + H + b"X\0: a\r\n\r\n", 400),
    "CR in value": (G + H + b"X: a\rb\r\n\r\n", 400),
    "LF ends a line": (G + H + b"X: a\nY: b\r\n\r\n", 400),
    "LF everywhere": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "control in value": (G + H + b"X: \x01\r\n\r\n", 400),
    "two authorizations": (G + H + b"Authorization: a\r\nAuthorization: b\r\n\r\n", 400),
    "two idempotency keys": (G + H + b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n", 400),
    "lower-case method": (b"get / HTTP/1.1\r\n" + H + b"\r\n", 400),
    "invented method": (b"FETCH / HTTP/1.1\r\n" + H + b"\r\n", 400),
    "method not served": (b"PROPFIND / HTTP/1.1\r\n" + H + b"\r\n", 501),
    "connect": (b"CONNECT a:1 HTTP/1.1\r\n" + H + b"\r\n", 501),
    "version 0.9": (b"GET /\r\n\r\n", 505),
    "version 2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "version 3": (b"GET / HTTP/3.0\r\n" + H + b"\r\n", 400),
    "blank in target": (b"GET /a b HTTP/1.1\r\n" + H + b"\r\n", 400),
    "NUL in target": (b"GET /a\0 HTTP/1.1\r\n" + H + b"\r\n", 400),
    "relative target": (b"GET a HTTP/1.1\r\n" + H + b"\r\n", 400),
    "asterisk": (b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\n" + H + b"\r\n", 400),
    "dot segments": (b"GET /a/../b HTTP/1.1\r\n" + H + b"\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03", 400),
    "noise": (b"\xff\xfe\0\x01" * 50, 400),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", 400),
}


@pytest.mark.parametrize(("octets", "status"), REFUSED.values(), ids=REFUSED.keys())
def test_ambiguous_message_is_refused_and_ends_the_connection(octets, status):
    seen = []

    def app(request):
        seen.append(request)
        return Response(200)

    with serving(app) as world:
        client = world.client(octets + get("/smuggled"))
        answer, headers, body = client.answer()
        assert (answer, headers["Connection"]) == (status, "close")
        assert json.loads(body)["status"] == status
        assert client.is_closed()
    assert not seen


def test_refusal_comes_after_the_answers_before_it():
    async def app(request):
        await asyncio.sleep(0.002)
        return echo(request)

    with serving(app) as world:
        client = world.client(get("/1") + get("/2") + REFUSED["two hosts"][0] + get("/3"))
        assert client.answer()[2] == b"GET /1"
        assert client.answer()[2] == b"GET /2"
        assert client.answer()[0] == 400
        assert client.is_closed()


def test_body_over_the_limit_is_refused_before_it_is_read():
    with serving() as world:
        client = world.client(message("POST", "/", "Content-Length: 65537"))
        status, _, body = client.answer()
        assert status == 413
        assert "65536 octets" in json.loads(body)["detail"]


def test_refusal_is_readable_while_ten_megabytes_are_still_being_sent():
    body = b"x" * 10_000_000
    with serving() as world:
        client = world.client(message("POST", "/", f"Content-Length: {len(body)}"))
        client.send(body)
        assert client.answer()[0] == 413


def test_chunked_body_over_the_limit_is_refused_while_it_is_read():
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    with serving() as world:
        client = world.client(message("POST", "/", "Transfer-Encoding: chunked"), *[chunk] * 5)
        assert client.answer()[0] == 413


def test_chunk_extensions_are_limited_too():
    noise = b"1;" + b"x" * 60_000
    with serving(body_bytes=1000) as world:
        client = world.client(message("POST", "/", "Transfer-Encoding: chunked"), noise, noise)
        client.send(*[b"x" * 60_000] * 10)
        assert client.answer()[0] == 413


@pytest.mark.parametrize(
    "octets",
    [
        get("/", "X: " + "x" * 16_384),
        get("/", *(f"X-{number}: {'x' * 1000}" for number in range(17))),
        get("/", *(f"X-{number}: y" for number in range(101))),
        get("/")[:-2] + b"X: " + b"x" * 1_000_000,
        get("/")[:-2] + b"x" * 1_000_000,
    ],
    ids=["long value", "long together", "many", "megabyte value", "megabyte name"],
)
def test_header_over_the_limits_is_refused(octets):
    with serving() as world:
        assert world.client(octets).answer()[0] == 431


def test_target_over_the_limit_is_refused():
    with serving() as world:
        assert world.client(get("/" + "x" * 8192)).answer()[0] == 414
        assert world.client(b"GET /" + b"x" * 1_000_000).answer()[0] == 414


def test_nobody_gets_less_time_than_was_promised():
    """A deadline is reckoned from the last sweep; a short one must not end at the next."""
    with serving(header_seconds=1) as world:
        world.seconds += 0.999
        client = world.client(b"")
        world.until(lambda: len(world.connections) == 1)
        world.advance(0.01)
        client.send(get())
        assert client.answer()[0] == 200


def test_slow_header_is_ended_after_its_time():
    with serving() as world:
        client = world.client(get()[:-4])
        world.until(lambda: any(each._reader.phase for each in world.connections._open))
        for _ in range(9):
            world.advance(1)
            client.send(b"x")
        world.advance(2)
        status, _, body = client.answer()
        assert status == 408
        assert "header did not arrive within 10 seconds" in json.loads(body)["detail"]
        assert client.is_closed()


def test_slow_body_is_ended_after_its_time():
    with serving() as world:
        client = world.client(message("POST", "/", "Content-Length: 9", body=b"x"))
        world.until(lambda: any(each._reader.phase for each in world.connections._open))
        world.advance(29)
        client.send(b"x")
        world.advance(2)
        assert client.answer()[0] == 408


def test_silent_and_idle_connections_are_closed():
    with serving() as world:
        silent, idle = world.client(), world.client(get())
        idle.answer()
        world.until(lambda: len(world.connections) == 2)
        world.advance(11)
        assert silent.is_closed()
        idle.send(get("/again"))
        assert idle.answer()[2] == b"GET /again"
        world.advance(74)
        world.advance(2)
        assert idle.is_closed()


def test_time_of_the_application_is_not_the_client_s():
    release = asyncio.Event()

    async def app(request):
        await release.wait()
        return echo(request)

    with serving(app) as world:
        client = world.client(get("/x") + b"GET /y HT")
        world.until(lambda: world.connections.tasks)
        world.advance(1000)
        world.call(release.set)
        assert client.answer()[2] == b"GET /x"
        client.send(b"TP/1.1\r\nHost: a\r\n\r\n")
        assert client.answer()[2] == b"GET /y"


def test_connection_that_cannot_expire_is_aborted_and_the_others_expire(monkeypatch, caplog):
    with serving() as world:
        for _ in range(3):
            world.client()
        world.until(lambda: len(world.connections) == 3)
        (bad, *_) = world.connections._open
        monkeypatch.setattr(bad, "_state", "a state that it cannot have")
        monkeypatch.setattr(bad, "_transport", Broken(bad._transport))
        world.advance(100)
        world.until(lambda: not len(world.connections))
    assert "cannot be ended in order" in caplog.text


class Broken:
    """A transport that can only be aborted, and that fails once."""

    def __init__(self, transport):
        self.transport = transport
        self.is_broken = True

    def abort(self):
        if self.is_broken:
            self.is_broken = False
            raise RuntimeError("a defect")
        self.transport.abort()


def test_lingering_ends():
    with serving() as world:
        client = world.client(b"nonsense\r\n\r\n")
        assert client.answer()[0] == 400
        world.advance(3)
        world.until(lambda: not len(world.connections))


def test_client_that_does_not_read_is_not_answered_further_and_ended():
    answered = []

    def app(request):
        answered.append(request.path)
        return Response(200, bytes(30_000_000))

    with serving(app) as world:
        world.client(get("/1") * 200)
        world.until(lambda: answered and any(each._is_blocked for each in world.connections._open))
        assert len(answered) == 1
        world.advance(31)
        world.until(lambda: not len(world.connections))
        assert len(answered) == 1


def test_flood_of_small_answers_is_held_back():
    answered = []

    def app(request):
        answered.append(request)
        return Response(200, bytes(60_000))

    with serving(app) as world:
        client = world.client(get() * 250)
        world.until(lambda: any(each._is_blocked for each in world.connections._open))
        assert len(answered) < 250
        for _ in range(250):
            assert client.answer()[0] == 200


def test_reading_stops_while_requests_wait():
    release = asyncio.Event()

    async def app(_):
        await release.wait()
        return Response(200)

    with serving(app) as world:
        client = world.client(get() * 2)
        world.until(lambda: any(not each._is_reading for each in world.connections._open))
        client.sock.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.send(*[get("/more") * 100] * 10_000)
        (connection,) = world.connections._open
        assert len(connection._queue) <= 1
        world.call(release.set)
        client.sock.settimeout(5)
        assert client.answer()[0] == 200


def test_too_many_pipelined_requests_are_not_all_read():
    with serving(pipelined=3) as world:
        client = world.client(b"".join(get(f"/{number}") for number in range(9)))
        assert client.answer()[2] == b"GET /0"
        assert client.answer()[2] == b"GET /1"
        status, headers, body = client.answer()
        assert (status, headers["Connection"], body) == (200, "close", b"GET /2")
        assert client.is_closed()


@pytest.mark.parametrize("limit", ["connections", "connections_per_address"])
def test_connection_too_many_is_answered_503(limit, caplog):
    with serving(**{limit: 2}) as world:
        first, second = world.client(get()), world.client(get())
        first.answer()
        second.answer()
        third = Client(world.sock())
        status, headers, _ = third.answer()
        assert (status, headers["Retry-After"]) == (503, "1")
        assert third.is_closed()
        third.close()
        world.advance(1)
        assert "1 connections refused" in caplog.text
        first.close()
        world.until(lambda: len(world.connections) == 1)
        assert world.client(get()).answer()[0] == 200
        assert world.connections._per_address == {"127.0.0.1": 2}


def test_reset_in_the_middle_leaves_nothing_behind():
    with serving() as world:
        for octets in (b"", b"GET", get()[:-1], message("POST", "/", "Content-Length: 9")):
            client = world.client(octets)
            world.until(lambda: len(world.connections) == 1)
            reset(client)
            world.until(lambda: not len(world.connections))
        assert world.connections._per_address == {}


@pytest.mark.parametrize(
    ("octets", "path", "query"),
    [
        (b"/", "/", ""),
        (b"/a/b-c_d~e.f", "/a/b-c_d~e.f", ""),
        (b"/a?b=%2e%2e/..&c=[1]", "/a", "b=%2e%2e/..&c=[1]"),
        (b"/%41%c3%a9", "/Aé", ""),
        (b"/a%2520b", "/a%20b", ""),
        (b"/.well-known/x", "/.well-known/x", ""),
        (b"/...", "/...", ""),
        (b"http://h:80/a?b", "/a", "b"),
        (b"HTTPS://[::1]", "/", ""),
    ],
)
def test_target_has_one_meaning(octets, path, query):
    assert target.parse(octets) == (path, query)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"*",
        b"a",
        b"h:443",
        b"ftp://h/a",
        b"http://u@h/a",
        b"http:///a",
        b"/..",
        b"/a/..",
        b"/./a",
        b"/a/.",
        b"/%2e%2e/a",
        b"/%2E./a",
        b"/a%2fb",
        b"/a%2Fb",
        b"/a%5cb",
        b"/a\\b",
        b"/a%00b",
        b"/a%0d%0ab",
        b"/a%7f",
        b"/%",
        b"/%4",
        b"/%zz",
        b"/%c3",
        b"/%c0%af",
        b"/%ed%a0%80",
        b"/\xc3\xa9",
        b"/a b",
        b"/a|b",
        b"/a?\xff",
        b"/a?b c",
        b"/a?b#c",
    ],
)
def test_target_with_two_meanings_is_refused(octets):
    with pytest.raises(ValueError, match=r"path|query"):
        target.parse(octets)


def test_encoded_slash_is_a_slash_where_base64_is_a_path():
    assert target.parse(b"/ocsp/MFE%2FAA%3D%3D", encoded_slash=True) == ("/ocsp/MFE/AA==", "")
    with pytest.raises(ValueError, match="dot segment"):
        target.parse(b"/ocsp/..%2F..%2Fetc", encoded_slash=True)
    with serving(encoded_slash=True) as world:
        assert world.client(get("/a%2Fb")).answer()[2] == b"GET /a/b"


LIMITS = Limits(body_bytes=64)


def read(*pieces, heads=None):
    """Return what a reader makes of octets: requests, and the refusal that ended them."""
    heads = HeadReader(LIMITS, encoded_slash=False) if heads is None else heads
    reader = RequestReader(heads, Peer("x"))
    refusal = None
    for piece in pieces:
        try:
            reader.feed(piece)
        except Refusal as error:
            refusal = error.status
            break
    made = [(r.method, r.path, r.query, dict(r.headers), r.body, a) for r, a in reader.complete]
    return made, refusal


VALID = [
    get("/1"),
    message("POST", "/2?q", "Content-Length: 3", body=b"abc"),
    message("POST", "/3", "Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n"),
    get("/4", "Upgrade: h2c", "Connection: Upgrade"),
    get("/5", version="1.0"),
    REFUSED["two hosts"][0],
    b"\r\n",
    b"X",
]


SHARED = HeadReader(LIMITS, encoded_slash=False)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*VALID, H, CL, TE, P, G]), max_size=6))
def test_what_another_connection_sent_makes_no_difference(messages):
    octets = b"".join(messages)
    assert read(octets, heads=SHARED) == read(octets)
    assert read(octets, heads=SHARED) == read(octets)


@pytest.mark.parametrize("octets", [octets for octets, _ in REFUSED.values()])
def test_a_good_head_before_it_does_not_make_a_bad_one_good(octets):
    heads = HeadReader(LIMITS, encoded_slash=False)
    for message_ in VALID:
        read(message_, heads=heads)
    assert read(octets, heads=heads) == read(octets)
    assert read(octets, heads=heads)[1] is not None


def test_heads_that_say_who_asks_are_not_remembered():
    heads = HeadReader(LIMITS, encoded_slash=False)
    for line in (
        "Authorization: Bearer mmt_secret",
        "Cookie: a=b",
        "Idempotency-Key: k",
        "X-Any: thing",
        "Accept: " + "x" * 1000,
    ):
        assert len(read(get("/1", line), heads=heads)[0]) == 1
    assert len(read(get("/1?token=secret"), heads=heads)[0]) == 1
    assert len(heads) == 0
    read(get("/1", "Accept: x"), heads=heads)
    assert len(heads) == 1


def test_a_flood_of_heads_takes_no_more_memory():
    heads = HeadReader(LIMITS, encoded_slash=False)
    for number in range(2000):
        read(get(f"/{number}"), heads=heads)
    assert 0 < len(heads) <= 512


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(VALID), max_size=6), st.data())
def test_pieces_make_no_difference(messages, data):
    octets = b"".join(messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=5)))
    pieces = [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    assert read(octets) == read(*pieces)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([*VALID, H, CL, TE, P, G]))))
def test_arbitrary_octets_only_ever_make_requests_or_one_refusal(pieces):
    requests, refusal = read(*pieces)
    assert refusal is None or 400 <= refusal < 506
    for method, path, *_ in requests:
        assert method.isupper()
        assert path.startswith("/")
        assert ".." not in path.split("/")
