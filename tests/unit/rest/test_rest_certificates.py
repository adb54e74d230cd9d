"""Certificates over the API: asked for, shown, listed, downloaded, renewed, rekeyed."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    load_der_public_key,
    load_pem_private_key,
    pkcs7,
    pkcs12,
)

from mintmark.authority.signer.file import generate
from mintmark.authority.workflow import record
from mintmark.model.keys import KeyType
from tests.unit.rest.world import csr, local_peer

DAY = 86400


def ask_for(world, peer=None, status=201, **wish):
    reply = world.ask("POST", "/certificates/request", peer=peer or local_peer(), json=wish)
    assert reply.status == status, reply.body
    return reply.json


def test_document_3s_request_gets_document_3s_answer(world):
    answer = ask_for(
        world,
        service_name="veritas-backend",
        common_name="veritas-backend.vcc.local",
        san_dns=["veritas-backend", "veritas-backend.vcc.local"],
        san_ip=["127.0.0.1", "192.168.178.94"],
        validity_days=365,
        key_size=2048,
        metadata={
            "owner": "VERITAS Team",
            "environment": "production",
            "contact": "admin@veritas.local",
        },
    )
    serial = answer["serial_number"]
    assert answer["certificate_id"] == f"cert_{serial}"
    assert answer["service_name"] == "veritas-backend"
    assert answer["common_name"] == "veritas-backend.vcc.local"
    assert answer["issuer"] == "Test Issuing CA"
    assert answer["status"] == "active"
    assert answer["download_url"] == f"/api/v1/certificates/cert_{serial}/download"
    assert answer["not_after"].endswith("Z")
    assert answer["metadata"]["owner"] == "VERITAS Team"
    certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
    assert f"{certificate.serial_number:040x}" == serial
    lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert lifetime.days == 365
    key = load_pem_private_key(answer["private_key"].encode(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.public_key() == certificate.public_key()
    assert answer["names"] == [
        {"type": "dns", "value": "veritas-backend"},
        {"type": "dns", "value": "veritas-backend.vcc.local"},
        {"type": "ip", "value": "127.0.0.1"},
        {"type": "ip", "value": "192.168.178.94"},
    ]


def test_the_answer_carries_certificate_chain_and_fingerprint(world):
    key = generate(KeyType.EC_P256)
    answer = ask_for(world, csr=csr("a.internal", "a.internal", "b.internal", key=key))
    leaf = x509.load_pem_x509_certificate(answer["certificate"].encode())
    (issuer,) = x509.load_pem_x509_certificates(answer["chain"].encode())
    leaf.verify_directly_issued_by(issuer)
    assert leaf.public_key() == key.public_key()
    assert answer["private_key"] is None
    fingerprint = hashlib.sha256(world.stored(answer["certificate_id"]).certificate.der)
    assert answer["fingerprint_sha256"] == fingerprint.hexdigest()


def test_the_reply_says_where_the_certificate_is(world):
    reply = world.ask(
        "POST", "/certificates/request", peer=local_peer(), json={"csr": csr("loc.internal")}
    )
    location = reply.headers["location"]
    assert location == f"/api/v1/certificates/{reply.json['certificate_id']}"
    assert reply.headers["cache-control"] == "no-store"
    assert world.ask("GET", location.removeprefix("/api/v1"), peer=local_peer()).status == 200


def test_names_are_those_of_csr_fields_and_common_name_together(world):
    answer = ask_for(
        world,
        csr=csr("", "one.internal"),
        common_name="Four.Internal",
        san_dns=["two.internal", "ONE.internal."],
        san_ip=["10.0.0.1"],
        san_email=["ops@three.internal"],
        san_uri=["spiffe://internal/webapp"],
    )
    assert [name["value"] for name in answer["names"]] == [
        "one.internal",
        "two.internal",
        "10.0.0.1",
        "ops@three.internal",
        "spiffe://internal/webapp",
        "four.internal",
    ]
    assert answer["common_name"] == "four.internal"


def test_a_common_name_that_is_no_name_asked_for_is_refused(world):
    reply = world.ask(
        "POST",
        "/certificates/request",
        peer=local_peer(),
        json={"csr": csr("", "x.internal"), "common_name": "Some Body"},
    )
    reply.problem(422, "rejected-identifier")


def test_the_service_is_the_requesters_own_by_default(world):
    answer = ask_for(world, world.peer("webapp"), csr=csr("webapp"))
    assert answer["service_name"] == "webapp"
    assert answer["profile"] == "peer"


def test_a_service_does_not_ask_for_another(world):
    reply = world.ask(
        "POST",
        "/certificates/request",
        peer=world.peer("webapp"),
        json={"service_name": "db", "csr": csr("db")},
    )
    reply.problem(403, "forbidden")


def test_a_service_does_not_get_names_of_another(world):
    reply = world.ask(
        "POST",
        "/certificates/request",
        peer=world.peer("webapp"),
        json={"csr": csr("", "a.webapp.internal", "1.db.internal")},
    )
    assert "1.db.internal" in reply.problem(422, "rejected-identifier")["detail"]


@pytest.mark.parametrize(
    ("wish", "kind"),
    [
        ({}, ec.EllipticCurvePrivateKey),
        ({"key_type": "ec-p384"}, ec.EllipticCurvePrivateKey),
        ({"key_type": "ed25519"}, ed25519.Ed25519PrivateKey),
        ({"key_type": "rsa-2048", "key_size": 2048}, rsa.RSAPrivateKey),
    ],
)
def test_without_a_csr_the_server_makes_the_key(world, wish, kind):
    answer = ask_for(world, common_name="made.internal", **wish)
    key = load_pem_private_key(answer["private_key"].encode(), None)
    assert isinstance(key, kind)
    leaf = x509.load_pem_x509_certificate(answer["certificate"].encode())
    assert leaf.public_key() == key.public_key()


def test_a_private_key_made_here_is_kept_nowhere(world):
    answer = ask_for(world, common_name="kept.internal")
    shown = world.ask("GET", f"/certificates/{answer['certificate_id']}", peer=local_peer())
    assert "private_key" not in shown.json
    audit = world.ask("GET", "/audit?limit=1", peer=local_peer())
    assert b"PRIVATE" not in audit.body


@pytest.mark.parametrize(
    ("wish", "status", "kind"),
    [
        ({"key_size": 2048}, 422, "bad-public-key"),
        ({"key_type": "ed25519"}, 422, "bad-public-key"),
        ({"key_type": "ed25519", "key_size": 2048}, 400, "malformed"),
        ({"key_size": 1024}, 400, "malformed"),
        ({"lifetime": "30d", "validity_days": 30}, 400, "malformed"),
        ({"lifetime": "soon"}, 400, "malformed"),
        ({"lifetime": "30d\n"}, 400, "malformed"),
        ({"validity_days": 4000}, 422, "bad-lifetime"),
        ({"profile": "ca"}, 422, "bad-profile"),
        ({"service_name": "../webapp"}, 400, "malformed"),
        ({"service_name": "Webapp"}, 400, "malformed"),
        ({"san_dns": ["a b"]}, 422, "rejected-identifier"),
        ({"san_dns": ["com"]}, 422, "rejected-identifier"),
        ({"san_ip": ["10.0.0.256"]}, 422, "rejected-identifier"),
        ({"san_dns": [f"n{n}.internal" for n in range(101)]}, 400, "malformed"),
        ({"metadata": {str(n): "" for n in range(17)}}, 400, "malformed"),
        ({"metadata": {"k": "v" * 257}}, 400, "malformed"),
        ({"metadata": {"k" * 65: "v"}}, 400, "malformed"),
        ({"metadata": {"": "v"}}, 400, "malformed"),
        ({"metadata": {"k": "a\nb"}}, 400, "malformed"),
        ({"metadata": {"k": "ab\n"}}, 400, "malformed"),
        ({"metadata": {"k": "\0"}}, 400, "malformed"),
        ({"metadata": {"k": 1}}, 400, "malformed"),
        ({"common_nam": "x"}, 400, "malformed"),
        ({"is_ca": True}, 400, "malformed"),
        ({"csr": "-----BEGIN CERTIFICATE REQUEST-----"}, 422, "bad-csr"),
    ],
)
def test_what_cannot_be_had_is_refused_by_kind(world, wish, status, kind):
    body = {"csr": csr("ok.internal"), **wish}
    reply = world.ask("POST", "/certificates/request", peer=local_peer(), json=body)
    reply.problem(status, kind)


def test_an_unknown_field_is_answered_with_the_nearest_known(world):
    reply = world.ask("POST", "/certificates/request", peer=local_peer(), json={"common_nam": "x"})
    assert "common_name" in reply.json["hint"]


def test_a_rate_limit_says_when_to_come_back(world):
    peer = world.peer("busy")
    ask_for(world, peer, csr=csr("busy"))
    reply = world.ask("POST", "/certificates/request", peer=peer, json={"csr": csr("busy")})
    reply.problem(429, "rate-limited")
    assert int(reply.headers["retry-after"]) > 0


def test_a_full_quota_is_refused(world):
    peer = world.peer("single")
    reply = world.ask("POST", "/certificates/request", peer=peer, json={"csr": csr("single")})
    reply.problem(403, "forbidden")


def test_rsa_keys_are_made_a_few_at_a_time(world):
    maker = world.api._keys
    maker._busy = maker.MAX
    try:
        wish = {"common_name": "busy.internal", "key_type": "rsa-2048"}
        reply = world.ask("POST", "/certificates/request", peer=local_peer(), json=wish)
        reply.problem(503, "unavailable")
        assert reply.headers["retry-after"] == "1"
    finally:
        maker._busy = 0


# --- one certificate ---------------------------------------------------------------------------


def test_a_certificate_is_found_by_id_by_serial_and_by_service(world):
    answer = ask_for(world, service_name="found", csr=csr("found"))
    serial = answer["serial_number"]
    for name in (f"cert_{serial}", serial, "found"):
        shown = world.ask("GET", f"/certificates/{name}", peer=local_peer())
        assert shown.json["certificate_id"] == answer["certificate_id"], name
        assert shown.json["certificate"] == answer["certificate"]


def test_a_service_id_means_its_newest_certificate_alive(world):
    first = ask_for(world, service_name="lively", csr=csr("lively"))
    second = ask_for(world, service_name="lively", csr=csr("lively"))
    shown = world.ask("GET", "/certificates/lively", peer=local_peer()).json
    assert shown["certificate_id"] == second["certificate_id"]
    world.ask("DELETE", "/certificates/lively/revoke", peer=local_peer())
    shown = world.ask("GET", "/certificates/lively", peer=local_peer()).json
    assert shown["certificate_id"] == first["certificate_id"]


def test_others_certificates_are_answered_like_unknown_ones(world):
    peer = world.peer("db")
    web = world.certificate("webapp")
    unknown = f"cert_{'40' * 20}"
    for method, path in (
        ("GET", "/certificates/{}"),
        ("GET", "/certificates/{}/download"),
        ("POST", "/certificates/{}/renew"),
        ("POST", "/certificates/{}/rekey"),
        ("DELETE", "/certificates/{}/revoke"),
    ):
        for theirs in (web.id, web.serial.hex(), "webapp"):
            one = world.ask(method, path.format(theirs), peer=peer)
            other = world.ask(method, path.format(unknown), peer=peer)
            assert (one.status, other.status) == (404, 404), (method, path, theirs)
            assert one.body.replace(theirs.encode(), b"") == other.body.replace(
                unknown.encode(), b""
            )
            assert one.headers == other.headers


@pytest.mark.parametrize(
    "name",
    [
        "..",
        ".",
        "...",
        "cert_",
        "cert_../../x",
        "%2e%2e",
        "cert_zz",
        "a" * 5000,
        "webapp\0",
        "é",
        " ",
    ],
)
def test_ids_that_are_none_are_not_found(world, name):
    for method, path in (("GET", ""), ("GET", "/download"), ("DELETE", "/revoke")):
        reply = world.ask(method, f"/certificates/{name}{path}", peer=local_peer())
        reply.problem(404, "not-found")
        assert len(reply.body) < 1000


def test_pem_is_shown_to_those_who_may_download(world):
    for service, visible in (("webapp", True), ("writer", False)):
        certificate = world.certificate(service)
        shown = world.ask("GET", f"/certificates/{certificate.id}", peer=world.peer(service)).json
        assert (shown["certificate"] is not None) is visible
        assert (shown["chain"] is not None) is visible


def test_a_certificate_of_an_issuer_added_elsewhere_is_unavailable_for_now(world, monkeypatch):
    certificate = world.certificate("webapp")
    monkeypatch.setattr(world.authority, "issuers", ())
    path = f"/certificates/{certificate.id}"
    world.ask("GET", path, peer=local_peer()).problem(503, "unavailable")


# --- download ----------------------------------------------------------------------------------


def download(world, query, **headers):
    certificate = world.certificate("webapp")
    reply = world.ask(
        "GET", f"/certificates/{certificate.id}/download{query}", peer=local_peer(), headers=headers
    )
    assert reply.status == 200, reply.body
    return certificate, reply


def test_downloads_hold_what_their_format_says(world):
    issuer = world.authority.issuers[0].der
    for query, read, chain in (
        ("", x509.load_pem_x509_certificates, ()),
        ("?format=pem", x509.load_pem_x509_certificates, ()),
        ("?format=der", lambda der: [x509.load_der_x509_certificate(der)], ()),
        ("?format=fullchain", x509.load_pem_x509_certificates, (issuer,)),
        ("?format=pkcs7", pkcs7.load_der_pkcs7_certificates, (issuer,)),
    ):
        certificate, reply = download(world, query)
        expected = [x509.load_der_x509_certificate(der) for der in (certificate.der, *chain)]
        assert set(read(reply.body)) == set(expected), query
    _, reply = download(world, "?format=chain")
    assert x509.load_pem_x509_certificates(reply.body) == [x509.load_der_x509_certificate(issuer)]


@pytest.mark.parametrize("password", [None, "correct horse"])
def test_pkcs12_holds_certificates_and_no_key(world, password):
    headers = {} if password is None else {"x-pkcs12-password": password}
    certificate, reply = download(world, "?format=pkcs12", **headers)
    read = pkcs12.load_pkcs12(reply.body, password.encode() if password else None)
    assert read.key is None
    ders = {one.certificate.fingerprint for one in read.additional_certs}
    assert len(ders) == 2
    assert certificate.id


@pytest.mark.parametrize("password", ["", "a\nb", "é", "x" * 129])
def test_a_password_that_a_header_cannot_carry_is_refused(world, password):
    path = f"/certificates/{world.certificate('webapp').id}/download?format=pkcs12"
    headers = {"x-pkcs12-password": password}
    world.ask("GET", path, peer=local_peer(), headers=headers).problem(400, "malformed")


def test_a_download_is_audited(world):
    certificate, _ = download(world, "?format=chain")
    record = world.ask("GET", "/audit?limit=1", peer=local_peer()).json["records"][0]["record"]
    assert record["action"] == "certificate.download"
    assert record["certificate"] == certificate.serial.hex()


def test_downloads_of_a_service_are_limited_because_each_is_an_audit_record(world, monkeypatch):
    monkeypatch.setattr(record, "READS_PER_HOUR", 2)
    certificate, peer = world.certificate("reader"), world.peer("reader")
    path = f"/certificates/{certificate.id}/download"
    for _ in range(2):
        assert world.ask("GET", path, peer=peer).status == 200

    refused = world.ask("GET", path, peer=peer)

    refused.problem(429, "rate-limited")
    assert int(refused.headers["retry-after"]) > 0
    assert world.ask("GET", path, peer=world.peer("admin-cli")).status == 200


@pytest.mark.parametrize(
    "query",
    ["?format=p12", "?fromat=pem", "?format=pem&format=der", "?format", "?format=%ff", "?a=b"],
)
def test_a_download_with_other_parameters_is_refused(world, query):
    certificate = world.certificate("webapp")
    path = f"/certificates/{certificate.id}/download{query}"
    world.ask("GET", path, peer=local_peer()).problem(400, "malformed")


# --- successors --------------------------------------------------------------------------------


def test_renew_keeps_key_and_names_and_links_both(world):
    first = world.certificate("webapp", "webapp", "1.webapp.internal")
    reply = world.ask("POST", f"/certificates/{first.id}/renew", peer=world.peer("webapp"))
    assert reply.status == 201, reply.body
    second = world.stored(reply.json["certificate_id"]).certificate
    assert second.spki_sha256 == first.spki_sha256
    assert set(second.identifiers) == set(first.identifiers)
    assert reply.json["replaces"] == first.id
    shown = world.ask("GET", f"/certificates/{first.id}", peer=local_peer()).json
    assert shown["replaced_by"] == second.id


def test_renew_takes_a_lifetime(world):
    first = world.certificate("webapp")
    for wish, seconds in (({"lifetime": "12h"}, DAY // 2), ({"validity_days": 2}, 2 * DAY)):
        reply = world.ask("POST", f"/certificates/{first.id}/renew", peer=local_peer(), json=wish)
        second = world.stored(reply.json["certificate_id"]).certificate
        assert second.not_after - second.not_before == seconds


def test_a_revoked_certificate_has_no_successor(world):
    first = world.certificate("webapp")
    world.ask("DELETE", f"/certificates/{first.id}/revoke", peer=local_peer())
    for verb in ("renew", "rekey"):
        path = f"/certificates/{first.id}/{verb}"
        world.ask("POST", path, peer=local_peer()).problem(409, "conflict")


def test_rekey_takes_the_key_of_a_csr(world):
    first = world.certificate("webapp")
    key = generate(KeyType.ED25519)
    request = csr_of(key)
    reply = world.ask(
        "POST", f"/certificates/{first.id}/rekey", peer=local_peer(), json={"csr": request}
    )
    leaf = x509.load_pem_x509_certificate(reply.json["certificate"].encode())
    assert leaf.public_key() == key.public_key()
    assert reply.json["private_key"] is None
    assert reply.json["replaces"] == first.id


def csr_of(key):
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, None)
    from cryptography.hazmat.primitives.serialization import Encoding

    return request.public_bytes(Encoding.PEM).decode()


def test_rekey_without_a_csr_returns_a_new_key(world):
    first = world.certificate("webapp")
    reply = world.ask("POST", f"/certificates/{first.id}/rekey", peer=local_peer())
    key = load_pem_private_key(reply.json["private_key"].encode(), None)
    assert key.public_key() != load_der_public_key(_spki(first.der))


def _spki(der):
    from mintmark.wire.certificate import spki_of

    return spki_of(der)


def test_rekey_does_not_add_names(world):
    first = world.certificate("webapp")
    reply = world.ask(
        "POST",
        f"/certificates/{first.id}/rekey",
        peer=local_peer(),
        json={"csr": csr("", "more.webapp.internal")},
    )
    assert "more.webapp.internal" in reply.problem(422, "rejected-identifier")["detail"]


# --- lists -------------------------------------------------------------------------------------


def listed(world, query="", peer=None):
    reply = world.ask("GET", f"/certificates/{query}", peer=peer or local_peer())
    assert reply.status == 200, reply.body
    return reply.json


def test_a_list_is_paged_by_cursor_and_complete(world):
    ids = [world.certificate("paged").id for _ in range(7)]
    found, query = [], "?service=paged&limit=3"
    cursor = ""
    sizes = []
    while cursor is not None:
        page = listed(world, query + (f"&cursor={cursor}" if cursor else ""))
        found += [one["certificate_id"] for one in page["certificates"]]
        sizes.append(len(page["certificates"]))
        cursor = page["next_cursor"]
    assert found == ids[::-1]
    assert sizes == [3, 3, 1]


def test_a_page_that_is_exactly_full_can_be_the_last(world):
    for _ in range(2):
        world.certificate("exact")
    assert listed(world, "?service=exact&limit=2")["next_cursor"] is None


def test_a_service_lists_its_own_certificates_only(world):
    world.certificate("webapp")
    theirs = listed(world, "?limit=1000", world.peer("db"))["certificates"]
    assert theirs
    assert {one["service_name"] for one in theirs} == {"db"}
    assert listed(world, "?service=webapp", world.peer("db"))["certificates"] == []


def test_list_filters_narrow(world):
    server = world.certificate("narrow", "a.narrow.internal", profile="server")
    client = world.certificate("narrow", "b.narrow.internal", profile="client")
    world.ask("DELETE", f"/certificates/{client.id}/revoke", peer=local_peer())
    for query, expected in (
        ("&profile=server", [server.id]),
        ("&status=revoked", [client.id]),
        ("&status=active", [server.id]),
        ("&status=expired", []),
        ("&name=A.narrow.internal.", [server.id]),
        ("&name=c.narrow.internal", []),
        ("&expiring=364d", []),
        ("&expiring=366d&status=active", [server.id]),
        ("&profile=a%00b", []),
        ("&profile=", []),
    ):
        found = listed(world, f"?service=narrow{query}")["certificates"]
        assert [one["certificate_id"] for one in found] == expected, query


def test_the_list_has_no_pem(world):
    world.certificate("webapp")
    assert "certificate" not in listed(world, "?limit=1")["certificates"][0]


@pytest.mark.parametrize(
    "query",
    [
        "?limit=0",
        "?limit=1001",
        "?limit=-1",
        "?limit=x",
        "?limit=99999999999999999999999",
        "?status=hold",
        "?status=null",
        "?expiring=30",
        "?expiring=-1d",
        "?cursor=1",
        "?cursor=cert_" + "40" * 20,
        "?cursor=..",
        "?order=name",
        "?limit=1&limit=2",
        "?" + "&".join(f"a{n}=1" for n in range(30)),
    ],
)
def test_bad_list_parameters_are_refused(world, query):
    world.ask("GET", f"/certificates/{query}", peer=local_peer()).problem(400, "malformed")


def test_a_cursor_of_anothers_certificate_is_no_cursor(world):
    theirs = world.certificate("webapp")
    path = f"/certificates/?cursor={theirs.id}"
    world.ask("GET", path, peer=world.peer("db")).problem(400, "malformed")


def test_a_huge_query_is_too_large(world):
    path = f"/certificates/?name={'a' * 5000}"
    world.ask("GET", path, peer=local_peer()).problem(413, "too-large")
