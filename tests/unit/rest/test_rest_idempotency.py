"""Idempotency keys: one certificate per key, however often and by whomever it is sent."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.rest.world import Reply, csr, local_peer

PATH = "/certificates/request"


def keyed(key):
    return {"idempotency-key": key}


def test_a_retry_returns_the_same_certificate(world):
    peer, body = world.peer("webapp"), {"csr": csr("webapp")}
    first = world.ask("POST", PATH, peer=peer, json=body, headers=keyed("retry-1"))
    again = world.ask("POST", PATH, peer=peer, json=body, headers=keyed("retry-1"))
    assert (first.status, again.status) == (201, 200)
    assert again.json["certificate"] == first.json["certificate"]
    assert again.headers["idempotent-replay"] == "true"
    assert "idempotent-replay" not in first.headers


def test_a_private_key_is_not_returned_a_second_time(world):
    body = {"common_name": "once.internal"}
    first = world.ask("POST", PATH, peer=local_peer(), json=body, headers=keyed("once"))
    again = world.ask("POST", PATH, peer=local_peer(), json=body, headers=keyed("once"))
    assert first.json["private_key"]
    assert again.json["private_key"] is None
    assert "private key" in again.json["hint"]


def test_another_body_under_the_same_key_is_a_conflict(world):
    peer = world.peer("webapp")
    world.ask("POST", PATH, peer=peer, json={"csr": csr("webapp")}, headers=keyed("same"))
    reply = world.ask("POST", PATH, peer=peer, json={"csr": csr("webapp")}, headers=keyed("same"))
    reply.problem(409, "conflict")


def test_another_path_under_the_same_key_is_a_conflict(world):
    peer, certificates = world.peer("webapp"), [world.certificate("webapp") for _ in range(2)]
    replies = [
        world.ask("POST", f"/certificates/{one.id}/renew", peer=peer, headers=keyed("paths"))
        for one in certificates
    ]
    assert replies[0].status == 201
    replies[1].problem(409, "conflict")


@pytest.mark.parametrize("verb", ["renew", "rekey"])
def test_successors_are_made_once(world, verb):
    peer, certificate = world.peer("webapp"), world.certificate("webapp")
    path = f"/certificates/{certificate.id}/{verb}"
    first = world.ask("POST", path, peer=peer, headers=keyed(verb))
    again = world.ask("POST", path, peer=peer, headers=keyed(verb))
    assert (first.status, again.status) == (201, 200)
    assert again.json["certificate_id"] == first.json["certificate_id"]


def test_two_services_with_the_same_key_do_not_meet(world):
    first = world.ask(
        "POST",
        PATH,
        peer=world.peer("webapp"),
        json={"csr": csr("webapp")},
        headers=keyed("shared"),
    )
    other = world.ask(
        "POST", PATH, peer=world.peer("db"), json={"csr": csr("db")}, headers=keyed("shared")
    )
    assert (first.status, other.status) == (201, 201)


def test_a_retry_after_the_token_was_burned_gets_its_certificate(world):
    token, body = world.token("fresh", "fresh"), {"csr": csr("fresh")}
    first = world.ask("POST", PATH, token=token, json=body, headers=keyed("enrol"))
    again = world.ask("POST", PATH, token=token, json=body, headers=keyed("enrol"))
    assert (first.status, again.status) == (201, 200), again.body
    assert again.json["certificate"] == first.json["certificate"]


def test_a_burned_token_is_good_for_nothing_else(world):
    token, body = world.token("fresh", "fresh"), {"csr": csr("fresh")}
    world.ask("POST", PATH, token=token, json=body, headers=keyed("burn"))
    world.ask("POST", PATH, token=token, json=body).problem(401, "bad-token")
    world.ask("POST", PATH, token=token, json=body, headers=keyed("x")).problem(401, "bad-token")
    other = {"csr": csr("fresh")}
    world.ask("POST", PATH, token=token, json=other, headers=keyed("burn")).problem(409, "conflict")


def test_anothers_token_does_not_open_the_key(world):
    body = {"csr": csr("fresh")}
    world.ask("POST", PATH, token=world.token("fresh"), json=body, headers=keyed("mine"))
    reply = world.ask("POST", PATH, token="mmt_guess", json=body, headers=keyed("mine"))
    reply.problem(401, "bad-token")


def together(world, count, **request):
    async def all_at_once():
        calls = [world.api.handle(world.request("POST", PATH, **request)) for _ in range(count)]
        return [Reply(response) for response in await asyncio.gather(*calls)]

    return world.run(all_at_once())


def test_simultaneous_tries_get_one_certificate(world):
    request = {
        "peer": world.peer("webapp"),
        "json": {"csr": csr("webapp")},
        "headers": keyed("race"),
    }
    replies = together(world, 8, **request)
    assert {reply.status for reply in replies} <= {200, 201}
    assert sum(reply.status == 201 for reply in replies) == 1
    assert len({reply.json["certificate_id"] for reply in replies}) == 1


def test_simultaneous_tries_with_one_token_get_one_certificate(world):
    token = world.token("fresh", "fresh")
    replies = together(
        world, 8, token=token, json={"csr": csr("fresh")}, headers=keyed("token-race")
    )
    assert sum(reply.status == 201 for reply in replies) == 1
    assert len({reply.json["certificate_id"] for reply in replies}) == 1


def test_a_token_without_a_key_is_good_for_one_of_many_tries(world):
    replies = together(world, 8, token=world.token("fresh"), json={"csr": csr("fresh")})
    assert sorted(reply.status for reply in replies) == [201] + [401] * 7


def test_a_refused_request_is_not_remembered(world):
    peer = world.peer("webapp")
    refused = world.ask("POST", PATH, peer=peer, json={"csr": csr("db")}, headers=keyed("again"))
    assert refused.status == 422
    reply = world.ask("POST", PATH, peer=peer, json={"csr": csr("webapp")}, headers=keyed("again"))
    assert reply.status == 201


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256, "a\tb"])
def test_a_malformed_key_is_refused(world, key):
    reply = world.ask(
        "POST", PATH, peer=local_peer(), json={"csr": csr("webapp")}, headers=keyed(key)
    )
    reply.problem(400, "malformed")
