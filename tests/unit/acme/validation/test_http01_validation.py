"""http-01: RFC 8555 §8.3, and web servers that mean harm."""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

from mintmark.protocol.acme.validation.http01 import Target, follow
from mintmark.protocol.acme.validation.outcome import ChallengeError
from mintmark.protocol.acme.validation.settings import ValidationSettings
from tests.unit.acme.validation.world import (
    KEY_AUTHORIZATION,
    PATH,
    TOKEN,
    assert_failed,
    assert_validated,
    redirect,
    response,
)

NAME = "a.example.internal"


@pytest.fixture(autouse=True)
def _address(dns):
    dns.add(NAME, "A", "127.0.0.1")


def closed_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_key_authorization_at_its_place_is_valid(world):
    port = world.web(response())
    outcome = world.http(port)
    assert_validated(outcome)
    assert outcome.evidence == f"http://{NAME}:{port}{PATH} on 127.0.0.1:{port}"
    head = world.heads[0]
    assert head.startswith(f"GET {PATH} HTTP/1.1\r\nHost: {NAME}:{port}\r\n")
    assert "\r\nUser-Agent: mintmark/" in head


@pytest.mark.parametrize("tail", [b"\n", b"\r\n", b" \t\r\n \v\f"])
def test_white_space_after_the_key_authorization_is_ignored(world, tail):
    assert_validated(world.http(world.web(response(KEY_AUTHORIZATION + tail))))


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\n\r\n" + KEY_AUTHORIZATION,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
        % (len(KEY_AUTHORIZATION), KEY_AUTHORIZATION),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(),
        response() + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["until close", "chunked", "after an informational answer", "with something after it"],
)
def test_every_framing_of_an_answer_is_read(world, answer):
    assert_validated(world.http(world.web(answer)))


def test_answer_in_single_octets_is_read(world):
    async def drip(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for octet in response():
            writer.write(bytes((octet,)))
            await asyncio.sleep(0)

    assert_validated(world.http(world.web(drip)))


def test_address_identifier_is_asked_at_the_address(world):
    port = world.web(response())
    assert_validated(world.http(port, "127.0.0.1"))
    assert f"Host: 127.0.0.1:{port}\r\n" in world.heads[0]
    assert world.dns.queries == []


def test_ipv6_identifier_is_asked_at_the_address(world):
    port = world.web(response(), host="::1")
    assert_validated(world.http(port, "::1"))
    assert f"Host: [::1]:{port}\r\n" in world.heads[0]


def test_ipv6_comes_first(world):
    world.dns.add(NAME, "AAAA", "::1")
    port = world.web(response(), host="::1")
    world.web(response(b"other"), port=port)
    assert "on [::1]:" in world.http(port).evidence


def test_ipv4_is_taken_when_ipv6_does_not_answer(world):
    world.dns.add(NAME, "AAAA", "::1")
    assert "on 127.0.0.1:" in world.http(world.web(response())).evidence


def test_every_address_is_tried(world):
    world.dns.add("many.example.internal", "A", "127.0.0.9", "127.0.0.8", "127.0.0.1")
    assert_validated(world.http(world.web(response()), "many.example.internal"))


def test_source_address_is_the_configured_one(world):
    seen = []

    async def note(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        seen.append(writer.get_extra_info("peername")[0])
        writer.write(response())

    sources = ("127.0.0.7", "::1")
    assert_validated(world.http(world.web(note), source_addresses=sources))
    assert seen == ["127.0.0.7"]


def test_refused_connection_says_where_and_what_to_look_at(world):
    port = closed_port()
    outcome = world.http(port)
    assert_failed(
        outcome,
        "connection",
        f"http://{NAME}:{port}{PATH} on 127.0.0.1:{port} connection refused",
        f"is the server running on port {port} and reachable",
    )


def test_every_refused_address_is_named(world):
    world.dns.add(NAME, "AAAA", "::1")
    port = closed_port()
    assert_failed(world.http(port), "connection", f"on [::1]:{port}", f"on 127.0.0.1:{port}")


def test_name_that_does_not_exist_is_a_dns_failure(world):
    outcome = world.http(80, "none.example.internal")
    assert_failed(outcome, "dns", "'none.example.internal'", "NXDOMAIN", world.dns.address)


def test_silent_server_ends_with_the_deadline(world):
    async def silence(reader, writer):
        await reader.read()

    outcome = world.http(world.web(silence), timeout=0.15)
    assert_failed(outcome, "connection", f"reading the answer of http://{NAME}", "0.15 s")


def test_slow_body_ends_with_the_deadline(world):
    async def drip(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.01)

    assert_failed(world.http(world.web(drip), timeout=0.15), "connection", "0.15 s")


@pytest.mark.parametrize("framing", [b"", b"Content-Length: 999999999\r\n"])
def test_endless_body_is_cut_off(world, framing):
    async def flood(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()

    assert_failed(world.http(world.web(flood)), "connection", "more than 65536 octets")


def test_endless_header_is_cut_off(world):
    async def flood(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not writer.is_closing():
            writer.write(b"X-Filler: " + b"x" * 1000 + b"\r\n")
            await writer.drain()

    assert_failed(world.http(world.web(flood)), "connection", "header")


def test_endless_informational_answers_are_cut_off(world):
    async def flood(reader, writer):
        while not writer.is_closing():
            writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
            await writer.drain()

    assert_failed(world.http(world.web(flood)), "connection", "header")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed before the answer was complete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nshort", "closed before"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "closed before"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x50", "not HTTP"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "(101)"),
    ],
    ids=["nothing", "cut short", "cut chunk", "ssh", "tls", "upgrade"],
)
def test_what_is_no_answer_is_a_connection_failure(world, answer, said):
    assert_failed(world.http(world.web(answer)), "connection", said, "127.0.0.1")


def test_reset_connection_is_a_connection_failure(world):
    async def reset(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )
        writer.transport.abort()

    assert_failed(world.http(world.web(reset)), "connection", "answer was complete")


@pytest.mark.parametrize("status", [204, 304, 403, 404, 500, 503])
def test_other_status_is_named(world, status):
    answer = f"HTTP/1.1 {status} Reason\r\nContent-Length: 0\r\n\r\n".encode()
    outcome = world.http(world.web(answer))
    assert_failed(outcome, "incorrectResponse", f"answered {status} and not 200")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"  \r\n", "empty"),
        (b"x" + KEY_AUTHORIZATION, "something else"),
        (b" " + KEY_AUTHORIZATION, "something else"),
        (KEY_AUTHORIZATION.upper(), "something else"),
        (KEY_AUTHORIZATION + b"x", "another account's key"),
        (TOKEN.encode() + b".other", "another account's key"),
        (b"<html>secret</html>", "an HTML page"),
        (b"secret of a service behind the firewall", "something else"),
        (bytes(range(256)), "something else"),
    ],
)
def test_wrong_body_is_described_and_never_repeated(world, body, said):
    outcome = world.http(world.web(response(body)))
    assert_failed(outcome, "incorrectResponse", said)
    assert "secret" not in outcome.detail


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirect_is_followed(self, world, status):
        world.dns.add("b.example.internal", "A", "127.0.0.1")
        port = world.web(redirect("http://b.example.internal/x/y?z=1", status), response())
        outcome = world.http(port)
        assert_validated(outcome)
        assert world.heads[1].startswith("GET /x/y?z=1 HTTP/1.1\r\nHost: b.example.internal:")
        assert f"redirected from http://{NAME}" in outcome.evidence

    def test_relative_redirect_is_followed(self, world):
        assert_validated(world.http(world.web(redirect("../other/y"), response())))
        assert world.heads[1].startswith("GET /.well-known/other/y HTTP/1.1\r\n")

    def test_redirect_to_https_is_followed_and_not_verified(self, world, tls_server_context):
        secure = world.web(response(), tls=tls_server_context)
        port = world.web(redirect(f"https://{NAME}/x"))
        assert_validated(world.http(port, https_port=secure))

    def test_redirect_to_https_that_is_none_is_a_tls_failure(self, world):
        async def plain(reader, writer):
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await reader.read()

        secure = world.web(plain)
        outcome = world.http(world.web(redirect(f"https://{NAME}/x")), https_port=secure)
        assert_failed(outcome, "tls", f"https://{NAME}:{secure}/x", "wrong version number")

    def test_redirect_to_https_that_says_nothing_is_given_up(self, world):
        async def silence(reader, writer):
            await reader.read()

        port = world.web(redirect(f"https://{NAME}/x"))
        outcome = world.http(port, https_port=world.web(silence), connect_timeout=0.1)
        assert_failed(outcome, "connection", "no TLS handshake within 0.1 s")

    def test_redirect_to_itself_is_a_loop(self, world):
        port = world.web(lambda head: redirect(f"http://{NAME}{PATH}"))
        assert_failed(world.http(port), "connection", "loop")
        assert len(world.heads) == 1

    def test_redirect_between_two_is_a_loop(self, world):
        port = world.web(redirect("/b"), redirect(PATH))
        assert_failed(world.http(port), "connection", "loop")
        assert len(world.heads) == 2

    def test_eleventh_redirect_is_not_followed(self, world):
        numbers = iter(range(100))
        port = world.web(lambda head: redirect(f"/{next(numbers)}"))
        assert_failed(world.http(port), "connection", "more than 10 redirects")
        assert len(world.heads) == 11

    @pytest.mark.parametrize(
        ("location", "said"),
        [
            ("file:///etc/passwd", "only http and https"),
            ("ftp://a.example.internal/", "only http and https"),
            ("gopher://a.example.internal:80/_x", "only http and https"),
            ("javascript:alert(1)", "only http and https"),
            ("http://a.example.internal:22/", "only ports"),
            ("http://a.example.internal:8443/", "only ports"),
            ("https://a.example.internal:6379/", "only ports"),
            ("http://a.example.internal:0/", "only ports"),
            ("http://a.example.internal:99999/", "redirect"),
            ("http://a.example.internal:x/", "redirect"),
            ("http://user:password@a.example.internal/", "user information"),
            ("http://a.example.internal\\@b.example.internal/", "user information"),
            ("http://a b/", "printable"),
            ("http://a.example.internal/\tx", "printable"),
            ("http://[::1/", "redirect"),
            ("http://[fe80::1%25lo]/", "no host"),
            ("http://[v1.x]/", "no host"),
            ("http://a..b/", "dns"),
            ("http://b\u00fccher.example/", "printable"),
            ("http://a.example.internal/" + "x" * 2048, "2048"),
        ],
    )
    def test_redirect_elsewhere_is_not_followed(self, world, location, said):
        outcome = world.http(world.web(redirect(location)))
        kind = "dns" if said == "dns" else "connection"
        assert_failed(outcome, kind, "" if said == "dns" else said)
        assert len(world.heads) == 1

    def test_redirect_without_location_is_refused(self, world):
        outcome = world.http(world.web(response(b"", 302)))
        assert_failed(outcome, "connection", "without a Location")

    def test_historic_spelling_of_an_address_is_a_name(self, world):
        port = world.web(redirect("http://2130706433/"))
        assert_failed(world.http(port), "dns", "'2130706433'", "NXDOMAIN")

    def test_redirect_to_an_address_is_followed_in_a_private_network(self, world):
        port = world.web(redirect("http://127.0.0.1/"), response())
        assert_validated(world.http(port))

    def test_redirect_to_cloud_metadata_is_refused(self, world):
        port = world.web(redirect("http://169.254.169.254/latest/meta-data/"))
        assert_failed(world.http(port), "unauthorized", "link-local")

    def test_redirect_to_a_name_of_cloud_metadata_is_refused(self, world):
        world.dns.add("metadata.example.internal", "A", "169.254.169.254")
        port = world.web(redirect("http://metadata.example.internal/"))
        assert_failed(world.http(port), "unauthorized", "link-local")


class TestWithoutPrivateAddresses:
    def test_redirect_to_an_address_is_refused(self):
        base = Target(https=False, host=NAME, port=80, path="/x")
        settings = ValidationSettings(allow_private=False)
        with pytest.raises(ChallengeError) as caught:
            follow(base, "http://8.8.8.8/", "x", settings)
        assert_failed(caught.value.failed, "connection", "in place of a name")
        assert follow(base, "//b.example.internal./y", "x", settings).host == "b.example.internal"

    def test_private_address_is_refused(self, world):
        outcome = world.http(80, allow_private=False)
        assert_failed(outcome, "unauthorized", "127.0.0.1 is a loopback address")

    def test_address_identifier_is_refused(self, world):
        outcome = world.http(80, "10.0.0.1", allow_private=False)
        assert_failed(outcome, "unauthorized", "10.0.0.1 is a private address")


@pytest.fixture
def tls_server_context(tmp_path):
    from tests.unit.acme.validation.certificates import certificate, server_context

    context = server_context(tmp_path, certificate("other.example.internal"))
    assert isinstance(context, ssl.SSLContext)
    return context
