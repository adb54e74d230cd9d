"""SSH certificates by the step protocol: sign, renew, rekey, revoke, and what is not a key."""

from __future__ import annotations

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
)

from mintmark.model.ssh import SSHCertificateType
from mintmark.model.time import DAY, HOUR
from tests.unit.step.world import (
    OTHER_KEY,
    SERVICES,
    blob_of,
    holder,
    of_others,
    pem_csr,
    provision,
    ssh_fields,
    with_claims,
)

INCOMPLETE = "The request could not be completed: "
USER_EXTENSIONS = {
    "permit-X11-forwarding": "",
    "permit-agent-forwarding": "",
    "permit-port-forwarding": "",
    "permit-pty": "",
    "permit-user-rc": "",
}


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def host(world, *names, key=None, **body):
    """Return a new host certificate."""
    key = key or new_key()
    given = names or ("web01.example.internal", "10.0.0.1")
    return world.ssh_sign(given[0], "host", *given, publicKey=blob_of(key), **body).done()["crt"]


# --- sign ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ssh/sign", "/1.0/ssh/sign", "/sign-ssh"])
def test_a_token_gets_its_user_certificate(world, clock, path):
    key = new_key()
    body = {
        "publicKey": blob_of(key),
        "ott": world.ssh_token("alice@example.internal", "user", "alice"),
        "certType": "user",
        "keyID": "alice@example.internal",
        "principals": ["alice"],
    }

    answer = world.post(path, body).done()

    fields = ssh_fields(answer["crt"])
    now = int(clock())
    assert answer.keys() == {"crt"}
    assert fields.type is SSHCertificateType.USER
    assert base64.b64encode(fields.key.blob).decode() == body["publicKey"]
    assert fields.key_id == "alice@example.internal"
    assert fields.principals == ("alice",)
    assert dict(fields.extensions) == USER_EXTENSIONS
    assert not fields.critical_options
    assert fields.valid_after == now - 60
    assert fields.valid_before - now in {16 * HOUR, 16 * HOUR - 60}
    assert len(fields.nonce) == 32
    assert fields.serial


def test_a_token_gets_its_host_certificate(world, clock):
    fields = ssh_fields(host(world))

    assert fields.type is SSHCertificateType.HOST
    assert fields.principals == ("web01.example.internal", "10.0.0.1")
    assert not fields.extensions
    assert fields.valid_before - int(clock()) in {30 * DAY, 30 * DAY - 60}


def test_what_the_request_leaves_out_the_token_says(world):
    token = world.ssh_token("alice@example.internal", "host", "a.example.internal")
    body = {"publicKey": blob_of(new_key()), "ott": token, "certType": "", "keyID": None}

    fields = ssh_fields(world.post("/ssh/sign", body).done()["crt"])

    assert fields.type is SSHCertificateType.HOST
    assert fields.principals == ("a.example.internal",)


@pytest.mark.parametrize("typed", ["laptop", "ALICE", "a\nb", "x" * 300])
def test_the_key_id_is_the_tokens_whatever_was_typed(world, typed):
    crt = world.ssh_sign("alice", "user", "alice", keyID=typed).done()["crt"]

    assert ssh_fields(crt).key_id == "alice"


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        (["alice"], ("alice",)),
        (["ALICE"], ("alice",)),
        (["alice", "Alice"], ("alice",)),
        (["BOB.Smith", "alice"], ("Bob.Smith", "alice")),
    ],
)
def test_principals_are_written_as_the_token_writes_them(world, asked, given):
    token = world.ssh_token("alice", "user", "alice", "Bob.Smith")

    crt = world.ssh_sign("alice", "user", ott=token, principals=asked).done()["crt"]

    assert ssh_fields(crt).principals == given


def test_a_host_is_the_same_host_in_capital_letters(world):
    name = "WEB01.Example.internal"

    fields = ssh_fields(world.ssh_sign(name, "host", name, name.lower()).done()["crt"])

    assert fields.principals == ("web01.example.internal",)
    assert fields.key_id == name
    assert world.post("/ssh/check-host", {"type": "host", "principal": name}).json["exists"]
    world.ssh_sign("alice", "user", "alice", principals=["WEB01.Example.internal"]).refused(403)


def test_two_logins_that_differ_in_case_stay_two(world):
    token = world.ssh_token("alice", "user", "Alice", "alice")

    crt = world.ssh_sign("alice", "user", ott=token, principals=["Alice"]).done()["crt"]

    assert ssh_fields(crt).principals == ("Alice",)


def test_a_principal_that_is_empty_is_malformed(world):
    token = world.ssh_token("alice", "user", "alice")

    world.ssh_sign("alice", "user", ott=token, principals=["alice", ""]).refused(400, "empty")


def test_a_token_without_principals_stands_for_its_subject(world):
    token = world.ssh_token("J.Doe@example.internal", "user")
    body = {"publicKey": blob_of(new_key()), "ott": token}

    fields = ssh_fields(world.post("/ssh/sign", body).done()["crt"])

    assert fields.principals == ("jdoe", "J.Doe", "J.Doe@example.internal")
    token = world.ssh_token("J.Doe@example.internal", "user")
    world.post("/ssh/sign", body | {"ott": token, "principals": ["root"]}).refused(403)


def test_a_token_for_a_tls_name_logs_in_nowhere(world):
    body = {"publicKey": blob_of(new_key()), "certType": "user", "principals": ["root"]}

    world.post("/ssh/sign", body | {"ott": world.token("web.example.internal")}).refused(401)


def test_a_token_for_an_ssh_host_is_no_tls_server(world):
    token = world.ssh_token("web.example.internal", "host", "web.example.internal")

    world.post("/sign", {"csr": pem_csr("web.example.internal"), "ott": token}).refused(401)


def test_a_token_for_an_hour_is_good_for_an_hour(world, clock):
    options = {"certType": "user", "principals": ["alice"], "validBefore": "1h"}
    body = {"publicKey": blob_of(new_key())}

    def token():
        return world.token("alice", "ssh/sign", step={"ssh": options})

    world.post("/ssh/sign", body | {"ott": token(), "validBefore": "16h"}).refused(403)
    fields = ssh_fields(world.post("/ssh/sign", body | {"ott": token()}).done()["crt"])
    assert fields.valid_before == int(clock()) + HOUR
    assert world.post("/ssh/sign", body | {"ott": token(), "validBefore": "1h"}).done()


@pytest.mark.parametrize(
    "wish",
    [
        {"principals": ["root"]},
        {"principals": ["alice", "root"]},
        {"principals": ["ALIC\N{LATIN CAPITAL LETTER E WITH ACUTE}"]},
        {"certType": "host"},
        {"validBefore": "48h"},
    ],
)
def test_more_than_the_token_vouches_for_is_refused(world, wish):
    world.ssh_sign("alice", "user", "alice", **wish).refused(403)


@pytest.mark.parametrize("principal", ["*", "a,b", "a b", "a\nb", "", "root\x00", "?", "\u2028"])
@pytest.mark.parametrize("type_", ["user", "host"])
def test_a_principal_that_weak_readers_misread_is_refused(world, type_, principal):
    assert world.ssh_sign("alice", type_, principal).status in {400, 401, 403}


def test_a_hundred_principals_are_too_many_to_name_and_not_too_many_to_refuse(world):
    names = [f"host{number}.example.internal" for number in range(1000)]

    assert world.ssh_sign("many", "host", *names).status in {400, 401, 403, 413}


@pytest.mark.parametrize(
    ("after", "before", "status"),
    [
        ("", "-1h", 400),
        ("48h", "72h", 403),
        ("2h", "1h", 400),
        ("", "1970-01-01T00:00:00Z", 400),
        ("-720h", "1h", 403),
    ],
)
def test_a_validity_that_is_none_is_refused(world, after, before, status):
    reply = world.ssh_sign("alice", "user", "alice", validAfter=after, validBefore=before)

    reply.refused(status)


@pytest.mark.parametrize("before", ["9999-12-31T23:59:59Z", "2562047h", "99999999h", "2036h2"])
def test_a_validity_that_overflows_is_refused(world, before):
    assert world.ssh_sign("alice", "user", "alice", validBefore=before).status in {400, 403}


def test_a_validity_inside_the_claims_is_given(world, clock):
    reply = world.ssh_sign("alice", "user", "alice", validAfter="-1m", validBefore="1h")

    fields = ssh_fields(reply.done()["crt"])
    assert (fields.valid_after, fields.valid_before) == (int(clock()) - 60, int(clock()) + HOUR)


@pytest.mark.parametrize(("after", "status"), [("-1h", 201), ("-1h2m", 403), ("-2h", 403)])
def test_a_validity_begins_an_hour_ago_at_the_most(world, clock, after, status):
    clock.advance(0.9)  # the request is read in whole seconds

    assert world.ssh_sign("alice", "user", "alice", validAfter=after).status == status


def test_one_token_is_one_certificate(world):
    token = world.ssh_token("alice", "user", "alice")
    world.ssh_sign("alice", "user", "alice", ott=token).done()

    world.ssh_sign("alice", "user", "alice", ott=token).refused(401)
    csr = pem_csr("alice")
    world.post("/sign", {"csr": csr, "ott": token}).refused(401)


def test_a_token_that_is_bound_to_a_key_gets_no_other(world):
    import hashlib

    from mintmark.wire import jose

    key = new_key()
    digest = hashlib.sha256(base64.b64decode(blob_of(key))).digest()
    bound = {"cnf": {"x5rt#S256": jose.encode(digest)}}
    token = world.ssh_token("alice", "user", "alice", **bound)
    assert world.ssh_sign("alice", "user", "alice", ott=token).status in {401, 403}

    mine = {"ott": world.ssh_token("alice@example.internal", "user", "alice", **bound)}
    mine |= {"publicKey": blob_of(key)}
    # Who found the token knows the key it is bound to, and would bring others beside it.
    for beside in (
        {"identityCSR": pem_csr("alice")},
        {"addUserPublicKey": blob_of(new_key())},
    ):
        reply = world.ssh_sign("alice@example.internal", "user", "alice", **mine, **beside)
        reply.refused(403, "another certificate request or public key")

    assert world.ssh_sign("alice@example.internal", "user", "alice", **mine).done()


def test_a_certificate_is_no_key(world):
    certificate = world.ssh_sign("alice", "user", "alice").done()["crt"]

    assert world.ssh_sign("bob", "user", "bob", publicKey=certificate).status in {400, 403}
    reply = world.ssh_sign("bob", "user", "bob", addUserPublicKey=certificate)
    assert reply.status in {400, 403}


def weak_keys():
    for private in (dsa.generate_private_key(1024), rsa.generate_private_key(65537, 1024)):
        line = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        yield line.split()[1].decode()


@pytest.mark.parametrize(
    "blob",
    [None, "", "x", "AAAA", "AAAAC3NzaC1lZDI1NTE5", "====", "ssh-ed25519 AAAA", "A" * 20_000],
)
def test_what_is_no_key_is_malformed(world, blob):
    world.ssh_sign("alice", "user", "alice", publicKey=blob).refused(400)
    if blob:
        world.ssh_sign("alice", "user", "alice", addUserPublicKey=blob).refused(400)


@pytest.mark.filterwarnings("ignore")
def test_weak_keys_are_refused(world):
    for blob, status in zip(weak_keys(), (400, 403), strict=True):
        world.ssh_sign("alice", "user", "alice", publicKey=blob).refused(status)
        world.ssh_sign("alice", "user", "alice", addUserPublicKey=blob).refused(status)


def test_the_authoritys_own_key_is_never_certified(world):
    (trusted,) = world.authority.ssh.trusts(SSHCertificateType.USER)
    blob = base64.b64encode(trusted.key.blob).decode()

    world.ssh_sign("alice", "user", "alice", publicKey=blob).refused(403)


@pytest.mark.parametrize(
    "private", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP384R1())]
)
def test_keys_of_other_kinds_are_certified(world, private):
    assert world.ssh_sign("alice", "user", "alice", publicKey=blob_of(private)).done()


def test_a_provisioner_without_ssh_vouches_for_none(world):
    provision(world, with_claims(SERVICES, ssh=False))

    world.ssh_sign("alice", "user", "alice").refused(403)


def test_an_unknown_type_is_malformed(world):
    world.ssh_sign("alice", "user", "alice", certType="both").refused(400)


# --- what goes with a user certificate -----------------------------------------------------------


def test_a_certificate_makes_the_user_on_a_host(world):
    added = new_key()

    reply = world.ssh_sign("alice", "user", "alice", addUserPublicKey=blob_of(added))

    fields = ssh_fields(reply.done()["addUserCrt"])
    assert base64.b64encode(fields.key.blob).decode() == blob_of(added)
    assert fields.key_id == "alice-provisioner"
    assert fields.principals == ("provisioner",)
    assert fields.critical_options == (
        ("force-command", "sudo useradd -m alice; nc -q0 localhost 22"),
    )
    assert not fields.extensions


@pytest.mark.parametrize("principal", ["$(id)", "a;b", "`id`", "a|b", "-rf", "a&b", "a'b"])
def test_no_principal_becomes_a_command_of_its_own(world, principal):
    reply = world.ssh_sign("alice", "user", principal, addUserPublicKey=blob_of(new_key()))

    assert "addUserCrt" not in reply.json


@pytest.mark.parametrize(
    ("type_", "principals"),
    [
        ("host", ["web01.example.internal"]),
        ("host", ["alice"]),
        ("user", ["alice", "bob"]),
        ("user", ["alice", "bob", "alice@example.internal"]),
        ("user", ["alice@example.internal"]),
    ],
)
def test_who_is_not_one_user_is_not_made_and_is_certified_all_the_same(world, type_, principals):
    reply = world.ssh_sign("alice", type_, *principals, addUserPublicKey=blob_of(new_key()))

    assert reply.done().keys() == {"crt"}


def test_a_token_whose_principals_make_no_user_makes_none_unasked(world):
    token = world.ssh_token("al.ice", "user", "alice", "bob")
    added = {"addUserPublicKey": blob_of(new_key())}

    reply = world.post("/ssh/sign", {"publicKey": blob_of(new_key()), "ott": token} | added)

    assert reply.done().keys() == {"crt"}


def identity_csr(key, *names):
    """Return a CSR as clients make it for an identity."""
    san = x509.SubjectAlternativeName([*map(x509.UniformResourceIdentifier, names)])
    builder = x509.CertificateSigningRequestBuilder(subject_name=x509.Name([]))
    request = builder.add_extension(san, critical=False).sign(key, SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def test_an_identity_certificate_comes_with_the_same_validity(world):
    key = new_key()
    csr = identity_csr(key, "urn:uuid:6f0c7f2e-0f4c-4a53-9c0e-000000000000")

    answer = world.ssh_sign(
        "alice@example.internal", "user", "alice", identityCSR=csr, validBefore="2h"
    ).done()

    leaf, *chain = answer["identityCrt"]
    certificate = x509.load_pem_x509_certificate(leaf.encode())
    fields = ssh_fields(answer["crt"])
    assert len(chain) == 1
    assert certificate.public_key() == key.public_key()
    assert certificate.not_valid_before_utc.timestamp() == fields.valid_after
    assert certificate.not_valid_after_utc.timestamp() == fields.valid_before - 1
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {one.dotted_string for one in usage} == {"1.3.6.1.5.5.7.3.2"}


def test_an_identity_lives_no_longer_than_others_of_its_kind(world, clock):
    csr = identity_csr(new_key())
    name = "web01.example.internal"

    reply = world.ssh_sign(name, "host", name, identityCSR=csr)

    certificate = x509.load_pem_x509_certificate(reply.done()["identityCrt"][0].encode())
    assert certificate.not_valid_after_utc.timestamp() == int(clock()) + DAY


def test_an_identity_is_that_of_the_token(world):
    csr = identity_csr(new_key(), "https://www.example.internal/", "spiffe://example.internal/x")

    reply = world.ssh_sign("alice@example.internal", "user", "alice", identityCSR=csr)

    certificate = x509.load_pem_x509_certificate(reply.done()["identityCrt"][0].encode())
    kind = x509.SubjectAlternativeName
    names = certificate.extensions.get_extension_for_class(kind).value
    assert [str(one.value) for one in names] == ["alice@example.internal"]


# --- possession ----------------------------------------------------------------------------------


def test_a_host_renews_its_certificate(world, clock):
    key = new_key()
    before = host(world, key=key)
    clock.advance(HOUR)

    token = world.possession("renew", key, before)
    after = ssh_fields(world.post("/1.0/ssh/renew", {"ott": token}).done()["crt"])

    old = ssh_fields(before)
    assert after.serial != old.serial
    assert (after.key.blob, after.key_id, after.principals) == (
        old.key.blob,
        old.key_id,
        old.principals,
    )
    assert after.valid_before - after.valid_after == old.valid_before - old.valid_after
    assert after.valid_after > old.valid_after
    world.post("/ssh/renew", {"ott": token}).refused(401)


def test_the_client_certificate_of_the_connection_is_renewed_with_it(world, clock):
    key, identity = new_key(), holder(world)
    before = host(world, key=key)
    clock.advance(HOUR)

    token = world.possession("renew", key, before)
    answer = world.post("/ssh/renew", {"ott": token}, peer=identity.peer).done()

    after = x509.load_pem_x509_certificate(answer["identityCrt"][0].encode())
    old = identity.parsed
    assert after.public_key() == old.public_key()
    assert after.subject == old.subject
    assert after.not_valid_after_utc > old.not_valid_after_utc
    assert after.not_valid_after_utc.timestamp() <= ssh_fields(answer["crt"]).valid_before


def test_a_client_certificate_that_is_not_renewed_keeps_no_host_from_its_own(world, clock):
    key, identity = new_key(), holder(world)
    before = host(world, key=key)
    serial = str(identity.parsed.serial_number)
    world.post("/revoke", {"serial": serial, "passive": True}, peer=identity.peer).done(200)
    clock.advance(HOUR)

    token = world.possession("renew", key, before)
    answer = world.post("/ssh/renew", {"ott": token}, peer=identity.peer).done()

    assert answer["crt"]
    assert "identityCrt" not in answer


def test_a_user_certificate_is_not_renewed(world):
    key = new_key()
    crt = world.ssh_sign("alice", "user", "alice", publicKey=blob_of(key)).done()["crt"]

    message = world.post("/ssh/renew", {"ott": world.possession("renew", key, crt)}).refused(400)

    assert message == f"{INCOMPLETE}sshpop certificate must be a host ssh certificate."


def test_a_user_certificate_is_renewed_where_that_is_claimed(world):
    key = new_key()
    claims = {"key": OTHER_KEY, "issuer": "deploy"}
    token = world.ssh_token("robot", "user", "robot", **claims)
    reply = world.ssh_sign("robot", "user", "robot", publicKey=blob_of(key), ott=token)
    crt = reply.done()["crt"]

    renewed = world.post("/ssh/renew", {"ott": world.possession("renew", key, crt)}).done()

    assert ssh_fields(renewed["crt"]).principals == ("robot",)


def test_a_host_changes_its_key(world):
    key, other = new_key(), new_key()
    before = host(world, key=key)
    body = {"ott": world.possession("rekey", key, before), "publicKey": blob_of(other)}

    after = ssh_fields(world.post("/ssh/rekey", body).done()["crt"])

    assert base64.b64encode(after.key.blob).decode() == blob_of(other)
    assert after.principals == ssh_fields(before).principals


@pytest.mark.parametrize("act", ["renew", "rekey"])
def test_a_host_whose_provisioner_forbids_renewal_is_not_authorized(world, act):
    key = new_key()
    crt = host(world, key=key)
    sshpop = world.authority.policy.provisioners["sshpop"].settings
    provision(world, with_claims(SERVICES, renewal=False), sshpop)

    body = {"ott": world.possession(act, key, crt), "publicKey": blob_of(new_key())}
    world.post(f"/ssh/{act}", body).refused(401, "does not allow it")


def test_a_rekey_needs_a_key(world):
    key = new_key()
    token = world.possession("rekey", key, host(world, key=key))

    world.post("/ssh/rekey", {"ott": token, "publicKey": ""}).refused(400)


def test_an_expired_host_certificate_is_not_renewed(world, clock):
    key = new_key()
    crt = host(world, key=key)
    clock.advance(31 * DAY)

    world.post("/ssh/renew", {"ott": world.possession("renew", key, crt)}).refused(401)


def test_the_key_of_another_possesses_nothing(world):
    crt = host(world)

    world.post("/ssh/renew", {"ott": world.possession("renew", new_key(), crt)}).refused(401)


def test_another_authoritys_certificate_is_nothing(world, store, clock, run):
    from mintmark.wire.ssh import certificate as ssh_certificate

    key = new_key()
    parsed = ssh_certificate.parse(base64.b64decode(host(world, key=key)))
    blob = bytearray(base64.b64decode(host(world, key=key)))
    at = blob.find(parsed.fields.authority.blob)
    blob[at + 60] ^= 1
    forged = base64.b64encode(bytes(blob)).decode()
    try:
        token = world.possession("renew", key, forged)
    except Exception:  # noqa: BLE001 - no key any more: nobody can make such a token
        return
    world.post("/ssh/renew", {"ott": token}).refused(401)


@pytest.mark.parametrize(
    ("made_for", "sent_to"),
    [("renew", "rekey"), ("rekey", "renew"), ("revoke", "renew"), ("sign", "renew"),
     ("renew", "sign"), ("renew", "revoke")],
)  # fmt: skip
def test_a_token_of_possession_is_for_one_act(world, made_for, sent_to):
    key = new_key()
    crt = host(world, key=key)
    body = {
        "ott": world.possession(made_for, key, crt),
        "publicKey": blob_of(new_key()),
        "serial": str(ssh_fields(crt).serial),
        "passive": True,
    }

    world.post(f"/ssh/{sent_to}", body).refused(401)


def test_possession_revokes_its_own_certificate_and_no_other(world):
    key = new_key()
    crt, other = host(world, key=key), host(world, "other.example.internal")
    number = str(ssh_fields(crt).serial)
    body = {"reasonCode": 0, "reason": "", "passive": True}

    wrong = {"serial": str(ssh_fields(other).serial)} | body
    world.post("/ssh/revoke", wrong | {"ott": world.possession("revoke", key, crt)}).refused(403)
    of_other = world.possession("revoke", key, crt, sub=wrong["serial"])
    assert world.post("/ssh/revoke", wrong | {"ott": of_other}).status in {401, 403}

    right = {"serial": number, "ott": world.possession("revoke", key, crt)} | body
    right["reason"] = "sold"
    for text in ("two\nlines", "x" * 257):
        world.post("/ssh/revoke", right | {"reason": text}).refused(400)
    assert world.post("/ssh/revoke", right).done(200) == {"status": "ok"}
    records, _ = world.run(world.store.audit(before=None, limit=1, service=None, action=None))
    assert b'"note":"sold"' in records[0].leaf
    world.post("/ssh/renew", {"ott": world.possession("renew", key, crt)}).refused(401)

    again = right | {"ott": world.possession("revoke", key, crt)}
    assert world.post("/ssh/revoke", again).refused(400) == (
        f"{INCOMPLETE}certificate with serial number '{number}' is already revoked."
    )
    forged = right | {"ott": world.possession("revoke", new_key(), crt)}
    world.post("/ssh/revoke", forged).refused(401, "is not signed by")


def test_the_second_revocation_says_so(world):
    crt = host(world)
    number = str(ssh_fields(crt).serial)
    body = {"serial": number, "reasonCode": 1, "passive": True}
    world.post("/ssh/revoke", body | {"ott": world.token(number, "ssh/revoke")}).done(200)

    message = world.post("/ssh/revoke", body | {"ott": world.token(number, "ssh/revoke")})

    assert message.refused(400) == (
        f"{INCOMPLETE}certificate with serial number '{number}' is already revoked."
    )


def test_a_serial_with_zeros_in_front_is_the_same_number(world):
    number = ssh_fields(host(world)).serial
    body = {"serial": hex(number), "reasonCode": 0, "passive": True}

    token = world.token(f"0{number}", "ssh/revoke")

    world.post("/ssh/revoke", body | {"ott": token}).done(200)


def test_an_x509_serial_is_no_ssh_serial(world):
    held = of_others(world)
    body = {"serial": held.serial, "passive": True, "ott": world.token(held.serial, "ssh/revoke")}

    assert world.post("/ssh/revoke", body).status in {401, 403, 404}


def test_possession_signs_nothing_new(world):
    key = new_key()
    crt = host(world, key=key)
    token = world.possession("sign", key, crt)

    world.ssh_sign("web01", "host", "web01.example.internal", ott=token).refused(401)
    world.post("/sign", {"csr": pem_csr("web01.example.internal"), "ott": token}).refused(401)
