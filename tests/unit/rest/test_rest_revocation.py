"""Revocation over the API: final, visible at once, and telling nothing to strangers."""

from __future__ import annotations

from contextlib import suppress
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.client.documents import ReasonWord, StatusWord
from mintmark.model.errors import Error
from mintmark.model.status import Reason, Status
from mintmark.protocol.rest.parameters import parse_serial
from mintmark.store.interface import StoredCRL
from mintmark.wire import pem
from tests.unit.rest.world import local_peer


def check(world, serial, peer=None):
    reply = world.ask("GET", f"/crl/check/{serial}", peer=peer or local_peer())
    assert reply.status == 200, reply.body
    return reply.json


def test_the_documents_words_are_the_models():
    assert set(get_args(ReasonWord)) == {reason.word for reason in Reason}
    assert set(get_args(StatusWord)) == {status.value for status in Status}


def test_a_revocation_is_visible_when_its_request_returns(world):
    certificate = world.certificate("webapp")
    assert check(world, certificate.serial.hex())["status"] == "active"
    reply = world.ask(
        "DELETE",
        f"/certificates/{certificate.id}/revoke",
        peer=world.peer("webapp"),
        json={"reason": "superseded"},
    )
    assert reply.status == 200, reply.body
    assert reply.json["revocation_reason"] == "superseded"
    seen = check(world, certificate.serial.hex())
    assert (seen["status"], seen["revoked"]) == ("revoked", True)
    assert seen["revoked_at"] == reply.json["revoked_at"]
    assert seen["revocation_reason"] == "superseded"


def test_revoking_needs_no_body(world):
    certificate = world.certificate("webapp")
    reply = world.ask("DELETE", f"/certificates/{certificate.id}/revoke", peer=local_peer())
    assert reply.json["revocation_reason"] == "unspecified"


def test_revoking_twice_is_a_conflict(world):
    certificate = world.certificate("webapp")
    path = f"/certificates/{certificate.id}/revoke"
    assert world.ask("DELETE", path, peer=local_peer()).status == 200
    world.ask("DELETE", path, peer=local_peer()).problem(409, "already-revoked")


@pytest.mark.parametrize("field", ["certificate_id", "serial_number", "with_colons"])
def test_crl_revoke_takes_an_id_or_a_serial(world, field):
    certificate = world.certificate("webapp")
    wish = {
        "certificate_id": {"certificate_id": certificate.id},
        "serial_number": {"serial_number": certificate.serial.hex()},
        "with_colons": {"serial_number": certificate.serial.hex(":")},
    }[field]
    body = {**wish, "reason": "key-compromise"}
    reply = world.ask("POST", "/crl/revoke", peer=world.peer("webapp"), json=body)
    assert reply.status == 200, reply.body
    assert world.stored(certificate.id).revocation.reason is Reason.KEY_COMPROMISE


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"certificate_id": "webapp", "serial_number": "40"},
        {"certificate_id": "webapp", "reason": "certificate-hold"},
        {"certificate_id": "webapp", "reason": "remove-from-crl"},
        {"certificate_id": "webapp", "reason": 1},
        {"serial_number": "nope"},
        {"serial": "40"},
    ],
)
def test_a_malformed_revocation_is_refused(world, body):
    world.ask("POST", "/crl/revoke", peer=local_peer(), json=body).problem(400, "malformed")


def test_a_service_does_not_speak_of_ca_compromise(world):
    certificate = world.certificate("webapp")
    reply = world.ask(
        "DELETE",
        f"/certificates/{certificate.id}/revoke",
        peer=world.peer("webapp"),
        json={"reason": "ca-compromise"},
    )
    reply.problem(403, "forbidden")


def test_revoking_by_anothers_serial_tells_nothing(world):
    theirs = world.certificate("webapp")
    peer = world.peer("db")
    one = world.ask("POST", "/crl/revoke", peer=peer, json={"serial_number": theirs.serial.hex()})
    two = world.ask("POST", "/crl/revoke", peer=peer, json={"serial_number": "40" * 20})
    assert (one.status, two.status) == (404, 404)
    assert one.body.replace(theirs.serial.hex().encode(), b"") == two.body.replace(b"40" * 20, b"")
    assert world.stored(theirs.id).revocation is None


def test_a_serial_is_read_in_hex_with_colons_and_in_decimal(world):
    serial = world.certificate("webapp").serial
    for text in (
        serial.hex(),
        serial.hex().upper(),
        serial.hex(":"),
        f"0x{serial.hex()}",
        str(int.from_bytes(serial, "big")),
    ):
        assert check(world, text)["serial_number"] == serial.hex(), text


def test_an_unknown_serial_is_unknown(world):
    assert check(world, "40" * 20) == {
        "serial_number": "40" * 20,
        "status": "unknown",
        "revoked": False,
        "revoked_at": None,
        "revocation_reason": None,
    }


def test_an_expired_certificate_is_expired(world):
    certificate = world.certificate("webapp")
    world.clock.now += 400 * 86400
    assert check(world, certificate.serial.hex())["status"] == "expired"


@pytest.mark.parametrize(
    "serial", ["xyz", "0x", "-1", "4" * 41 + "x", "a" * 41, ":", "1:", "..", "9" * 50]
)
def test_what_is_no_serial_is_malformed(world, serial):
    world.ask("GET", f"/crl/check/{serial}", peer=local_peer()).problem(400, "malformed")


@settings(max_examples=100, deadline=None)
@given(st.binary(min_size=20, max_size=20))
def test_every_serial_is_read_back_from_every_form(serial):
    number = int.from_bytes(serial, "big")
    assert parse_serial(serial.hex()) == serial
    assert parse_serial(serial.hex(":")) == serial
    if len(str(number)) != 40:  # 40 digits are hex, as all serials of ours are written
        assert parse_serial(str(number)) == serial


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=70))
def test_any_text_is_a_serial_or_an_error(text):
    with suppress(Error):
        assert len(parse_serial(text)) == 20


def test_without_a_crl_there_is_none(world):
    world.ask("GET", "/crl?issuer=0000000000000000", peer=local_peer()).problem(404, "not-found")


def test_the_newest_crl_is_served_as_pem_and_der(world):
    issuer = world.authority.issuers[0].id
    crl = StoredCRL(issuer, 1, 1_800_000_000, 1_800_086_400, 0, b"\x30\x03\x02\x01\x01")
    assert world.run(world.store.add_crl(crl))
    armored = world.ask("GET", "/crl", peer=world.peer("webapp"))
    assert armored.body.startswith(b"-----BEGIN X509 CRL-----")
    der = world.ask("GET", f"/crl?issuer={issuer}&format=der", peer=world.peer("webapp"))
    assert der.body == crl.der
    assert der.response.content_type == "application/pkix-crl"
    headers = {"if-none-match": der.headers["etag"]}
    again = world.ask("GET", "/crl?format=der", peer=world.peer("webapp"), headers=headers)
    assert (again.status, again.body) == (304, b"")


def test_a_large_crl_is_the_same_in_pem(world, monkeypatch):
    monkeypatch.setattr("mintmark.protocol.rest.revocation.LARGE", 2)
    issuer = world.authority.issuers[0].id
    crl = StoredCRL(issuer, 2, 1_800_000_001, 1_800_086_400, 0, b"\x30\x03\x02\x01\x02")
    assert world.run(world.store.add_crl(crl))
    assert pem.decode(pem.CRL, world.ask("GET", "/crl", peer=local_peer()).body) == [crl.der]


def test_a_malformed_issuer_is_refused(world):
    for issuer in ("..", "x", "0" * 17, "%00"):
        path = f"/crl?issuer={issuer}"
        world.ask("GET", path, peer=local_peer()).problem(400, "malformed")
