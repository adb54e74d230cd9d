"""Who may call what: every route of the table, walked by every kind of requester."""

from __future__ import annotations

import pytest
from msgspec import structs

from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.model.access import Credential, Operation, Requester
from mintmark.model.status import Reason
from mintmark.protocol.rest.routes import Access, Route, RouteTable
from mintmark.protocol.rest.table import ROUTES
from mintmark.wire.http import Peer
from tests.unit.rest.world import ADMIN, LOCAL, csr, local_peer, public_key_line

# What each requester gets: the status of its call on a certificate of service `webapp`.
# `-` stands for whatever the route answers to somebody who may call it (2xx).
REQUESTERS = ("anonymous", "token", "webapp", "db", "reader", "unlisted", "revoked", "admin")
EXPECTED = {
    #                                             anon token web  db   reader unlst revkd admin
    "POST /certificates/request":                (401, "-", "-", "-", 403, 403, 401, "-"),
    "GET /certificates/":                        (401, 401, "-", "-", "-", 403, 401, "-"),
    "GET /certificates":                         (401, 401, "-", "-", "-", 403, 401, "-"),
    "GET /certificates/{id}":                    (401, 401, "-", 404, 404, 403, 401, "-"),
    "GET /certificates/{id}/download":           (401, 401, "-", 404, 404, 403, 401, "-"),
    "POST /certificates/{id}/renew":             (401, 401, "-", 404, 403, 403, 401, "-"),
    "POST /certificates/{id}/rekey":             (401, 401, "-", 404, 403, 403, 401, "-"),
    "DELETE /certificates/{id}/revoke":          (401, 401, "-", 404, 403, 403, 401, "-"),
    "GET /crl":                                  (401, 401, 404, 404, 404, 403, 401, 404),
    "POST /crl/revoke":                          (401, 401, "-", 404, 403, 403, 401, "-"),
    "GET /crl/check/{serial}":                   (401, 401, "-", "-", "-", 403, 401, "-"),
    "POST /ssh/certificates":                    (401, "-", "-", "-", 403, 403, 401, "-"),
    "GET /ssh/certificates":                     (401, 401, "-", "-", "-", 403, 401, "-"),
    "GET /ssh/certificates/{ssh_id}":            (401, 401, "-", 404, 404, 403, 401, "-"),
    "POST /ssh/certificates/{ssh_id}/renew":     (401, 401, "-", 404, 403, 403, 401, "-"),
    "DELETE /ssh/certificates/{ssh_id}/revoke":  (401, 401, "-", 404, 403, 403, 401, "-"),
    "POST /ssh/bans":                            (401, 401, 403, 403, 403, 403, 401, "-"),
    "GET /ssh/authorities":                      ("-",) * 8,
    "GET /sign-in":                              ("-",) * 8,
    "GET /issuers":                              ("-",) * 8,
    "GET /roots":                                ("-",) * 8,
    "GET /audit":                                (401, 401, 403, 403, 403, 403, 401, "-"),
    "POST /tokens":                              (401, 401, 403, 403, 403, 403, 401, "-"),
    "POST /acme/external-keys":                  (401, 401, 403, 403, 403, 403, 401, "-"),
    "GET /acme/external-keys":                   (401, 401, 403, 403, 403, 403, 401, "-"),
    "DELETE /acme/external-keys/{key_id}":       (401, 401, 403, 403, 403, 403, 401, 404),
    "GET /acme/accounts":                        (401, 401, 403, 403, 403, 403, 401, "-"),
    "DELETE /acme/accounts/{account_id}":        (401, 401, 403, 403, 403, 403, 401, 404),
    "GET /acme/paused":                          (401, 401, 403, 403, 403, 403, 401, "-"),
    "POST /acme/unpause":                        (401, 401, 403, 403, 403, 403, 401, 404),
    "POST /renewal-windows":                     (401, 401, 403, 403, 403, 403, 401, "-"),
    "GET /provisioners":                         (401, 401, 403, 403, 403, 403, 401, "-"),
    "POST /provisioners":                        (401, 401, 403, 403, 403, 403, 401, "-"),
    "GET /provisioners/{provisioner}":           (401, 401, 403, 403, 403, 403, 401, "-"),
    "POST /provisioners/{provisioner}/replace":  (401, 401, 403, 403, 403, 403, 401, 409),
    "POST /provisioners/{provisioner}/rotate":   (401, 401, 403, 403, 403, 403, 401, 409),
    "DELETE /provisioners/{provisioner}":        (401, 401, 403, 403, 403, 403, 401, 409),
    "GET /health":                               ("-",) * 8,
    "GET /version":                              ("-",) * 8,
    "GET /openapi.json":                         ("-",) * 8,
}  # fmt: skip
BODIES = {
    "/certificates/request": lambda _: {"csr": csr()},
    "/certificates/{id}/rekey": lambda _: {"csr": csr()},
    "/crl/revoke": lambda certificate: {"certificate_id": certificate.id},
    "/tokens": lambda _: {"service_name": "webapp"},
    "/acme/external-keys": lambda _: {"provisioner": "acme"},
    "/acme/unpause": lambda _: {"account_id": "nobody"},
    "/renewal-windows": lambda _: {"service_name": "webapp"},
    "/ssh/certificates": lambda _: {"public_key": public_key_line(), "type": "host"},
    "/ssh/bans": lambda _: {"public_key": public_key_line()},
    "/provisioners": lambda _: {"provisioner": {"name": "walked"}},
    "/provisioners/{provisioner}/replace": lambda _: {"provisioner": {"name": "acme"}},
    "/provisioners/{provisioner}/rotate": lambda _: {"key": {}},
}


def credentials(world, who):
    match who:
        case "anonymous":
            return {"peer": Peer("127.0.0.1")}
        case "token":
            return {"token": world.token("webapp", "webapp")}
        case "admin":
            return {"peer": world.peer("admin-cli")}
        case "revoked":
            peer = world.peer("webapp")
            assert world.ask("GET", "/certificates/", peer=peer).status == 200
            certificate = world.ask("GET", "/certificates/", peer=peer).json["certificates"][0]
            reply = world.ask(
                "POST",
                "/crl/revoke",
                peer=local_peer(),
                json={"serial_number": certificate["serial_number"]},
            )
            assert reply.status == 200
            return {"peer": peer}
        case _:
            return {"peer": world.peer(who)}


def test_the_table_of_expectations_lists_every_route():
    assert [f"{route.method} {route.path}" for route in ROUTES] == list(EXPECTED)


@pytest.mark.parametrize("who", REQUESTERS)
def test_every_route_answers_each_requester_as_the_table_says(world, who):
    presented = credentials(world, who)
    column = REQUESTERS.index(who)
    for route in ROUTES:
        if who == "token":
            presented = credentials(world, who)  # each is good once
        certificate = world.certificate("webapp")
        ssh_certificate = world.ssh_certificate("webapp", "webapp.webapp.internal", host=True)
        path = route.path.format(
            id=certificate.id,
            ssh_id=ssh_certificate.id,
            serial=certificate.serial.hex(),
            key_id="nothing",
            account_id="nobody",
            provisioner="acme",
        )
        has_body = route.method != "GET"
        body = BODIES.get(route.path, lambda _: None)(certificate) if has_body else None
        if who in {"admin", "token"} and route.path == "/certificates/request":
            body["common_name"] = "webapp"
        elif route.path == "/certificates/request":
            body["common_name"] = who
        elif route.path == "/ssh/certificates" and has_body:
            body["principals"] = ["webapp" if who in {"admin", "token"} else who]
        reply = world.ask(route.method, path, json=body, **presented)
        expected = EXPECTED[f"{route.method} {route.path}"][column]
        where = (who, route.method, route.path, reply.body)
        if expected == "-":
            assert reply.status in {200, 201}, where
        else:
            assert reply.status == expected, where


def test_a_route_that_does_not_say_who_may_call_it_cannot_be_made():
    with pytest.raises(TypeError, match="who may call"):
        Route("GET", "/x", "x", "X.", None, lambda call: None)


def test_a_public_route_cannot_ask_for_an_operation():
    with pytest.raises(ValueError, match="public"):
        Route("GET", "/x", "x", "X.", Access.PUBLIC, lambda call: None, Operation.RENEW)


def test_two_routes_for_one_method_and_path_are_refused():
    route = ROUTES[0]
    with pytest.raises(ValueError, match="two routes"):
        RouteTable([route, route])


def test_401_names_the_scheme(world):
    reply = world.ask("GET", "/certificates/")
    reply.problem(401, "unauthenticated")
    assert reply.headers["www-authenticate"].startswith("Bearer ")


def test_a_foreign_certificate_is_not_a_credential(world):
    own = world.certificate("webapp")
    for der in (own.der[:-1] + bytes([own.der[-1] ^ 1]), own.der + b"\0", b"\x30\x00", b""):
        reply = world.ask("GET", "/certificates/", peer=Peer("127.0.0.1", der))
        assert reply.status in {400, 401}, reply.body


def test_revocation_locks_out_an_open_connection_at_the_next_request(world):
    peer = world.peer("webapp")
    assert world.ask("GET", "/certificates/", peer=peer).status == 200
    serial = world.ask("GET", "/certificates/", peer=peer).json["certificates"][0]
    world.run(
        _revoke(world, serial["certificate_id"]),
    )
    world.ask("GET", "/certificates/", peer=peer).problem(401, "unauthenticated")


async def _revoke(world, certificate_id):
    from mintmark.authority.workflow.revoke import revoke

    stored = await world.store.certificate(bytes.fromhex(certificate_id[5:]))
    await revoke(world.authority, LOCAL, stored, Reason.KEY_COMPROMISE)


def test_expiry_locks_out_an_open_connection(world):
    peer = world.peer("webapp")
    assert world.ask("GET", "/certificates/", peer=peer).status == 200
    world.clock.now += 400 * 86400
    world.ask("GET", "/certificates/", peer=peer).problem(401, "unauthenticated")


def test_a_reloaded_whitelist_counts_on_open_connections(world):
    peer = world.peer("webapp")
    assert world.ask("GET", "/certificates/", peer=peer).status == 200
    before = world.authority.policy
    try:
        world.authority.policy = Policy.of(
            before.profiles, Whitelist([ADMIN]), world.authority.issuers, 60
        )
        world.ask("GET", "/certificates/", peer=peer).problem(403, "forbidden")
    finally:
        world.authority.policy = before
    assert world.ask("GET", "/certificates/", peer=peer).status == 200


def test_only_a_local_requester_counts_in_the_memo(world):
    forged = Requester("admin-cli", ADMIN, Credential.CERTIFICATE)
    peer = Peer("127.0.0.1", memo={"requester": forged})
    world.ask("GET", "/audit", peer=peer).problem(401, "unauthenticated")
    peer = Peer(
        "127.0.0.1", memo={"requester": structs.replace(forged, credential=Credential.LOCAL)}
    )
    assert world.ask("GET", "/audit", peer=peer).status == 200


def test_nothing_of_a_request_reaches_the_memo_by_name(world):
    peer = world.peer("webapp")
    world.ask("GET", "/certificates/", peer=peer, headers={"requester": "admin-cli"})
    assert "requester" not in peer.memo


@pytest.mark.parametrize(
    "value",
    ["Basic YWRtaW46YWRtaW4=", "Bearer", "bearer", "Bearer  ", "Bearer mmt_x", "Negotiate x", ""],
)
def test_a_bad_authorization_header_is_no_way_in(world, value):
    reply = world.ask(
        "POST",
        "/certificates/request",
        json={"csr": csr("webapp")},
        headers={"authorization": value},
    )
    assert reply.status == 401
    assert reply.json["type"].endswith(("unauthenticated", "bad-token"))


def test_a_bad_authorization_header_is_not_rescued_by_a_certificate(world):
    peer = world.peer("webapp")
    headers = {"authorization": "Bearer mmt_guess"}
    reply = world.ask(
        "POST", "/certificates/request", json={"csr": csr("webapp")}, headers=headers, peer=peer
    )
    reply.problem(401, "bad-token")
    world.ask("GET", "/certificates/", headers=headers, peer=peer).problem(401, "unauthenticated")


def test_a_revoked_service_enrols_again_with_a_token_on_the_same_connection(world):
    peer = credentials(world, "revoked")["peer"]
    reply = world.ask(
        "POST",
        "/certificates/request",
        peer=peer,
        token=world.token("webapp", "webapp"),
        json={"csr": csr("webapp")},
    )
    assert reply.status == 201


@pytest.mark.parametrize("site", ["cross-site", "same-site", "weird"])
def test_a_page_of_another_site_changes_nothing(world, site):
    certificate = world.certificate("webapp")
    peer = world.peer("admin-cli")
    for method, path in (
        ("POST", f"/certificates/{certificate.id}/renew"),
        ("DELETE", f"/certificates/{certificate.id}/revoke"),
    ):
        headers = {"sec-fetch-site": site}
        world.ask(method, path, peer=peer, headers=headers).problem(403, "forbidden")
    assert world.stored(certificate.id).revocation is None


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_browser_of_our_own_page_may_change_things(world, site):
    certificate = world.certificate("webapp")
    reply = world.ask(
        "DELETE",
        f"/certificates/{certificate.id}/revoke",
        peer=world.peer("admin-cli"),
        headers={"sec-fetch-site": site},
    )
    assert reply.status == 200


def test_a_body_that_is_not_announced_as_json_is_not_read(world):
    reply = world.ask(
        "POST",
        "/tokens",
        peer=local_peer(),
        body=b'{"service_name": "webapp"}',
        headers={"content-type": "text/plain"},
    )
    assert reply.status == 415


def test_unknown_paths_are_not_found_and_unknown_methods_not_allowed(world):
    world.ask("GET", "/nothing").problem(404, "not-found")
    reply = world.ask("PATCH", "/certificates/webapp")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    reply = world.ask("GET", "/certificates/request")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


def test_head_is_answered_as_get(world):
    assert world.ask("HEAD", "/version").body == world.ask("GET", "/version").body
