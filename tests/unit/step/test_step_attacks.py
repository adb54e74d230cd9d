"""Tokens, names and requests of those who mean harm."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mintmark.model.status import Status
from mintmark.store.interface import CertificateFilter
from mintmark.wire import jose
from mintmark.wire.http import Peer, Request
from tests import pki
from tests.unit.step.world import (
    OTHER_KEY,
    SERVICE_KEY,
    Reply,
    blob_of,
    holder,
    pem_csr,
    ssh_fields,
)


def b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def kid(key=SERVICE_KEY):
    return jose.jwk_of(key.public_key()).key_id


def ask(world, token, subject="a.test"):
    return world.post("/sign", {"csr": pem_csr(subject), "ott": token})


def issued(world):
    """Return how many certificates there are."""
    now = int(world.clock())
    matching = CertificateFilter(now=now, status=Status.ACTIVE)
    return len(world.run(world.store.certificates(matching, after=None, limit=1000)))


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS512"])
@pytest.mark.parametrize("as_secret", ["pem", "jwk", "nothing"])
def test_a_public_key_is_no_secret(world, algorithm, as_secret):
    public = SERVICE_KEY.public_key()
    secrets = {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "jwk": json.dumps(jose.jwk_of(public).document()).encode(),
        "nothing": b"",
    }
    claims = world.token("a.test").split(".")[1]
    header = b64(json.dumps({"alg": algorithm, "kid": kid(), "typ": "JWT"}).encode())
    mac = hmac.new(secrets[as_secret], f"{header}.{claims}".encode(), hashlib.sha256).digest()
    signature = "" if algorithm.lower() == "none" else b64(mac)

    ask(world, f"{header}.{claims}.{signature}").refused(401)
    assert issued(world) == 0


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "crit", "x5c"])
def test_a_header_brings_no_key(world, name):
    own = ec.generate_private_key(ec.SECP256R1())
    brought = {
        "jwk": jose.jwk_of(own.public_key()).document(),
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/cert",
        "crit": ["exp"],
        "x5c": [base64.b64encode(world.hierarchy.issuer.der).decode()],
    }
    header = {name: brought[name], "kid": kid()}

    ask(world, world.token("a.test", key=own, header=header)).refused(401)


def test_a_token_of_one_provisioner_is_not_one_of_another(world):
    for issuer, key, named in (
        ("deploy", SERVICE_KEY, kid()),
        ("deploy", SERVICE_KEY, kid(OTHER_KEY)),
        ("admin", OTHER_KEY, kid(OTHER_KEY)),
        ("admin", OTHER_KEY, kid()),
        ("ADMIN", SERVICE_KEY, kid()),
        ("people", SERVICE_KEY, kid()),
        ("sshpop", SERVICE_KEY, kid()),
        ("tokens", SERVICE_KEY, kid()),
    ):
        token = world.token("a.test", key=key, issuer=issuer, header={"kid": named})
        ask(world, token).refused(401)
    assert issued(world) == 0


def test_a_token_sent_many_times_at_once_is_one_certificate(world):
    token = world.token("a.test")
    body = json.dumps({"csr": pem_csr("a.test"), "ott": token}).encode()

    async def all_at_once():
        return await asyncio.gather(
            *(
                world.step.handle(Request("POST", "/sign", "", {}, body, Peer("127.0.0.1")))
                for _ in range(20)
            )
        )

    statuses = sorted(reply.status for reply in world.run(all_at_once()))
    assert statuses == [201] + [401] * 19
    assert issued(world) == 1


def test_a_forged_token_teaches_nothing(world):
    """Whoever has no key cannot tell from the answers which provisioners and keys there are."""
    own = ec.generate_private_key(ec.SECP256R1())
    told = {
        ask(world, world.token("a.test", key=own, issuer=issuer, header={"kid": named})).refused(
            401
        )
        for issuer in ("admin", "nobody", "people")
        for named in (kid(), kid(own), "")
    }

    assert len(told) == 1


def test_a_renewal_token_needs_a_certificate_of_ours(world):
    own = ec.generate_private_key(ec.SECP256R1())
    foreign = pki.pki(now=int(world.clock()) - 1000, number=3, name="Evil")
    leaf = pki.leaf(
        foreign.issuing, "web.example.internal", not_before=int(world.clock()),
        subject=pki.key(number=4711),
    )  # fmt: skip
    chain = [base64.b64encode(der).decode() for der in (leaf.der, foreign.issuer.der)]
    key = pki.private_key(number=4711)
    for signer, header in (
        (key, {"x5cInsecure": chain}),
        (own, {"x5cInsecure": []}),
        (own, {"x5cInsecure": ["!"]}),
        (own, {"x5cInsecure": [base64.b64encode(world.hierarchy.issuer.der).decode()]}),
    ):
        token = world.token(
            "web.example.internal", "renew", key=signer, issuer="step-ca-client/1.0", header=header
        )
        reply = world.post("/renew", authorization=f"Bearer {token}")
        assert reply.status in {400, 401}
        reply.refused(reply.status)


def test_the_serial_in_a_body_is_not_the_one_that_is_revoked(world):
    """CVE-2025-66406: the token decides whose certificate it is."""
    key = ec.generate_private_key(ec.SECP256R1())
    crt = world.ssh_sign(
        "mine", "host", "mine.example.internal", publicKey=blob_of(key)
    ).done()["crt"]  # fmt: skip
    other = world.ssh_sign("other", "host", "other.example.internal").done()["crt"]
    number = str(ssh_fields(other).serial)
    for token in (
        world.possession("revoke", key, crt),
        world.possession("revoke", key, crt, sub=number),
        world.token("12345", "ssh/revoke"),
    ):
        body = {"serial": number, "ott": token, "reasonCode": 1, "passive": True}
        assert world.post("/ssh/revoke", body).status in {401, 403, 404}

    asked = {"type": "host", "principal": "other.example.internal"}
    assert world.post("/ssh/check-host", asked).done(200) == {"exists": True}


@pytest.mark.parametrize("count", [101, 5000])
def test_huge_lists_of_names_are_refused(world, count):
    names = [f"h{number}.example.internal" for number in range(count)]
    token = world.token("a.test", sans=names)

    reply = world.post("/sign", {"csr": pem_csr(""), "ott": token})

    assert reply.status in {400, 401, 403, 413}
    assert issued(world) == 0


@pytest.mark.parametrize(
    "subject", ["*", "a,b", "a\nb", "a b.test", "", "x" * 300, "..", "\x00", "a" * 70_000]
)
def test_subjects_that_are_no_names_are_refused(world, subject):
    reply = world.post("/sign", {"csr": pem_csr(""), "ott": world.token(subject)})

    assert reply.status in {400, 401, 403, 413}
    assert issued(world) == 0


def test_two_subjects_are_never_one_service(world):
    """What is brought into the form of a service id is told apart by its hash."""
    services = set()
    for subject in ("Web.example.internal", "web.example.internal", "web-example.internal"):
        key = ec.generate_private_key(ec.SECP256R1())
        world.sign(subject, key=key).done()
    now = int(world.clock())
    for stored in world.run(
        world.store.certificates(CertificateFilter(now=now), after=None, limit=10)
    ):
        services.add(stored.certificate.service)

    assert len(services) == 3
    assert all(service.startswith("jwk.admin.") for service in services)


def test_the_audit_log_has_no_token(world):
    held = holder(world)
    token = world.token(held.serial, "revoke")
    world.post("/revoke", {"serial": held.serial, "ott": token, "passive": True}).done(200)

    records, _ = world.run(world.store.audit(before=None, limit=100, service=None, action=None))

    said = repr(records)
    assert "certificate.revoke" in said
    assert token not in said
    assert token.split(".")[2] not in said


PATHS = st.sampled_from(
    ["/sign", "/renew", "/rekey", "/revoke", "/ssh/sign", "/ssh/renew", "/ssh/rekey", "/ssh/revoke",
     "/ssh/config", "/ssh/check-host", "/ssh/bastion", "/provisioners", "/root/x", "/ssh/config/x"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
MEMBERS = st.sampled_from(
    ["csr", "ott", "notBefore", "serial", "passive", "reasonCode", "publicKey", "certType", "keyID",
     "principals", "data", "type", "principal", "hostname", "identityCSR", "x"]
)  # fmt: skip


@given(PATHS, st.dictionaries(MEMBERS, VALUES, max_size=6) | VALUES)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_document_does_more_than_be_refused(world, path, document):
    method = "GET" if path.startswith(("/provisioners", "/root")) else "POST"
    body = json.dumps(document).encode()
    request = Request(method, path, "", {}, body, Peer("127.0.0.1"))

    reply = Reply(world.run(world.step.handle(request)))

    assert reply.status < 500, reply.body
    if reply.status >= 400:
        reply.refused(reply.status)
