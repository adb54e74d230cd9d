"""What is remembered of client certificates, and what is asked at every request all the same."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.authority.signer.file import generate
from mintmark.authority.workflow import presented
from mintmark.authority.workflow.revoke import revoke
from mintmark.model.access import Operation, ServiceRule
from mintmark.model.keys import KeyType
from mintmark.model.provisioner import Claims, JWKProvisioner, Lifetimes
from mintmark.model.status import Reason
from mintmark.store.sqlite import SQLiteStore
from mintmark.wire.http import Peer
from tests.unit.rest.world import ADMIN, DEPLOY, LOCAL, World, csr


@pytest.fixture
def looked_up(world, monkeypatch):
    """The serials that were looked up in the inventory."""
    serials = []
    look_up = world.store.certificate

    async def counted(serial):
        serials.append(serial)
        return await look_up(serial)

    monkeypatch.setattr(world.store, "certificate", counted, raising=False)
    return serials


def connect(certificate, address="127.0.0.1"):
    """Return a new connection; its octets are not the object of the last one's."""
    return Peer(address, bytes(bytearray(certificate.der)), "TLSv1.3")


def ask(world, peer, path="/certificates/"):
    return world.ask("GET", path, peer=peer)


@contextmanager
def policy(world, new):
    before = world.authority.policy
    world.authority.policy = new
    try:
        yield
    finally:
        world.authority.policy = before


def test_a_certificate_is_looked_up_once_for_all_connections(world, looked_up):
    own = world.certificate("webapp")
    for _ in range(3):
        assert ask(world, connect(own)).status == 200
    assert looked_up == [own.serial]


def test_revoked_between_two_connections_it_is_refused(world):
    own = world.certificate("webapp")
    assert ask(world, connect(own)).status == 200
    stored = world.run(world.store.certificate(own.serial))
    world.run(revoke(world.authority, LOCAL, stored, Reason.KEY_COMPROMISE))
    for _ in range(2):
        ask(world, connect(own)).problem(401, "unauthenticated")


def test_revoked_by_another_process_it_is_refused(tmp_path):
    world = World(tmp_path)
    own = world.certificate("webapp")
    assert ask(world, connect(own)).status == 200
    other = SQLiteStore(tmp_path / "mintmark.db", world.clock)
    world.run(other.open())
    there = replace(world.authority, store=other)
    stored = world.run(other.certificate(own.serial))
    world.run(revoke(there, LOCAL, stored, Reason.SUPERSEDED))
    world.run(other.close())

    ask(world, connect(own)).problem(401, "unauthenticated")
    world.close()


def test_expired_between_two_connections_it_is_refused(world):
    own = world.certificate("webapp")
    assert ask(world, connect(own)).status == 200
    world.clock.now = own.not_after + 1
    ask(world, connect(own)).problem(401, "unauthenticated")


def test_a_reloaded_whitelist_counts_on_the_next_connection_and_back(world):
    own = world.certificate("webapp")
    before = world.authority.policy
    assert ask(world, connect(own)).status == 200
    without = Policy.of(before.profiles, Whitelist([ADMIN]), world.authority.issuers, 60)
    with policy(world, without):
        for _ in range(2):
            ask(world, connect(own)).problem(403, "forbidden")
    assert ask(world, connect(own)).status == 200


def test_who_became_an_administrator_by_a_reload_is_one_no_longer_after_the_next(world):
    own = world.certificate("db")
    before = world.authority.policy
    ask(world, connect(own), "/audit").problem(403, "forbidden")
    rules = (ServiceRule("db", frozenset(Operation)),)
    with policy(world, Policy.of(before.profiles, Whitelist(rules), world.authority.issuers, 60)):
        assert ask(world, connect(own), "/audit").status == 200
    ask(world, connect(own), "/audit").problem(403, "forbidden")


def vouched(world):
    """Return a certificate that provisioner `deploy` vouched for."""
    reply = world.ask(
        "POST",
        "/certificates/request",
        token=world.jwt("build", sans=["build.internal"]),
        json={"csr": csr("", "build.internal")},
    )
    assert reply.status == 201, reply.body
    return world.stored(reply.json["certificate_id"]).certificate


def renewed(world, own, **wish):
    return world.ask("POST", f"/certificates/{own.id}/renew", peer=connect(own), json=wish)


def test_without_its_provisioner_it_is_not_renewed_on_the_next_connection(world):
    own = vouched(world)
    assert ask(world, connect(own), f"/certificates/{own.id}").status in (200, 403)
    with policy(world, world.authority.policy.with_provisioners(())):
        renewed(world, own).problem(403, "forbidden")
    assert renewed(world, own).status in (200, 201)


def test_claims_of_now_bound_the_next_connection(world):
    own = vouched(world)
    assert renewed(world, own).status in (200, 201)
    hour = Claims(tls=Lifetimes(60, 3600, 3600))
    narrow = JWKProvisioner(DEPLOY.name, DEPLOY.key, claims=hour)
    with policy(world, world.authority.policy.with_provisioners((narrow,))):
        renewed(world, own, validity_seconds=86400)
        known = world.authority.presented.find(own.der, "127.0.0.1")
        assert known.requester.lifetimes.maximum == 3600


def test_the_same_serial_from_another_issuer_is_refused(world, looked_up):
    own = world.certificate("webapp")
    assert ask(world, connect(own)).status == 200
    key = generate(KeyType.EC_P256)
    name = x509.load_der_x509_certificate(own.der).issuer
    start = datetime.fromtimestamp(own.not_before, UTC)
    twin = (
        x509.CertificateBuilder(name, x509.Name([]), key.public_key())
        .serial_number(int.from_bytes(own.serial, "big"))
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    der = twin.public_bytes(serialization.Encoding.DER)
    for _ in range(2):
        ask(world, Peer("127.0.0.1", der, "TLSv1.3")).problem(401, "unauthenticated")
    assert looked_up == [own.serial] * 3  # what is not on record is asked for each time
    assert world.authority.presented.find(der, "127.0.0.1") is None
    assert ask(world, connect(own)).status == 200


def test_every_octet_counts(world):
    own = world.certificate("webapp")
    assert ask(world, connect(own)).status == 200
    for der in (own.der + b"\0", own.der[:-1] + bytes([own.der[-1] ^ 1])):
        reply = ask(world, Peer("127.0.0.1", der, "TLSv1.3"))
        assert reply.status in {400, 401}, reply.body


def test_the_address_in_the_audit_log_is_that_of_the_connection(world):
    own = world.certificate("webapp")
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        ask(world, connect(own, address))
        assert world.authority.presented.find(own.der, address).requester.address == address


def test_a_stranger_adds_nothing(world):
    own = world.certificate("webapp")
    before = len(world.authority.presented)
    for extra in range(50):
        ask(world, Peer("127.0.0.1", own.der + bytes([extra]), "TLSv1.3"))
    assert len(world.authority.presented) == before


def test_the_oldest_is_forgotten_and_found_again(world, looked_up, monkeypatch):
    monkeypatch.setattr(presented, "KEPT", len(world.authority.presented) + 2)
    certificates = [world.certificate("webapp") for _ in range(3)]
    keep = len(world.authority.presented)
    for own in certificates:
        assert ask(world, connect(own)).status == 200
    assert len(world.authority.presented) == keep + 2
    looked_up.clear()
    for _ in range(keep + 3):
        for own in certificates:
            assert ask(world, connect(own)).status == 200
    assert len(world.authority.presented) == keep + 2
    assert set(looked_up) <= {own.serial for own in certificates}
