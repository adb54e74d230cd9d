"""A DNS server, a loop as the product's, and what is around a validation."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from tests.dns_server import dns_server
from tests.unit.acme.validation.world import World


@pytest.fixture
def run():
    """Run a coroutine in the product's kind of loop; what is left open is an error."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run


@pytest.fixture
def dns():
    with dns_server() as server:
        yield server


@pytest.fixture
def world(run, dns):
    world = World(run, dns)
    yield world
    world.close()
