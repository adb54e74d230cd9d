"""X.509 by the step protocol: sign, renew, rekey, revoke."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from mintmark.model.time import DAY, HOUR
from mintmark.wire import pem
from tests.unit.step.world import (
    HOST,
    OTHER_KEY,
    SERVICES,
    csr_sha256,
    holder,
    of_others,
    pem_csr,
    provision,
    with_claims,
)

NAMES = ("foo.example.internal", "10.1.2.3", "a@example.internal", "https://x.example.internal/y")
FORBIDDEN = "The request was forbidden by the certificate authority: "
UNAUTHORIZED = "The request lacked necessary authorization to be completed: "
INCOMPLETE = "The request could not be completed: "


def leaf(answer):
    return x509.load_pem_x509_certificate(answer["crt"].encode())


def names_of(certificate):
    kind = x509.SubjectAlternativeName
    return {str(one.value) for one in certificate.extensions.get_extension_for_class(kind).value}


def common_name(certificate):
    return [str(one.value) for one in certificate.subject]


# --- sign ----------------------------------------------------------------------------------------


def test_a_token_gets_its_names(world):
    answer = world.sign(*NAMES[:1], *NAMES).done()

    certificate = leaf(answer)
    assert answer.keys() == {"crt", "ca", "certChain", "tlsOptions"}
    assert answer["ca"] == pem.certificate(world.hierarchy.issuer.der).decode()
    assert answer["certChain"] == [answer["crt"], answer["ca"]]
    assert answer["tlsOptions"]["minVersion"] == 1.2
    assert common_name(certificate) == [NAMES[0]]
    assert names_of(certificate) == set(NAMES)
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} == set(usages)
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life.total_seconds() == DAY


def test_a_csr_without_names_gets_those_of_the_token(world):
    token = world.token("foo.example.internal", sans=["foo.example.internal", "10.1.2.3"])

    answer = world.post("/sign", {"csr": pem_csr(""), "ott": token, "templateData": {"a": [1]}})

    certificate = leaf(answer.done())
    assert names_of(certificate) == {"foo.example.internal", "10.1.2.3"}
    assert common_name(certificate) == ["foo.example.internal"]


def test_a_token_without_names_stands_for_its_subject(world):
    token = world.token("foo.example.internal")

    answer = world.post("/sign", {"csr": pem_csr("", "foo.example.internal"), "ott": token})

    assert names_of(leaf(answer.done())) == {"foo.example.internal"}


def test_a_subject_that_is_no_name_is_the_common_name(world):
    token = world.token("Jane Doe", sans=["jane.example.internal"])

    answer = world.post("/sign", {"csr": pem_csr("Jane Doe"), "ott": token})

    assert common_name(leaf(answer.done())) == ["Jane Doe"]


def test_the_common_name_is_the_tokens_whichever_of_its_names_the_csr_has(world):
    token = world.token(NAMES[0], sans=[*NAMES])

    answer = world.post("/sign", {"csr": pem_csr(NAMES[1]), "ott": token})

    assert common_name(leaf(answer.done())) == [NAMES[0]]


def test_a_token_is_used_once(world):
    body = {"csr": pem_csr("a.example.internal"), "ott": world.token("a.example.internal")}
    world.post("/sign", body).done()

    world.post("/sign", body).refused(401, UNAUTHORIZED)


def test_another_common_name_is_refused_in_the_words_of_step_ca(world):
    token = world.token("evil.test", sans=["evil.test"])

    message = world.post("/sign", {"csr": pem_csr("other.test", "other.test"), "ott": token})

    assert message.refused(403) == (
        f"{FORBIDDEN}certificate request does not contain the valid common name - "
        "got other.test, want evil.test."
    )


@pytest.mark.parametrize("other", ["other.test", "10.9.9.9", "b@example.internal", "https://z/"])
def test_other_names_than_the_tokens_are_refused(world, other):
    token = world.token(NAMES[0], sans=[*NAMES])

    reply = world.post("/sign", {"csr": pem_csr(NAMES[0], *NAMES, other), "ott": token})

    assert other in reply.refused(403, "certificate request does not contain the valid")


def test_a_part_of_a_kind_of_names_is_not_what_the_token_is_for(world):
    token = world.token("a.test", sans=["a.test", "b.test"])

    world.post("/sign", {"csr": pem_csr("a.test", "a.test"), "ott": token}).refused(
        403, "DNS names - got [a.test], want [a.test b.test]."
    )


def test_a_refused_request_leaves_the_token_good(world):
    token = world.token("a.test")
    world.post("/sign", {"csr": pem_csr("b.test"), "ott": token}).refused(403)

    assert world.post("/sign", {"csr": pem_csr("a.test"), "ott": token}).done()


def test_a_lifetime_over_the_claims_is_refused_in_the_words_of_step_ca(world):
    message = world.sign("long.test", notAfter="1000h").refused(403)

    assert message == (
        f"{FORBIDDEN}requested duration of 1000h1m0s is more than the authorized maximum "
        "certificate duration of 24h1m0s."
    )


def test_the_longest_lifetime_counts_from_now(world, clock):
    certificate = leaf(world.sign("long.test", notAfter="24h").done())

    assert certificate.not_valid_after_utc.timestamp() == int(clock()) + DAY
    assert certificate.not_valid_before_utc.timestamp() == int(clock()) - 60


@pytest.mark.parametrize(("after", "hours"), [("2h", 2), ("90m", 1.5)])
def test_a_lifetime_inside_the_claims_is_given(world, clock, after, hours):
    certificate = leaf(world.sign("short.test", notAfter=after).done())

    assert certificate.not_valid_after_utc.timestamp() == int(clock()) + hours * HOUR


@pytest.mark.parametrize(
    ("before", "after", "hours"), [("-5m", "24h", 24), ("1h", "2h", 2), ("-1m", "10m", 1 / 6)]
)
def test_a_duration_counts_from_the_beginning_that_was_asked_for(world, before, after, hours):
    certificate = leaf(world.sign("short.test", notBefore=before, notAfter=after).done())

    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life.total_seconds() == hours * HOUR


@pytest.mark.parametrize("nothing", ["0", "0s", "-0h0m"])
def test_a_duration_of_nothing_means_left_out(world, clock, nothing):
    certificate = leaf(world.sign("short.test", notBefore=nothing, notAfter=nothing).done())

    assert certificate.not_valid_before_utc.timestamp() == int(clock()) - 60
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life.total_seconds() == DAY


@pytest.mark.parametrize(
    ("before", "after"), [("-1m", "24h2m"), ("-1000h", "1001h"), ("23h", "24h"), ("-24h", "24h1s")]
)
def test_a_beginning_does_not_stretch_the_longest_lifetime(world, before, after):
    world.sign("long.test", notBefore=before, notAfter=after).refused(403)


@pytest.mark.parametrize(("before", "status"), [("1m", 201), ("23h54m", 201), ("23h56m", 403)])
def test_what_begins_later_ends_no_later(world, clock, before, status):
    reply = world.sign("later.test", notBefore=before)

    assert reply.status == status
    if status == 201:
        certificate = leaf(reply.done())
        assert certificate.not_valid_after_utc.timestamp() == int(clock()) + DAY


def test_a_life_that_is_too_short_is_refused(world):
    world.sign("short.test", notAfter="10s").refused(403)


@pytest.mark.parametrize(
    ("before", "after"),
    [("", "-1h"), ("", "1970-01-01T00:00:00Z"), ("-2h", "1h"), ("2h", "-1h"), ("2h", "-3h")],
)
def test_a_life_that_is_over_or_backwards_is_malformed(world, before, after):
    world.sign("short.test", notBefore=before, notAfter=after).refused(400, "notAfter")


@pytest.mark.parametrize("text", ["soon", "1d"])
def test_a_time_that_is_none_is_malformed(world, text):
    world.sign("short.test", notAfter=text).refused(400)


@pytest.mark.parametrize("nothing", [None, ""])
def test_null_and_the_empty_text_mean_left_out(world, nothing):
    assert world.sign("a.test", notBefore=nothing, notAfter=nothing, templateData=None).done()
    token = world.token("a.test")
    world.post("/sign", {"csr": nothing, "ott": token}).refused(400, "missing csr")
    world.post("/sign", {"csr": pem_csr("a.test"), "ott": nothing}).refused(400, "missing ott")


@pytest.mark.parametrize("csr", ["x", "-----BEGIN CERTIFICATE REQUEST-----\n!\n", "\x00" * 9])
def test_a_csr_that_is_none_is_malformed(world, csr):
    world.post("/sign", {"csr": csr, "ott": world.token("a.test")}).refused(400)


def test_a_token_that_is_bound_to_a_csr_gets_no_other(world):
    csr = pem_csr("a.test")
    bound = {"cnf": {"x5rt#S256": csr_sha256(csr)}}
    other = world.token("a.test", **bound)
    world.post("/sign", {"csr": pem_csr("a.test"), "ott": other}).refused(403)

    assert world.post("/sign", {"csr": csr, "ott": world.token("a.test", **bound)}).done()


def test_names_of_a_wildcard_need_a_profile_that_allows_them(world):
    world.sign("*.example.internal").refused(403)


# --- renew and rekey -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/renew", "/1.0/renew", "/re-sign"])
def test_a_certificate_renews_itself(world, clock, path):
    held = holder(world)
    clock.advance(HOUR)

    certificate = leaf(world.post(path, peer=held.peer).done())

    assert certificate.public_key() == held.parsed.public_key()
    assert names_of(certificate) == names_of(held.parsed)
    assert certificate.subject == held.parsed.subject
    assert certificate.serial_number != held.parsed.serial_number
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert life == held.parsed.not_valid_after_utc - held.parsed.not_valid_before_utc


@pytest.mark.parametrize("path", ["/renew", "/re-sign", "/rekey"])
def test_without_a_certificate_nothing_is_renewed(world, path):
    message = world.post(path, {"csr": pem_csr("")} if path == "/rekey" else None).refused(400)

    assert message == f"{INCOMPLETE}missing client certificate."
    for empty in ("", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz"):
        world.post("/renew", authorization=empty).refused(400, "missing client certificate")


def test_a_token_signed_by_the_certificate_renews_it_once(world):
    held = holder(world)
    token = world.renewal(held.key, held.certificate)

    certificate = leaf(world.post("/renew", authorization=f"Bearer {token}").done())

    assert certificate.public_key() == held.parsed.public_key()
    world.post("/renew", authorization=f"Bearer {token}").refused(401)


def test_an_expired_certificate_is_renewed_where_that_is_claimed(world, clock):
    held, other = of_others(world), holder(world)
    clock.advance(2 * DAY)

    token = world.renewal(held.key, held.certificate)
    assert world.post("/renew", authorization=f"Bearer {token}").done()

    token = world.renewal(other.key, other.certificate)
    message = world.post("/renew", authorization=f"Bearer {token}").refused(401)
    ended = other.parsed.not_valid_after_utc
    assert message.startswith(f"{UNAUTHORIZED}certificate expired on {ended:%Y-%m-%dT%H:%M:%SZ}")


@pytest.mark.parametrize("header", ["Bearer junk", "Basic dXNlcjpwYXNz", "Bearer "])
def test_a_client_certificate_goes_before_a_header(world, header):
    held = holder(world)

    assert world.post("/renew", peer=held.peer, authorization=header).done()


def test_a_token_beside_a_client_certificate_renews_no_other(world):
    held, other = holder(world), holder(world, "other.example.internal")
    header = f"Bearer {world.renewal(other.key, other.certificate)}"

    answer = world.post("/renew", peer=held.peer, authorization=header).done()

    assert common_name(leaf(answer)) == ["web.example.internal"]
    world.post("/renew", authorization=header).done()


def test_a_renewal_token_of_another_key_is_refused(world):
    held = holder(world)
    token = world.renewal(ec.generate_private_key(ec.SECP256R1()), held.certificate)

    world.post("/renew", authorization=f"Bearer {token}").refused(401)


def test_a_revoked_certificate_is_not_renewed(world):
    held = holder(world)
    body = {"serial": held.serial, "ott": "", "reasonCode": 1, "passive": True}
    world.post("/revoke", body, peer=held.peer).done(200)

    world.post("/renew", peer=held.peer).refused(401)
    token = world.renewal(held.key, held.certificate)
    world.post("/renew", authorization=f"Bearer {token}").refused(401)


def test_a_provisioner_can_forbid_renewal(world):
    held = holder(world)
    provision(world, with_claims(SERVICES, renewal=False))

    world.post("/renew", peer=held.peer).refused(401)


def test_a_rekey_takes_nothing_but_the_key_of_a_csr(world):
    held, key = holder(world), ec.generate_private_key(ec.SECP256R1())
    csr = pem_csr("", "evil.example.internal", key=key)

    certificate = leaf(world.post("/rekey", {"csr": csr}, peer=held.peer).done())

    assert certificate.public_key() == key.public_key()
    assert names_of(certificate) == names_of(held.parsed)


def test_a_token_does_not_rekey(world):
    held = holder(world)
    token = world.renewal(held.key, held.certificate)

    world.post("/rekey", {"csr": pem_csr("")}, authorization=f"Bearer {token}").refused(400)


# --- revoke --------------------------------------------------------------------------------------


def revocation(serial, **more):
    return {"serial": serial, "ott": "", "reasonCode": 0, "reason": "", "passive": True} | more


def test_a_certificate_revokes_itself_and_no_other(world):
    held, other = holder(world), holder(world, "other.example.internal")

    world.post("/revoke", revocation(other.serial), peer=held.peer).refused(403)
    assert world.post("/revoke", revocation(held.serial), peer=held.peer).done(200) == {
        "status": "ok"
    }


def test_a_token_revokes_the_serial_that_is_its_subject(world):
    held, other = holder(world), holder(world, "other.example.internal")
    token = world.token(held.serial, "revoke")

    world.post("/1.0/revoke", revocation(other.serial, ott=token)).refused(403)
    assert world.post("/1.0/revoke", revocation(held.serial, ott=token)).done(200)
    world.post("/renew", peer=held.peer).refused(401)


def test_the_second_revocation_is_refused_in_the_words_of_step_ca(world):
    held = holder(world)
    world.post("/revoke", revocation(held.serial, ott=world.token(held.serial, "revoke"))).done(200)

    again = revocation(held.serial, ott=world.token(held.serial, "revoke"))

    assert world.post("/revoke", again).refused(400) == (
        f"{INCOMPLETE}certificate with serial number '{held.serial}' is already revoked."
    )


def test_a_certificate_that_revoked_itself_is_told_so_and_nothing_else(world):
    held, other = holder(world), holder(world, "other.example.internal")
    world.post("/revoke", revocation(held.serial), peer=held.peer).done(200)

    for serial in (held.serial, other.serial):
        message = world.post("/revoke", revocation(serial), peer=held.peer).refused(400)
        assert message == (
            f"{INCOMPLETE}certificate with serial number '{held.serial}' is already revoked."
        )
    world.post("/renew", peer=held.peer).refused(401)
    world.post("/renew", peer=other.peer).done()


def test_a_revocation_token_is_used_once(world):
    held = holder(world)
    token = world.token(held.serial, "revoke")
    world.post("/revoke", revocation(held.serial, ott=token)).done(200)

    world.post("/revoke", revocation(held.serial, ott=token)).refused(401)


def test_active_revocation_is_not_implemented(world):
    held = holder(world)

    for passive in (False, None):
        body = revocation(held.serial, passive=passive)
        world.post("/revoke", body, peer=held.peer).refused(501)


@pytest.mark.parametrize("code", [-1, 6, 8, 10, 11, 10**30])
def test_a_reason_that_is_not_used_is_refused(world, code):
    held = holder(world)

    world.post("/revoke", revocation(held.serial, reasonCode=code), peer=held.peer).refused(400)


@pytest.mark.parametrize("serial", ["", None, "x", "-1", "1.0", "9" * 5000, "0x", " 1"])
def test_a_serial_that_is_none_is_malformed(world, serial):
    held = holder(world)

    world.post("/revoke", revocation(serial), peer=held.peer).refused(400)


def test_a_hexadecimal_serial_is_read(world):
    held = holder(world)

    body = revocation(hex(held.parsed.serial_number))
    assert world.post("/revoke", body, peer=held.peer).done(200)


def test_a_serial_that_nobody_has_is_not_found(world):
    world.post("/revoke", revocation("12345", ott=world.token("12345", "revoke"))).refused(404)


def test_another_provisioners_certificate_is_not_revoked(world):
    held = of_others(world)

    body = revocation(held.serial, ott=world.token(held.serial, "revoke"))
    world.post("/revoke", body).refused(403)

    token = world.token(held.serial, "revoke", key=OTHER_KEY, issuer="deploy")
    assert world.post("/revoke", revocation(held.serial, ott=token)).done(200)


# --- tokens that are none ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "forged",
    [
        {"aud": "https://evil.example/1.0/sign"},
        {"aud": f"https://{HOST}/1.0/revoke"},
        {"aud": f"https://{HOST}/1.0/renew"},
        {"aud": f"http://{HOST}/1.0/sign"},
        {"aud": []},
        {"aud": None},
        {"exp": 1},
        {"exp": None},
        {"nbf": 99999999999},
        {"iss": "nobody"},
        {"iss": "deploy"},
        {"iss": "acme"},
        {"sub": ""},
        {"sub": None},
    ],
)
def test_a_token_for_something_else_is_refused(world, forged):
    token = world.token("a.test", **forged)

    world.post("/sign", {"csr": pem_csr("a.test"), "ott": token}).refused(401, UNAUTHORIZED)


def test_a_token_signed_by_another_key_is_refused_and_burns_nothing(world):
    good = world.token("a.test", jti="shared")
    forged = world.token("a.test", jti="shared", key=ec.generate_private_key(ec.SECP256R1()))
    kid = {"kid": world.authority.policy.provisioners["admin"].key_id}
    same = world.token("a.test", jti="shared", key=OTHER_KEY, header=kid)
    for token in (forged, same):
        world.post("/sign", {"csr": pem_csr("a.test"), "ott": token}).refused(401)

    assert world.post("/sign", {"csr": pem_csr("a.test"), "ott": good}).done()


@pytest.mark.parametrize("token", ["x", "a.b.c", "." * 5, "e30.e30.", "x" * 70_000])
def test_a_token_that_is_none_is_refused(world, token):
    world.post("/sign", {"csr": pem_csr("a.test"), "ott": token}).refused(401)
