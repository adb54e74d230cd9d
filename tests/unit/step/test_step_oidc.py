"""ID tokens as the `ott` of the step protocol: who somebody is, and who is let in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import GroupMapping, OIDCProvisioner, ProviderKeys
from mintmark.wire import jose
from tests import pki
from tests.unit.step.world import PEOPLE, blob_of, pem_csr, provision, ssh_fields

ISSUER = PEOPLE.configuration_endpoint
KEY = ec.generate_private_key(ec.SECP256R1())
EMAIL = "alice@example.internal"
ADMIN = "root@example.internal"


class Providers:
    """A provider that is asked without a network."""

    def __init__(self):
        self.away = False

    async def keys(self, provisioner, *, missing=""):
        if self.away:
            raise Error(Kind.UNAVAILABLE, "the provider is away", retry_after=7)
        return ProviderKeys(ISSUER, (jose.jwk_of(KEY.public_key()).document(),))


@pytest.fixture(autouse=True)
def providers(world):
    world.authority.providers = Providers()
    return world.authority.providers


def id_token(world, key=KEY, email=EMAIL, **claims):
    said = {
        "aud": PEOPLE.client_id,
        "jti": None,
        "nonce": pki.entropy(32).hex(),
        "email": email,
        "email_verified": True,
    }
    return world.token("alice-id", key=key, issuer=ISSUER, **(said | claims))


def own_csr(email, key=None):
    """Return the CSR that `step` makes for whoever signed in."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    san = [x509.RFC822Name(email), x509.UniformResourceIdentifier(f"{ISSUER}#alice-id")]
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, email)])
    builder = x509.CertificateSigningRequestBuilder(subject_name=name)
    alternatives = x509.SubjectAlternativeName(san)
    request = builder.add_extension(alternatives, critical=False).sign(key, SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def names(reply):
    certificate = x509.load_pem_x509_certificate(reply.done()["crt"].encode())
    kind = x509.SubjectAlternativeName
    return {str(one.value) for one in certificate.extensions.get_extension_for_class(kind).value}


def login(world, token, **wish):
    key = ec.generate_private_key(ec.SECP256R1())
    body = {
        "publicKey": blob_of(key),
        "ott": token,
        "certType": "user",
        "keyID": EMAIL,
        "principals": [EMAIL],
    }
    return world.post("/ssh/sign", body | wish)


@pytest.mark.parametrize("csr", [own_csr(EMAIL), pem_csr("www.evil.test", "www.evil.test")])
def test_a_person_is_named_by_the_provider_whatever_the_csr_says(world, csr):
    reply = world.post("/sign", {"csr": csr, "ott": id_token(world)})

    assert names(reply) == {EMAIL, f"{ISSUER}#alice-id"}


def test_an_admin_asks_for_names(world):
    token = id_token(world, email=ADMIN)

    reply = world.post("/sign", {"csr": pem_csr("www.example.internal"), "ott": token})

    assert names(reply) == {"www.example.internal"}


def test_an_admin_asks_for_oneself(world):
    reply = world.post("/sign", {"csr": own_csr(ADMIN), "ott": id_token(world, email=ADMIN)})

    assert names(reply) == {ADMIN, f"{ISSUER}#alice-id"}


def test_a_login_gets_what_the_address_says(world):
    fields = ssh_fields(login(world, id_token(world)).done()["crt"])

    assert fields.key_id == EMAIL
    assert fields.principals == ("alice", EMAIL)


@pytest.mark.parametrize(
    "principals",
    [["root"], ["alice", "root"], ["root,alice"], ["*"], [" "], ["bob@example.com"], ["a"] * 256],
)
def test_a_login_gets_the_same_whatever_account_it_is_for(world, principals):
    wish = {"principals": principals, "keyID": "root"}

    fields = ssh_fields(login(world, id_token(world), **wish).done()["crt"])

    assert (fields.key_id, fields.principals) == (EMAIL, ("alice", EMAIL))


@pytest.mark.parametrize("principals", [[], ["alice"], ["web01.example.internal"]])
def test_a_login_is_no_host(world, principals):
    login(world, id_token(world), certType="host", principals=principals).refused(403)


def test_a_login_makes_no_user_that_it_asks_for(world):
    # Two principals of which the second is the address are those of one user.
    wish = {"principals": ["root"], "addUserPublicKey": blob_of(KEY)}

    made = ssh_fields(login(world, id_token(world), **wish).done()["addUserCrt"])

    assert made.key_id == "alice-provisioner"
    assert made.critical_options == (
        ("force-command", "sudo useradd -m alice; nc -q0 localhost 22"),
    )


def test_an_admin_logs_in_as_anybody(world):
    wish = {"principals": ["deploy"], "keyID": "deploy-by-root"}

    fields = ssh_fields(login(world, id_token(world, email=ADMIN), **wish).done()["crt"])

    assert (fields.key_id, fields.principals) == ("deploy-by-root", ("deploy",))


def test_an_address_that_is_not_verified_names_nobody(world):
    for verified in (False, None, "true", 1):
        login(world, id_token(world, email_verified=verified)).refused(403)
        token = id_token(world, email=ADMIN, email_verified=verified)
        reply = world.post("/sign", {"csr": pem_csr("www.example.internal"), "ott": token})
        assert reply.status == 403 or "www.example.internal" not in names(reply)


def mapped():
    return OIDCProvisioner(
        "people",
        ISSUER,
        PEOPLE.client_id,
        groups=("staff",),
        mappings=(
            GroupMapping(
                ("admins",), principals=("root", "{email.local}"), ssh_profiles=("ssh-user",)
            ),
            GroupMapping(("staff",), principals=("{email.local}",), ssh_profiles=("ssh-user",)),
        ),
    )


@pytest.mark.parametrize(
    ("groups", "principals"),
    [(["staff"], ("alice",)), (["staff", "admins"], ("root", "alice"))],
)
def test_groups_become_principals(world, groups, principals):
    provision(world, mapped())

    crt = login(world, id_token(world, groups=groups), principals=[]).done()["crt"]

    assert set(ssh_fields(crt).principals) == set(principals)


@pytest.mark.parametrize(
    "groups", [None, [], ["Staff"], ["staff "], "staff", ["x"] * 20_000, [["staff"]], {"staff": 1}]
)
def test_who_is_in_no_group_is_refused(world, groups):
    provision(world, mapped())

    assert login(world, id_token(world, groups=groups), principals=[]).status in {401, 403}


def test_an_id_token_is_used_once(world):
    token = id_token(world)
    login(world, token).done()

    login(world, token).refused(401)


@pytest.mark.parametrize(
    "forged",
    [
        {"aud": "another-client"},
        {"aud": [PEOPLE.client_id, "another-client"]},
        {"azp": "another-client"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"iat": 1},
        {"key": ec.generate_private_key(ec.SECP256R1())},
    ],
)
def test_an_id_token_of_somebody_else_is_refused(world, forged):
    token = id_token(world, **{k: v for k, v in forged.items() if k != "iss"})
    if "iss" in forged:
        token = world.token(
            "alice-id", key=KEY, issuer=forged["iss"], aud=PEOPLE.client_id, email=EMAIL,
            email_verified=True,
        )  # fmt: skip

    login(world, token).refused(401)


def _b64(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_the_key_says_the_algorithm_and_not_the_token(world, algorithm):
    good = id_token(world)
    claims = good.split(".")[1]
    kid = jose.jwk_of(KEY.public_key()).key_id
    header = _b64(json.dumps({"alg": algorithm, "kid": kid}).encode())
    secret = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    mac = hmac.new(secret, f"{header}.{claims}".encode(), hashlib.sha256).digest()
    signature = "" if algorithm == "none" else _b64(mac)

    login(world, f"{header}.{claims}.{signature}").refused(401)


def test_when_the_provider_is_away_the_message_says_so(world, providers):
    held = world.sign("web.example.internal").done()
    providers.away = True

    reply = login(world, id_token(world))

    assert "the provider is away" in reply.refused(503)
    assert reply.headers["retry-after"] == "7"
    certificate = x509.load_pem_x509_certificate(held["crt"].encode())
    from mintmark.wire.http import Peer

    peer = Peer("127.0.0.1", certificate.public_bytes(Encoding.DER), "TLSv1.3")
    assert world.post("/renew", peer=peer).done()
