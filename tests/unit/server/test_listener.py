"""Sockets, and the life of a server on them."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop

from mintmark.model.errors import Error, Kind
from mintmark.server import listener
from mintmark.server.connections import Connections
from mintmark.server.limits import Limits
from mintmark.server.listener import Endpoint, bind, check_free, serve
from mintmark.wire.http import Peer, Response, network_of
from tests.unit.server.http_world import Client, echo, get


def close(sockets):
    for each in sockets:
        each.close()


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_address_is_bound_with_its_protocol(host, family):
    (bound,) = bind(host, 0)
    with bound:
        assert (bound.family, bound.proto) == (family, socket.IPPROTO_TCP)
        assert bound.getsockname()[0] == host


def test_name_is_bound_on_each_of_its_addresses_once():
    sockets = bind("localhost", 0)
    addresses = [each.getsockname()[0] for each in sockets]
    close(sockets)
    assert "127.0.0.1" in addresses
    assert len(set(addresses)) == len(addresses)


def test_taken_port_is_the_operator_s_error():
    (bound,) = bind("127.0.0.1", 0)
    with bound:
        bound.listen()
        port = bound.getsockname()[1]
        for function in (bind, check_free):
            with pytest.raises(Error, match=f"'127.0.0.1' port {port}: address already") as caught:
                close(function("127.0.0.1", port) or ())
            assert caught.value.kind is Kind.CONFIGURATION


def test_unknown_host_is_the_operator_s_error():
    with pytest.raises(Error, match="cannot listen on 'no such host'"):
        bind("no such host", 0)


def test_shared_port_is_bound_twice_and_is_not_free():
    (first,) = bind("127.0.0.1", 0, shared=True)
    port = first.getsockname()[1]
    (second,) = bind("127.0.0.1", port, shared=True)
    first.listen()
    with first, second, pytest.raises(Error, match="already in use"):
        check_free("127.0.0.1", port)


def test_free_port_is_free_and_stays_so():
    (bound,) = bind("127.0.0.1", 0)
    port = bound.getsockname()[1]
    bound.close()
    check_free("127.0.0.1", port)
    close(bind("127.0.0.1", port))


def test_server_serves_until_it_is_told_to_stop(monkeypatch):
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.001)
    dates = iter(range(10**9))
    events = []

    def talk(port):
        client = Client(socket.create_connection(("127.0.0.1", port), timeout=5))
        first = client.send(get("/a")).answer()[1]["Date"]
        while client.send(get("/a")).answer()[1]["Date"] == first:
            pass
        client.close()

    async def main():
        (one,), (other,) = bind("127.0.0.1", 0), bind("127.0.0.1", 0)
        ports = [each.getsockname()[1] for each in (one, other)]
        stopping, ready = asyncio.Event(), asyncio.Event()
        running = asyncio.create_task(
            serve(
                [Endpoint([one], echo), Endpoint([other], echo)],
                lambda: next(dates) * 1000,
                stopping,
                grace_seconds=0.1,
                ready=ready.set,
            )
        )
        await ready.wait()
        for port in ports:
            await asyncio.to_thread(talk, port)
        stopping.set()
        await running
        events.extend(ports)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    for port in events:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)


def test_sweep_goes_on_after_a_defect(monkeypatch, caplog):
    monkeypatch.setattr(listener, "SWEEP_SECONDS", 0.001)
    calls = []

    def clock():
        calls.append(1)
        if len(calls) == 2:
            raise OSError("the clock is gone")
        return 0.0

    async def main():
        stopping = asyncio.Event()
        running = asyncio.create_task(
            serve([Endpoint(bind("127.0.0.1", 0), echo)], clock, stopping)
        )
        while len(calls) < 4:  # noqa: ASYNC110 - the sweep cannot know of an event
            await asyncio.sleep(0.001)
        stopping.set()
        await running

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert "sweep of connections failed" in caplog.text


def test_addresses_of_one_ipv6_network_are_counted_as_one():
    """A host has 2^64 of them, and would be alone in the server otherwise."""
    connections = Connections(lambda _: Response(200), Limits(connections_per_address=2), lambda: 0)
    first, second, third, neighbor = object(), object(), object(), object()

    assert connections.admit(first, "2001:db8::1")
    assert connections.admit(second, "2001:db8::ffff:2")
    assert not connections.admit(third, "2001:db8::3")
    assert connections.admit(neighbor, "2001:db8:0:1::1")
    connections.remove(first, "2001:db8::1")
    assert connections.admit(third, "2001:db8::3")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_a_network_is_what_one_host_has(address, network):
    assert network_of(address) == network
    assert Peer(address).network == network


def test_a_flood_of_failures_is_a_few_lines_a_second(caplog):
    connections = Connections(lambda _: Response(200), Limits(), lambda: 0, monotonic=lambda: 0)
    with caplog.at_level("INFO", "mintmark.server"):
        for number in range(1000):
            connections.tell("TLS handshake with %s failed", number)
        assert len(caplog.records) == 20
        connections.sweep()
        assert "980 more" in caplog.records[-1].getMessage()
        caplog.clear()
        connections.sweep()
        connections.tell("TLS handshake with %s failed", "another")

        assert [each.getMessage() for each in caplog.records] == [
            "TLS handshake with another failed"
        ]
