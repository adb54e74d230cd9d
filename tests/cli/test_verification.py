"""`mintmark verify`: every question, answered right about right and wrong certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from mintmark.authority.issuance.hierarchy import Constraints
from mintmark.authority.issuance.shape import Pointers
from mintmark.cli import revocation, verification
from mintmark.cli.revocation import check_revocation
from mintmark.cli.verification import Finding, Subject
from mintmark.model.keys import KeyType
from mintmark.model.profile import CLIENT, PEER, SERVER
from mintmark.model.time import DAY
from tests import pki

NOW = pki.NOW
WEB = "web.example.internal"


def load(der: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(der)


def subject(
    world: pki.PKI,
    *names: str,
    now: float = NOW + DAY,
    chain: bool = True,
    anchors: pki.PKI | None = None,
    **options: object,
) -> Subject:
    certificate = pki.leaf(world.issuing, *(names or (WEB,)), **options)
    return Subject(
        load(certificate.der),
        (load(world.issuer.der),) if chain else (),
        (load((anchors or world).root_der),),
        now,
    )


@pytest.fixture(scope="module", params=["ec-p256", "ed25519", "rsa-2048"])
def world(request: pytest.FixtureRequest) -> pki.PKI:
    return pki.pki(KeyType(request.param))


# --- path ------------------------------------------------------------------------------------


def test_path_leads_to_our_root(world):
    finding, path = verification.check_path(subject(world))

    assert finding.fine, finding
    assert [one.subject for one in path[1:]] == [
        load(world.issuer.der).subject,
        load(world.root_der).subject,
    ]


def test_missing_intermediate_is_found(world):
    finding, path = verification.check_path(subject(world, chain=False))

    assert (finding.fine, path) == (False, ())
    assert "is the chain complete" in finding.remedy


def test_certificate_of_another_authority_is_found(world):
    finding, _ = verification.check_path(subject(world, anchors=pki.pki(number=7)))

    assert not finding.fine


def test_certificate_of_an_authority_of_the_same_name_is_found():
    finding, _ = verification.check_path(subject(pki.pki(), anchors=pki.pki(number=8)))

    assert not finding.fine


@pytest.mark.parametrize("days", [-3, 500, 4000])
def test_path_that_is_not_valid_at_the_time_is_found(world, days):
    finding, _ = verification.check_path(subject(world, now=NOW + days * DAY))

    assert not finding.fine


@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.ED25519])
def test_name_outside_the_constraints_of_the_path_is_found(key_type):
    free = pki.pki(key_type, number=3)
    bound = pki.pki(key_type, number=3, constraints=Constraints(permitted_dns=("other.internal",)))
    certificate = pki.leaf(free.issuing, WEB)
    finding, _ = verification.check_path(
        Subject(load(certificate.der), (load(bound.issuer.der),), (load(bound.root_der),), NOW + 1)
    )

    assert not finding.fine


# --- dates, purpose, name --------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain() -> pki.PKI:
    return pki.pki()


@pytest.mark.parametrize(
    ("now", "fine", "words"),
    [
        (NOW - 10, False, "becomes valid in 10 seconds"),
        (NOW, True, "ends in"),
        (NOW + 365 * DAY, True, "ends now"),
        (NOW + 365 * DAY + 1, False, "expired 1 second ago"),
    ],
)
def test_both_ends_of_the_validity_are_inclusive(plain, now, fine, words):
    finding = verification.check_dates(subject(plain, now=now))

    assert (finding.fine, words in finding.answer) == (fine, True)


@pytest.mark.parametrize(
    ("profile", "wanted", "fine"),
    [
        (SERVER, "server", True),
        (SERVER, "client", False),
        (CLIENT, "server", False),
        (PEER, "client", True),
        (CLIENT, None, True),
    ],
)
def test_purpose_is_what_the_certificate_allows(plain, profile, wanted, fine):
    assert verification.check_purpose(subject(plain, profile=profile), wanted).fine is fine


@pytest.mark.parametrize(
    ("name", "fine"),
    [
        (WEB, True),
        ("WEB.example.internal.", True),
        ("192.0.2.10", True),
        ("192.0.2.11", False),
        ("example.internal", False),
        ("a.b.wild.internal", False),
        ("a.wild.internal", True),
        ("wild.internal", False),
        ("not a name", False),
    ],
)
def test_name_is_one_of_those_it_carries(plain, name, fine):
    profile = replace(SERVER, wildcards=True)
    certificate = pki.leaf(plain.issuing, WEB, "192.0.2.10", "*.wild.internal", profile=profile)
    found = verification.check_name(Subject(load(certificate.der), (), (), NOW), name)

    assert found.fine is fine, found


def test_key_of_another_certificate_is_found(plain):
    one = subject(plain)

    assert verification.check_key(one, pki.private_key(KeyType.EC_P256, 100)).fine
    assert not verification.check_key(one, pki.private_key(KeyType.EC_P256, 101)).fine


# --- revocation ------------------------------------------------------------------------------

Answers = dict[str, tuple[int, bytes]]


@pytest.fixture
def answers() -> Iterator[tuple[str, Answers]]:
    """A plain HTTP server that answers what the test puts into the mapping."""
    found: Answers = {}

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = found.get(self.path, (404, b""))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", "/good")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def asked(answers: tuple[str, Answers]) -> tuple[pki.PKI, x509.Certificate, Answers]:
    """A leaf whose pointers lead to the server of the test."""
    url, found = answers
    world = pki.pki(pointers=Pointers(crl=(f"{url}/crl",), ocsp=(f"{url}/ocsp",)))
    return world, load(pki.leaf(world.issuing, WEB).der), found


def moment(days: float = 0) -> datetime:
    return datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None) + timedelta(days=days)


def response(
    world: pki.PKI,
    leaf: x509.Certificate,
    *,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    next_update: float = 1,
    this_update: float = 0,
    signer: tuple[x509.Certificate, Any] | None = None,
) -> bytes:
    issuer = load(world.issuer.der)
    certificate, key = signer or (issuer, world.issuing.signer.builder_key())
    revoked = status is ocsp.OCSPCertStatus.REVOKED
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=leaf,
        issuer=issuer,
        algorithm=hashes.SHA256(),
        cert_status=status,
        this_update=moment(this_update),
        next_update=moment(next_update),
        revocation_time=moment() if revoked else None,
        revocation_reason=x509.ReasonFlags.key_compromise if revoked else None,
    )
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
    if signer is not None:
        builder = builder.certificates([certificate])
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def responder(
    world: pki.PKI, *, purpose: Any = ExtendedKeyUsageOID.OCSP_SIGNING, days: float = 7
) -> tuple[x509.Certificate, Any]:
    """A delegated responder (RFC 6960 §4.2.2.2) or something that only looks like one."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "responder")]))
        .issuer_name(load(world.issuer.der).subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(moment(-1))
        .not_valid_after(moment(days))
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .sign(world.issuing.signer.builder_key(), hashes.SHA256())
    )
    return certificate, key


def crl(world: pki.PKI, *serials: int, next_update: float = 1) -> bytes:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(load(world.issuer.der).subject)
        .last_update(moment(-1))
        .next_update(moment(next_update))
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(revoked.revocation_date(moment(-1)).build())
    signed = builder.sign(world.issuing.signer.builder_key(), hashes.SHA256())
    return signed.public_bytes(Encoding.DER)


def check(world: pki.PKI, leaf: x509.Certificate) -> Finding:
    return check_revocation(leaf, load(world.issuer.der), NOW + 60)


def test_good_certificate_is_good_by_ocsp(asked):
    world, leaf, found = asked
    found["/ocsp"] = (200, response(world, leaf))

    assert check(world, leaf) == Finding("revocation", True, "not revoked (OCSP)")


def test_revoked_certificate_is_revoked_by_ocsp(asked):
    world, leaf, found = asked
    found["/ocsp"] = (200, response(world, leaf, status=ocsp.OCSPCertStatus.REVOKED))

    finding = check(world, leaf)
    assert not finding.fine
    assert "revoked (OCSP, keyCompromise)" in finding.answer


def test_unknown_certificate_is_not_good(asked):
    world, leaf, found = asked
    found["/ocsp"] = (200, response(world, leaf, status=ocsp.OCSPCertStatus.UNKNOWN))
    found["/crl"] = (200, crl(world))

    assert not check(world, leaf).fine


def test_delegated_responder_is_believed(asked):
    world, leaf, found = asked
    found["/ocsp"] = (200, response(world, leaf, signer=responder(world)))

    assert check(world, leaf).fine


def test_crl_answers_when_the_responder_does_not(asked):
    world, leaf, found = asked
    found["/crl"] = (200, crl(world))
    assert check(world, leaf).answer == "not revoked (CRL)"

    found["/crl"] = (200, crl(world, leaf.serial_number))
    assert not check(world, leaf).fine


def stranger(world: pki.PKI) -> tuple[x509.Certificate, Any]:
    other = pki.pki(number=5)
    return load(other.issuer.der), other.issuing.signer.builder_key()


LIES: dict[str, Callable[[pki.PKI, x509.Certificate], bytes]] = {
    "signed by another authority": lambda world, leaf: response(
        world, leaf, signer=stranger(world)
    ),
    "signed by a leaf that is no responder": lambda world, leaf: response(
        world, leaf, signer=responder(world, purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    ),
    "signed by an expired responder": lambda world, leaf: response(
        world, leaf, signer=responder(world, days=-0.5)
    ),
    "signed by a responder of another authority": lambda world, leaf: response(
        world, leaf, signer=responder(pki.pki(number=5))
    ),
    "for another certificate": lambda world, leaf: response(
        world, load(pki.leaf(world.issuing, WEB).der)
    ),
    "out of date": lambda world, leaf: response(world, leaf, this_update=-9, next_update=-2),
    "from the future": lambda world, leaf: response(world, leaf, this_update=2, next_update=3),
    "no success": lambda world, leaf: ocsp.OCSPResponseBuilder.build_unsuccessful(
        ocsp.OCSPResponseStatus.TRY_LATER
    ).public_bytes(Encoding.DER),
    "garbage": lambda world, leaf: b"\x30\x03\x0a\x01\x00",
    "empty": lambda world, leaf: b"",
    "too large": lambda world, leaf: bytes(revocation.MAX_OCSP_OCTETS + 1),
}


@pytest.mark.parametrize("lie", LIES)
def test_response_that_proves_nothing_is_not_believed(asked, lie):
    world, leaf, found = asked
    found["/ocsp"] = (200, LIES[lie](world, leaf))

    finding = check(world, leaf)
    assert not finding.fine
    assert finding.answer.startswith("not known: ")


def test_crl_that_proves_nothing_is_not_believed(asked):
    world, leaf, found = asked
    for body in (crl(pki.pki(number=5)), crl(world, next_update=-0.5), b"garbage", b""):
        found["/crl"] = (200, body)

        assert check(world, leaf).answer.startswith("not known: ")


def test_redirect_is_not_followed(asked):
    world, leaf, found = asked
    found["/ocsp"] = (302, b"")
    found["/good"] = (200, response(world, leaf))

    assert "it answered 302" in check(world, leaf).answer


def test_server_that_is_not_there_is_named():
    world = pki.pki(pointers=Pointers(ocsp=("http://127.0.0.1:1/ocsp",)))
    finding = check(world, load(pki.leaf(world.issuing, WEB).der))

    assert "http://127.0.0.1:1/ocsp: connection refused" in finding.answer


def test_only_plain_http_is_asked():
    world = pki.pki()
    points = [
        x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)
        for url in ("file:///etc/passwd", "ldap://x/y", "https://127.0.0.1/crl")
    ]
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(load(world.issuer.der).subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(moment(-1))
        .not_valid_after(moment(1))
        .add_extension(x509.CRLDistributionPoints(points), critical=False)
        .sign(world.issuing.signer.builder_key(), hashes.SHA256())
    )

    assert check(world, leaf).answer.count("it is not plain HTTP") == 3


def test_certificate_without_pointers_is_not_called_good():
    world = pki.pki(pointers=Pointers())
    finding = check(world, load(pki.leaf(world.issuing, WEB).der))

    assert not finding.fine
    assert "names no responder and no list" in finding.answer
