"""SSH over the API: what is issued, what is refused, and what attackers try."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mintmark.authority.issuance.ssh_keys import SSHKeys
from mintmark.authority.signer.file import generate
from mintmark.client.ssh_documents import SSHCertificateDocument
from mintmark.model.keys import KeyType
from mintmark.model.ssh import SSHCertificateType
from mintmark.model.time import DAY, HOUR
from mintmark.wire import jose, pem
from mintmark.wire.http import Peer
from mintmark.wire.ssh import certificate as wire_ssh
from mintmark.wire.ssh import key as wire_key
from mintmark.wire.ssh.key import from_public_key
from tests.unit.rest.world import HOST, csr, local_peer, public_key_line

KEYS = generate(KeyType.ED25519)


def ask(world, *, status=201, **wish):
    """Return the certificate of service webapp that was asked for."""
    credential = {name: wish.pop(name) for name in ("peer", "token", "headers") if name in wish}
    if not {"peer", "token"} & credential.keys():
        credential["peer"] = world.peer("webapp")
    wish.setdefault("public_key", public_key_line())
    reply = world.ask("POST", "/ssh/certificates", json=wish, **credential)
    assert reply.status == status, reply.body
    return reply


def fields(document):
    return wire_ssh.parse_line(document["certificate"]).fields


def audit(world, action):
    reply = world.ask("GET", f"/audit?action={action}&limit=1", peer=local_peer())
    return reply.json["records"][0]["record"]


# --- issued ------------------------------------------------------------------------------------


def test_a_service_gets_a_user_certificate_for_its_logins(world):
    key = generate(KeyType.ED25519)
    peer = world.peer("webapp")

    reply = ask(world, peer=peer, public_key=public_key_line(key), principals=["webapp"])

    document = reply.json
    found = fields(document)
    wire_ssh.verify(wire_ssh.parse_line(document["certificate"]))
    assert found.key.blob == from_public_key(key.public_key()).blob
    assert (found.type, found.principals) == (SSHCertificateType.USER, ("webapp",))
    assert found.key_id == document["key_id"] == "webapp"
    assert document["serial_number"] == str(found.serial)
    assert document["extensions"].keys() >= {"permit-pty"}
    assert document["critical_options"] == {}
    assert reply.headers["location"] == f"/api/v1/ssh/certificates/{document['certificate_id']}"
    user_ca = world.authority.ssh.active(SSHCertificateType.USER).authority
    assert found.authority.blob == user_ca.key.blob
    assert document["authority_fingerprint"] == wire_key.fingerprint(user_ca.key.blob)
    assert json.loads(json.dumps(document)).keys() >= set(
        SSHCertificateDocument.__struct_fields__
    ) - {"revoked_at"}


def test_a_service_gets_a_host_certificate_for_its_names(world):
    document = ask(world, type="host", principals=["a.webapp.internal"]).json

    assert (document["type"], document["profile"]) == ("host", "ssh-host")
    assert fields(document).type is SSHCertificateType.HOST
    assert document["extensions"] == {}


def test_the_validity_is_told_as_openssh_counts_it(world):
    document = ask(world, principals=["webapp"], lifetime="1h").json

    assert document["valid_before"] == "2027-01-15T09:00:00Z"
    assert fields(document).valid_before == int(world.clock()) + HOUR
    assert fields(document).valid_after == int(world.clock()) - 60


def test_an_issuance_is_on_record(world):
    document = ask(world, principals=["webapp"]).json

    record = audit(world, "ssh.request")

    assert record["certificate"] == document["certificate_id"].removeprefix("cert_")
    assert record["details"]["principals"] == ["webapp"]
    assert record["service"] == "webapp"


def test_an_identity_comes_with_the_same_validity(world):
    document = ask(
        world, principals=["webapp"], identity_csr=csr("webapp", "webapp"), lifetime="2h"
    ).json

    leaf = x509.load_pem_x509_certificate(document["identity_certificate"].encode())
    assert int(leaf.not_valid_after_utc.timestamp()) + 1 == fields(document).valid_before
    assert document["identity_certificate"].count("BEGIN CERTIFICATE") == 2
    record = audit(world, "ssh.request")
    assert record["details"]["identity"]


def test_a_refused_identity_refuses_the_whole_request(world):
    peer = world.peer("webapp")
    before = world.run(world.store.count())

    wanted = csr("db", "db.db.internal")
    reply = ask(world, peer=peer, status=422, principals=["webapp"], identity_csr=wanted)

    reply.problem(422, "rejected-identifier")
    assert world.run(world.store.count()) == before


def test_a_one_time_token_is_good_for_one_ssh_certificate(world):
    reply = world.ask(
        "POST",
        "/tokens",
        peer=local_peer(),
        json={"service_name": "job", "principals": ["backup"], "profile": "ssh-user"},
    )
    token = reply.json["token"]

    document = ask(world, token=token).json

    assert (document["principals"], document["service_name"]) == (["backup"], "job")
    ask(world, token=token, status=401).problem(401, "bad-token")


def test_a_one_time_token_gets_no_other_principal(world):
    made = {"service_name": "job", "principals": ["backup"], "profile": "ssh-user"}
    token = world.ask("POST", "/tokens", peer=local_peer(), json=made).json["token"]

    ask(world, token=token, principals=["root"], status=422).problem(422, "rejected-identifier")


def test_an_admin_asks_for_another_service(world):
    document = ask(
        world, peer=local_peer(), service_name="db", principals=["postgres"], key_id="drill"
    ).json

    assert (document["service_name"], document["key_id"]) == ("db", "drill")


# --- refused -----------------------------------------------------------------------------------


def test_no_service_asks_for_another(world):
    ask(world, service_name="db", principals=["db"], status=403).problem(403, "forbidden")


@pytest.mark.parametrize(
    "principal",
    [
        "root",
        "db",
        "webapp,root",
        "*",
        "web*",
        "web app",
        " webapp",
        "webapp\n",
        "w\u00e9bapp",
        "-",
    ],
)
def test_principals_of_others_and_tricks_are_refused(world, principal):
    ask(world, principals=[principal], status=422).problem(422, "rejected-identifier")


def test_an_empty_principal_does_not_even_decode(world):
    reply = world.ask(
        "POST",
        "/ssh/certificates",
        peer=world.peer("webapp"),
        json={"public_key": public_key_line(), "principals": ["webapp", ""]},
    )
    assert reply.status in {400, 422}, reply.body


def test_no_principals_at_all_are_refused(world):
    """A user certificate without principals logs in as everybody."""
    ask(world, status=422).problem(422, "rejected-identifier")


def test_a_certificate_is_no_public_key(world):
    """CVE-2024-7594 and rule 7: what is certified is a bare key."""
    line = ask(world, principals=["webapp"]).json["certificate"]
    disguised = f"ssh-ed25519 {line.split()[1]}"

    for text in (line, disguised):
        ask(world, public_key=text, principals=["webapp"], status=422).problem(
            422, "bad-public-key"
        )


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        "ssh-dss AAAAB3NzaC1kc3MAAACBAA==",
        "ssh-ed25519",
        "ssh-ed25519 !!!!",
        'command="x" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA',
        f"{public_key_line()}\n{public_key_line()}",
    ],
)
def test_what_is_no_public_key_is_refused(world, text):
    ask(world, public_key=text, principals=["webapp"], status=422).problem(422, "bad-public-key")


def test_a_ca_key_is_not_certified(world):
    trusted = world.authority.ssh.trusted[0]

    ask(world, public_key=wire_key.line(trusted.key), principals=["webapp"], status=422).problem(
        422, "bad-public-key"
    )


def test_type_and_profile_have_to_fit(world):
    ask(world, type="host", profile="ssh-user", principals=["a"], status=422).problem(
        422, "bad-profile"
    )
    ask(world, profile="server", principals=["webapp"], status=422).problem(422, "bad-profile")


def test_a_lifetime_over_the_profiles_is_refused(world):
    ask(world, principals=["webapp"], lifetime="8d", status=422).problem(422, "bad-lifetime")


def test_a_huge_lifetime_does_not_overflow(world):
    ask(world, principals=["webapp"], lifetime="999999999999y", status=422).problem(
        422, "bad-lifetime"
    )


def test_too_many_principals_are_refused(world):
    names = [f"webapp-{number}" for number in range(257)]

    ask(world, principals=names, status=400).problem(400, "malformed")


def test_without_ca_keys_nothing_is_issued(world):
    kept, world.authority.ssh = world.authority.ssh, SSHKeys()
    try:
        ask(world, principals=["webapp"], status=404).problem(404, "not-found")
        assert world.ask("GET", "/ssh/authorities").json == {"authorities": []}
    finally:
        world.authority.ssh = kept


def test_a_revoked_client_certificate_gets_nothing(world):
    peer = world.peer("webapp")
    serial = x509.load_der_x509_certificate(peer.certificate).serial_number
    world.ask("POST", "/crl/revoke", peer=local_peer(), json={"serial_number": f"{serial:040x}"})

    ask(world, peer=peer, principals=["webapp"], status=401).problem(401, "unauthenticated")


# --- tokens of provisioners --------------------------------------------------------------------


def signing_token(world, subject="alice", **claims):
    return world.jwt(subject, "ssh/sign", **claims)


def test_a_provisioners_token_gets_a_certificate_once(world):
    options = {"certType": "user", "keyID": "alice@corp", "principals": ["alice"]}
    token = signing_token(world, "alice@corp", step={"ssh": options})

    document = ask(world, token=token).json

    assert (document["principals"], document["key_id"]) == (["alice"], "alice@corp")
    assert document["service_name"].startswith("jwk.deploy.alice-corp-")
    assert audit(world, "ssh.request")["details"]["credential"] == "jwk"
    ask(world, token=token, status=401).problem(401, "bad-token")


def test_a_provisioners_token_gets_an_x509_certificate(world):
    token = world.jwt("a.corp.internal", sans=["a.corp.internal"])

    reply = world.ask(
        "POST",
        "/certificates/request",
        token=token,
        json={"csr": csr("a.corp.internal", "a.corp.internal")},
    )

    assert reply.status == 201, reply.body
    assert reply.json["service_name"] == "jwk.deploy.a.corp.internal"
    again = world.ask(
        "POST",
        "/certificates/request",
        token=token,
        json={"csr": csr("a.corp.internal", "a.corp.internal")},
    )
    again.problem(401, "bad-token")


def test_a_token_that_is_bound_to_a_csr_gets_no_other_over_the_api(world):
    wish = csr("a.corp.internal", "a.corp.internal")
    digest = sha256(pem.decode(pem.CSR, wish.encode())[0]).digest()
    token = world.jwt(
        "a.corp.internal", sans=["a.corp.internal"], cnf={"x5rt#S256": jose.encode(digest)}
    )

    for other in (
        {"csr": csr("a.corp.internal", "a.corp.internal")},
        {"common_name": "a.corp.internal"},  # whose key the server would make
    ):
        reply = world.ask("POST", "/certificates/request", token=token, json=other)
        reply.problem(422, "bad-public-key")
    reply = world.ask("POST", "/certificates/request", token=token, json={"csr": wish})
    assert reply.status == 201, reply.body


def test_a_refused_request_leaves_the_token_good(world):
    options = {"certType": "user", "principals": ["alice"]}
    token = signing_token(world, step={"ssh": options})

    ask(world, token=token, principals=["root"], status=422).problem(422, "rejected-identifier")

    ask(world, token=token)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": f"https://{HOST}/1.0/ssh/revoke"},
        {"aud": f"https://{HOST}/1.0/revoke"},
        {"aud": "https://other.example.internal/1.0/ssh/sign"},
        {"aud": [f"https://{HOST}/1.0/renew"]},
        {"aud": None},
        {"iss": "people"},
        {"iss": "nobody"},
        {"exp": 1_700_000_000},
        {"nbf": 1_900_000_000},
        {"sub": ""},
    ],
)
def test_a_token_for_something_else_is_no_credential(world, claims):
    ask(world, token=signing_token(world, **claims), status=401).problem(401, "bad-token")


def test_a_token_of_another_key_is_no_credential(world):
    other = ec.generate_private_key(ec.SECP256R1())

    ask(world, token=signing_token(world, key=other), status=401).problem(401, "bad-token")


@pytest.mark.parametrize("text", ["..", "a.b.c", "e30.e30.", "mmt_a.b.c", f"{'a' * 9000}.b.c"])
def test_texts_with_two_dots_are_no_credential(world, text):
    reply = ask(world, token=text, status=401)

    assert reply.json["type"].endswith("bad-token")


def test_a_token_with_more_dots_is_taken_for_a_one_time_token(world):
    ask(world, token="a.b.c.d.e", status=401).problem(401, "bad-token")


def test_an_unsigned_token_is_no_credential(world):
    header, claims, _ = signing_token(world).split(".")
    none = jose.encode(b'{"alg":"none","typ":"JWT"}')

    for text in (f"{none}.{claims}.", f"{header}.{claims}."):
        ask(world, token=text, status=401).problem(401, "bad-token")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/ssh/certificates"),
        ("GET", "/certificates/"),
        ("GET", "/audit"),
        ("POST", "/tokens"),
        ("POST", "/ssh/bans"),
        ("POST", "/crl/revoke"),
        ("POST", "/certificates/{id}/renew"),
        ("POST", "/certificates/{id}/rekey"),
        ("GET", "/certificates/{id}/download"),
        ("GET", "/ssh/certificates/{ssh_id}"),
    ],
)
def test_where_a_client_certificate_is_asked_for_no_token_will_do(world, method, path):
    path = path.format(id=world.certificate("webapp").id, ssh_id=world.ssh_certificate("webapp").id)
    body = {} if method == "POST" else None

    reply = world.ask(method, path, token=signing_token(world), json=body)

    reply.problem(401, "unauthenticated")


def test_a_token_is_not_rescued_by_a_client_certificate(world):
    ask(
        world,
        token=signing_token(world, aud="https://elsewhere/1.0/ssh/sign"),
        peer=world.peer("webapp"),
        principals=["webapp"],
        status=401,
    ).problem(401, "bad-token")


# --- possession of an SSH certificate ----------------------------------------------------------


def possession(world, key, certificate, method, **claims):
    """Return an SSHPOP token."""
    header = {"kid": "x", "sshpop": base64.b64encode(certificate.der).decode()}
    said = {"iss": "pop", "aud": f"https://{HOST}/1.0/ssh/{method}#sshpop/pop"} | claims
    return world.jwt(str(certificate.number), key=key, header=header, **said)


@pytest.fixture
def held(world):
    """A host's key and certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key, world.ssh_certificate("webapp", "a.webapp.internal", key=key, host=True)


def test_a_host_renews_by_possession_once(world, held):
    key, certificate = held
    token = possession(world, key, certificate, "renew")
    path = f"/ssh/certificates/{certificate.id}/renew"

    reply = world.ask("POST", path, token=token)

    assert reply.status == 201, reply.body
    assert reply.json["replaces"] == certificate.id
    assert reply.json["principals"] == ["a.webapp.internal"]
    assert fields(reply.json).key.blob == from_public_key(key.public_key()).blob
    world.ask("POST", path, token=token).problem(401, "bad-token")


def test_a_host_rekeys_by_possession(world, held):
    key, certificate = held
    token = possession(world, key, certificate, "rekey")
    new = generate(KeyType.ED25519)

    reply = world.ask(
        "POST",
        f"/ssh/certificates/{certificate.id}/renew",
        token=token,
        json={"public_key": public_key_line(new)},
    )

    assert reply.status == 201, reply.body
    assert fields(reply.json).key.blob == from_public_key(new.public_key()).blob


def test_a_token_for_renewal_certifies_no_new_key_and_the_other_way_round(world, held):
    key, certificate = held
    path = f"/ssh/certificates/{certificate.id}/renew"

    reply = world.ask(
        "POST",
        path,
        token=possession(world, key, certificate, "renew"),
        json={"public_key": public_key_line()},
    )
    reply.problem(401, "bad-token")
    reply = world.ask("POST", path, token=possession(world, key, certificate, "rekey"))
    reply.problem(401, "bad-token")


@pytest.mark.parametrize("action", ["renew", "revoke"])
def test_possession_of_one_certificate_says_nothing_of_another(world, held, action):
    key, certificate = held
    other = world.ssh_certificate("webapp", "b.webapp.internal", host=True)
    foreign = world.ssh_certificate("db", "b.db.internal", host=True)
    method = "POST" if action == "renew" else "DELETE"

    for one in (other, foreign):
        token = possession(world, key, certificate, action)
        reply = world.ask(method, f"/ssh/certificates/{one.id}/{action}", token=token)
        assert reply.status in {401, 404}, reply.body
        assert world.stored(one.id).revocation is None


def test_possession_is_shown_with_the_key_of_the_certificate(world, held):
    _, certificate = held
    thief = ec.generate_private_key(ec.SECP256R1())

    token = possession(world, thief, certificate, "renew")

    path = f"/ssh/certificates/{certificate.id}/renew"
    world.ask("POST", path, token=token).problem(401, "bad-token")


def test_possession_revokes_its_own(world, held):
    key, certificate = held

    reply = world.ask(
        "DELETE",
        f"/ssh/certificates/{certificate.id}/revoke",
        token=possession(world, key, certificate, "revoke"),
        json={"reason": "superseded"},
    )

    assert reply.status == 200, reply.body
    assert world.stored(certificate.id).revocation is not None
    token = possession(world, key, certificate, "renew")
    world.ask("POST", f"/ssh/certificates/{certificate.id}/renew", token=token).problem(
        401, "bad-token"
    )


def test_possession_gets_no_new_certificate(world, held):
    key, certificate = held

    token = possession(world, key, certificate, "sign")

    ask(world, token=token, principals=["root"], status=401).problem(401, "bad-token")


def test_a_provisioners_key_revokes_what_it_vouched_for_and_nothing_else(world):
    options = {"certType": "user", "principals": ["alice"]}
    mine = ask(world, token=signing_token(world, step={"ssh": options})).json
    others = world.ssh_certificate("webapp")

    def revoke(certificate_id, serial):
        return world.ask(
            "DELETE",
            f"/ssh/certificates/{certificate_id}/revoke",
            token=world.jwt(serial, "ssh/revoke"),
        )

    assert revoke(others.id, str(others.number)).status in {401, 403, 404}
    revoke(others.id, mine["serial_number"]).problem(404, "not-found")
    assert world.stored(others.id).revocation is None
    assert world.stored(mine["certificate_id"]).revocation is None
    assert revoke(mine["certificate_id"], mine["serial_number"]).status == 200


def test_an_x509_token_does_not_revoke_another_certificate(world):
    made = [
        world.ask(
            "POST",
            "/certificates/request",
            token=world.jwt(name),
            json={"csr": csr(name, name)},
        ).json
        for name in ("a.corp.internal", "b.corp.internal")
    ]
    token = world.jwt(str(int(made[0]["serial_number"], 16)), "revoke")

    reply = world.ask("DELETE", f"/certificates/{made[1]['certificate_id']}/revoke", token=token)
    assert reply.status in {401, 404}
    reply = world.ask("DELETE", f"/certificates/{made[0]['certificate_id']}/revoke", token=token)
    assert reply.status == 200, reply.body
    assert world.stored(made[1]["certificate_id"]).revocation is None


# --- renewed and revoked by client certificates ------------------------------------------------


def test_a_service_renews_and_rekeys_its_own(world):
    peer = world.peer("webapp")
    first = ask(world, peer=peer, principals=["webapp"], lifetime="4h").json

    second = world.ask("POST", f"/ssh/certificates/{first['certificate_id']}/renew", peer=peer)
    third = world.ask(
        "POST",
        f"/ssh/certificates/{second.json['certificate_id']}/renew",
        peer=peer,
        json={"public_key": public_key_line()},
    )

    assert (second.status, third.status) == (201, 201), (second.body, third.body)
    assert fields(second.json).key.blob == fields(first).key.blob
    assert fields(third.json).key.blob != fields(first).key.blob
    shown = world.ask("GET", f"/ssh/certificates/{first['certificate_id']}", peer=peer).json
    assert shown["replaced_by"] == second.json["certificate_id"]


def test_a_serial_as_openssh_writes_it_names_a_certificate(world):
    peer = world.peer("webapp")
    document = ask(world, peer=peer, principals=["webapp"]).json

    shown = world.ask("GET", f"/ssh/certificates/{document['serial_number']}", peer=peer)

    assert shown.json["certificate_id"] == document["certificate_id"]


@pytest.mark.parametrize("text", ["webapp", "0", "18446744073709551616", "cert_", "cert_12", "-1"])
def test_other_texts_name_no_ssh_certificate(world, text):
    reply = world.ask("GET", f"/ssh/certificates/{text}", peer=world.peer("webapp"))

    reply.problem(404, "not-found")


@pytest.mark.parametrize(
    ("method", "action"), [("GET", ""), ("POST", "/renew"), ("DELETE", "/revoke")]
)
def test_the_certificate_of_another_service_is_not_there(world, method, action):
    certificate = world.ssh_certificate("db")
    nothing = f"cert_{'0' * 15}1"

    replies = [
        world.ask(method, f"/ssh/certificates/{one}{action}", peer=world.peer("webapp"))
        for one in (certificate.id, nothing)
    ]

    assert [reply.status for reply in replies] == [404, 404]
    details = [reply.json["detail"].replace(certificate.id, nothing) for reply in replies]
    assert details[0] == details[1]


def test_a_revoked_certificate_is_not_renewed(world):
    peer = world.peer("webapp")
    document = ask(world, peer=peer, principals=["webapp"]).json
    path = f"/ssh/certificates/{document['certificate_id']}"

    reply = world.ask("DELETE", f"{path}/revoke", peer=peer, json={"reason": "key-compromise"})

    assert reply.json["revocation_reason"] == "key-compromise"
    world.ask("POST", f"{path}/renew", peer=peer).problem(409, "conflict")
    world.ask("DELETE", f"{path}/revoke", peer=peer).problem(409, "already-revoked")
    assert world.ask("GET", path, peer=peer).json["status"] == "revoked"
    ask(
        world,
        public_key=wire_key.line(fields(document).key),
        principals=["webapp"],
        status=422,
    ).problem(422, "bad-public-key")


def test_an_expired_certificate_is_not_renewed(world):
    peer = world.peer("webapp")
    document = ask(world, peer=peer, principals=["webapp"], lifetime="1h").json
    world.clock.now += 2 * HOUR

    path = f"/ssh/certificates/{document['certificate_id']}/renew"
    world.ask("POST", path, peer=peer).problem(409, "conflict")


# --- once --------------------------------------------------------------------------------------


def test_a_repeated_request_gets_the_same_certificate(world):
    peer, key = world.peer("webapp"), public_key_line()
    headers = {"idempotency-key": "ssh-1"}

    first = ask(world, peer=peer, headers=headers, public_key=key, principals=["webapp"])
    again = ask(
        world, peer=peer, headers=headers, public_key=key, principals=["webapp"], status=200
    )

    assert again.json == first.json
    assert again.headers["idempotent-replay"] == "true"
    ask(
        world, peer=peer, headers=headers, public_key=key, principals=["webapp-2"], status=409
    ).problem(409, "conflict")


def test_a_repetition_tells_the_identity_too(world):
    peer, key, wanted = world.peer("webapp"), public_key_line(), csr("webapp", "webapp")
    wish = {
        "peer": peer,
        "headers": {"idempotency-key": "ssh-2"},
        "public_key": key,
        "principals": ["webapp"],
        "identity_csr": wanted,
    }
    first = ask(world, **wish)
    world.certificate("webapp")

    again = ask(world, **wish, status=200)

    assert again.json == first.json
    assert again.json["identity_certificate"]


def test_an_identity_beside_a_token_has_names_of_the_token_alone(world):
    options = {"ssh": {"certType": "user", "principals": ["alice"]}}
    name = "alice.example.internal"

    token = signing_token(world, name, step=options)
    assert ask(world, token=token, identity_csr=csr("", name)).json["identity_certificate"]

    token = signing_token(world, name, step=options)
    refused = ask(world, token=token, identity_csr=csr("", "www.example.internal"), status=422)
    refused.problem(422, "rejected-identifier")


def test_a_repetition_with_a_burned_token_gets_the_same_certificate(world):
    token = signing_token(world, step={"ssh": {"certType": "user", "principals": ["alice"]}})
    wish = {"token": token, "headers": {"idempotency-key": "x"}, "public_key": public_key_line()}

    first = ask(world, **wish)
    again = ask(world, **wish, status=200)

    assert again.json == first.json
    wish["headers"] = {"idempotency-key": "y"}
    ask(world, **wish, status=401).problem(401, "bad-token")


def test_a_repeated_renewal_gets_the_same_successor(world):
    peer = world.peer("webapp")
    certificate = ask(world, peer=peer, principals=["webapp"]).json
    path = f"/ssh/certificates/{certificate['certificate_id']}/renew"
    headers = {"idempotency-key": "ssh-3"}

    first = world.ask("POST", path, peer=peer, headers=headers)
    again = world.ask("POST", path, peer=peer, headers=headers)

    assert (first.status, again.status) == (201, 200)
    assert again.json["certificate_id"] == first.json["certificate_id"]


# --- lists -------------------------------------------------------------------------------------


def listed(world, query="", service="db"):
    reply = world.ask("GET", f"/ssh/certificates?{query}", peer=world.peer(service))
    assert reply.status == 200, reply.body
    return reply.json


def test_lists_are_narrowed_by_every_parameter(world):
    user = world.ssh_certificate("db", "db", "shared")
    host = world.ssh_certificate("db", "x.db.internal", host=True)
    ids = [one["certificate_id"] for one in listed(world, "type=user")["certificates"]]
    assert user.id in ids
    assert host.id not in ids

    def first(query):
        return [one["certificate_id"] for one in listed(world, query)["certificates"]][:1]

    assert first("type=host") == [host.id]
    assert first("principal=shared") == [user.id]
    assert first("principal=x.db.internal&type=host") == [host.id]
    assert first("key_id=db&type=user&status=active") == [user.id]
    assert first("principal=nobody") == []
    assert first("status=revoked") == []
    assert first("expiring=17h&type=host") == []
    assert first("service=webapp") == []


def test_a_principal_is_not_taken_for_a_key_id(world):
    certificate = world.ssh_certificate("db", "other")  # its key id is db

    found = listed(world, "principal=db")["certificates"]

    assert certificate.id not in [one["certificate_id"] for one in found]


def test_pages_follow_each_other_through_both_types(world):
    made = [
        world.ssh_certificate("reader", "a", host=bool(number % 2)).id
        if number % 2 == 0
        else world.ssh_certificate("reader", "a.internal", host=True).id
        for number in range(7)
    ]
    seen, cursor = [], ""
    while True:
        page = listed(world, f"limit=2{cursor}", "reader")
        seen += [one["certificate_id"] for one in page["certificates"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == made[::-1]


@pytest.mark.parametrize("cursor", ["cert_00", "1", "cert_0000000000000000", "x"])
def test_a_cursor_that_is_none_is_refused(world, cursor):
    peer = world.peer("webapp")

    world.ask("GET", f"/ssh/certificates?cursor={cursor}", peer=peer).problem(400, "malformed")


@pytest.mark.parametrize("value", ["%00", "%0a", "", "a%07"])
def test_texts_that_no_certificate_carries_find_nothing(world, value):
    for name in ("principal", "key_id", "service"):
        assert listed(world, f"{name}={value}")["certificates"] == []


# --- one inventory -----------------------------------------------------------------------------


def test_the_inventory_lists_both_kinds(world):
    certificate = world.ssh_certificate("webapp", "webapp", "webapp-2")
    peer = world.peer("webapp")

    x509_only = world.ask("GET", "/certificates/?kind=x509", peer=peer).json["certificates"]
    users = world.ask("GET", "/certificates/?kind=ssh-user", peer=peer).json["certificates"]
    both = world.ask("GET", "/certificates/?limit=1000", peer=peer).json["certificates"]

    assert {one["kind"] for one in x509_only} == {"x509"}
    assert users[0]["certificate_id"] == certificate.id
    assert (users[0]["kind"], users[0]["common_name"]) == ("ssh-user", "webapp")
    assert users[0]["names"] == [
        {"type": "principal", "value": "webapp"},
        {"type": "principal", "value": "webapp-2"},
    ]
    assert users[0]["issuer"].startswith("SSH user CA ")
    assert {one["kind"] for one in both} >= {"x509", "ssh-user"}


def test_a_principal_is_found_in_the_inventory_by_kind(world):
    certificate = world.ssh_certificate("webapp", "Mixed_Case")
    peer = world.peer("webapp")

    found = world.ask("GET", "/certificates/?kind=ssh-user&name=Mixed_Case", peer=peer).json

    assert [one["certificate_id"] for one in found["certificates"]] == [certificate.id]


def test_show_and_revoke_take_both_kinds(world):
    certificate = world.ssh_certificate("webapp")
    peer = world.peer("webapp")

    shown = world.ask("GET", f"/certificates/{certificate.id}", peer=peer).json
    assert (shown["kind"], shown["chain"]) == ("ssh-user", None)
    assert wire_ssh.parse_line(shown["certificate"]).blob == certificate.der
    reply = world.ask("DELETE", f"/certificates/{certificate.id}/revoke", peer=peer)
    assert reply.status == 200


def test_a_serial_is_checked_and_revoked_whatever_kind_it_is_of(world):
    certificate = world.ssh_certificate("webapp")
    peer = world.peer("webapp")

    def check(text):
        return world.ask("GET", f"/crl/check/{text}", peer=peer).json

    assert check(certificate.number)["status"] == "active"
    assert check(f"0x{certificate.serial.hex()}")["serial_number"] == certificate.serial.hex()
    wish = {"serial_number": str(certificate.number)}
    assert world.ask("POST", "/crl/revoke", peer=peer, json=wish).status == 200
    assert check(certificate.number)["status"] == "revoked"
    assert check(1)["status"] == "unknown"


def test_download_gives_the_line(world):
    certificate = world.ssh_certificate("webapp")
    peer = world.peer("webapp")

    reply = world.ask("GET", f"/certificates/{certificate.id}/download", peer=peer)

    assert reply.response.content_type == "text/plain; charset=utf-8"
    assert wire_ssh.parse_line(reply.body.decode()).blob == certificate.der
    assert audit(world, "certificate.download")["details"] == {"format": "ssh"}


@pytest.mark.parametrize("form", ["pem", "der", "chain", "fullchain", "pkcs12", "pkcs7"])
def test_an_ssh_certificate_has_no_form_of_x509(world, form):
    certificate = world.ssh_certificate("webapp")
    path = f"/certificates/{certificate.id}/download?format={form}"

    world.ask("GET", path, peer=world.peer("webapp")).problem(409, "conflict")


def test_an_x509_certificate_has_no_form_of_ssh(world):
    certificate = world.certificate("webapp")
    path = f"/certificates/{certificate.id}/download?format=ssh"

    world.ask("GET", path, peer=world.peer("webapp")).problem(409, "conflict")


@pytest.mark.parametrize("action", ["renew", "rekey"])
def test_what_x509_can_is_refused_for_an_ssh_certificate(world, action):
    certificate = world.ssh_certificate("webapp")
    path = f"/certificates/{certificate.id}/{action}"

    problem = world.ask("POST", path, peer=world.peer("webapp"), json={}).problem(409, "conflict")

    assert certificate.id in problem["detail"]
    assert "/api/v1/ssh/certificates/" in problem["hint"]


@pytest.mark.parametrize(
    ("method", "action"), [("GET", ""), ("POST", "/renew"), ("DELETE", "/revoke")]
)
def test_what_ssh_can_is_refused_for_an_x509_certificate(world, method, action):
    certificate = world.certificate("webapp")
    path = f"/ssh/certificates/{certificate.id}{action}"

    problem = world.ask(method, path, peer=world.peer("webapp")).problem(409, "conflict")

    assert f"/api/v1/certificates/{certificate.id}" in problem["hint"]
    assert world.stored(certificate.id).revocation is None


def test_a_service_id_means_the_x509_certificate(world):
    certificate = world.certificate("webapp")
    world.ssh_certificate("webapp")

    shown = world.ask("GET", "/certificates/webapp", peer=world.peer("webapp"))

    assert shown.json["kind"] == "x509"
    assert shown.json["certificate_id"] != certificate.id  # the peer's own is newer


def test_renewal_windows_are_not_moved_for_ssh(world):
    world.ssh_certificate("single")

    wish = {"service_name": "single"}
    reply = world.ask("POST", "/renewal-windows", peer=local_peer(), json=wish)

    assert reply.json["moved"] == 0


def test_an_ssh_certificate_is_no_client_certificate(world):
    certificate = world.ssh_certificate("webapp")

    reply = world.ask("GET", "/certificates/", peer=Peer("127.0.0.1", certificate.der))

    assert reply.status in {400, 401}


# --- bans --------------------------------------------------------------------------------------


def test_a_banned_key_gets_no_certificate(world):
    line = public_key_line()

    reply = world.ask(
        "POST",
        "/ssh/bans",
        peer=local_peer(),
        json={"public_key": line, "reason": "key-compromise"},
    )

    assert reply.status == 201, reply.body
    assert reply.json["kind"] == "key"
    assert reply.json["value"] == wire_key.fingerprint(wire_key.parse_line(line).blob)
    ask(world, public_key=line, principals=["webapp"], status=422).problem(422, "bad-public-key")
    assert audit(world, "ssh.ban")["details"]["reason"] == "key-compromise"
    again = world.ask("POST", "/ssh/bans", peer=local_peer(), json={"public_key": line})
    again.problem(409, "conflict")


def test_a_banned_key_id_is_in_no_certificate(world):
    reply = world.ask("POST", "/ssh/bans", peer=local_peer(), json={"key_id": "mallory"})
    assert (reply.status, reply.json["value"]) == (201, "mallory")

    wish = {"peer": local_peer(), "service_name": "db", "principals": ["db"], "key_id": "mallory"}
    ask(world, **wish, status=403).problem(403, "forbidden")


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"key_id": "a", "public_key": public_key_line()},
        {"key_id": ""},
        {"key_id": "a\nb"},
        {"public_key": "ssh-ed25519 AAAA"},
    ],
)
def test_a_ban_names_one_thing(world, wish):
    reply = world.ask("POST", "/ssh/bans", peer=local_peer(), json=wish)

    assert reply.status in {400, 422}, reply.body


def test_a_ca_key_is_not_banned(world):
    line = wire_key.line(world.authority.ssh.trusted[0].key)

    reply = world.ask("POST", "/ssh/bans", peer=local_peer(), json={"public_key": line})

    reply.problem(409, "conflict")


# --- public ------------------------------------------------------------------------------------


def test_everybody_sees_the_keys_to_trust(world):
    found = world.ask("GET", "/ssh/authorities").json["authorities"]

    assert [one["type"] for one in found] == ["user", "host"]
    assert {one["generation"] for one in found} == {"active"}
    for one, trusted in zip(found, world.authority.ssh.trusted, strict=True):
        assert wire_key.parse_line(one["public_key"]).blob == trusted.key.blob
        assert one["fingerprint"] == wire_key.fingerprint(trusted.key.blob)


def test_active_keys_come_first(world):
    kept = world.authority.ssh
    user, host = kept.trusted
    following = replace(user, generation=type(user.generation).NEXT, id="0" * 16)
    world.authority.ssh = SSHKeys(kept.issuing, (following, user, host))
    try:
        found = world.ask("GET", "/ssh/authorities").json["authorities"]
    finally:
        world.authority.ssh = kept

    assert [one["generation"] for one in found] == ["active", "active", "next"]


def test_everybody_sees_where_people_sign_in(world):
    (provider,) = world.ask("GET", "/sign-in").json["providers"]

    assert provider["name"] == "people"
    assert provider["client_id"] == "mintmark"
    assert provider["scopes"] == ["openid", "email"]


def test_a_body_beyond_its_fields_is_refused(world):
    reply = world.ask(
        "POST",
        "/ssh/certificates",
        peer=world.peer("webapp"),
        json={"public_key": public_key_line(), "principals": ["webapp"], "extensions": {"x": ""}},
    )

    assert reply.status in {400, 422}
    ask(world, public_key="a" * 16385, principals=["webapp"], status=400)


def test_lifetimes_count_from_now(world):
    document = ask(world, type="host", principals=["a.webapp.internal"]).json

    assert fields(document).valid_before == int(world.clock()) + 30 * DAY
