"""RFC 8555 §7.6: revocation by account, by authorized account and by certificate key."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import ECKey

from mintmark.model.keys import KeyType
from mintmark.model.status import Reason
from mintmark.wire import jose
from tests import pki

NAME = "web.example.internal"


@pytest.fixture
def der(client):
    found = x509.load_pem_x509_certificates(client.certificate(NAME))[0]
    return found.public_bytes(serialization.Encoding.DER)


def wish(der: bytes, **members):
    return {"certificate": jose.encode(der), **members}


def revocation(world, der):
    serial = x509.load_der_x509_certificate(der).serial_number.to_bytes(20)
    return world.run(world.store.revocation(serial))


def test_account_revokes_what_it_ordered(world, client, der):
    reply = client.post("revoke-cert", wish(der, reason=4))

    assert (reply.status, reply.body) == (200, b"")
    assert revocation(world, der).reason is Reason.SUPERSEDED
    client.post("revoke-cert", wish(der)).problem("alreadyRevoked", 400)


def test_key_of_the_certificate_revokes_it(world, client, der):
    pem = pki.private_key(KeyType.EC_P256, 100).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    holder = world.stranger(ECKey.import_key(pem))

    assert holder.post("revoke-cert", wish(der, reason=1)).status == 200
    assert revocation(world, der).reason is Reason.KEY_COMPROMISE


def test_other_key_does_not_revoke(world, der):
    world.stranger().post("revoke-cert", wish(der)).problem("unauthorized", 403)
    assert revocation(world, der) is None


def test_account_authorized_for_all_names_revokes(world, client, der):
    other = world.client()
    other.post("revoke-cert", wish(der)).problem("unauthorized", 403)
    other.ready(NAME)

    assert other.post("revoke-cert", wish(der)).status == 200
    assert revocation(world, der) is not None


def test_account_authorized_for_some_names_does_not_revoke(world, client):
    found = x509.load_pem_x509_certificates(client.certificate(NAME, "b.example.internal"))[0]
    other = world.client()
    other.ready(NAME)

    der = found.public_bytes(serialization.Encoding.DER)
    other.post("revoke-cert", wish(der)).problem("unauthorized", 403)


def test_certificate_of_another_provisioner_is_not_ours(world, client, der):
    elsewhere = world.client(provisioner="other")
    elsewhere.ready(NAME)

    elsewhere.post("revoke-cert", wish(der)).problem("malformed", 404)
    assert revocation(world, der) is None


def test_certificate_that_differs_in_one_octet_is_not_ours(client, der):
    altered = der[:-1] + bytes([der[-1] ^ 1])

    client.post("revoke-cert", wish(altered)).problem("malformed", 404)


@pytest.mark.parametrize("reason", [2, 6, 7, 8, 10, 11, -1])
def test_reasons_that_are_not_a_holders_are_refused(world, client, der, reason):
    problem = client.post("revoke-cert", wish(der, reason=reason)).problem(
        "badRevocationReason", 400
    )

    assert "key-compromise" in problem["detail"]
    assert revocation(world, der) is None


@pytest.mark.parametrize("certificate", ["", "AAAA", "!", 7])
def test_what_is_no_certificate_is_malformed(client, certificate):
    client.post("revoke-cert", {"certificate": certificate}).problem("malformed", 400)


def test_revocation_says_in_the_audit_log_what_gave_the_right(world, client, der):
    client.post("revoke-cert", wish(der))

    (record,), _ = world.run(
        world.store.audit(before=None, limit=10, service=None, action="certificate.revoke")
    )
    assert b'"proof":"account"' in record.leaf.replace(b" ", b"")
