"""OCSP responses of a delegated responder (RFC 6960 §4.2.2.2)."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as parser

from mintmark.authority.issuance import ocsp as ocsp_module
from mintmark.authority.issuance.ocsp import ResponderKey, draft_response, sign_responses
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.profile import OCSP_RESPONDER
from mintmark.model.status import Reason
from mintmark.model.time import DAY, HOUR
from mintmark.wire import ocsp
from tests import pki


@pytest.fixture
def issuing():
    return pki.pki().issuing


@pytest.fixture
def responder(issuing):
    certificate = pki.leaf(issuing, profile=OCSP_RESPONDER, subject=pki.key(number=7))
    return ResponderKey(certificate, pki.signer(number=7))


@pytest.fixture
def cert_id(issuing):
    leaf = x509.load_der_x509_certificate(pki.leaf(issuing).der)
    builder = parser.OCSPRequestBuilder().add_certificate(
        leaf, issuing.certificate, hashes.SHA256()
    )
    return ocsp.parse_request(builder.build().public_bytes(Encoding.DER)).cert_ids[0]


def signed(responder, produced_at, responses, nonce):
    (response,) = sign_responses(responder, produced_at, [(responses, nonce)])
    return response


def single(cert_id, status=ocsp.GOOD):
    return ocsp.single_response(cert_id.der, status, pki.NOW, pki.NOW + HOUR)


def test_response_verifies_with_the_certificate_it_carries(issuing, responder, cert_id):
    response = parser.load_der_ocsp_response(
        signed(responder, pki.NOW + 5, [single(cert_id)], b"n" * 32)
    )
    (certificate,) = response.certificates

    certificate.verify_directly_issued_by(issuing.certificate)
    certificate.public_key().verify(
        response.signature, response.tbs_response_bytes, ec.ECDSA(hashes.SHA256())
    )
    assert (
        response.responder_key_hash
        == x509.SubjectKeyIdentifier.from_public_key(certificate.public_key()).digest
    )
    assert response.certificate_status is parser.OCSPCertStatus.GOOD
    assert response.produced_at_utc.timestamp() == pki.NOW + 5
    nonce = response.extensions.get_extension_for_class(x509.OCSPNonce).value
    assert nonce.nonce == b"n" * 32


def test_responders_certificate_is_fit_for_nothing_else(responder):
    certificate = x509.load_der_x509_certificate(responder.certificate.der)
    extensions = certificate.extensions

    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        x509.ExtendedKeyUsageOID.OCSP_SIGNING
    ]
    assert extensions.get_extension_for_class(x509.OCSPNoCheck)
    with pytest.raises(x509.ExtensionNotFound):
        extensions.get_extension_for_class(x509.SubjectAlternativeName)


def test_revocation_is_answered_with_time_and_reason(responder, cert_id):
    status = ocsp.revoked(pki.NOW - 60, Reason.KEY_COMPROMISE)
    response = parser.load_der_ocsp_response(
        signed(responder, pki.NOW, [single(cert_id, status)], None)
    )

    assert response.certificate_status is parser.OCSPCertStatus.REVOKED
    assert response.revocation_time_utc.timestamp() == pki.NOW - 60
    assert response.revocation_reason is x509.ReasonFlags.key_compromise


def test_response_without_answers_is_stopped(responder):
    with pytest.raises(Error, match="without answers"):
        draft_response(responder, pki.NOW, [], None)


@pytest.mark.parametrize("produced_at", [pki.NOW - 1, pki.NOW + 7 * DAY + 1])
def test_responder_does_not_sign_outside_its_validity(responder, cert_id, produced_at):
    with pytest.raises(Error, match="not valid at") as caught:
        signed(responder, produced_at, [single(cert_id)], None)
    assert caught.value.kind is Kind.UNAVAILABLE


def test_key_of_another_responder_is_refused(responder):
    with pytest.raises(Error, match="not that of its certificate"):
        ResponderKey(responder.certificate, pki.signer(KeyType.ED25519))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda response: response[:-1], "cannot be parsed back"),
        (lambda _: ocsp.error_response(ocsp.ResponseStatus.TRY_LATER), "cannot be parsed back"),
    ],
    ids=["cut", "error"],
)
def test_response_that_does_not_parse_back_never_leaves(
    monkeypatch, responder, cert_id, spoil, message
):
    genuine = ocsp.basic_response
    monkeypatch.setattr(
        ocsp_module.ocsp, "basic_response", lambda *arguments: spoil(genuine(*arguments))
    )

    refused = signed(responder, pki.NOW, [single(cert_id)], None)

    assert isinstance(refused, Error)
    assert message in refused.detail


def test_other_signature_never_leaves(monkeypatch, responder, cert_id):
    genuine = ocsp.basic_response
    monkeypatch.setattr(
        ocsp_module.ocsp,
        "basic_response",
        lambda tbs, algorithm, _, certificates: genuine(tbs, algorithm, b"x", certificates),
    )

    refused = signed(responder, pki.NOW, [single(cert_id)], None)

    assert isinstance(refused, Error)
    assert "not the one that was drafted" in refused.detail
