"""RFC 8555 §7.4: from an order to a certificate, once."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey

from mintmark.model.keys import KeyType
from mintmark.model.provisioner import ACMEProvisioner
from mintmark.model.time import DAY, timestamp
from mintmark.wire import jose
from tests import pki
from tests.unit.acme.client import csr

NAME = "web.example.internal"


def leaf(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(pem)[0]


def count(world) -> int:
    return world.run(world.store.count())["certificates"]


def test_an_order_becomes_a_certificate(client):
    found = leaf(client.certificate(NAME, "192.0.2.7"))

    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]


def test_wildcard_proved_by_dns_is_issued(client):
    found = leaf(client.certificate("*.example.internal", challenge="dns-01"))

    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.example.internal"]


def test_issued_certificate_has_its_order_and_its_account(world, client):
    found = leaf(client.certificate(NAME))
    stored = world.run(world.store.certificate(found.serial_number.to_bytes(20)))

    assert stored.certificate.service == f"acme.acme.{client.account_id}"
    assert stored.certificate.profile == "server"


def test_lifetime_is_the_provisioners(world):
    world.provision(ACMEProvisioner("acme", lifetime=30 * DAY))
    found = leaf(world.client().certificate(NAME))

    assert (found.not_valid_after_utc - found.not_valid_before_utc).days == 30


def test_dates_that_were_asked_for_are_in_the_certificate(client, clock):
    dates = {"notBefore": timestamp(clock() + 60), "notAfter": timestamp(clock() + 5 * DAY)}

    found = leaf(client.certificate(NAME, **dates))

    assert int(found.not_valid_before_utc.timestamp()) == int(clock()) + 60
    assert int(found.not_valid_after_utc.timestamp()) == int(clock()) + 5 * DAY


def test_end_that_was_asked_for_is_exact_also_without_a_beginning(client, clock):
    found = leaf(client.certificate(NAME, notAfter=timestamp(clock() + 5 * DAY)))

    assert int(found.not_valid_after_utc.timestamp()) == int(clock()) + 5 * DAY


def test_common_name_may_be_one_of_the_identifiers(client):
    _, order = client.ready(NAME, "b.example.internal")

    reply = client.post(order["finalize"], csr("b.example.internal", common_name=NAME.upper()))

    found = leaf(client.post(reply.json["certificate"]).body)
    assert found.subject.rfc4514_string() == f"CN={NAME}"


# Refused CSRs leave the order ready.


@pytest.mark.parametrize(
    ("names", "common_name"),
    [
        ((NAME, "evil.example.internal"), ""),
        ((), ""),
        (("evil.example.internal",), ""),
        ((NAME,), "evil.example.internal"),
        ((NAME,), "not a name"),
        ((f"*.{NAME}",), ""),
        ((NAME, "spiffe://example.internal/web"), ""),
    ],
)
def test_csr_for_other_names_is_refused(world, client, names, common_name):
    location, order = client.ready(NAME)

    client.post(order["finalize"], csr(*names, common_name=common_name)).problem("badCSR", 400)

    assert client.post(location).json["status"] == "ready"
    assert count(world) == 0
    assert client.post(order["finalize"], csr(NAME)).status == 200


def test_csr_that_lacks_a_name_is_refused(client):
    _, order = client.ready(NAME, "b.example.internal")

    problem = client.post(order["finalize"], csr(NAME)).problem("badCSR")

    assert "b.example.internal" in problem["detail"]


def test_csr_with_the_account_key_is_refused(world, client):
    private = serialization.load_pem_private_key(client.key.as_pem(private=True), None)
    _, order = client.ready(NAME)

    client.post(order["finalize"], csr(NAME, private=private)).problem("badCSR", 400)
    assert count(world) == 0


def test_csr_with_an_issuers_key_is_refused(client):
    _, order = client.ready(NAME)

    client.post(order["finalize"], csr(NAME, private=pki.private_key(number=1))).problem("badCSR")


def test_csr_with_a_weak_key_is_refused(client):
    weak = rsa.generate_private_key(65537, 1024)
    _, order = client.ready(NAME)

    client.post(order["finalize"], csr(NAME, private=weak)).problem("badCSR", 400)


def test_csr_whose_signature_is_not_its_keys_is_refused(client):
    der = bytearray(pki.csr(None, NAME))
    der[-5] ^= 1
    _, order = client.ready(NAME)

    client.post(order["finalize"], {"csr": jose.encode(bytes(der))}).problem("badCSR", 400)


@pytest.mark.parametrize(
    ("payload", "word"),
    [
        ({}, "malformed"),
        ({"csr": 7}, "malformed"),
        ({"csr": "!"}, "malformed"),
        ({"csr": ""}, "badCSR"),
        ({"csr": "AAAA"}, "badCSR"),
    ],
)
def test_what_is_no_csr_is_refused(client, payload, word):
    _, order = client.ready(NAME)

    client.post(order["finalize"], payload).problem(word, 400)


def test_extensions_of_the_csr_are_ignored(client):
    smuggled = (x509.BasicConstraints(ca=True, path_length=None), True)
    _, order = client.ready(NAME)
    payload = {"csr": jose.encode(pki.csr(None, NAME, extensions=(smuggled,)))}

    reply = client.post(order["finalize"], payload)

    extensions = leaf(client.post(reply.json["certificate"]).body).extensions
    constraints = [one.value for one in extensions if isinstance(one.value, x509.BasicConstraints)]
    assert not any(one.ca for one in constraints)


def test_key_revoked_for_compromise_is_refused(client):
    first = leaf(client.certificate(NAME))
    der = first.public_bytes(serialization.Encoding.DER)
    client.post("revoke-cert", {"certificate": jose.encode(der), "reason": 1})

    _, order = client.ready(NAME)
    client.post(order["finalize"], csr(NAME)).problem("badCSR", 400)


# Once.


def test_order_that_is_not_ready_is_not_finalized(client):
    order = client.order(NAME).json

    client.post(order["finalize"], csr(NAME)).problem("orderNotReady", 403)


def test_finalized_order_is_not_finalized_again(world, client):
    _, order = client.ready(NAME)
    assert client.post(order["finalize"], csr(NAME)).status == 200

    client.post(order["finalize"], csr(NAME)).problem("orderNotReady", 403)
    assert count(world) == 1


def test_finalizations_at_once_make_one_certificate(world, client):
    """One that began when the order was ready gets it; a later one is told that it is not."""
    _, order = client.ready(NAME)
    requests = [client.request(order["finalize"], csr(NAME)) for _ in range(4)]
    servers = [world.server(), world.server()]

    async def at_once():
        sent = [servers[n % 2].handle(request) for n, request in enumerate(requests)]
        return await asyncio.gather(*sent)

    replies = world.run(at_once())

    assert {reply.status for reply in replies} <= {200, 403}
    assert len({reply.body for reply in replies if reply.status == 200}) == 1
    assert count(world) == 1


def test_finalization_that_loses_the_race_gets_the_same_certificate(world, client, monkeypatch):
    _, order = client.ready(NAME)
    first, second = (client.request(order["finalize"], csr(NAME)) for _ in range(2))
    read = world.store.order

    async def just_before(order_id):
        """Return the order as it was, and let the other request finish first."""
        found = await read(order_id)
        monkeypatch.setattr(world.store, "order", read)
        replies.append(await client.send(first))
        return found

    replies = []
    monkeypatch.setattr(world.store, "order", just_before)
    replies += client.together(second)

    assert [reply.status for reply in replies] == [200, 200]
    assert replies[0].body == replies[1].body
    assert count(world) == 1


def test_of_two_keys_finalized_at_once_one_gets_the_certificate(world, client):
    _, order = client.ready(NAME)
    keys = [pki.private_key(KeyType.EC_P256, number) for number in (200, 201)]

    replies = client.together(
        *(client.request(order["finalize"], csr(NAME, private=key)) for key in keys)
    )

    assert sorted(reply.status for reply in replies) == [200, 403]
    assert count(world) == 1


def test_two_clients_get_a_certificate_each_for_one_name(world):
    first, second = world.client(), world.client()

    assert leaf(first.certificate(NAME)) != leaf(second.certificate(NAME))


# Download.


def test_chain_is_leaf_first_and_the_alternate_has_the_root(world, client):
    _, order = client.ready(NAME)
    url = client.post(order["finalize"], csr(NAME)).json["certificate"]

    usual = client.post(url)
    alternate = client.post(usual.links["alternate"])

    assert usual.response.content_type == "application/pem-certificate-chain"
    chain = x509.load_pem_x509_certificates(usual.body)
    longer = x509.load_pem_x509_certificates(alternate.body)
    assert longer[:-1] == chain
    assert longer[-1].public_bytes(serialization.Encoding.DER) == world.hierarchy.root_der
    for below, above in pairwise(longer):
        below.verify_directly_issued_by(above)
    assert alternate.links["alternate"] == url


def test_certificate_is_not_downloaded_by_others_nor_by_get(world, client):
    _, order = client.ready(NAME)
    url = client.post(order["finalize"], csr(NAME)).json["certificate"]

    world.client().post(url).problem("malformed", 404)
    client.get(url).problem("malformed", 405)
    client.post(url, {}).problem("malformed", 400)
    client.post(url + "/2").problem("malformed", 404)
    client.post("certificate/" + "00" * 20).problem("malformed", 404)


def test_issuance_by_every_kind_of_account_key_is_audited(world):
    client = world.client(ECKey.generate_key("P-384"))
    client.certificate(NAME)

    records, _ = world.run(
        world.store.audit(before=None, limit=10, service=None, action="certificate.request")
    )
    assert len(records) == 1


def test_rules_that_were_narrowed_after_the_order_hold_at_its_end(world):
    client = world.client()
    _, order = client.ready(NAME)
    world.provision(ACMEProvisioner("acme", names=("*.lab.internal",)))

    refused = client.post(order["finalize"], csr(NAME)).problem("rejectedIdentifier", 403)

    assert "*.lab.internal" in refused["detail"]
    assert count(world) == 0
