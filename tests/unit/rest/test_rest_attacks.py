"""Holes that other authorities had (CVE numbers beside each), held shut here at the API."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from msgspec import structs

from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.authority.signer.file import generate
from mintmark.model.access import ServiceRule
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.protocol.rest.table import ROUTES
from mintmark.wire.http import Peer
from tests.unit.rest.world import ALL, RULES, csr, local_peer

REQUEST = "/certificates/request"


class Failing:
    """A store whose reads of one kind fail, as databases do."""

    def __init__(self, store, method, error):
        self._store, self._method, self._error = store, method, error

    def __getattr__(self, name):
        if name != self._method:
            return getattr(self._store, name)

        async def fail(*_, **__):
            raise self._error

        return fail


@pytest.mark.parametrize("method", ["certificate", "revocation", "token"])
@pytest.mark.parametrize("error", [Error(Kind.UNAVAILABLE, "gone"), RuntimeError("defect")])
def test_an_error_while_authenticating_lets_nobody_in(world, monkeypatch, method, error):
    """CVE-2025-44005: an ignored error of the authorizer was an authorization."""
    token, certificate = world.token("webapp"), world.certificate("webapp")
    fresh, known = world.peer("webapp"), world.peer("webapp")
    assert world.ask("GET", "/certificates/", peer=known).status == 200
    monkeypatch.setattr(world.authority, "store", Failing(world.store, method, error))
    presented = [{"token": token}] if method == "token" else [{"peer": fresh}]
    presented += [{"peer": known}] if method == "revocation" else []
    for credential in presented:
        for route in ROUTES:
            if not route.operation or ("token" in credential and not route.tokens):
                continue
            path = route.path.format(
                id=certificate.id,
                serial="40",
                key_id="k",
                account_id="a",
                ssh_id="1",
                provisioner="acme",
            )
            try:
                reply = world.ask(route.method, path, json={}, **credential)
            except RuntimeError:
                continue  # the connection answers 500 and closes
            assert reply.status == 503, (route.path, reply.body)


def test_a_token_is_bound_to_its_service_names_and_profile(world):
    """CVE-2025-66406: a token for one object was good for another."""
    for wish, status in (
        ({"service_name": "db", "csr": csr("db")}, 403),
        ({"csr": csr("", "1.db.internal")}, 422),
        ({"csr": csr("bound-1"), "profile": "client"}, 422),
    ):
        token = world.token("bound-1", "bound-1.internal", profile="server")
        reply = world.ask("POST", REQUEST, token=token, json=wish)
        assert reply.status == status, reply.body
        good = world.ask("POST", REQUEST, token=token, json={"csr": csr("bound-1.internal")})
        assert good.status == 201, "a refused request must not burn the token"


def test_rules_hold_for_names_inside_the_csr(world):
    """GHSA-g892-p242-8g86: rules looked at parameters, and IP names in the CSR passed."""
    for address, status in (("10.1.2.3", 201), ("192.0.2.1", 422)):
        request = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))]), critical=False
            )
            .sign(generate(KeyType.EC_P256), hashes.SHA256())
        )
        body = {"csr": request.public_bytes(Encoding.PEM).decode()}
        reply = world.ask("POST", REQUEST, peer=world.peer("webapp"), json=body)
        assert reply.status == status, reply.body


def test_extensions_of_a_csr_are_ignored(world):
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("smuggler")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=9), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), critical=False)
        .sign(generate(KeyType.EC_P256), hashes.SHA256())
    )
    body = {
        "service_name": "smuggler",
        "csr": request.public_bytes(Encoding.PEM).decode(),
        "profile": "client",
    }
    reply = world.ask("POST", REQUEST, peer=local_peer(), json=body)
    leaf = x509.load_pem_x509_certificate(reply.json["certificate"].encode())
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    for extension in leaf.extensions:
        if isinstance(extension.value, x509.BasicConstraints):
            assert extension.value.ca is False


def test_a_key_of_the_authority_is_not_certified(world):
    signer = world.authority.issuing.signer.builder_key()
    reply = world.ask("POST", REQUEST, peer=local_peer(), json={"csr": csr("own-key", key=signer)})
    reply.problem(422, "bad-public-key")


def test_a_compromised_key_does_not_come_back(world):
    key = generate(KeyType.EC_P256)
    body = {"service_name": "burnt", "csr": csr("burnt", key=key)}
    assert world.ask("POST", REQUEST, peer=local_peer(), json=body).status == 201
    reason = {"reason": "key-compromise"}
    path = "/certificates/burnt/revoke"
    assert world.ask("DELETE", path, peer=local_peer(), json=reason).status == 200
    world.ask("POST", REQUEST, peer=local_peer(), json=body).problem(422, "bad-public-key")


def test_secrets_reach_neither_audit_nor_answers(world):
    """CVE-2025-62513: secrets in the audit log."""
    secret = "hunter2-hunter2"
    token = world.token("discreet")
    world.ask(
        "POST",
        REQUEST,
        token=token,
        json={"csr": csr("discreet")},
        headers={"idempotency-key": secret},
    )
    certificate = world.certificate("discreet")
    path = f"/certificates/{certificate.id}/download?format=pkcs12"
    world.ask("GET", path, peer=local_peer(), headers={"x-pkcs12-password": secret})
    reply = world.ask("POST", REQUEST, token="mmt_" + secret, json={})
    audit = world.ask("GET", "/audit?limit=100", peer=local_peer())
    for text in (audit.body, reply.body):
        assert secret.encode() not in text
        assert token.encode() not in text


def test_a_certificate_from_acme_does_nothing_here_by_a_pattern_for_services(world):
    """Else it would be renewed for ever after one challenge, and ask for all services' names."""
    everybody = ServiceRule("*", ALL, names=("**.internal",))
    before = world.authority.policy
    world.authority.policy = Policy.of(
        before.profiles, Whitelist(RULES, [everybody]), world.authority.issuers, 60
    )
    try:
        peer = world.peer("acme.acme.4xk2qzj7")
        path = f"/certificates/{world.certificate('acme.acme.4xk2qzj7').id}/renew"
        world.ask("POST", path, peer=peer).problem(403, "forbidden")
        wish = {"common_name": "any.internal", "csr": csr()}
        reply = world.ask("POST", "/certificates/request", peer=peer, json=wish)
        reply.problem(403, "forbidden")
        other = world.ask(
            "POST", "/certificates/request", peer=world.peer("some-service"), json=wish
        )
        assert other.status == 201
    finally:
        world.authority.policy = before


def test_no_route_says_where_anything_is_written_or_sent(world):
    """CVE-2025-54997, CVE-2025-6000: the API took the path of an audit device, and ran code."""
    words = {"path", "file", "dir", "device", "sink", "command", "plugin", "webhook", "callback"}
    for route in ROUTES:
        for struct in (route.body, route.query):
            fields = () if struct is None else structs.fields(struct)
            for field in fields:
                assert words.isdisjoint(field.name.split("_")), (route.path, field.name)
                # This one is shown to people, and nobody here fetches it.
                is_shown = field.name == "explanation_url"
                assert is_shown or "url" not in field.name, (route.path, field.name)


def test_nobody_changes_anything_without_a_credential(world):
    """CVE-2026-5807: anyone could cancel an operator's rekey."""
    before = world.run(world.store.count())
    for route in ROUTES:
        path = route.path.format(
            id="webapp", serial="40", key_id="k", account_id="a", ssh_id="1", provisioner="acme"
        )
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            reply = world.ask(method, path, peer=Peer("127.0.0.1"), json={})
            assert reply.status in {401, 405}, (method, path, reply.body)
    assert world.run(world.store.count()) == before
