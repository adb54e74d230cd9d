"""Several servers on one database, of either kind, behave as one."""

from __future__ import annotations

import asyncio

import pytest

from mintmark.protocol.acme.validation.outcome import Validated
from tests.unit.acme.client import World, csr, failed, identifiers

NAME = "web.example.internal"


@pytest.fixture
def world(open_store, clock, run):
    return World(open_store(), clock, run)


@pytest.fixture
def other(world, open_store):
    """Return a second server, with a store of its own on the same database."""
    return world.server(open_store())


def test_every_step_of_an_order_may_reach_another_server(world, other):
    client = world.client()
    servers = [world.acme, other]

    def post(url, payload=None):
        client.acme = servers[len(client.nonces) % 2]
        servers.reverse()
        return client.post(url, payload)

    order = post("new-order", {"identifiers": identifiers(NAME)})
    authorization = post(order.json["authorizations"][0]).json
    assert post(authorization["challenges"][0]["url"], {}).json["status"] == "valid"
    assert post(order.headers["location"]).json["status"] == "ready"
    done = post(order.json["finalize"], csr(NAME))
    assert post(done.json["certificate"]).status == 200


def test_two_servers_finalize_one_order_once(world, other):
    client = world.client()
    _, order = client.ready(NAME)
    requests = [client.request(order["finalize"], csr(NAME)) for _ in range(6)]
    servers = [world.acme, other] * 3

    async def at_once():
        sent = zip(servers, requests, strict=True)
        return await asyncio.gather(*(server.handle(request) for server, request in sent))

    replies = world.run(at_once())

    assert {reply.status for reply in replies} <= {200, 403}
    assert len({reply.body for reply in replies if reply.status == 200}) == 1
    assert world.run(world.store.count())["certificates"] == 1


def test_request_replayed_to_both_servers_makes_one_order(world, other):
    client = world.client()
    request = client.request("new-order", {"identifiers": identifiers(NAME)})

    async def at_once():
        return await asyncio.gather(world.acme.handle(request), other.handle(request))

    assert sorted(reply.status for reply in world.run(at_once())) == [201, 400]


def test_account_change_replayed_to_both_servers_happens_once(world, other):
    client = world.client()
    request = client.request(client.kid, {"contact": ["mailto:a@example.com"]})

    async def at_once():
        return await asyncio.gather(world.acme.handle(request), other.handle(request))

    replies = world.run(at_once())

    assert [reply.status for reply in replies].count(200) >= 1
    assert world.run(world.store.account(client.account_id)).version == 2


def test_one_external_key_makes_one_account_on_two_servers(world, other):
    from tests.unit.acme.test_acme_accounts import binding

    hmac_key = world.external_key()
    first, second = world.stranger(), world.stranger(acme=other)
    requests = [one.request("new-account", binding(one, hmac_key)) for one in (first, second)]

    async def at_once():
        return await asyncio.gather(world.acme.handle(requests[0]), other.handle(requests[1]))

    assert sorted(reply.status for reply in world.run(at_once())) == [201, 403]


def test_retry_is_made_by_whichever_server_looks_first(world, other, clock):
    client = world.client()
    world.validator.outcomes[NAME] = [failed("connection", "refused"), Validated("now")]
    order = client.order(NAME)
    client.meet(order.json["authorizations"][0])
    clock.advance(3)

    async def look():
        await world.validations.turn()
        for one in list(world.validations._running.values()):
            await asyncio.wait([one.task])

    world.run(look())  # the second server's: `validations` is that of the last one made

    assert client.post(order.headers["location"]).json["status"] == "ready"


def test_what_is_over_is_tidied(world, clock):
    client = world.client()
    client.certificate(NAME)
    client.post(client.kid, {"contact": ["mailto:a@example.com"]})
    clock.advance(60 * 86400)

    assert world.run(world.store.tidy(int(clock()))) >= 3
    client.nonces.clear()
    assert client.post(client.kid + "/orders").json["orders"] == []
