"""Other people's linters and verifiers find nothing to say about what we sign.

pkilint, `openssl verify -x509_strict` and GnuTLS' `certtool --verify`, for every profile with
every key type, below issuers of every key type.
"""

import dataclasses
import subprocess
import time
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp as parser
from cryptography.x509.verification import PolicyBuilder, Store
from pkilint import document, loader, pkix
from pkilint.bin import lint_pkix_signer_signee_cert_chain as chain_linter
from pkilint.pkix import certificate, crl, extension, name, ocsp
from pkilint.validation import ValidationFindingSeverity

from mintmark.authority.issuance.crl import CRLContent, issue_crl
from mintmark.authority.issuance.ocsp import ResponderKey, sign_responses
from mintmark.model.keys import ALL_KEY_TYPES, KeyType
from mintmark.model.profile import (
    BUILT_IN,
    CLIENT,
    CLIENT_AUTH,
    OCSP_RESPONDER,
    SERVER,
    SERVER_AUTH,
    SubjectAttribute,
)
from mintmark.model.status import Reason
from mintmark.model.time import HOUR
from mintmark.wire import crl as crl_encoding
from mintmark.wire import ocsp as ocsp_encoding
from mintmark.wire import pem
from tests import pki
from tests.interop.programs import environment, program

# Verifiers look at the clock on the wall.
NOW = int(time.time())

ELABORATE = dataclasses.replace(
    SERVER,
    name="elaborate",
    wildcards=True,
    subject=((SubjectAttribute.COUNTRY, "AT"), (SubjectAttribute.ORGANIZATION, "Bäckerei")),
    certificate_policies=("1.3.6.1.4.1.99999.1.1",),
    ocsp_must_staple=True,
)
ANONYMOUS = dataclasses.replace(SERVER, name="anonymous", common_name=False)
PROFILES = (*BUILT_IN, OCSP_RESPONDER, ELABORATE, ANONYMOUS)
PURPOSES = {
    "server": ("sslserver",),
    "client": ("sslclient",),
    "peer": ("sslserver", "sslclient"),
    "ocsp-responder": ("ocsphelper",),
    "elaborate": ("sslserver",),
    "anonymous": ("sslserver",),
}
NAMES = ("web.example.internal", "192.0.2.1", "2001:db8::1", "https://web.example.internal/a")

by_name = pytest.mark.parametrize("profile", PROFILES, ids=lambda each: each.name)


def key_types(argument):
    return pytest.mark.parametrize(argument, ALL_KEY_TYPES, ids=lambda each: each.value)


CERTIFICATE_LINTER = certificate.create_pkix_certificate_validator_container(
    certificate.create_decoding_validators(
        name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS
    ),
    [
        certificate.create_issuer_validator_container([]),
        certificate.create_validity_validator_container(),
        certificate.create_subject_validator_container([]),
        certificate.create_extensions_validator_container([]),
        certificate.create_spki_validator_container([]),
    ],
)
CRL_LINTER = crl.create_pkix_crl_validator_container(
    [
        pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
        pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
    ],
    [
        crl.create_issuer_validator_container([]),
        crl.create_validity_validator_container([]),
        crl.create_extensions_validator_container([]),
    ],
)
OCSP_LINTER = ocsp.create_pkix_ocsp_response_validator_container(
    [
        ocsp.create_response_decoder(),
        pkix.create_attribute_decoder(name.ATTRIBUTE_TYPE_MAPPINGS),
        pkix.create_extension_decoder(extension.EXTENSION_MAPPINGS),
    ],
    [],
)


def findings(results):
    """Return what a linter found that is more than information."""
    return [
        (found.finding.severity.name, found.finding.code, found.message)
        for result in results
        for found in result.finding_descriptions
        if found.finding.severity < ValidationFindingSeverity.INFO  # 0 is fatal
    ]


def lint_certificate(der):
    return findings(CERTIFICATE_LINTER.validate(loader.load_certificate(der, "subject").root))


def lint_pair(issuer_der, subject_der):
    """Return what is wrong between a certificate and its issuer's, as the chain linter does."""
    documents: dict[str, document.Document] = {}
    load = loader.RFC5280CertificateDocumentLoader().load_document
    for role, der in (("issuer", issuer_der), ("subject", subject_der)):
        documents[role] = load(der, role, role, documents)
    decode = chain_linter.create_decoder_validation_container()
    issuer, subject = documents["issuer"].root, documents["subject"].root
    return findings(
        [
            *decode.validate(issuer),
            *decode.validate(subject),
            *chain_linter.create_issuer_validation_container().validate(issuer),
            *chain_linter.create_subject_validation_container().validate(subject),
        ]
    )


def hierarchy(key_type=KeyType.EC_P256, **options):
    return pki.pki(key_type, now=NOW, **options)


def leaf_of(made, profile, key_type=KeyType.EC_P256):
    names = NAMES if profile.identifier_types else ()
    return pki.leaf(
        made.issuing, *names, profile=profile, subject=pki.key(key_type), not_before=NOW
    )


@pytest.fixture
def accepted(tmp_path):
    """Check a leaf and its chain with all three."""

    def check(made, leaf):
        chain = (leaf.der, made.issuer.der, made.root_der)
        for der in chain:
            assert lint_certificate(der) == []
        assert lint_pair(made.issuer.der, leaf.der) == []
        assert lint_pair(made.root_der, made.issuer.der) == []
        for path, ders in (
            ("root.pem", chain[2:]),
            ("intermediate.pem", chain[1:2]),
            ("leaf.pem", chain[:1]),
            ("fullchain.pem", chain[:2]),
        ):
            (tmp_path / path).write_bytes(pem.certificates(ders))
        for purpose in PURPOSES[leaf.profile]:
            run_in(tmp_path, *openssl_verify("-purpose", purpose))
        run_in(
            tmp_path,
            *(program("certtool"), "--verify", "--load-ca-certificate", "root.pem"),
            *("--infile", "fullchain.pem"),
        )

    return check


def openssl_verify(*more):
    files = ("-CAfile", "root.pem", "-untrusted", "intermediate.pem", "leaf.pem")
    return (program("openssl"), "verify", "-x509_strict", *more, *files)


def run_in(folder, *command):
    """Run a program in a directory; its failure is the test's, with what it said."""
    result = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result.stdout + result.stderr


@by_name
@key_types("key_type")
def test_every_profile_with_every_key_type_is_accepted(accepted, profile, key_type):
    made = hierarchy()

    accepted(made, leaf_of(made, profile, key_type))


@by_name
@key_types("issuer_type")
def test_every_profile_below_every_issuer_is_accepted(accepted, profile, issuer_type):
    made = hierarchy(issuer_type)

    accepted(made, leaf_of(made, profile))


@pytest.mark.parametrize("profile", BUILT_IN, ids=lambda each: each.name)
@key_types("key_type")
def test_web_verifier_accepts_every_key_type(profile, key_type):
    """The verifier of `cryptography`; below Ed25519 issuers it accepts nothing, by its policy."""
    made = hierarchy(KeyType.EC_P384 if key_type is KeyType.ED25519 else key_type)
    leaf = x509.load_der_x509_certificate(leaf_of(made, profile, key_type).der)
    root = x509.load_der_x509_certificate(made.root_der)
    policy = PolicyBuilder().store(Store([root])).time(datetime.fromtimestamp(NOW, UTC))
    chain = [made.issuing.certificate]

    if SERVER_AUTH in profile.extended_key_usages:
        policy.build_server_verifier(x509.DNSName(NAMES[0])).verify(leaf, chain)
    if CLIENT_AUTH in profile.extended_key_usages:
        policy.build_client_verifier().verify(leaf, chain)


def test_leaf_inside_name_constraints_is_accepted(accepted):
    constraints = pki.Constraints(
        permitted_dns=("example.internal",),
        permitted_ip=("192.0.2.0/24", "2001:db8::/32"),
        excluded_dns=("secret.example.internal",),
    )
    made = hierarchy(constraints=constraints)

    accepted(made, leaf_of(made, CLIENT))


def test_linter_is_awake():
    """A certificate without names is found, so that silence means something."""
    made = hierarchy()
    key = pki.private_key()
    builder = x509.CertificateBuilder(
        issuer_name=made.issuing.certificate.subject,
        subject_name=x509.Name([]),
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=pki.moment(0),
        not_valid_after=pki.moment(1),
    )

    assert lint_certificate(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))


@key_types("issuer_type")
def test_crl_of_every_issuer_is_accepted(tmp_path, issuer_type):
    made = hierarchy(issuer_type)
    entries = b"".join(
        crl_encoding.entry(serial, NOW - 60, reason)
        for serial, reason in zip(sorted(pki.serial() for _ in Reason), Reason, strict=True)
    )
    for number, listed in enumerate((b"", entries), start=1):
        der = issue_crl(made.issuing, CRLContent(number, NOW, NOW + 24 * HOUR), listed)
        document_ = loader.load_crl(der, "crl")

        assert findings(CRL_LINTER.validate(document_.root)) == []
        leaf = leaf_of(made, SERVER)
        (tmp_path / "crl.pem").write_bytes(pem.crl(der))
        (tmp_path / "root.pem").write_bytes(pem.certificate(made.root_der))
        (tmp_path / "intermediate.pem").write_bytes(pem.certificate(made.issuer.der))
        (tmp_path / "leaf.pem").write_bytes(pem.certificate(leaf.der))
        run_in(tmp_path, *openssl_verify("-crl_check", "-CRLfile", "crl.pem"))


def test_revoked_leaf_is_refused_by_openssl(tmp_path):
    made = hierarchy()
    leaf = leaf_of(made, SERVER)
    entry = crl_encoding.entry(leaf.serial, NOW, Reason.KEY_COMPROMISE)
    der = issue_crl(made.issuing, CRLContent(1, NOW, NOW + HOUR), entry)
    (tmp_path / "crl.pem").write_bytes(pem.crl(der))
    (tmp_path / "root.pem").write_bytes(pem.certificate(made.root_der))
    (tmp_path / "intermediate.pem").write_bytes(pem.certificate(made.issuer.der))
    (tmp_path / "leaf.pem").write_bytes(pem.certificate(leaf.der))

    with pytest.raises(AssertionError, match="certificate revoked"):
        run_in(tmp_path, *openssl_verify("-crl_check", "-CRLfile", "crl.pem"))


def test_ocsp_response_is_accepted(tmp_path):
    made = hierarchy(KeyType.RSA_2048)
    certificate_ = pki.leaf(
        made.issuing, profile=OCSP_RESPONDER, subject=pki.key(number=7), not_before=NOW
    )
    responder = ResponderKey(certificate_, pki.signer(number=7))
    leaf = leaf_of(made, SERVER)
    request = (
        parser.OCSPRequestBuilder()
        .add_certificate(
            x509.load_der_x509_certificate(leaf.der), made.issuing.certificate, hashes.SHA1()
        )
        .build()
        .public_bytes(Encoding.DER)
    )
    cert_id = ocsp_encoding.parse_request(request).cert_ids[0]
    for status in (ocsp_encoding.GOOD, ocsp_encoding.revoked(NOW, Reason.SUPERSEDED)):
        single = ocsp_encoding.single_response(cert_id.der, status, NOW, NOW + HOUR)
        (response,) = sign_responses(responder, NOW, [([single], None)])
        (tmp_path / "request.der").write_bytes(request)
        (tmp_path / "response.der").write_bytes(response)
        (tmp_path / "root.pem").write_bytes(pem.certificate(made.root_der))
        (tmp_path / "issuer.pem").write_bytes(pem.certificate(made.issuer.der))
        said = run_in(
            tmp_path,
            *(program("openssl"), "ocsp", "-reqin", "request.der", "-respin", "response.der"),
            *("-CAfile", "root.pem", "-verify_other", "issuer.pem", "-issuer", "issuer.pem"),
        )

        assert findings(OCSP_LINTER.validate(loader.load_ocsp_response(response, "r").root)) == []
        assert "Response verify OK" in said
