"""The publisher: what was decided becomes visible, by one process at a time."""

from __future__ import annotations

import asyncio

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mintmark.authority.workflow.revoke import revoke
from mintmark.model.errors import Error, Kind
from mintmark.model.status import Reason
from mintmark.model.time import DAY
from mintmark.publication.checkpoint import CheckpointKey, verify
from mintmark.publication.publisher import PublicationSettings, Publisher
from tests.unit.rest.world import LOCAL

KEY = CheckpointKey("mintmark/test", Ed25519PrivateKey.generate())


def publisher(world):
    return Publisher(world.authority, KEY, PublicationSettings(DAY))


def revoke_one(world):
    leaf = world.certificate("web", "a.web.internal")
    stored = world.run(world.store.certificate(leaf.serial))
    world.run(revoke(world.authority, LOCAL, stored, Reason.SUPERSEDED))


def crl(world):
    return world.run(world.store.latest_crl(world.authority.issuing.issuer.id))


def test_a_turn_covers_every_record_by_a_checkpoint(world):
    world.certificate("web", "a.web.internal")
    written = world.run(world.store.count())["audit"]

    world.run(publisher(world).turn())

    report = world.run(verify(world.store, KEY.private_key.public_key(), KEY.origin))
    assert report.sound
    assert (report.tree_size, report.pending) == (written, 0)


def test_a_revocation_is_on_the_crl_after_one_turn(world):
    one = publisher(world)
    world.run(one.turn())
    revoke_one(world)

    world.run(one.turn())

    assert crl(world).number == 2
    assert len(x509.load_der_x509_crl(crl(world).der)) == 1


def test_issuing_alone_publishes_no_new_crl(world):
    one = publisher(world)
    world.run(one.turn())

    world.certificate("web", "a.web.internal")
    world.run(one.turn())

    assert crl(world).number == 1


def test_a_revocation_before_a_restart_is_published_after_it(world):
    world.run(publisher(world).turn())
    revoke_one(world)
    world.clock.now += 60  # the lease of the dead process has run out

    world.run(publisher(world).turn())

    assert crl(world).entries == 1


def test_a_second_process_leaves_publication_to_the_first(world):
    world.run(publisher(world).turn())
    revoke_one(world)

    world.run(publisher(world).turn())

    assert crl(world).number == 1


def test_publication_goes_on_after_the_store_was_away(world, monkeypatch):
    one = publisher(world)
    turns = 0

    async def sleep(_):
        nonlocal turns
        turns += 1
        if turns == 1:
            monkeypatch.undo()
        if turns == 2:
            raise asyncio.CancelledError

    async def away(*_):
        raise Error(Kind.UNAVAILABLE, "the database is away", retry_after=5)

    monkeypatch.setattr(type(world.store), "lease", away)
    with pytest.raises(asyncio.CancelledError):
        world.run(one.run(sleep))

    assert crl(world).number == 1
