"""RFC 8555 §6: what is a request, and whose."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey
from msgspec import structs

from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import ACMEProvisioner
from mintmark.protocol.acme.request import Access
from mintmark.protocol.acme.server import routes
from mintmark.wire import jose
from tests.unit.acme.client import failed, flattened, identifiers

ORDER = {"identifiers": identifiers("web.example.internal")}


def with_body(request, body):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return structs.replace(request, body=body)


# Keys and algorithms.


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(ECKey.generate_key("P-256"), id="ES256"),
        pytest.param(ECKey.generate_key("P-384"), id="ES384"),
        pytest.param(OKPKey.generate_key("Ed25519"), id="EdDSA"),
        pytest.param(RSAKey.generate_key(2048), id="RS256"),
    ],
)
def test_every_accepted_kind_of_account_key_orders(world, key):
    client = world.client(key)

    assert client.post("new-order", ORDER).status == 201


@pytest.mark.parametrize("name", ["none", "HS256", "RS1", "ES512", "PS256", ""])
def test_algorithms_that_are_not_accepted_are_named_with_those_that_are(client, name):
    problem = client.post("new-order", ORDER, header={"alg": name}).problem(
        "badSignatureAlgorithm", 400
    )

    assert problem["algorithms"] == ["ES256", "ES384", "EdDSA", "RS256"]


def test_algorithm_none_with_an_empty_signature_is_refused(client):
    body = client.sign("new-order", ORDER, header={"alg": "none"}) | {"signature": ""}

    reply = client.together(with_body(client.request("new-order", ORDER), body))[0]

    reply.problem("badSignatureAlgorithm")


def test_public_key_as_hmac_secret_is_refused(client):
    """CVE-2015-9235: the verifier lets the sender choose the algorithm."""
    public = client.key.as_pem(private=False)
    header = {"alg": "HS256", "nonce": client.nonce(), "url": client.url("new-order")}
    body = flattened(header | {"kid": client.kid}, ORDER, public)

    reply = client.together(with_body(client.request("new-order", ORDER), body))[0]

    reply.problem("badSignatureAlgorithm")


def test_algorithm_of_another_kind_of_key_is_refused(world):
    client = world.client(RSAKey.generate_key(2048))

    client.post("new-order", ORDER, header={"alg": "ES256"}).problem("badSignatureAlgorithm")


def test_rsa_key_in_an_ec_jwk_is_refused(world):
    stranger = world.stranger()
    rsa = RSAKey.generate_key(2048).as_dict(private=False)
    header = {"jwk": {**rsa, "kty": "EC", "crv": "P-256"}}

    stranger.post("new-account", {}, header=header).problem("malformed")


def test_private_key_in_the_header_is_refused(world):
    stranger = world.stranger()

    reply = stranger.post("new-account", {}, header={"jwk": stranger.key.as_dict(private=True)})

    reply.problem("badPublicKey")


def test_other_keys_are_refused_with_what_is_accepted(world):
    stranger = world.stranger(ECKey.generate_key("P-521"))

    reply = stranger.post("new-account", {}, header={"alg": "ES256"})

    assert "P-256" in reply.problem("badPublicKey", 400)["detail"]


@pytest.mark.parametrize("parameter", ["crit", "b64", "jku", "x5c", "x5u", "zip"])
def test_header_parameters_that_change_the_rules_are_refused(client, parameter):
    client.post("new-order", ORDER, header={parameter: ["exp"]}).problem("malformed")


def test_signature_of_another_key_is_refused(client):
    reply = client.post("new-order", ORDER, key=ECKey.generate_key("P-256"))

    assert "does not verify" in reply.problem("malformed", 400)["detail"]


def test_kid_of_another_account_does_not_help(world, client):
    victim = world.client()

    client.post("new-order", ORDER, kid=victim.kid).problem("malformed", 400)


def test_altered_payload_is_refused(client):
    body = client.sign("new-order", ORDER)
    body["payload"] = jose.encode(json.dumps({"identifiers": identifiers("evil.example")}).encode())

    reply = client.together(with_body(client.request("new-order", ORDER), body))[0]

    reply.problem("malformed", 400)


# Form.


def test_body_that_is_not_announced_as_jose_is_refused(client):
    request = client.request("new-order", ORDER)
    request = structs.replace(
        request, headers=dict(request.headers) | {"content-type": "application/json"}
    )

    client.together(request)[0].problem("malformed", 415)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="no members"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'{"protected":1,"payload":"","signature":""}', id="wrong type"),
        pytest.param(b'{"protected":"!","payload":"","signature":""}', id="no base64url"),
        pytest.param(b'{"protected":"e30=","payload":"","signature":""}', id="padded"),
        pytest.param(b'{"protected":"e30","payload":"","signature":""}', id="no algorithm"),
        pytest.param(b'{"protected":"W10","payload":"","signature":""}', id="header no object"),
        pytest.param(b'{"payload":"","protected":"e30","payload":"","signature":""}', id="twice"),
        pytest.param(b'{"header":{},"protected":"","payload":"","signature":""}', id="header"),
        pytest.param(b'{"signatures":[],"protected":"","payload":"","signature":""}', id="many"),
        pytest.param(b"\xff\xfe", id="no UTF-8"),
    ],
)
def test_what_is_no_flattened_jws_is_refused(client, body):
    client.together(with_body(client.request("new-order", ORDER), body))[0].problem(
        "malformed", 400
    )


def test_oversized_jws_is_refused_before_it_is_read(client):
    body = client.sign("new-order", ORDER) | {"padding": "x" * jose.MAX_BYTES}

    client.together(with_body(client.request("new-order", ORDER), body))[0].problem(
        "malformed", 413
    )


def test_deep_json_is_refused(client):
    deep = b'{"a":' * 40 + b"1" + b"}" * 40

    client.post("new-order", deep).problem("malformed", 413)


def test_both_or_none_of_jwk_and_kid_is_refused(client):
    client.post("new-order", ORDER, header={"jwk": client.jwk}).problem("malformed")
    client.post("new-order", ORDER, header={"kid": None}).problem("malformed")


def test_jwk_is_refused_where_an_account_is_asked_for(client):
    client.post("new-order", ORDER, by_key=True).problem("malformed")


def test_kid_is_refused_where_a_new_key_is_asked_for(client):
    client.post("new-account", {}).problem("malformed")


# URLs and hosts.


@pytest.mark.parametrize(
    "url",
    [
        "https://ca.example.internal:8443/acme/acme/new-authz",
        "https://evil.example/acme/acme/new-order",
        "http://ca.example.internal:8443/acme/acme/new-order",
        "https://ca.example.internal/acme/acme/new-order",
        None,
        7,
    ],
)
def test_request_signed_for_another_url_is_refused(client, url):
    client.post("new-order", ORDER, header={"url": url}).problem("unauthorized", 403)


def test_answers_follow_the_name_that_the_client_used(world):
    client = world.client(host="10.0.0.1")

    assert client.kid.startswith("https://10.0.0.1/acme/acme/account/")
    order = client.post("new-order", ORDER)
    assert order.headers["location"].startswith("https://10.0.0.1/acme/acme/order/")
    assert order.json["finalize"].startswith("https://10.0.0.1/")
    assert order.links["index"] == "https://10.0.0.1/acme/acme/directory"


@pytest.mark.parametrize("host", ["", "a b", "evil.example/x", "x\r\ny", "[::1", "a:123456", "é"])
def test_host_that_is_none_is_refused(world, host):
    reply = world.stranger().get("directory", host=host)

    reply.problem("malformed", 400)


@pytest.mark.parametrize("kid", ["7", "https://ca.example.internal:8443/acme/acme/account/none", 3])
def test_kid_that_is_no_account_is_told(client, kid):
    client.post("new-order", ORDER, header={"kid": kid}).problem("accountDoesNotExist", 400)


def test_kid_under_another_host_is_refused(client):
    kid = client.kid.replace("ca.example.internal", "evil.example")

    client.post("new-order", ORDER, kid=kid).problem("accountDoesNotExist")


def test_account_means_nothing_to_another_provisioner(world, client):
    elsewhere = world.stranger(client.key, provisioner="other")
    elsewhere.kid = client.kid.replace("/acme/acme/", "/acme/other/")

    elsewhere.post("new-order", ORDER).problem("accountDoesNotExist")
    elsewhere.post("new-account", {"onlyReturnExisting": True}, by_key=True).problem(
        "accountDoesNotExist"
    )


# Nonces.


def test_every_answer_to_a_signed_request_has_a_fresh_nonce(client):
    nonces = set()
    for payload in (ORDER, {}, b"nonsense"):
        reply = client.post("new-order", payload)
        nonces.add(reply.headers["replay-nonce"])
        assert reply.headers["cache-control"] == "no-store"

    assert len(nonces) == 3


def test_new_nonce_answers_head_and_get_and_is_never_kept(client):
    head, get = client.get("new-nonce", "HEAD"), client.get("new-nonce")

    assert (head.status, get.status) == (200, 204)
    assert head.headers["replay-nonce"] != get.headers["replay-nonce"]
    assert head.headers["cache-control"] == get.headers["cache-control"] == "no-store"


def test_replayed_request_is_refused(client):
    request = client.request("new-order", ORDER)

    first, second = client.together(request)[0], client.together(request)[0]

    assert first.status == 201
    second.problem("badNonce", 400)


def test_request_replayed_at_the_same_time_is_answered_once(client):
    request = client.request("new-order", ORDER)

    replies = client.together(request, request, request)

    assert sorted(reply.status for reply in replies) == [201, 400, 400]


def test_request_replayed_to_another_server_makes_no_second_order(world, client):
    request = client.request("new-order", ORDER)
    assert client.together(request)[0].status == 201

    client.acme = world.server()
    client.together(request)[0].problem("badNonce", 400)

    assert len(client.post(f"account/{client.account_id}/orders").json["orders"]) == 1


def test_account_change_replayed_to_another_server_changes_nothing(world, client):
    url = f"account/{client.account_id}"
    old = client.request(url, {"contact": ["mailto:old@example.com"]})
    client.together(old)
    client.post(url, {"contact": ["mailto:new@example.com"]})

    client.acme = world.server()
    client.together(old)[0].problem("badNonce")

    assert client.post(url).json["contact"] == ["mailto:new@example.com"]


def test_nonce_of_one_server_is_good_at_another(world, client):
    nonce = client.nonce()
    client.acme = world.server()
    client.nonces = [nonce]

    assert client.post("new-order", ORDER).status == 201


def test_nonce_is_good_for_an_hour_and_not_longer(client, clock):
    first, second = client.nonce(), client.get("new-nonce").headers["replay-nonce"]
    clock.advance(3599)
    client.nonces = [first]
    assert client.post("new-order", ORDER).status == 201

    clock.advance(2)
    client.nonces = [second]
    assert "too old" in client.post("new-order", ORDER).problem("badNonce")["detail"]


def test_nonce_stays_good_when_the_clock_is_set_back(client, clock):
    nonce = client.nonce()
    clock.advance(-3600)
    client.nonces = [nonce]

    assert client.post("new-order", ORDER).status == 201


@pytest.mark.parametrize("nonce", ["", "AAAA", "A" * 48, "é", 7, None, "A" * 100_00])
def test_forged_nonce_is_refused(client, nonce):
    client.post("new-order", ORDER, header={"nonce": nonce}).problem("badNonce", 400)


def test_altered_nonce_is_refused(client):
    octets = bytearray(jose.decode(client.nonce(), "nonce"))
    for place in range(len(octets)):
        altered = bytes(octets[:place]) + bytes([octets[place] ^ 1]) + bytes(octets[place + 1 :])
        client.post("new-order", ORDER, header={"nonce": jose.encode(altered)}).problem("badNonce")


def test_nonce_of_another_authority_is_refused(world, client):
    nonce = client.nonce()
    world.authority.secret = bytes(32)
    client.acme = world.server()

    client.post("new-order", ORDER, header={"nonce": nonce}).problem("badNonce")


def test_bad_signature_does_not_spend_the_nonce(client):
    nonce = client.nonce()
    client.nonces = [nonce]
    client.post("new-order", ORDER, key=ECKey.generate_key("P-256")).problem("malformed")

    client.nonces = [nonce]
    assert client.post("new-order", ORDER).status == 201


def test_used_nonces_are_forgotten_when_they_are_too_old(world, client, clock):
    for _ in range(3):
        client.post("new-order", ORDER)
    used = world.acme._nonces._used
    assert used

    clock.advance(8000)
    client.nonces.clear()
    client.post("new-order", ORDER)

    assert len(used) == 1


# Paths and methods.


def test_resources_are_not_read_by_get(client):
    reply = client.get(f"account/{client.account_id}")

    reply.problem("malformed", 405)
    assert reply.headers["allow"] == "POST"


def test_directory_is_not_posted_to(client):
    client.post("directory").problem("malformed", 405)


@pytest.mark.parametrize(
    "path", ["", "nothing", "order/../account", "challenge/aaaaaaaaaaaa", "order/A"]
)
def test_what_is_not_there_is_not_found(client, path):  # fmt: skip
    client.post(path).problem("malformed", 404)


def test_unknown_provisioner_is_not_found(world):
    world.stranger(provisioner="none").get("directory").problem("malformed", 404)


def test_directory_says_what_the_provisioner_is_like(world):
    world.provision(
        ACMEProvisioner(
            "acme",
            external_account_binding=True,
            terms_of_service="https://example.com/terms",
            website="https://example.com",
            profiles=("server", "client"),
        )
    )

    found = world.stranger().get("directory")

    assert found.status == 200
    meta = found.json["meta"]
    assert meta["externalAccountRequired"] is True
    assert meta["termsOfService"] == "https://example.com/terms"
    assert meta["website"] == "https://example.com"
    assert set(meta["profiles"]) == {"server", "client"}
    for name in ("newNonce", "newAccount", "newOrder", "newAuthz", "revokeCert", "keyChange",
                 "renewalInfo"):  # fmt: skip
        assert found.json[name].startswith("https://ca.example.internal:8443/acme/acme/")


def test_storage_that_is_away_fills_no_log(world, client, monkeypatch, caplog):
    """Anyone may ask while it lasts; the store says by itself that it is away."""

    async def away(*_):
        raise Error(Kind.UNAVAILABLE, "the database is away", retry_after=5)

    request = client.request(client.kid)
    monkeypatch.setattr(type(world.store), "account", away)
    caplog.clear()

    reply = world.run(client.send(request))

    reply.problem("serverInternal", 503)
    assert reply.headers["retry-after"] == "5"
    assert not caplog.records


def test_defect_is_answered_by_an_id_and_nothing_else(world, client, caplog):
    world.validator.outcomes["web.example.internal"] = failed()
    order = client.post("new-order", ORDER).json

    def broken(*_):
        raise ZeroDivisionError("secret")

    world.store.authorization = broken
    problem = client.post(order["authorizations"][0]).problem("serverInternal", 500)

    assert "secret" not in json.dumps(problem)
    assert problem["instance"] in caplog.text


# Whatever a client sends.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
MEMBERS = st.sampled_from(
    [
        "identifiers", "identifier", "csr", "certificate", "reason", "contact", "status",
        "profile", "replaces", "notBefore", "notAfter", "externalAccountBinding", "account",
        "oldKey", "onlyReturnExisting", "type", "value", "protected", "payload", "signature",
    ]
)  # fmt: skip
# One world is enough for all examples, and a busy machine makes them slowly.
UNHEEDED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@given(
    path=st.sampled_from(["new-order", "new-authz", "key-change", "revoke-cert", "account"]),
    payload=st.dictionaries(MEMBERS, JSON | st.dictionaries(MEMBERS, JSON), max_size=5)
    | st.binary(max_size=40),
)
@settings(max_examples=100, suppress_health_check=UNHEEDED)
def test_no_payload_is_more_than_a_refusal(client, path, payload):
    reply = client.post(client.kid if path == "account" else path, payload)

    assert reply.status < 500, reply.body
    if reply.status >= 400:
        assert reply.json["type"].startswith("urn:ietf:params:acme:error:")


@given(st.text(max_size=60))
@settings(max_examples=60, suppress_health_check=UNHEEDED)
def test_no_path_is_more_than_a_refusal(client, path):
    request = structs.replace(client.plain("directory"), path=f"/acme/{path}", query=path)

    reply = client.together(request)[0]

    assert reply.status in (200, 404, 405)


def test_every_resource_says_who_may_call_it_and_holds_to_it(world, client):
    """CVE-2023-0665 and CVE-2026-30836: a resource, or a kind of request, without a check.

    Whoever signs nothing, with another's key or as nobody gets nowhere and changes nothing.
    """
    stranger = world.stranger()
    before = world.run(world.store.count())
    for route in routes(world.validations):
        path = _example(route.path.pattern)
        assert route.path.fullmatch(path)
        if route.access is Access.PUBLIC:
            assert route.methods == ("GET", "HEAD")
            continue
        assert route.methods == ("POST",)
        unsigned = world.run(stranger.send(stranger.plain(path, "POST")))
        unsigned.problem("malformed", 415)
        forged = stranger.post(path, {}, kid=client.kid)
        assert forged.status >= 400
        if route.access in (Access.ACCOUNT, Access.EITHER):
            stranger.post(path, {}, kid=client.kid + "x").problem("accountDoesNotExist")
        if route.access is Access.ACCOUNT:
            stranger.post(path, {}).problem("malformed", 400)
    assert world.run(world.store.count()) == before


def _example(pattern: str) -> str:
    """Return a path that fits the pattern of a resource."""
    path = pattern.replace(r"(?:/(?P<chain>[0-9]))?", "")
    path = re.sub(r"\(\?P<serial>.*?\)\{1,20\}\)", "40" * 20, path)
    path = re.sub(r"\(\?P<type>[^)]*\)", "http-01", path)
    return re.sub(r"\(\?P<id>[^)]*\)", "a" * 26, path)
