"""OCSP: what the store says now, signed by a delegated responder."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from mintmark.authority.workflow.revoke import revoke
from mintmark.model.errors import Error, Kind
from mintmark.model.status import Reason
from mintmark.model.time import DAY, HOUR
from mintmark.protocol.ocsp.endpoint import OCSPEndpoint
from mintmark.publication.ocsp import Responder
from mintmark.server.target import parse
from mintmark.wire import der
from mintmark.wire import ocsp as wire
from mintmark.wire.http import Peer, Request
from tests import pki
from tests.unit.rest.world import LOCAL

LIFETIME = 12 * HOUR


@pytest.fixture
def responder(world):
    return world.run(Responder.start(world.authority, LIFETIME))


def parsed(der):
    return x509.load_der_x509_certificate(der)


def request(world, *certificates, algorithm=None, nonce=None, issuer_der=None):
    issuer = parsed(issuer_der or world.authority.issuing.issuer.der)
    builder = ocsp.OCSPRequestBuilder()
    builder = builder.add_certificate(
        parsed(certificates[0].der), issuer, algorithm or hashes.SHA1()
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(serialization.Encoding.DER)


async def answered(responder, der):
    """Return the answer itself, at once or when there is one."""
    answer = responder.answer(der, lambda made: made)
    return await answer if asyncio.isfuture(answer) else answer


def ask(world, responder, der):
    return ocsp.load_der_ocsp_response(world.run(answered(responder, der)).der)


def revoke_now(world, certificate, reason=Reason.KEY_COMPROMISE):
    stored = world.run(world.store.certificate(certificate.serial))
    world.run(revoke(world.authority, LOCAL, stored, reason))


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA256(), hashes.SHA512()])
def test_a_certificate_of_ours_is_good(world, responder, algorithm):
    leaf = world.certificate("web", "a.web.internal")

    answer = ask(world, responder, request(world, leaf, algorithm=algorithm))

    assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
    assert (answer.next_update_utc - answer.this_update_utc).total_seconds() == LIFETIME


def test_a_revocation_shows_at_once_even_when_the_answer_was_cached(world, responder):
    leaf = world.certificate("web", "a.web.internal")
    der = request(world, leaf)
    assert ask(world, responder, der).certificate_status is ocsp.OCSPCertStatus.GOOD

    revoke_now(world, leaf)

    answer = ask(world, responder, der)
    assert answer.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert answer.revocation_reason is x509.ReasonFlags.key_compromise


def test_a_revocation_by_another_process_shows_at_once(world, responder, tmp_path):
    leaf = world.certificate("web", "a.web.internal")
    der = request(world, leaf)
    ask(world, responder, der)
    other = type(world.store)(tmp_path / "mintmark.db", world.clock)
    world.run(other.open())
    stored = world.run(other.certificate(leaf.serial))

    world.run(revoke(replace(world.authority, store=other), LOCAL, stored, Reason.SUPERSEDED))
    world.run(other.close())

    assert ask(world, responder, der).certificate_status is ocsp.OCSPCertStatus.REVOKED


def test_a_serial_that_was_never_issued_is_unknown(world, responder):
    stranger = pki.leaf(world.authority.issuing, "a.example", not_before=int(world.clock()))

    answer = ask(world, responder, request(world, stranger))

    assert answer.certificate_status is ocsp.OCSPCertStatus.UNKNOWN


def test_a_certificate_of_a_foreign_issuer_is_not_ours_to_answer_for(world, responder):
    foreign = pki.pki()
    leaf = pki.leaf(foreign.issuing, "a.example")

    answer = ask(world, responder, request(world, leaf, issuer_der=foreign.issuer.der))

    assert answer.response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED


def test_the_responder_is_delegated_by_the_issuer_and_signs_what_it_says(world, responder):
    """RFC 6960 §4.2.2.2: issued directly by the issuer, for OCSP signing, not checked itself."""
    answer = ask(world, responder, request(world, world.certificate("web", "a.web.internal")))

    (certificate,) = answer.certificates
    certificate.verify_directly_issued_by(parsed(world.authority.issuing.issuer.der))
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    assert list(usage.value) == [x509.ExtendedKeyUsageOID.OCSP_SIGNING]
    assert certificate.extensions.get_extension_for_class(x509.OCSPNoCheck)
    certificate.public_key().verify(
        answer.signature, answer.tbs_response_bytes, ec.ECDSA(hashes.SHA256())
    )


def test_the_responders_own_certificate_is_on_record(world, responder):
    answer = ask(world, responder, request(world, world.certificate("web", "a.web.internal")))

    serial = answer.certificates[0].serial_number.to_bytes(20, "big")
    assert world.run(world.store.certificate(serial)).certificate.profile == "ocsp-responder"


def test_a_nonce_comes_back_and_makes_the_answer_fresh(world, responder):
    leaf = world.certificate("web", "a.web.internal")
    first = ask(world, responder, request(world, leaf, nonce=b"a" * 32))
    world.clock.now += 10

    second = ask(world, responder, request(world, leaf, nonce=b"b" * 32))

    nonce = second.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    assert nonce == b"b" * 32
    assert second.this_update_utc > first.this_update_utc


def test_an_answer_is_reused_for_half_of_its_life_and_no_longer(world, responder):
    der = request(world, world.certificate("web", "a.web.internal"))
    first = ask(world, responder, der)

    world.clock.now += LIFETIME // 2 - 1
    assert ask(world, responder, der).this_update_utc == first.this_update_utc

    world.clock.now += 1
    assert ask(world, responder, der).this_update_utc > first.this_update_utc


def test_an_answer_about_a_serial_that_nobody_has_is_not_kept(world, responder):
    """There are 2^112 of those, and each is asked for by anyone."""
    stranger = pki.leaf(world.authority.issuing, "a.example", not_before=int(world.clock()))
    der = request(world, stranger)
    first = ask(world, responder, der)
    world.clock.now += 10

    assert ask(world, responder, der).this_update_utc > first.this_update_utc


def test_a_request_larger_than_any_honest_one_is_not_kept(world, responder):
    """Else 50 000 of 4 kB about one certificate would be 400 MB."""
    leaf = world.certificate("web", "a.web.internal")
    padding = x509.UnrecognizedExtension(
        x509.ObjectIdentifier("1.2.3.4"), b"\x04\x82\x04\x00" * 257
    )
    der = (
        ocsp.OCSPRequestBuilder()
        .add_certificate(
            parsed(leaf.der), parsed(world.authority.issuing.issuer.der), hashes.SHA1()
        )
        .add_extension(padding, critical=False)
        .build()
        .public_bytes(serialization.Encoding.DER)
    )
    first = ask(world, responder, der)
    world.clock.now += 10

    assert ask(world, responder, der).this_update_utc > first.this_update_utc


@pytest.mark.parametrize("algorithm", [hashes.SHA1(), hashes.SHA512()])
def test_every_honest_request_is_kept(world, responder, algorithm):
    der = request(world, world.certificate("web", "a.web.internal"), algorithm=algorithm)
    first = ask(world, responder, der)
    world.clock.now += 10

    assert ask(world, responder, der).this_update_utc == first.this_update_utc


def test_an_answer_is_never_good_for_longer_than_the_certificate_that_signed_it(world):
    responder = world.run(Responder.start(world.authority, 7 * DAY))

    answer = ask(world, responder, request(world, world.certificate("web", "a.web.internal")))

    assert answer.next_update_utc <= answer.certificates[0].not_valid_after_utc


def test_a_clock_that_jumps_back_does_not_keep_answers_from_the_future(world, responder):
    der = request(world, world.certificate("web", "a.web.internal"))
    world.clock.now += 30
    first = ask(world, responder, der)

    world.clock.now -= 30

    assert ask(world, responder, der).this_update_utc < first.this_update_utc


def test_the_key_is_replaced_at_half_of_its_certificates_life(world, responder):
    der = request(world, world.certificate("web", "a.web.internal"))
    before = ask(world, responder, der).certificates[0].serial_number
    world.run(responder.turn())
    assert ask(world, responder, der).certificates[0].serial_number == before

    world.clock.now += 4 * DAY
    world.run(responder.turn())

    assert ask(world, responder, der).certificates[0].serial_number != before


def test_a_key_from_the_future_is_replaced_when_the_clock_jumped_back(world, responder):
    world.clock.now -= 1800

    world.run(responder.turn())

    answer = ask(world, responder, request(world, world.certificate("web", "a.web.internal")))
    assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD


def status(answer):
    return ocsp.load_der_ocsp_response(answer.der).response_status


def together(world, responder, *requests):
    """Ask for several answers in one turn of the loop."""

    async def ask_all():
        return await asyncio.gather(*(answered(responder, each) for each in requests))

    return world.run(ask_all())


def test_requests_that_come_together_get_each_its_own_answer(world, responder):
    leaves = [world.certificate("web", f"a{number}.web.internal") for number in range(100)]
    revoke_now(world, leaves[1])
    nonces = [bytes((number,)) * 16 for number in range(100)]

    answers = together(
        world,
        responder,
        *(request(world, leaf, nonce=nonce) for leaf, nonce in zip(leaves, nonces, strict=True)),
    )

    for number, (answer, leaf) in enumerate(zip(answers, leaves, strict=True)):
        found = ocsp.load_der_ocsp_response(answer.der)
        assert found.serial_number == int.from_bytes(leaf.serial, "big")
        nonce = found.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
        assert nonce == nonces[number]
        good = found.certificate_status is ocsp.OCSPCertStatus.GOOD
        assert good == (number != 1)


def test_requests_of_turns_one_after_the_other_share_one_read(world, responder, monkeypatch):
    der = request(world, world.certificate("web", "a.web.internal"), nonce=b"n" * 16)
    real, sizes = world.store.statuses, []

    async def counted(issuer, serials):
        sizes.append(len(serials))
        return await real(issuer, serials)

    monkeypatch.setattr(world.store, "statuses", counted)

    async def ask_after(turns):
        for _ in range(turns):
            await asyncio.sleep(0)
        return await answered(responder, der)

    async def ask_all():
        return await asyncio.gather(*(ask_after(turns) for turns in (0, 0, 1, 2, 2)))

    assert len(world.run(ask_all())) == 5
    assert sizes == [5]


def test_nobody_waits_for_ever_for_others_who_come(world, responder, monkeypatch):
    der = request(world, world.certificate("web", "a.web.internal"), nonce=b"n" * 16)

    async def first_of_a_stream():
        waiting = [asyncio.ensure_future(answered(responder, der))]
        while not waiting[0].done() and len(waiting) < 1000:
            waiting.append(asyncio.ensure_future(answered(responder, der)))
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)
        return len(waiting)

    assert world.run(first_of_a_stream()) < 20


def test_a_request_that_cannot_be_answered_does_not_hurt_its_neighbors(world, responder):
    """A CertID whose algorithm only a stricter reader refuses, beside an honest one."""
    honest = request(world, world.certificate("web", "a.web.internal"))
    cert_id = wire.parse_request(honest).cert_ids[0]
    strange = der.sequence(
        der.sequence(der.oid("1.2.3.4"), b"\x1f\x81"),
        der.octet_string(cert_id.issuer_name_hash),
        der.octet_string(cert_id.issuer_key_hash),
        der.tlv(der.INTEGER, cert_id.serial),
    )
    hostile = der.sequence(der.sequence(der.sequence(der.sequence(strange))))

    first, refused, last = together(world, responder, honest, hostile, honest)

    assert status(refused) is ocsp.OCSPResponseStatus.INTERNAL_ERROR
    for answer in (first, last):
        found = ocsp.load_der_ocsp_response(answer.der)
        assert found.certificate_status is ocsp.OCSPCertStatus.GOOD


def test_an_answer_that_was_signed_before_does_not_wait_for_signatures(world, responder):
    cached = request(world, world.certificate("web", "a.web.internal"))
    ask(world, responder, cached)
    fresh = request(world, world.certificate("web", "b.web.internal"), nonce=b"n" * 16)
    order = []

    async def note(der):
        await answered(responder, der)
        order.append(der)

    async def note_all():
        await asyncio.gather(note(fresh), note(fresh), note(cached))

    world.run(note_all())

    assert order == [cached, fresh, fresh]


def test_a_revocation_shows_to_all_who_come_together(world, responder):
    leaf = world.certificate("web", "a.web.internal")
    der = request(world, leaf)
    ask(world, responder, der)
    revoke_now(world, leaf)

    for answer in together(world, responder, der, der, request(world, leaf, nonce=b"n" * 16)):
        found = ocsp.load_der_ocsp_response(answer.der)
        assert found.certificate_status is ocsp.OCSPCertStatus.REVOKED


def test_an_answer_about_several_certificates_is_not_kept(world, responder):
    """Of their combinations there are more than any memory holds."""
    single = wire.parse_request(request(world, world.certificate("web", "a.web.internal")))
    asked = der.sequence(single.cert_ids[0].der)
    both = der.sequence(der.sequence(der.sequence(asked, asked)))
    (first,) = together(world, responder, both)
    world.clock.now += 10

    (second,) = together(world, responder, both)

    assert second.this_update > first.this_update


def test_a_store_that_cannot_be_read_is_told_to_all_who_wait(world, responder, monkeypatch):
    der = request(world, world.certificate("web", "a.web.internal"), nonce=b"n" * 16)

    async def refuse(*_):
        raise Error(Kind.UNAVAILABLE, "no")

    monkeypatch.setattr(world.store, "statuses", refuse)

    assert [status(answer) for answer in together(world, responder, der, der)] == [
        ocsp.OCSPResponseStatus.TRY_LATER,
        ocsp.OCSPResponseStatus.TRY_LATER,
    ]


def test_a_defect_is_told_to_all_who_wait(world, responder, monkeypatch):
    der = request(world, world.certificate("web", "a.web.internal"))

    async def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(world.store, "statuses", fail)

    async def ask_both():
        asked = (answered(responder, der), answered(responder, der))
        return await asyncio.gather(*asked, return_exceptions=True)

    assert [type(each) for each in world.run(ask_both())] == [ZeroDivisionError] * 2


def test_who_gives_up_does_not_keep_the_others_waiting(world, responder):
    der = request(world, world.certificate("web", "a.web.internal"), nonce=b"n" * 16)

    async def ask_and_leave():
        leaving, staying = (responder.answer(der, lambda made: made) for _ in range(2))
        await asyncio.sleep(0)
        leaving.cancel()
        return await staying

    found = ocsp.load_der_ocsp_response(world.run(ask_and_leave()).der)
    assert found.certificate_status is ocsp.OCSPCertStatus.GOOD


@pytest.mark.parametrize("junk", [b"", b"\x30", b"\x30\x80", b"x" * 5000, b"\x30\x03\x02\x01\x00"])
def test_what_is_no_request_is_malformed(world, responder, junk):
    answer = ask(world, responder, junk)

    assert answer.response_status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


def http(world, responder, method, path, body=b""):
    decoded, query = parse(path.encode(), encoded_slash=True)
    sent = Request(method, decoded, query, {}, body, Peer("127.0.0.1"))

    async def handled():
        answer = OCSPEndpoint(responder).handle(sent)
        return await answer if asyncio.isfuture(answer) else answer

    return world.run(handled())


def test_get_and_post_give_the_same_answer(world, responder):
    der = request(world, world.certificate("web", "a.web.internal"))

    posted = http(world, responder, "POST", "/ocsp", der)
    got = http(world, responder, "GET", "/ocsp/" + quote(base64.b64encode(der), safe=""))

    assert (posted.status, got.status) == (200, 200)
    assert posted.body == got.body
    assert posted.content_type == got.content_type == "application/ocsp-response"


def test_get_is_cacheable_for_a_minute_and_post_is_not(world, responder):
    """RFC 9919 §6: caches may hold it, but no longer than a revocation may stay unseen."""
    der = request(world, world.certificate("web", "a.web.internal"))

    got = dict(http(world, responder, "GET", "/ocsp/" + quote(base64.b64encode(der))).headers)
    posted = dict(http(world, responder, "POST", "/ocsp", der).headers)

    assert got["Cache-Control"] == "max-age=60, public, no-transform, must-revalidate"
    assert got["Last-Modified"].endswith("GMT")
    assert got["ETag"].startswith('"')
    assert "Cache-Control" not in posted


def test_an_answer_with_a_nonce_or_an_error_is_never_cached(world, responder):
    der = request(world, world.certificate("web", "a.web.internal"), nonce=b"n" * 16)

    fresh = http(world, responder, "GET", "/ocsp/" + quote(base64.b64encode(der)))
    error = http(world, responder, "GET", "/ocsp/AAAA")

    assert dict(fresh.headers)["Cache-Control"] == "no-store"
    assert dict(error.headers)["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ocsp", 405),
        ("PUT", "/ocsp", 405),
        ("POST", "/ocsp/x", 404),
        ("GET", "/ocspx", 404),
    ],
)
def test_other_methods_and_paths_are_refused(world, responder, method, path, status):
    assert http(world, responder, method, path).status == status


def test_junk_over_http_is_answered_in_ocsps_own_words(world, responder):
    answer = http(world, responder, "POST", "/ocsp", b"junk")

    assert answer.status == 200
    status = ocsp.load_der_ocsp_response(answer.body).response_status
    assert status is ocsp.OCSPResponseStatus.MALFORMED_REQUEST


@pytest.mark.parametrize(
    ("kind", "expected", "told"),
    [
        (Kind.UNAVAILABLE, ocsp.OCSPResponseStatus.TRY_LATER, False),
        (Kind.INTERNAL, ocsp.OCSPResponseStatus.INTERNAL_ERROR, True),
    ],
)
def test_a_responder_that_cannot_answer_says_whose_fault_it_is(
    world, responder, monkeypatch, caplog, kind, expected, told
):
    der = request(world, world.certificate("web", "a.web.internal"))

    async def refuse(*_):
        raise Error(kind, "no")

    monkeypatch.setattr(world.store, "statuses", refuse)

    answer = http(world, responder, "POST", "/ocsp", der)

    assert ocsp.load_der_ocsp_response(answer.body).response_status is expected
    assert ("no OCSP response could be made" in caplog.text) == told
