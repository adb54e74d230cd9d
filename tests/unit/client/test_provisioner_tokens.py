"""Tokens that the client makes of provisioners' keys and SSH keys, without a server."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from mintmark.client import provisioners
from mintmark.client.bootstrap import parse_fingerprint
from mintmark.client.provisioners import Act, PublicKey, PublicProvisioner
from mintmark.client.transport import Answer
from mintmark.model.errors import Error, Kind
from mintmark.wire import jose, jwe, jwt
from mintmark.wire.ssh import certificate as certificates
from mintmark.wire.ssh import key as keys
from tests import openssh

ACT = Act("https://ca.example.internal:8443/", "ssh/sign", 1_800_000_000.9, "random")
SERVICES = PublicProvisioner("JWK", "services", PublicKey("kid"))


class Server:
    """Answers what a server of the step protocol would.

    Args:
        answers: by path and query: a document, or a status.
    """

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def request(self, method, path, json=None, headers=None):
        assert (method, json, headers) == ("GET", None, None)
        self.asked.append(path)
        found = self.answers.get(path, 404)
        return Answer(found) if isinstance(found, int) else Answer(200, {}, _octets(found))

    def close(self):
        pass


def _octets(document):
    return document if isinstance(document, bytes) else json.dumps(document).encode()


def listed(*names, cursor=""):
    found = [{"type": kind, "name": name, "claims": {}} for kind, name in names]
    return {"provisioners": found, "nextCursor": cursor}


def test_a_provisioner_is_found_on_a_later_page():
    server = Server(
        {
            "/provisioners?limit=100": listed(("ACME", "acme"), ("SSHPOP", "first"), cursor="c/2"),
            "/provisioners?limit=100&cursor=c%2F2": listed(("SSHPOP", "pop")),
        }
    )
    assert provisioners.find(server, "SSHPOP", "pop").name == "pop"
    assert provisioners.find(server, "SSHPOP", None).name == "first"


def test_a_provisioner_that_is_not_there_is_named_with_those_that_are():
    server = Server({"/provisioners?limit=100": listed(("JWK", "a"), ("JWK", "b"), ("ACME", "c"))})
    with pytest.raises(Error, match="no JWK provisioner 'c'") as caught:
        provisioners.find(server, "JWK", "c")
    assert caught.value.kind is Kind.NOT_FOUND
    assert "type JWK: a, b" in caught.value.hint


def test_a_server_that_lists_for_ever_is_left():
    pages = (listed(cursor=str(number)) for number in itertools.count())
    server = Server({})
    server.request = lambda *_: Answer(200, {}, _octets(next(pages)))
    with pytest.raises(Error, match="no JWK provisioner"):
        provisioners.find(server, "JWK", None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"provisioners": 1}'])
def test_what_no_server_answers_is_refused(body):
    with pytest.raises(Error, match="cannot be read"):
        provisioners.find(Server({"/provisioners?limit=100": body}), "JWK", None)


def test_the_private_key_is_opened_by_its_password_alone():
    private = jose.new_jwk()
    sealed = jwe.encrypt_key(private, b"password", os.urandom, iterations=1000)
    server = Server({"/provisioners/kid/encrypted-key": {"key": sealed}})
    key = provisioners.private_key(server, SERVICES, b"password")
    assert jose.private_jwk(key) == private or key.public_key()
    with pytest.raises(Error) as caught:
        provisioners.private_key(server, SERVICES, b"Password")
    assert caught.value.kind is Kind.UNAUTHENTICATED


def test_a_key_id_cannot_lead_to_another_path():
    server = Server({})
    evil = PublicProvisioner("JWK", "x", PublicKey("../../health"))
    with pytest.raises(Error):
        provisioners.private_key(server, evil, b"password")
    assert server.asked == ["/provisioners/..%2F..%2Fhealth/encrypted-key"]


def test_a_token_is_for_one_act_one_server_and_one_key():
    private_key = ec.generate_private_key(ec.SECP256R1())
    subject = openssh.public(openssh.ED25519)
    ssh = {"certType": "user", "keyID": "alice", "principals": ["deploy"]}
    text = provisioners.signing_token(private_key, SERVICES, ACT, "alice", ssh, subject)
    token = jwt.parse(text)
    jwt.verify(token, jose.jwk_of(private_key.public_key()))
    assert token.header == {"alg": "ES256", "typ": "JWT", "kid": "kid"}
    assert token.claims == {
        "iss": "services",
        "aud": "https://ca.example.internal:8443/1.0/ssh/sign",
        "sub": "alice",
        "iat": 1_800_000_000,
        "nbf": 1_800_000_000,
        "exp": 1_800_000_300,
        "jti": "random",
        "step": {"ssh": ssh},
        "cnf": {"x5rt#S256": jose.encode(hashlib.sha256(subject.blob).digest())},
    }


@pytest.mark.parametrize("kind", ["ed25519", "p256", "p384", "rsa"])
def test_a_token_of_possession_carries_the_certificate_and_is_signed_by_its_key(kind):
    key, ca = openssh.SUBJECTS[kind], ed25519.Ed25519PrivateKey.generate()
    fields = openssh.fields(
        key=keys.from_public_key(key.public_key()),
        authority=keys.from_public_key(ca.public_key()),
        serial=(1 << 64) - 1,
    )
    tbs = certificates.encode_tbs(fields)
    blob = certificates.encode(tbs, fields.authority.blob, openssh.raw_signature(ca, tbs))
    pop = PublicProvisioner("SSHPOP", "pop")
    text = provisioners.possession_token(key, pop, ACT, certificates.parse(blob))
    token = jwt.parse(text)
    jwt.verify(token, jose.jwk_of(key.public_key()))
    assert base64.b64decode(token.header["sshpop"]) == blob
    assert token.claims["sub"] == "18446744073709551615"
    assert token.claims["aud"].endswith("/1.0/ssh/sign#sshpop/pop")


@pytest.mark.parametrize(
    "text",
    ["ab" * 32, "AB:" * 31 + "AB", "ab-" * 31 + "ab", " ".join(["ab" * 16] * 2), "ab" * 32 + "\n"],
)
def test_fingerprints_are_read_as_people_write_them(text):
    assert parse_fingerprint(text) == "ab" * 32


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 33, "xy" * 32, "SHA256:" + "a" * 43])
def test_what_is_no_fingerprint_is_refused(text):
    with pytest.raises(Error, match="is not a SHA-256 fingerprint"):
        parse_fingerprint(text)
