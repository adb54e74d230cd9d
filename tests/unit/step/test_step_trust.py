"""What a client needs before it trusts anybody, and the form of every answer."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from urllib.parse import urlencode

import pytest
from cryptography import x509

from mintmark.model.errors import Error, Kind
from mintmark.model.time import DAY
from mintmark.protocol.step.call import Access
from mintmark.protocol.step.server import Route
from mintmark.publication.crl import publish_if_due
from mintmark.server.responses import refusal
from mintmark.wire import pem
from mintmark.wire.http import Peer
from tests.unit.step.world import PEOPLE, SERVICES, provision


def root(world):
    return pem.certificate(world.hierarchy.root_der).decode()


@pytest.mark.parametrize("prefix", ["", "/1.0"])
def test_health_and_version_are_what_clients_read(world, prefix):
    assert world.get(f"{prefix}/health").done(200) == {"status": "ok"}
    assert world.get(f"{prefix}/version").done(200) == {"version": "0.30.2"}


def test_a_server_without_its_database_is_not_healthy(world, monkeypatch):
    async def away(_):
        raise Error(Kind.UNAVAILABLE, "the database is away", retry_after=3)

    monkeypatch.setattr(type(world.store), "latest_checkpoint", away)

    reply = world.get("/health")

    reply.refused(503, "The request could not be completed: the database is away.")
    assert reply.headers["retry-after"] == "3"


def test_the_root_is_found_by_its_fingerprint(world):
    fingerprint = hashlib.sha256(world.hierarchy.root_der).hexdigest()
    dashed = f"{fingerprint[:8]}-{fingerprint[8:]}"

    assert world.get(f"/root/{fingerprint}").done(200) == {"ca": root(world)}
    assert world.get(f"/1.0/root/{dashed}").done(200) == {"ca": root(world)}


@pytest.mark.parametrize("sha", ["0" * 64, "abc", "x" * 5000, "%00"])
def test_an_unknown_root_is_not_found(world, sha):
    message = world.get(f"/root/{sha}").refused(404)

    assert 'root certificate with fingerprint "' in message
    assert len(message) < 300


@pytest.mark.parametrize("path", ["/roots", "/federation", "/1.0/roots"])
def test_roots_come_with_created(world, path):
    assert world.get(path).done(201) == {"crts": [root(world)]}


def test_intermediates_come_as_json_and_as_a_file(world):
    (found,) = world.get("/intermediates").done(201)["crts"]
    file = world.get("/intermediates.pem")

    assert found == pem.certificate(world.hierarchy.issuer.der).decode()
    assert (file.status, file.body.decode()) == (200, found)
    assert file.response.content_type == "application/x-pem-file"
    assert world.get("/roots.pem").body.decode() == root(world)


def test_the_crl_comes_in_both_forms_and_says_when_the_next_one_comes(world):
    world.get("/crl").refused(404)
    world.run(publish_if_due(world.authority, DAY, changed=False))
    world.clock.advance(2)

    der, text = world.get("/crl"), world.get("/1.0/crl?pem")

    crl = x509.load_der_x509_crl(der.body)
    assert der.response.content_type == "application/pkix-crl"
    assert der.headers["content-disposition"] == 'attachment; filename="crl.crl"'
    assert der.headers["expires"] == f"{crl.next_update_utc:%a, %d %b %Y %H:%M:%S GMT}"
    assert x509.load_pem_x509_crl(text.body) == crl
    assert text.headers["content-disposition"] == 'attachment; filename="crl.pem"'
    assert world.get("/crl?pem=true").body == text.body
    assert world.get("/crl?apem=1").body == der.body


# --- the form of answers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/1.0", "/1.0/", "/1.0/1.0/health", "//health", "/1.0//health", "/health/",
             "/admin/provisioners", "/ssh", "/scep/x", "/provisioners/a/b/encrypted-key",
             "/root/", "/root/a/b"],
)  # fmt: skip
def test_what_is_not_there_is_refused_in_json(world, path):
    world.get(path).refused(404, "The requested resource could not be found")


@pytest.mark.parametrize("path", ["/admin/admins", "/1.0/admin/policy", "/admin/acme/eab/acme"])
def test_who_asks_for_the_admin_api_is_told_what_there_is_instead(world, path):
    # By status 404 clients know that there is no administration over the wire.
    assert "'mintmark provisioner'" in world.get(path).refused(404)
    assert "'mintmark acme'" in world.post(path, {}).refused(404)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("POST", "/health", "GET, HEAD"), ("GET", "/sign", "POST"), ("DELETE", "/1.0/revoke", "POST"),
     ("PUT", "/root/aa", "GET, HEAD")],
)  # fmt: skip
def test_another_method_is_refused_in_json(world, method, path, allow):
    reply = world.ask(method, path)

    reply.refused(405)
    assert reply.headers["allow"] == allow


def test_head_is_answered_like_get(world):
    assert world.ask("HEAD", "/health").done(200)
    assert world.ask("HEAD", "/provisioners/none/encrypted-key").refused(404)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"csr":1}', b'{"ott":"a","ott":"b"}', b"\xff", b"1" * 70]
)
def test_a_body_that_is_no_document_is_refused_in_json(world, body):
    world.ask("POST", "/sign", body).refused(400)


def test_a_body_over_its_limit_is_refused_in_json(world):
    world.post("/sign", {"csr": "x" * 300_000}).refused(413)
    world.post("/sign", b"[" * 40).refused(413)


def test_what_the_server_refuses_before_it_knows_the_path_has_a_message_too():
    told = Error(Kind.TOO_LARGE, "the body has more than 1 octet")

    document = json.loads(refusal(413, told).body)

    assert (document["status"], document["message"]) == (413, told.detail)


@pytest.mark.parametrize("name", ["x-request-id", "x-smallstep-id"])
def test_the_clients_request_id_is_echoed(world, name):
    given = "6f0c7f2e-0f4c-4a53-9c0e-000000000000"

    assert world.ask("GET", "/health", **{name: given}).headers["x-request-id"] == given
    assert world.ask("GET", "/nothing", **{name: given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\r\nSet-Cookie: b", "\N{SNOWMAN}"])
def test_a_request_id_that_is_no_word_is_not_echoed(world, given):
    assert "x-request-id" not in world.get("/health", x_request_id=given).headers


def test_a_defect_is_told_by_its_id_in_the_log(world, monkeypatch, caplog):
    async def broken(_):
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr(type(world.store), "latest_checkpoint", broken)

    with caplog.at_level(logging.ERROR):
        message = world.get("/health", x_request_id="given-1").refused(500)

    assert message.startswith("The certificate authority encountered an Internal Server Error. ")
    assert "given-1" in message
    assert "a secret of ours" not in message
    assert "given-1: RuntimeError" in caplog.text


def test_a_page_of_another_site_changes_nothing(world):
    world.post("/renew", sec_fetch_site="cross-site").refused(403)
    world.post("/revoke", {}, sec_fetch_site="same-site").refused(403)
    assert world.get("/health", sec_fetch_site="cross-site").done(200)


# --- who may call what ---------------------------------------------------------------------------


def test_every_route_says_who_may_call_it_and_holds_to_it(world):
    for route in world.step.routes:
        path = "/" + route.path.replace("{sha}", "0" * 64).replace("{kid}", "k")
        reply = world.ask(route.method, path.replace("{type}", "user"), {})
        refused = reply.status == 400 and (
            "missing ott" in reply.json["message"] or "missing client" in reply.json["message"]
        )
        assert refused is (route.access is not Access.PUBLIC), (path, reply.body)


def test_a_route_that_does_not_say_who_may_call_it_cannot_be_made():
    with pytest.raises(TypeError):
        Route("GET", "x", None, None)
    with pytest.raises(ValueError, match="what tokens are for"):
        Route("POST", "x", Access.TOKEN, None)


@pytest.mark.parametrize("path", ["/renew", "/rekey", "/revoke"])
def test_a_client_certificate_that_is_not_on_record_is_nobody(world, path):
    stranger = Peer("127.0.0.1", world.hierarchy.issuer.der, "TLSv1.3")

    world.post(path, {"serial": "1", "passive": True}, peer=stranger).refused(401)


# --- provisioners --------------------------------------------------------------------------------


def test_provisioners_are_listed_as_clients_read_them(world):
    answer = world.get("/provisioners").done(200)

    by_type = {one["type"]: one for one in answer["provisioners"]}
    assert answer["nextCursor"] == ""
    assert set(by_type) == {"JWK", "OIDC", "SSHPOP", "ACME"}
    names = [one["name"] for one in answer["provisioners"]]
    assert names == sorted(names) == ["acme", "admin", "deploy", "people", "sshpop"]
    admin = answer["provisioners"][1]
    assert admin["key"]["kid"] in world.authority.policy.provisioners["admin"].key_id
    assert {"use", "kty", "kid", "crv", "alg", "x", "y"} == admin["key"].keys()
    assert admin["encryptedKey"] == SERVICES.encrypted_key
    assert admin["claims"]["maxTLSCertDuration"] == "24h0m0s"
    assert admin["claims"]["defaultUserSSHCertDuration"] == "16h0m0s"
    assert admin["claims"]["enableSSHCA"] is True
    assert by_type["OIDC"]["clientID"] == PEOPLE.client_id
    assert by_type["OIDC"]["configurationEndpoint"] == PEOPLE.configuration_endpoint


def test_the_list_keeps_the_operators_rules_and_private_halves(world):
    said = world.get("/provisioners").body

    assert b"root@example.internal" not in said
    assert b'"d":' not in said
    assert b"tokens" not in said


def test_provisioners_come_in_pages(world):
    provision(world, *(type(PEOPLE)(f"p{number:03}", "https://x", "c") for number in range(250)))
    seen, cursor, pages = [], "", []
    while True:
        answer = world.get(f"/provisioners?limit=999&cursor={cursor}").done(200)
        pages.append(len(answer["provisioners"]))
        seen += [one["name"] for one in answer["provisioners"]]
        if not (cursor := answer["nextCursor"]):
            break

    assert pages == [100, 100, 50]
    assert seen == sorted(set(seen))
    assert len(world.get("/provisioners").json["provisioners"]) == 20
    assert len(world.get("/provisioners?limit=-5").json["provisioners"]) == 20
    assert len(world.get("/provisioners?limit=" + "9" * 5000).json["provisioners"]) == 100


@pytest.mark.parametrize("limit", ["x", "1.5", "0x10", "\N{ARABIC-INDIC DIGIT ONE}", "+5", "-"])
def test_a_limit_that_is_no_number_is_refused(world, limit):
    world.get(f"/provisioners?limit={limit}").refused(400)


def test_a_cursor_is_escaped_by_clients(world):
    names = ["you-a", "you.b", "you@example.com", "you@example.net"]
    provision(world, *(type(PEOPLE)(name, "https://x", "c") for name in names))
    seen, cursor = [], ""
    for _ in names:
        query = urlencode({"cursor": cursor, "limit": 1})
        answer = world.get(f"/provisioners?{query}").done(200)
        seen += [one["name"] for one in answer["provisioners"]]
        if not (cursor := answer["nextCursor"]):
            break

    assert seen == names
    assert len(world.get("/provisioners?limit=%31&limit=3").json["provisioners"]) == 1


def test_an_encrypted_key_is_found_by_its_kid_and_nothing_else(world):
    kid = world.authority.policy.provisioners["admin"].key_id
    without = world.authority.policy.provisioners["deploy"].key_id

    assert world.get(f"/provisioners/{kid}/encrypted-key").done(200) == {
        "key": SERVICES.encrypted_key
    }
    for other in (without, "nokid", kid.lower() + "x", ""):
        assert world.get(f"/provisioners/{other}/encrypted-key").status == 404


def test_an_x5c_provisioner_shows_the_roots_it_believes(world):
    from mintmark.model.provisioner import X5CProvisioner

    provision(world, X5CProvisioner("hosts"))

    (shown,) = world.get("/provisioners").json["provisioners"]

    assert base64.b64decode(shown["roots"]).decode() == root(world)
