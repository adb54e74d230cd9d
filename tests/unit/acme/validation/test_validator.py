"""The validator: bounded, cancellable, and never without an answer."""

from __future__ import annotations

import asyncio
import logging

import pytest

from mintmark.model.provisioner import ChallengeType
from mintmark.protocol.acme.validation.reach import refusal
from mintmark.protocol.acme.validation.settings import ValidationSettings
from mintmark.protocol.acme.validation.validator import Validator
from mintmark.wire.identifiers import parse_any
from tests.unit.acme.validation.world import (
    ACCOUNT,
    NOW,
    THUMBPRINT,
    TOKEN,
    assert_failed,
    assert_validated,
    response,
)

NAME = parse_any("a.example.internal")


class Names:
    """A resolver that says what a test wants, and counts who waits."""

    def __init__(self, answer=(), *, wait=None):
        self.answer = answer
        self.wait = wait
        self.under_way = self.most = 0

    async def texts(self, name):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.wait is not None:
                await self.wait.wait()
            if isinstance(self.answer, Exception):
                raise self.answer
            return list(self.answer)
        finally:
            self.under_way -= 1


def start(validator, account=ACCOUNT):
    return asyncio.ensure_future(
        validator.validate(ChallengeType.DNS_01, NAME, False, TOKEN, THUMBPRINT, account)
    )


def made(names, **settings):
    return Validator(ValidationSettings(**settings), lambda: NOW, names)


async def several_turns():
    for _ in range(10):
        await asyncio.sleep(0)


def test_no_more_than_so_many_at_once(run):
    async def within():
        gate = asyncio.Event()
        names = Names(wait=gate)
        validator = made(names, concurrency=3)
        tasks = [start(validator, f"account/{number}") for number in range(10)]
        await several_turns()
        assert names.under_way == 3
        gate.set()
        outcomes = await asyncio.gather(*tasks)
        assert names.most == 3
        assert len(outcomes) == 10

    run(within())


def test_one_account_leaves_room_for_others(run):
    async def within():
        gate = asyncio.Event()
        names = Names(wait=gate)
        validator = made(names, concurrency=3, account_concurrency=2)
        greedy = [start(validator) for _ in range(10)]
        await several_turns()
        assert names.under_way == 2
        other = start(validator, "account/other")
        await several_turns()
        assert names.under_way == 3
        gate.set()
        await asyncio.gather(other, *greedy)
        assert not validator._accounts

    run(within())


def test_an_account_is_one_under_all_names_of_the_server(run):
    """The client chooses the Host header, and so the URL of its account."""

    async def within():
        gate = asyncio.Event()
        names = Names(wait=gate)
        validator = made(names, concurrency=10, account_concurrency=2)
        tasks = [start(validator, f"https://{number}.example/account/abc") for number in range(5)]
        await several_turns()
        assert names.under_way == 2
        gate.set()
        await asyncio.gather(*tasks)

    run(within())


def test_waiting_for_a_turn_is_not_counted(run):
    async def within():
        gate = asyncio.Event()
        validator = made(Names(wait=gate), concurrency=1, timeout=0.2)
        tasks = [start(validator, f"account/{number}") for number in range(2)]
        await asyncio.sleep(0.1)
        gate.set()
        for outcome in await asyncio.gather(*tasks):
            assert_failed(outcome, "incorrectResponse")

    run(within())


def test_cancelled_validation_gives_its_turn_back(run):
    async def within():
        gate = asyncio.Event()
        names = Names(wait=gate)
        validator = made(names, concurrency=1)
        first, second = start(validator), start(validator)
        await several_turns()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        gate.set()
        assert_failed(await second, "incorrectResponse")

    run(within())


def test_time_over_says_what_was_under_way(run):
    async def within():
        return await start(made(Names(wait=asyncio.Event()), timeout=0.05))

    outcome = run(within())
    assert_failed(outcome, "dns", "looking up TXT of '_acme-challenge.", "0.05 s")


@pytest.mark.parametrize("defect", [RuntimeError("secret"), KeyError("x"), ValueError("secret")])
def test_defect_is_logged_and_not_told(run, caplog, defect):
    async def within():
        return await start(made(Names(defect)))

    with caplog.at_level(logging.ERROR):
        outcome = run(within())
    assert_failed(outcome, "serverInternal")
    assert "secret" not in outcome.detail
    assert "dns-01" in caplog.text


@pytest.mark.parametrize(
    ("challenge", "identifier", "wildcard"),
    [
        ("http-01", "a.example.internal", True),
        ("tls-alpn-01", "a.example.internal", True),
        ("http-01", "a@example.internal", False),
        ("tls-alpn-01", "spiffe://example.internal/x", False),
        ("dns-01", "10.0.0.1", False),
        ("dns-account-01", "10.0.0.1", False),
        ("dns-persist-01", "10.0.0.1", False),
    ],
)
def test_challenge_that_cannot_show_it_is_refused(world, challenge, identifier, wildcard):
    outcome = world.check(challenge, identifier, wildcard=wildcard)
    assert_failed(outcome, "malformed", challenge)
    assert world.dns.queries == []


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_both_kinds_of_loop_do(world, loop, run):
    world.dns.add("a.example.internal", "A", "127.0.0.1")
    port = world.web(response())
    validator = Validator(world.settings(http_port=port), lambda: NOW)

    async def within():
        return await validator.validate(
            ChallengeType.HTTP_01, NAME, False, TOKEN, THUMBPRINT, ACCOUNT
        )

    if loop == "uvloop":
        assert_validated(run(within()))
        return

    async def meanwhile():
        outcome = await asyncio.to_thread(asyncio.run, within())
        assert_validated(outcome)

    run(meanwhile())


def test_many_at_once_are_answered(world, run):
    world.dns.add("a.example.internal", "A", "127.0.0.1")
    port = world.web(response())
    validator = Validator(world.settings(http_port=port), lambda: NOW)

    async def one():
        return await validator.validate(
            ChallengeType.HTTP_01, NAME, False, TOKEN, THUMBPRINT, ACCOUNT
        )

    async def within():
        return await asyncio.gather(*(one() for _ in range(100)))

    for outcome in run(within()):
        assert_validated(outcome)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "::",
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fe80::1%lo",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "240.0.0.1",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "nonsense",
    ],
)
def test_some_addresses_are_never_connected_to(address):
    assert refusal(address, ValidationSettings(allow_private=True))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
    ],
)
def test_private_addresses_are_connected_to_unless_forbidden(address):
    assert refusal(address, ValidationSettings(allow_private=True)) is None
    assert refusal(address, ValidationSettings(allow_private=False))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_addresses_are_always_connected_to(address):
    assert refusal(address, ValidationSettings(allow_private=False)) is None
