"""RFC 9773: renewal windows, and orders that replace."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from mintmark.model.acme import RenewalWindow
from mintmark.model.certificate import Certificate
from mintmark.model.provisioner import ACMEProvisioner
from mintmark.model.time import DAY, HOUR
from mintmark.protocol.acme import order
from mintmark.protocol.acme.renewal_info import usual_window
from mintmark.wire import jose
from tests.unit.acme.client import csr

NAME = "web.example.internal"


def issued(client, *names: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates(client.certificate(*(names or (NAME,))))[0]


def certid(certificate: x509.Certificate) -> str:
    """Return the certid as RFC 9773 §4.1 makes it, from the certificate alone."""
    key_id = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    serial = certificate.serial_number
    octets = serial.to_bytes(serial.bit_length() // 8 + 1)
    return f"{jose.encode(key_id.key_identifier)}.{jose.encode(octets)}"


def window(reply) -> tuple[float, float]:
    found = reply.json["suggestedWindow"]
    return tuple(datetime.fromisoformat(found[end]).timestamp() for end in ("start", "end"))


def test_window_is_at_two_thirds_of_life(world, client, clock):
    certificate = issued(client)
    begin = certificate.not_valid_before_utc.timestamp()
    life = certificate.not_valid_after_utc.timestamp() - begin

    reply = world.stranger().get(f"renewal-info/{certid(certificate)}")

    start, end = window(reply)
    assert end - start == pytest.approx(life / 30, abs=2)
    assert begin + life * 0.6 < start < end < begin + life * 0.72
    assert reply.headers["retry-after"] == "21600"
    assert "explanationURL" not in reply.json


@given(st.lists(st.binary(min_size=20, max_size=20), min_size=2, max_size=50, unique=True))
def test_windows_are_spread_and_stay_inside_the_life(serials):
    windows = [
        usual_window(Certificate(serial, "i", "s", "p", "", (), 1000, 1000 + 30 * DAY, b"", b""))
        for serial in serials
    ]

    for one in windows:
        assert 1000 + 18 * DAY < one.start < one.end < 1000 + 22 * DAY
    assert len({one.start for one in windows}) > 1 or len(windows) < 3


def test_window_of_one_certificate_is_always_the_same(world, client):
    url = f"renewal-info/{certid(issued(client))}"

    assert world.stranger().get(url).json == client.get(url).json


def test_short_lived_certificate_is_asked_about_more_often(world):
    world.provision(ACMEProvisioner("acme", lifetime=DAY))
    client = world.client()

    reply = client.get(f"renewal-info/{certid(issued(client))}")

    assert int(reply.headers["retry-after"]) == DAY // 30


def test_revoked_certificate_has_a_window_in_the_past_and_an_explanation(client, clock):
    certificate = issued(client)
    der = certificate.public_bytes(serialization.Encoding.DER)
    clock.advance(HOUR)
    client.nonces.clear()
    client.post("revoke-cert", {"certificate": jose.encode(der), "reason": 4})

    reply = client.get(f"renewal-info/{certid(certificate)}")

    start, end = window(reply)
    assert start < end <= clock()
    explanation = client.get(reply.json["explanationURL"])
    assert explanation.response.content_type.startswith("text/plain")
    assert b"revoked" in explanation.body
    assert NAME.encode() in explanation.body


def test_operator_moves_a_window(world, client, clock):
    certificate = issued(client)
    now = int(clock())
    moved = RenewalWindow(certificate.serial_number.to_bytes(20), now - HOUR, now + HOUR)
    world.run(world.store.set_renewal_windows([moved]))

    reply = client.get(f"renewal-info/{certid(certificate)}")

    assert window(reply) == (now - HOUR, now + HOUR)
    assert reply.headers["retry-after"] == "3600"
    assert b"operators" in client.get(reply.json["explanationURL"]).body


def test_operators_own_explanation_is_shown(world, client, clock):
    certificate = issued(client)
    moved = RenewalWindow(
        certificate.serial_number.to_bytes(20), 1, 2, "https://example.com/incident"
    )
    world.run(world.store.set_renewal_windows([moved]))

    reply = client.get(f"renewal-info/{certid(certificate)}")

    assert reply.json["explanationURL"] == "https://example.com/incident"


@pytest.mark.parametrize("name", ["x", "AAAA.AAAA", ".", "A.A", "AAAA", "a.b.c", "-_.-_"])
def test_certid_that_is_none_is_refused(world, client, name):
    reply = world.stranger().get(f"renewal-info/{name}")

    assert reply.status in (400, 404)
    reply.problem("malformed")


def test_serial_under_another_issuers_key_is_not_found(world, client):
    serial = certid(issued(client)).partition(".")[2]

    world.stranger().get(f"renewal-info/{'A' * 27}.{serial}").problem("malformed", 404)


# Orders that replace (§5).


def test_renewal_replaces_and_is_not_limited(world):
    world.provision(ACMEProvisioner("acme", orders_per_hour=1))
    client = world.client()
    first = issued(client)
    client.order(NAME).problem("rateLimited", 429)

    reply = client.order(NAME, replaces=certid(first))

    assert reply.status == 201
    assert reply.json["replaces"] == certid(first)
    assert client.post(reply.json["finalize"], csr(NAME)).status == 200
    stored = world.run(world.store.certificate(first.serial_number.to_bytes(20)))
    assert stored.replaced_by is not None


def test_renewals_of_one_certificate_are_limited_far_beyond_what_is_needed(
    world, client, monkeypatch
):
    monkeypatch.setattr(order, "RENEWALS_PER_HOUR", 2)
    first, second = issued(client), issued(client)
    for _ in range(2):
        assert client.order(NAME, replaces=certid(first)).status == 201

    refused = client.order(NAME, replaces=certid(first))

    refused.problem("rateLimited", 429)
    assert int(refused.headers["retry-after"]) > 0
    assert client.order(NAME, replaces=certid(second)).status == 201


def test_certificate_is_replaced_once(client):
    first = issued(client)
    order = client.order(NAME, replaces=certid(first)).json
    client.post(order["finalize"], csr(NAME))

    client.order(NAME, replaces=certid(first)).problem("alreadyReplaced", 409)


def test_certificate_of_another_account_is_not_replaced(world, client):
    certificate = issued(client)

    world.client().order(NAME, replaces=certid(certificate)).problem("unauthorized", 403)


def test_certificate_without_a_common_name_is_not_replaced(client):
    client.order("b.example.internal", replaces=certid(issued(client))).problem("malformed", 400)


def test_certificate_that_is_unknown_is_not_replaced(client):
    good = certid(issued(client))

    client.order(NAME, replaces=good[:-4] + "AAAA").problem("malformed", 404)
    client.order(NAME, replaces="x").problem("malformed", 400)


def test_windows_of_certificates_issued_together_differ(client):
    starts = [window(client.get(f"renewal-info/{certid(issued(client))}"))[0] for _ in range(4)]

    assert any(first != second for first, second in pairwise(starts))
