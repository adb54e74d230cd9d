"""RFC 8555 §7.4, §7.5: orders and authorizations, and what policy says of them."""

from __future__ import annotations

import pytest

from mintmark.model.acme import Pause
from mintmark.model.act import Act
from mintmark.model.identifiers import IdentifierType
from mintmark.model.profile import SERVER, Profile
from mintmark.model.provisioner import ACMEProvisioner, ChallengeType
from mintmark.model.time import DAY, HOUR, timestamp
from tests.unit.acme.client import identifiers


def test_order_says_what_was_asked_and_what_is_next(client):
    reply = client.order("web.example.internal", "192.0.2.7")

    assert reply.status == 201
    order = reply.json
    assert order["status"] == "pending"
    assert order["identifiers"] == identifiers("web.example.internal", "192.0.2.7")
    assert order["profile"] == "server"
    assert len(order["authorizations"]) == 2
    assert client.post(reply.headers["location"]).json == order


def test_authorization_offers_challenges_with_tokens(client):
    order = client.order("web.example.internal").json

    found = client.post(order["authorizations"][0]).json

    assert found["status"] == "pending"
    assert [one["type"] for one in found["challenges"]] == ["http-01", "dns-01", "tls-alpn-01"]
    assert len({one["token"] for one in found["challenges"]}) == 3
    assert all(len(one["token"]) == 43 for one in found["challenges"])


def test_identifiers_are_normalized_and_asked_for_once(client):
    reply = client.order("WEB.example.internal.", "web.example.internal", "2001:DB8:0::1")

    assert [one["value"] for one in reply.json["identifiers"]] == [
        "web.example.internal",
        "2001:db8::1",
    ]


def test_wildcard_is_offered_dns_challenges_only(client):
    order = client.order("*.example.internal").json

    found = client.post(order["authorizations"][0]).json

    assert found["identifier"] == {"type": "dns", "value": "example.internal"}
    assert found["wildcard"] is True
    assert [one["type"] for one in found["challenges"]] == ["dns-01"]


def test_address_is_offered_no_dns_challenge(client):
    order = client.order("192.0.2.7").json

    found = client.post(order["authorizations"][0]).json

    assert [one["type"] for one in found["challenges"]] == ["http-01", "tls-alpn-01"]


def test_challenge_without_token_is_there_only_where_it_is_configured(world):
    world.provision(ACMEProvisioner("acme", challenges=(ChallengeType.DNS_PERSIST_01,)))
    client = world.client()

    order = client.order("web.example.internal").json

    (challenge,) = client.post(order["authorizations"][0]).json["challenges"]
    assert "token" not in challenge
    assert challenge["issuerDomainNames"] == ["ca.example"]
    prefix = client.get("directory").json["meta"]["accountHashPrefix"]
    assert challenge["accounturi"].startswith(prefix + "sha-256/")


# Refusals.


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("a b.example", "rejectedIdentifier"),
        ("web_1.example.internal", "rejectedIdentifier"),
        ("-a.example", "rejectedIdentifier"),
        ("a..example", "rejectedIdentifier"),
        ("*.*.example.internal", "rejectedIdentifier"),
        ("a.*.example.internal", "rejectedIdentifier"),
        ("co.uk", "rejectedIdentifier"),
        ("x" * 300, "rejectedIdentifier"),
        ("a\r\nb.example", "rejectedIdentifier"),
    ],
)
def test_names_that_no_certificate_has_are_refused(client, name, word):
    problem = client.post(
        "new-order", {"identifiers": [{"type": "dns", "value": name}]}
    ).problem(word)  # fmt: skip

    assert problem["subproblems"][0]["identifier"]["type"] == "dns"


@pytest.mark.parametrize("value", ["192.0.2.999", "192.0.2.1/24", "host", ""])
def test_addresses_that_are_none_are_refused(client, value):
    reply = client.post("new-order", {"identifiers": [{"type": "ip", "value": value}]})

    reply.problem("rejectedIdentifier")


def test_other_kinds_of_identifier_are_not_supported(client):
    reply = client.post("new-order", {"identifiers": [{"type": "email", "value": "a@example"}]})

    reply.problem("unsupportedIdentifier", 400)


@pytest.mark.parametrize("payload", [{}, {"identifiers": []}, {"identifiers": "x"}, None, b"["])
def test_orders_without_identifiers_are_malformed(client, payload):
    client.post("new-order", payload).problem("malformed", 400)


def test_every_refused_identifier_is_a_subproblem_with_its_rule(world):
    world.provision(ACMEProvisioner("acme", names=("*.web.internal",)))
    client = world.client()

    problem = client.order("a.web.internal", "b.db.internal", "192.0.2.7").problem(
        "rejectedIdentifier", 403
    )

    refused = [one["identifier"]["value"] for one in problem["subproblems"]]
    assert refused == ["b.db.internal", "192.0.2.7"]
    assert "*.web.internal" in problem["subproblems"][0]["detail"]


def test_profile_rules_are_told_before_anything_is_validated(world):
    world.authority.policy.profiles["narrow"] = Profile(
        "narrow", SERVER.extended_key_usages, identifier_types=(IdentifierType.DNS,)
    )
    world.provision(ACMEProvisioner("acme", profiles=("narrow",)))
    client = world.client()

    client.order("192.0.2.7").problem("rejectedIdentifier", 403)


def test_provisioner_takes_only_its_kinds_of_identifier(world):
    world.provision(ACMEProvisioner("acme", identifier_types=(IdentifierType.DNS,)))
    client = world.client()

    client.order("192.0.2.7").problem("rejectedIdentifier", 403)


def test_identifier_that_no_challenge_fits_is_refused(world):
    world.provision(ACMEProvisioner("acme", challenges=(ChallengeType.HTTP_01,)))
    client = world.client()

    problem = client.order("*.example.internal").problem("rejectedIdentifier", 403)

    assert "http-01" in problem["detail"]


def test_number_of_identifiers_is_bounded(world):
    world.provision(ACMEProvisioner("acme", max_identifiers=2))
    client = world.client()

    client.order("a.example", "b.example", "c.example").problem("rejectedIdentifier")


def test_profile_is_chosen_by_the_order_among_the_provisioners(world):
    world.provision(ACMEProvisioner("acme", profiles=("server", "peer")))
    client = world.client()

    assert client.order("a.example.internal", profile="peer").json["profile"] == "peer"
    problem = client.order("a.example.internal", profile="client").problem("invalidProfile", 400)
    assert "server, peer" in problem["detail"]


@pytest.mark.parametrize(
    "dates",
    [
        {"notAfter": "tomorrow"},
        {"notBefore": "2026-11-22T10:00:00"},
        {"notAfter": "9999-99-99T00:00:00Z"},
        {"notAfter": 7},
    ],
)
def test_dates_that_are_none_are_malformed(client, dates):
    client.order("a.example.internal", **dates).problem("malformed", 400)


def test_the_zero_date_of_go_programs_is_no_date(client):
    unset = {"notBefore": "0001-01-01T00:00:00Z", "notAfter": "0001-01-01T00:00:00Z"}

    order = client.order("a.example.internal", **unset)

    assert order.status == 201
    assert not {"notBefore", "notAfter"} & order.json.keys()


@pytest.mark.parametrize(
    ("before", "after"),
    [(None, 4000 * DAY), (None, 60), (-2 * HOUR, None), (None, -DAY), (4000 * DAY, None)],
)
def test_validity_that_the_profile_does_not_allow_is_refused(client, clock, before, after):
    dates = {
        name: timestamp(clock() + offset)
        for name, offset in (("notBefore", before), ("notAfter", after))
        if offset is not None
    }

    client.order("a.example.internal", **dates).problem("malformed", 400)


# Limits.


def test_orders_of_an_account_are_limited_by_the_hour(world):
    world.provision(ACMEProvisioner("acme", orders_per_hour=2))
    client, other = world.client(), world.client()
    for _ in range(2):
        assert client.order("a.example.internal").status == 201

    reply = client.order("a.example.internal")

    reply.problem("rateLimited", 429)
    assert 0 < int(reply.headers["retry-after"]) <= 1800
    assert other.order("a.example.internal").status == 201


def test_authorizations_before_an_order_count_as_orders(world):
    """Else rows without end are made by deactivating each one and asking anew."""
    world.provision(ACMEProvisioner("acme", orders_per_hour=2))
    client = world.client()
    wish = {"identifier": identifiers("a.example.internal")[0]}
    for _ in range(2):
        reply = client.post("new-authz", wish)
        assert reply.status == 201
        client.post(reply.headers["location"], {"status": "deactivated"})

    refused = client.post("new-authz", wish)

    refused.problem("rateLimited", 429)
    assert int(refused.headers["retry-after"]) > 0
    client.order("a.example.internal").problem("rateLimited", 429)


def test_authorization_that_is_used_again_counts_as_nothing(world):
    world.provision(ACMEProvisioner("acme", orders_per_hour=1))
    client = world.client()
    wish = {"identifier": identifiers("a.example.internal")[0]}
    client.meet(client.post("new-authz", wish).headers["location"])

    for _ in range(3):
        assert client.post("new-authz", wish).status == 200


def test_pending_authorizations_of_an_account_are_limited(world):
    world.provision(ACMEProvisioner("acme", pending_authorizations=2))
    client = world.client()
    first = client.order("a.example.internal", "b.example.internal").json

    refused = client.order("c.example.internal")
    refused.problem("rateLimited", 429)
    assert refused.headers["retry-after"]

    client.post(first["authorizations"][0], {"status": "deactivated"})
    assert client.order("c.example.internal").status == 201


def test_paused_pair_is_refused_with_what_ends_the_pause(world, client):
    pause = Pause(client.account_id, "a.example.internal", 9, 1, int(world.clock()))
    world.run(world.store.commit(Act(changes=(pause,))))

    for name in ("a.example.internal", "*.a.example.internal"):
        problem = client.order(name).problem("rateLimited", 429)
        assert f"mintmark acme unpause {client.account_id}" in problem["detail"]
    assert client.order("b.example.internal").status == 201
    assert world.client().order("a.example.internal").status == 201


# Life of orders and authorizations.


def test_order_is_ready_when_all_authorizations_are_valid(client):
    reply = client.order("a.example.internal", "b.example.internal")
    first, second = reply.json["authorizations"]

    client.meet(first)
    assert client.post(reply.headers["location"]).json["status"] == "pending"
    client.meet(second)
    assert client.post(reply.headers["location"]).json["status"] == "ready"


def test_valid_authorization_is_used_again_and_then_not_any_more(client, clock):
    client.ready("a.example.internal")

    again = client.order("a.example.internal", "b.example.internal")
    assert again.json["status"] == "pending"
    assert client.order("a.example.internal").json["status"] == "ready"

    clock.advance(DAY + 1)
    client.nonces.clear()
    assert client.order("a.example.internal").json["status"] == "pending"


def test_authorization_for_a_name_is_none_for_its_wildcard(client):
    client.ready("a.example.internal")

    assert client.order("*.a.example.internal").json["status"] == "pending"


def test_authorization_of_one_account_is_none_for_another(world, client):
    client.ready("a.example.internal")

    assert world.client().order("a.example.internal").json["status"] == "pending"


def test_deactivated_authorization_ends_its_order(client):
    location, order = client.ready("a.example.internal")

    reply = client.post(order["authorizations"][0], {"status": "deactivated"})

    assert reply.json["status"] == "deactivated"
    found = client.post(location).json
    assert found["status"] == "invalid"
    assert "deactivated" in found["error"]["detail"]
    assert client.order("a.example.internal").json["status"] == "pending"


def test_authorization_cannot_be_deactivated_twice_or_set_to_valid(client):
    url = client.order("a.example.internal").json["authorizations"][0]

    client.post(url, {"status": "valid"}).problem("malformed", 400)
    client.post(url, {"status": "deactivated"})
    client.post(url, {"status": "deactivated"}).problem("malformed", 409)


def test_unfinished_order_expires(client, clock):
    reply = client.order("a.example.internal")
    clock.advance(7 * DAY + 1)
    client.nonces.clear()

    assert client.post(reply.headers["location"]).json["status"] == "invalid"
    assert client.post(reply.json["authorizations"][0]).json["status"] == "expired"


def test_objects_of_another_account_are_not_found(world, client):
    reply = client.order("a.example.internal")
    other = world.client()
    urls = [reply.headers["location"], reply.json["finalize"], *reply.json["authorizations"]]
    challenge = client.post(urls[-1]).json["challenges"][0]["url"]

    for url in (*urls, challenge):
        other.post(url, {"csr": "AAAA"}).problem("malformed", 404)
        other.post(url).problem("malformed", 404)


# Pre-authorization.


def test_identifier_is_authorized_before_there_is_an_order(client):
    made = client.post("new-authz", {"identifier": identifiers("a.example.internal")[0]})
    assert made.status == 201
    client.meet(made.headers["location"])

    assert client.order("a.example.internal").json["status"] == "ready"
    again = client.post("new-authz", {"identifier": identifiers("a.example.internal")[0]})
    assert (again.status, again.headers["location"]) == (200, made.headers["location"])


def test_wildcard_is_not_authorized_before_there_is_an_order(client):
    reply = client.post("new-authz", {"identifier": identifiers("*.example.internal")[0]})

    reply.problem("malformed", 400)


def test_pre_authorization_is_held_to_policy(world):
    world.provision(ACMEProvisioner("acme", names=("*.web.internal",)))
    client = world.client()

    client.post("new-authz", {"identifier": identifiers("db.internal")[0]}).problem(
        "rejectedIdentifier", 403
    )
