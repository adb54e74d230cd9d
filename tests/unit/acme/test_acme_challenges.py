"""RFC 8555 §7.5.1, §8: challenges are validated beside the requests, and survive a crash."""

from __future__ import annotations

import asyncio

import pytest

from mintmark.model.acme import ChallengeStatus
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import ACMEProvisioner, ChallengeType
from mintmark.model.time import DAY
from mintmark.protocol.acme import background
from mintmark.protocol.acme.validation.outcome import Validated
from tests.unit.acme.client import failed

NAME = "a.example.internal"


@pytest.fixture
def challenge(client):
    """Return the URLs of an order, its authorization and its http-01 challenge."""
    order = client.order(NAME)
    (authorization,) = order.json["authorizations"]
    one = client.post(authorization).json["challenges"][0]
    return order.headers["location"], authorization, one["url"]


def turns(world, count, clock=None):
    """Let the background look for what is due, a number of times, a second apart."""
    for _ in range(count):
        world.run(turn(world))
        if clock:
            clock.advance(1)


async def turn(world):
    await world.validations.turn()
    tasks = [one.task for one in world.validations._running.values()]
    if tasks:
        await asyncio.wait(tasks)


def test_challenge_that_is_met_at_once_is_valid_in_the_answer(world, client, challenge):
    _, authorization, url = challenge

    reply = client.post(url, {})

    assert reply.json["status"] == "valid"
    assert reply.json["validated"]
    assert "retry-after" not in reply.headers
    assert reply.links["up"] == authorization
    found = client.post(authorization).json
    assert found["status"] == "valid"
    assert [one["type"] for one in found["challenges"]] == ["http-01"]


def test_validator_is_told_what_to_look_for(world, client, challenge):
    client.post(challenge[2], {})

    ((kind, identifier, wildcard, token, thumbprint, account_url),) = world.validator.seen
    assert kind is ChallengeType.HTTP_01
    assert (identifier.value, wildcard) == (NAME, False)
    assert thumbprint == client.key.thumbprint()
    assert account_url == client.kid
    assert len(token) == 43


def test_wildcard_is_validated_as_its_domain(world, client):
    client.ready("*.example.internal", challenge="dns-01")

    (_, identifier, wildcard, *_) = world.validator.seen[0]
    assert (identifier.value, wildcard) == ("example.internal", True)


def test_slow_validation_is_processing_and_then_valid(world, client, challenge):
    order, authorization, url = challenge
    client.acme = world.server(patience=0.01)
    world.validator.gate = asyncio.Event()

    reply = client.post(url, {})

    assert reply.json["status"] == "processing"
    assert reply.headers["retry-after"] == "1"
    assert client.post(authorization).headers["retry-after"] == "1"
    assert client.post(order).headers["retry-after"] == "1"

    world.validator.gate.set()
    world.run(asyncio.wait([one.task for one in world.validations._running.values()]))
    assert client.post(url).json["status"] == "valid"
    assert client.post(order).json["status"] == "ready"


def test_so_many_validations_at_once_and_no_more(world, client, monkeypatch):
    """Each takes memory while it waits for its turn, and accounts are free."""
    monkeypatch.setattr(background, "MOST_RUNNING", 2)
    orders = [client.order(f"a{number}.example.internal").json for number in range(3)]
    urls = [client.post(one["authorizations"][0]).json["challenges"][0]["url"] for one in orders]
    client.acme = world.server(patience=0.01)
    world.validator.gate = asyncio.Event()
    for url in urls[:2]:
        assert client.post(url, {}).json["status"] == "processing"

    refused = client.post(urls[2], {})

    refused.problem("serverInternal", 503)
    assert int(refused.headers["retry-after"]) > 0
    assert client.post(urls[0], {}).status == 200
    assert client.post(urls[2]).json["status"] == "pending"
    world.validator.gate.set()
    world.run(asyncio.wait([one.task for one in world.validations._running.values()]))
    assert client.post(urls[2], {}).json["status"] == "valid"


def test_answering_again_begins_no_second_validation(world, client, challenge):
    *_, url = challenge
    client.acme = world.server(patience=0.01)
    world.validator.gate = asyncio.Event()

    replies = client.together(*(client.request(url, {}) for _ in range(3)))

    assert {reply.json["status"] for reply in replies} == {"processing"}
    assert client.post(url, {}).json["status"] == "processing"
    assert len(world.validator.seen) == 1
    world.run(world.validations.stop())


def test_reading_a_challenge_begins_nothing(world, client, challenge):
    assert client.post(challenge[2]).json["status"] == "pending"
    assert world.validator.seen == []


@pytest.mark.parametrize("payload", [b"[]", b"1", b"x"])
def test_answer_that_is_no_object_is_malformed(client, challenge, payload):
    client.post(challenge[2], payload).problem("malformed", 400)


def test_challenge_that_is_not_offered_is_not_found(client, challenge):
    client.post(challenge[2].replace("http-01", "dns-persist-01"), {}).problem("malformed", 404)


def test_failed_challenge_says_why_and_ends_authorization_and_order(world, client, challenge):
    order, authorization, url = challenge
    world.validator.outcomes[NAME] = failed("unauthorized", "http://a.example.internal said 404")

    reply = client.post(url, {})

    assert reply.json["status"] == "invalid"
    assert reply.json["error"] == {
        "type": "urn:ietf:params:acme:error:unauthorized",
        "detail": "http://a.example.internal said 404",
        "status": 403,
    }
    assert client.post(authorization).json["status"] == "invalid"
    found = client.post(order).json
    assert found["status"] == "invalid"
    assert found["error"]["detail"] == "http://a.example.internal said 404"
    assert found["error"]["subproblems"][0]["identifier"]["value"] == NAME


def test_other_challenge_of_a_failed_authorization_cannot_save_it(world, client, challenge):
    *_, url = challenge
    world.validator.outcomes[NAME] = failed()
    client.post(url, {})

    client.post(url.replace("http-01", "dns-01"), {}).problem("malformed", 400)


def test_passing_failure_is_tried_again_until_it_is_met(world, client, clock, challenge):
    order, _, url = challenge
    world.validator.outcomes[NAME] = [
        failed("connection", "refused"),
        failed("dns", "timed out"),
        Validated("now"),
    ]

    reply = client.post(url, {})
    assert reply.json["status"] == "processing"
    assert reply.json["error"]["detail"] == "refused"

    turns(world, 8, clock)

    assert client.post(order).json["status"] == "ready"
    assert len(world.validator.seen) == 3
    assert {seen[5] for seen in world.validator.seen} == {client.kid}
    assert "error" not in client.post(url).json


def test_passing_failure_that_stays_is_a_failure_after_ten_seconds(world, client, clock, challenge):
    order, _, url = challenge
    world.validator.outcomes[NAME] = failed("connection", "refused")
    client.post(url, {})

    turns(world, 9, clock)
    assert client.post(order).json["status"] == "pending"
    turns(world, 3, clock)

    assert client.post(order).json["status"] == "invalid"
    assert len(world.validator.seen) == 4


def test_record_that_is_not_there_yet_is_looked_for_again(world, client, clock):
    order = client.order(NAME)
    world.validator.outcomes[NAME] = [failed("unauthorized", "no TXT record"), Validated("now")]
    client.meet(order.json["authorizations"][0], "dns-01")

    turns(world, 3, clock)

    assert client.post(order.headers["location"]).json["status"] == "ready"


# Crashes and several servers.


def test_validation_of_a_server_that_died_is_taken_over(world, client, clock, challenge):
    order, _, url = challenge
    client.acme = world.server(patience=0.01)
    world.validator.gate = asyncio.Event()
    assert client.post(url, {}).json["status"] == "processing"
    world.run(world.validations.stop())  # nothing of it is written any more
    world.validator.gate = None

    client.acme = world.server()
    turns(world, 1)
    assert client.post(order).json["status"] == "pending", "its time has not come"
    clock.advance(16)
    turns(world, 1)

    assert client.post(order).json["status"] == "ready"
    assert world.validator.seen[-1][5] == client.kid


def test_two_servers_take_a_validation_over_once(world, client, clock, challenge):
    order, _, url = challenge
    world.validator.outcomes[NAME] = [failed("connection", "refused"), Validated("now")]
    client.post(url, {})
    clock.advance(3)
    world.server()
    first = world.validations
    world.server()
    second = world.validations

    async def both():
        await asyncio.gather(first.turn(), second.turn())
        for one in [*first._running.values(), *second._running.values()]:
            await asyncio.wait([one.task])

    world.run(both())
    assert len(world.validator.seen) == 2, "the first attempt, and one of the two servers"
    assert client.post(order).json["status"] == "ready"


def test_two_servers_answered_at_once_agree(world, client, challenge):
    *_, url = challenge
    first, second = world.server(), world.server()
    requests = [client.request(url, {}) for _ in range(2)]

    async def both():
        return await asyncio.gather(first.handle(requests[0]), second.handle(requests[1]))

    assert [one.status for one in world.run(both())] == [200, 200]
    assert client.post(url).json["status"] == "valid"


def test_background_goes_on_after_what_fails(world, client, clock, challenge, caplog):
    calls = []

    async def sleep(_):
        calls.append(1)
        if len(calls) == 3:
            raise asyncio.CancelledError

    async def broken(*_):
        raise ZeroDivisionError

    world.store.due_challenges = broken
    with pytest.raises(asyncio.CancelledError):
        world.run(world.validations.run(sleep))

    assert len(calls) == 3
    assert "due challenges" in caplog.text


def test_server_that_stops_tells_who_waits(world, client, challenge):
    *_, url = challenge
    client.acme = world.server(patience=30)
    world.validator.gate = asyncio.Event()
    request = client.request(url, {})

    async def stop_while_waiting():
        asking = asyncio.ensure_future(client.send(request))
        await asyncio.sleep(0.05)
        await world.validations.stop()
        return await asking

    reply = world.run(stop_while_waiting())

    reply.problem("serverInternal", 503)
    assert reply.headers["retry-after"]


def test_outcome_that_cannot_be_stored_is_not_told(world, client, challenge, monkeypatch):
    *_, url = challenge
    commit = world.store.commit

    async def full(_act):
        raise Error(Kind.UNAVAILABLE, "the disk is full", retry_after=3)

    monkeypatch.setattr(world.store, "commit", full)
    client.post(url, {}).problem("serverInternal", 503)

    monkeypatch.setattr(world.store, "commit", commit)
    assert client.post(url).json["status"] == "pending"
    assert client.post(url, {}).json["status"] == "valid"


def test_validator_with_a_defect_hangs_nobody(world, client, challenge, caplog):
    *_, url = challenge
    world.validator.outcomes[NAME] = []

    client.post(url, {}).problem("serverInternal", 500)
    assert "a validation failed" in caplog.text


def test_deactivated_account_meets_no_challenge(world, client, clock, challenge):
    *_, url = challenge
    world.validator.outcomes[NAME] = [failed("connection", "refused"), Validated("now")]
    client.post(url, {})
    authorization = url.split("/")[-2]
    client.post(client.kid, {"status": "deactivated"})

    turns(world, 4, clock)

    found = world.run(world.store.authorization(authorization))
    assert found.challenges[0].status is ChallengeStatus.INVALID
    assert len(world.validator.seen) == 1


def test_challenge_of_an_expired_authorization_is_not_answered(client, clock, challenge):
    clock.advance(8 * DAY)
    client.nonces.clear()

    client.post(challenge[2], {}).problem("malformed", 400)


# What rests on a validation.


def test_authorization_lasts_no_longer_than_what_it_rests_on(world, client, clock):
    order = client.order(NAME).json
    world.validator.outcomes[NAME] = Validated("record", valid_until=int(clock()) + 60)
    client.meet(order["authorizations"][0])
    assert client.order(NAME).json["status"] == "ready"

    clock.advance(61)

    assert client.order(NAME).json["status"] == "pending"


def test_repeated_failure_pauses_the_pair(world):
    world.provision(ACMEProvisioner("acme", failures_until_pause=2))
    client = world.client()
    world.validator.outcomes[NAME] = failed()
    for _ in range(2):
        client.meet(client.order(NAME).json["authorizations"][0])

    client.order(NAME).problem("rateLimited", 429)

    world.run(world.store.unpause(client.account_id, NAME))
    assert client.order(NAME).status == 201


def test_failures_of_yesterday_do_not_count(world, clock):
    world.provision(ACMEProvisioner("acme", failures_until_pause=2))
    client = world.client()
    world.validator.outcomes[NAME] = failed()
    client.meet(client.order(NAME).json["authorizations"][0])
    clock.advance(DAY)
    client.nonces.clear()
    client.meet(client.order(NAME).json["authorizations"][0])

    assert client.order(NAME).status == 201
