"""Tokens, the audit log, and what everybody may read."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509

import mintmark
from mintmark.model.errors import Error, Kind
from mintmark.wire.http import Peer
from tests.unit.rest.world import csr, local_peer


def test_a_token_enrols_its_service_with_its_names(world):
    wish = {"service_name": "newcomer", "names": ["n.newcomer.internal"], "lifetime": "10m"}
    reply = world.ask("POST", "/tokens", peer=world.peer("admin-cli"), json=wish)
    assert reply.status == 201, reply.body
    assert reply.json["names"] == [{"type": "dns", "value": "n.newcomer.internal"}]
    assert reply.json["expires_at"] == "2027-01-15T08:10:00Z"
    assert reply.headers["cache-control"] == "no-store"
    answer = world.ask(
        "POST",
        "/certificates/request",
        token=reply.json["token"],
        json={"csr": csr("n.newcomer.internal")},
    )
    assert answer.status == 201, answer.body
    assert answer.json["service_name"] == "newcomer"


def test_a_record_says_how_the_requester_showed_who_it_is(world):
    """A certificate is the usual way and is not said: whoever had a token may be somebody else."""
    body = {"csr": csr("traced")}
    token = world.token("traced", "traced")
    assert world.ask("POST", "/certificates/request", token=token, json=body).status == 201
    world.certificate("traced")

    reply = world.ask("GET", "/audit?limit=100&action=certificate.request", peer=local_peer())

    credentials = {
        one["record"]["service"]: one["record"]["details"].get("credential")
        for one in reply.json["records"]
    }
    assert credentials["traced"] == "token"
    assert credentials["admin-cli"] == "local"


def test_a_token_is_not_in_the_audit_log(world):
    token = world.token("secretive")
    records = world.ask("GET", "/audit?action=token.create", peer=local_peer())
    assert b"secretive" in records.body
    assert token.encode() not in records.body


def test_a_token_bound_to_a_profile_asks_for_it_by_default(world):
    token = world.token("bound", "bound", profile="server")
    reply = world.ask("POST", "/certificates/request", token=token, json={"csr": csr("bound")})
    assert reply.json["profile"] == "server"


def test_an_expired_token_is_a_bad_token(world):
    token = world.token("late", "late")
    world.clock.now += 3601
    reply = world.ask("POST", "/certificates/request", token=token, json={"csr": csr("late")})
    reply.problem(401, "bad-token")


@pytest.mark.parametrize(
    ("wish", "status", "kind"),
    [
        ({}, 400, "malformed"),
        ({"service_name": "Bad Name"}, 400, "malformed"),
        ({"service_name": "x", "lifetime": "1s"}, 422, "bad-lifetime"),
        ({"service_name": "x", "lifetime": "31d"}, 422, "bad-lifetime"),
        ({"service_name": "x", "lifetime": "999999999999y"}, 422, "bad-lifetime"),
        ({"service_name": "x", "profile": "nope"}, 422, "bad-profile"),
        ({"service_name": "x", "names": ["a b"]}, 422, "rejected-identifier"),
        ({"service_name": "x", "names": "a"}, 400, "malformed"),
    ],
)
def test_tokens_that_cannot_be_are_refused(world, wish, status, kind):
    world.ask("POST", "/tokens", peer=local_peer(), json=wish).problem(status, kind)


def test_the_audit_log_is_paged_newest_first(world):
    for _ in range(5):
        world.certificate("audited")
    seen, cursor = [], ""
    while len(seen) < 5:
        reply = world.ask("GET", f"/audit?limit=2{cursor}", peer=local_peer())
        seen += [record["id"] for record in reply.json["records"]]
        cursor = f"&cursor={reply.json['next_cursor']}"
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == len(seen)


def test_the_audit_log_filters_by_service_and_action(world):
    world.ask(
        "GET", f"/certificates/{world.certificate('webapp').id}/download", peer=world.peer("webapp")
    )
    reply = world.ask("GET", "/audit?service=webapp&action=certificate.download", peer=local_peer())
    assert reply.json["records"]
    for entry in reply.json["records"]:
        assert entry["record"]["service"] == "webapp"
        assert entry["record"]["action"] == "certificate.download"


@pytest.mark.parametrize(
    "query", ["?limit=0", "?cursor=x", "?cursor=-1", "?cursor=null", "?service=a%00", "?x=1"]
)
def test_bad_audit_parameters_are_refused(world, query):
    world.ask("GET", f"/audit{query}", peer=local_peer()).problem(400, "malformed")


def test_roots_and_issuers_are_open_to_everybody(world):
    (root,) = world.ask("GET", "/roots").json["roots"]
    (issuer,) = world.ask("GET", "/issuers").json["issuers"]
    trust_anchor = x509.load_pem_x509_certificate(root["certificate"].encode())
    intermediate = x509.load_pem_x509_certificate(issuer["certificate"].encode())
    intermediate.verify_directly_issued_by(trust_anchor)
    assert root["fingerprint_sha256"] == hashlib.sha256(world.authority.issuers[0].root).hexdigest()
    assert issuer["id"] == world.authority.issuers[0].id
    assert issuer["active"] is True


def test_version_names_ours(world):
    assert world.ask("GET", "/version").json == {"version": mintmark.__version__, "api": "v1"}


def test_health_is_ok_while_storage_answers(world):
    assert world.ask("GET", "/health").json["status"] == "ok"


def test_health_is_unavailable_when_storage_is(world, monkeypatch):
    async def fail():
        raise Error(Kind.UNAVAILABLE, "the database does not answer", retry_after=7)

    class Broken:
        latest_checkpoint = staticmethod(fail)

    monkeypatch.setattr(world.authority, "store", Broken())
    reply = world.ask("GET", "/health", peer=Peer("127.0.0.1"))
    reply.problem(503, "unavailable")
    assert reply.headers["retry-after"] == "7"


def test_an_internal_error_shows_an_id_and_nothing_else(world, monkeypatch, caplog):
    async def fail():
        raise Error(Kind.INTERNAL, "secret/path/of/ours")

    class Broken:
        latest_checkpoint = staticmethod(fail)

    monkeypatch.setattr(world.authority, "store", Broken())
    problem = world.ask("GET", "/health").problem(500, "internal")
    assert "secret" not in str(problem)
    assert problem["instance"] in caplog.text
    assert "secret/path/of/ours" in caplog.text
