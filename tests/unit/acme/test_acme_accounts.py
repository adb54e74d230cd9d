"""RFC 8555 §7.3: accounts, what vouches for them, and their keys."""

from __future__ import annotations

import json

import pytest
from joserfc.jwk import ECKey, RSAKey

from mintmark.model.provisioner import ACMEProvisioner
from tests.unit.acme.client import flattened, identifiers


def binding(client, hmac_key, kid="kid-1", *, jwk=None, key=None, **header):
    """Return an externalAccountBinding."""
    members = {"alg": "HS256", "kid": kid, "url": client.url("new-account")} | header
    members = {name: value for name, value in members.items() if value is not None}
    return {"externalAccountBinding": flattened(members, jwk or client.jwk, key or hmac_key)}


def key_change(client, new, *, account=None, old=None, signer=None, **header):
    """Return the payload of key-change."""
    members = {"alg": "ES256", "jwk": new.as_dict(private=False), "url": client.url("key-change")}
    members |= header
    members = {name: value for name, value in members.items() if value is not None}
    wish = {"account": account or client.kid, "oldKey": old or client.jwk}
    return flattened(members, wish, signer or new)


# Making and finding.


def test_new_account_has_a_url_and_what_was_given(world):
    stranger = world.stranger()

    reply = stranger.post(
        "new-account", {"contact": ["mailto:ops@example.com"], "termsOfServiceAgreed": True}
    )

    assert reply.status == 201
    assert reply.headers["location"].startswith(stranger.url("account/"))
    assert reply.json == {
        "status": "valid",
        "contact": ["mailto:ops@example.com"],
        "orders": reply.headers["location"] + "/orders",
        "termsOfServiceAgreed": True,
    }


def test_key_that_has_an_account_gets_it_again(client):
    for payload in ({}, {"onlyReturnExisting": True}, {"contact": ["mailto:x@example.com"]}):
        reply = client.post("new-account", payload, by_key=True)
        assert reply.status == 200
        assert reply.headers["location"] == client.kid
        assert reply.json["contact"] == []


def test_account_that_is_only_looked_for_is_not_made(world):
    stranger = world.stranger()

    for _ in range(2):
        stranger.post("new-account", {"onlyReturnExisting": True}).problem(
            "accountDoesNotExist", 400
        )


def test_two_registrations_of_one_key_at_once_make_one_account(world):
    stranger = world.stranger()

    first, second = stranger.together(
        stranger.request("new-account", {}), stranger.request("new-account", {})
    )

    assert {first.status, second.status} == {200, 201}
    assert first.headers["location"] == second.headers["location"]


def test_account_is_read_and_changed(client):
    assert client.post(client.kid).json["contact"] == []

    changed = client.post(client.kid, {"contact": ["mailto:a@example.com"], "unknown": 1})

    assert changed.json["contact"] == ["mailto:a@example.com"]
    assert client.post(client.kid).json == changed.json


def test_account_is_not_read_by_another_one(world, client):
    other = world.client()

    other.post(client.kid).problem("unauthorized", 403)
    other.post(client.kid + "/orders").problem("unauthorized", 403)
    other.post(client.kid, {"status": "deactivated"}).problem("unauthorized", 403)
    assert client.post(client.kid).json["status"] == "valid"


def test_deactivated_account_does_nothing_any_more(client):
    assert client.post(client.kid, {"status": "deactivated"}).json["status"] == "deactivated"

    client.post(client.kid).problem("unauthorized", 403)
    client.post("new-order", {"identifiers": identifiers("a.example")}).problem("unauthorized", 403)
    client.post("new-account", {}, by_key=True).problem("unauthorized", 403)


@pytest.mark.parametrize("status", ["valid", "revoked", "x"])
def test_account_cannot_be_given_another_status(client, status):
    client.post(client.kid, {"status": status}).problem("malformed", 400)


@pytest.mark.parametrize(
    ("contact", "word"),
    [
        ("tel:+43", "unsupportedContact"),
        ("ops@example.com", "unsupportedContact"),
        ("mailto:", "invalidContact"),
        ("mailto:a@example.com,b@example.com", "invalidContact"),
        ("mailto:a@example.com?bcc=x", "invalidContact"),
        ("mailto:a b@example.com", "invalidContact"),
        ("mailto:a@example.com\r\nX: y", "invalidContact"),
        ("mailto:" + "a" * 70 + "@example.com", "invalidContact"),
    ],
)
def test_contacts_that_cannot_be_written_to_are_refused(world, client, contact, word):
    world.stranger().post("new-account", {"contact": [contact]}).problem(word, 400)
    client.post(client.kid, {"contact": [contact]}).problem(word, 400)


def test_contacts_have_a_bound(world):
    contact = [f"mailto:ops{n}@example.com" for n in range(11)]

    world.stranger().post("new-account", {"contact": contact}).problem("invalidContact")


def test_terms_have_to_be_agreed_to_where_there_are_some(world):
    world.provision(ACMEProvisioner("acme", terms_of_service="https://example.com/terms"))
    stranger = world.stranger()

    refused = stranger.post("new-account", {})

    refused.problem("userActionRequired", 403)
    assert refused.links["terms-of-service"] == "https://example.com/terms"
    assert stranger.post("new-account", {"termsOfServiceAgreed": True}).status == 201


def test_accounts_are_in_the_audit_log(world, client):
    client.post(client.kid, {"contact": ["mailto:a@example.com"]})
    client.post("key-change", key_change(client, new := ECKey.generate_key("P-256")))
    client.key = new
    client.post(client.kid, {"status": "deactivated"})

    records, _ = world.run(world.store.audit(before=None, limit=4, service=None, action=None))

    leaves = [json.loads(one.leaf) for one in records]
    assert [one["action"] for one in leaves] == [
        "acme.account.deactivate",
        "acme.account.key-change",
        "acme.account.update",
        "acme.account.create",
    ]
    assert {one["service"] for one in leaves} == {f"acme.acme.{client.account_id}"}


def test_one_address_cannot_make_accounts_without_end(world, monkeypatch):
    from mintmark.protocol.acme import account

    monkeypatch.setattr(account, "ACCOUNTS_PER_HOUR", 2)
    world.client()
    world.client()

    reply = world.stranger().post("new-account", {})

    reply.problem("rateLimited", 429)
    assert int(reply.headers["retry-after"]) > 0


def test_a_whole_ipv6_network_is_one_address(world, monkeypatch):
    """A host has 2^64 addresses of its own (RFC 4291 §2.5.1)."""
    from mintmark.protocol.acme import account

    monkeypatch.setattr(account, "ACCOUNTS_PER_HOUR", 2)
    world.client(address="2001:db8::1")
    world.client(address="2001:db8::2")

    neighbor = world.stranger(address="2001:db8::ffff:3").post("new-account", {})

    neighbor.problem("rateLimited", 429)
    assert world.stranger(address="2001:db8:0:1::1").post("new-account", {}).status == 201


def test_changes_of_an_account_are_limited(world, client, monkeypatch):
    """Each one is an audit record, and those stay for ever."""
    from mintmark.protocol.acme import account

    monkeypatch.setattr(account, "CHANGES_PER_HOUR", 2)
    for number in range(2):
        wish = {"contact": [f"mailto:{number}@example.com"]}
        assert client.post(client.kid, wish).status == 200

    refused = client.post(client.kid, {"contact": ["mailto:x@example.com"]})

    refused.problem("rateLimited", 429)
    assert int(refused.headers["retry-after"]) > 0
    new = ECKey.generate_key("P-256")
    client.post("key-change", key_change(client, new)).problem("rateLimited", 429)
    assert client.post(client.kid, {"status": "deactivated"}).status == 200


# Orders list.


def test_orders_are_listed_in_pages(world, monkeypatch, client):
    from mintmark.protocol.acme import account

    monkeypatch.setattr(account, "ORDERS_A_PAGE", 2)
    made = [client.order(f"a{n}.example.internal").headers["location"] for n in range(5)]

    found, url = [], client.kid + "/orders"
    while url:
        page = client.post(url)
        found += page.json["orders"]
        url = page.links.get("next")

    assert found == made


# External account binding.


def test_binding_makes_an_account_once(world):
    hmac_key = world.external_key()
    world.provision(ACMEProvisioner("acme", external_account_binding=True))
    first, second = world.stranger(), world.stranger()

    first.post("new-account", {}).problem("externalAccountRequired", 403)
    made = first.post("new-account", binding(first, hmac_key))
    assert made.status == 201

    second.post("new-account", binding(second, hmac_key)).problem("unauthorized", 403)
    assert first.post("new-account", binding(first, hmac_key)).status == 200


def test_binding_is_taken_also_where_it_is_not_required(world):
    hmac_key = world.external_key()
    stranger = world.stranger()

    assert stranger.post("new-account", binding(stranger, hmac_key)).status == 201
    key = world.run(world.store.external_key("kid-1"))
    account = world.run(world.store.account(key.account))
    assert account.external_key == "kid-1"


def test_binding_used_twice_at_once_makes_one_account(world):
    hmac_key = world.external_key()
    first, second = world.stranger(), world.stranger()

    replies = first.together(
        first.request("new-account", binding(first, hmac_key)),
        second.request("new-account", binding(second, hmac_key)),
    )

    assert sorted(reply.status for reply in replies) == [201, 403]


def test_binding_made_for_another_key_does_not_take_it_over(world):
    """A stolen binding is worth nothing without the account key that it names."""
    hmac_key = world.external_key()
    victim, thief = world.stranger(), world.stranger()

    thief.post("new-account", binding(thief, hmac_key, jwk=victim.jwk)).problem("unauthorized", 403)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        pytest.param({"kid": "unknown"}, "unauthorized", id="unknown kid"),
        pytest.param({"kid": None}, "malformed", id="no kid"),
        pytest.param({"url": "https://evil.example/"}, "unauthorized", id="another URL"),
        pytest.param({"nonce": "x"}, "malformed", id="nonce"),
        pytest.param({"alg": "ES256"}, "badSignatureAlgorithm", id="no MAC"),
        pytest.param({"alg": "none"}, "badSignatureAlgorithm", id="none"),
        pytest.param({"key": b"x" * 32}, "malformed", id="another HMAC key"),
    ],
)
def test_bindings_that_prove_nothing_are_refused(world, changes, word):
    hmac_key = world.external_key()
    stranger = world.stranger()

    stranger.post("new-account", binding(stranger, hmac_key, **changes)).problem(word)
    assert world.run(world.store.external_key("kid-1")).account is None


def test_binding_of_another_provisioner_is_refused(world):
    hmac_key = world.external_key(provisioner="other")
    stranger = world.stranger()

    stranger.post("new-account", binding(stranger, hmac_key)).problem("unauthorized", 403)


def test_revoked_binding_is_refused_like_an_unknown_one(world):
    from dataclasses import replace

    from mintmark.model.act import Act

    hmac_key = world.external_key()
    key = world.run(world.store.external_key("kid-1"))
    world.run(world.store.commit(Act(changes=(replace(key, revoked_at=1, version=2),))))
    stranger = world.stranger()

    revoked = stranger.post("new-account", binding(stranger, hmac_key)).json
    unknown = stranger.post("new-account", binding(stranger, hmac_key, kid="kid-2")).json

    assert revoked == unknown


@pytest.mark.parametrize("value", [7, [], "x", {}, {"protected": "e30"}])
def test_binding_that_is_no_jws_is_refused(world, value):
    world.stranger().post("new-account", {"externalAccountBinding": value}).problem("malformed")


# Key change.


def test_new_key_takes_over_and_the_old_one_is_worth_nothing(client):
    old, new = client.key, RSAKey.generate_key(2048)

    reply = client.post("key-change", key_change(client, new, alg="RS256"))

    assert reply.status == 200
    client.post(client.kid).problem("badSignatureAlgorithm", 400)
    client.key = new
    assert client.post(client.kid).status == 200
    client.post("new-account", {"onlyReturnExisting": True}, key=old, by_key=True).problem(
        "accountDoesNotExist"
    )


def test_key_of_another_account_is_refused_with_its_url(world, client):
    other = world.client()

    reply = client.post("key-change", key_change(client, other.key))

    reply.problem("malformed", 409)
    assert reply.headers["location"] == other.kid


def test_two_key_changes_at_once_leave_one_new_key(world, client):
    keys = [ECKey.generate_key("P-256") for _ in range(2)]

    replies = client.together(
        *(client.request("key-change", key_change(client, key)) for key in keys)
    )

    assert [reply.status for reply in replies].count(200) == 1
    found = [world.stranger(key).post("new-account", {"onlyReturnExisting": True}) for key in keys]
    assert [reply.status == 200 for reply in found] == [reply.status == 200 for reply in replies]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"account": "https://ca.example.internal:8443/acme/acme/account/x"}, id="kid"),
        pytest.param({"old": ECKey.generate_key("P-256").as_dict(private=False)}, id="old key"),
        pytest.param({"signer": ECKey.generate_key("P-256")}, id="signature"),
        pytest.param({"jwk": None}, id="no jwk"),
        pytest.param({"nonce": "x"}, id="nonce"),
        pytest.param({"kid": "x"}, id="kid beside jwk"),
    ],
)
def test_key_change_with_a_wrong_inner_jws_is_refused(client, changes):
    new = ECKey.generate_key("P-256")

    client.post("key-change", key_change(client, new, **changes)).problem("malformed", 400)
    assert client.post(client.kid).status == 200


def test_key_change_signed_for_another_url_is_refused(client):
    new = ECKey.generate_key("P-256")

    client.post("key-change", key_change(client, new, url="https://evil.example/")).problem(
        "unauthorized"
    )


def test_key_change_replayed_after_the_way_back_changes_nothing(world, client):
    first, second = client.key, ECKey.generate_key("P-256")
    request = client.request("key-change", key_change(client, second))
    client.together(request)
    client.key = second
    client.post("key-change", key_change(client, first))
    client.key = first

    client.acme = world.server()
    client.together(request)[0].problem("badNonce")

    assert client.post(client.kid).status == 200
