"""CRLs and OCSP, read by OpenSSL, GnuTLS and curl at the addresses that certificates name."""

from __future__ import annotations

import base64
import secrets
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.interop.authority import Authority, Files
from tests.interop.programs import Result, program, run, until

pytestmark = pytest.mark.interop


def pointer(files: Files, method: x509.ObjectIdentifier) -> str:
    """Return the address that a certificate names for a way to ask about it."""
    access = files.certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    (url,) = (one.access_location.value for one in access.value if one.access_method == method)
    return url


def crl_pointer(files: Files) -> str:
    """Return where a certificate says that its issuer's CRL is."""
    points = files.certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints)
    (point,) = points.value
    return point.full_name[0].value


@pytest.fixture
def ask(authority: Authority, place: Path):
    """Ask the OCSP responder with `openssl ocsp`, verifying its answer up to the root."""
    anchors = place / "anchors.pem"
    anchors.write_bytes(authority.intermediate.read_bytes() + authority.root.read_bytes())

    def ask_openssl(*options: str | Path, digest: str = "sha1", url: str | None = None) -> Result:
        where = ("-url", url or f"{authority.http}/ocsp") if "-respin" not in options else ()
        return run(
            program("openssl"), "ocsp", "-CAfile", anchors, "-timeout", "10", *where,
            "-issuer", authority.intermediate, f"-{digest}", *options,
        )  # fmt: skip

    return ask_openssl


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_openssl_hears_good_of_an_active_certificate(ask, good: Files, digest: str):
    answer = ask("-cert", good.leaf, digest=digest).succeeded()
    assert "Response verify OK" in answer
    assert f"{good.leaf}: good" in answer


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_openssl_hears_revoked_with_the_reason(ask, revoked: Files, digest: str):
    answer = ask("-cert", revoked.leaf, digest=digest).succeeded()
    assert "Response verify OK" in answer
    assert f"{revoked.leaf}: revoked" in answer
    assert "Reason: keyCompromise" in answer


def test_openssl_hears_unknown_of_a_serial_that_was_never_issued(ask):
    serial = f"0x40{secrets.token_hex(19)}"
    answer = ask("-serial", serial).succeeded()
    assert "Response verify OK" in answer
    assert f"{serial}: unknown" in answer


def test_openssl_gets_its_nonce_back(ask, good: Files):
    answer = ask("-cert", good.leaf, "-nonce").succeeded()
    assert "WARNING" not in answer
    assert "Response verify OK" in answer


def test_openssl_asks_about_several_certificates_at_once(ask, good: Files, revoked: Files):
    answer = ask("-cert", good.leaf, "-cert", revoked.leaf).succeeded()
    assert f"{good.leaf}: good" in answer
    assert f"{revoked.leaf}: revoked" in answer


def test_another_authoritys_certificate_is_not_answered_for(
    authority: Authority, place: Path, foreign: Files
):
    answer = run(
        program("openssl"), "ocsp", "-url", f"{authority.http}/ocsp", "-timeout", "10",
        "-issuer", foreign.chain, "-cert", foreign.leaf, "-CAfile", foreign.ca,
    )  # fmt: skip
    assert "Responder Error: unauthorized (6)" in answer.text


def test_ocsp_says_revoked_the_moment_the_command_returns(ask, authority: Authority):
    files = authority.issue("moment", profile="client")
    assert ": good" in ask("-cert", files.leaf).succeeded()
    authority.mintmark("revoke", files.path, "--reason", "superseded").succeeded()
    assert ": revoked" in ask("-cert", files.leaf).succeeded()


def test_curl_gets_a_cacheable_answer_by_get(ask, good: Files, tmp_path: Path):
    asked, answered = tmp_path / "request.der", tmp_path / "response.der"
    ask("-cert", good.leaf, "-no_nonce", "-reqout", asked, "-noverify").succeeded()
    url = pointer(good, x509.AuthorityInformationAccessOID.OCSP)
    path = quote(base64.b64encode(asked.read_bytes()).decode(), safe="")
    headers = run(
        program("curl"), "--silent", "--show-error", "--fail", "--max-time", "10",
        "--dump-header", "-", "--output", answered, f"{url}/{path}",
    ).succeeded().lower()  # fmt: skip
    assert "content-type: application/ocsp-response" in headers
    assert "cache-control: max-age=" in headers
    assert "etag: " in headers
    answer = ask("-respin", answered, "-cert", good.leaf, "-no_nonce").succeeded()
    assert "Response verify OK" in answer
    assert ": good" in answer


def test_ocsptool_verifies_the_answer(authority: Authority, good: Files, revoked: Files):
    def ask_gnutls(files: Files) -> str:
        return run(
            program("ocsptool"), f"--ask={authority.http}/ocsp", "--nonce",
            "--load-cert", files.leaf, "--load-issuer", authority.intermediate,
            "--load-trust", authority.intermediate,
        ).text  # fmt: skip

    for files, status in ((good, "good"), (revoked, "revoked")):
        answer = ask_gnutls(files)
        assert "Verifying OCSP Response: Success" in answer
        assert f"Certificate Status: {status}" in answer


def test_openssl_verifies_a_path_against_every_crl(
    authority: Authority, crl_file: Path, good: Files, revoked: Files, expired: Files
):
    def verify(files: Files) -> Result:
        return run(
            program("openssl"), "verify", "-x509_strict", "-purpose", "sslclient",
            "-crl_check_all", "-CRLfile", crl_file, "-CAfile", authority.root,
            "-untrusted", files.chain, files.leaf,
        )  # fmt: skip

    assert verify(good).succeeded() == f"{good.leaf}: OK\n"
    verify(revoked).refused("certificate revoked")
    verify(expired).refused("certificate has expired")


def test_gnutls_verifies_the_crls(authority: Authority, revoked: Files, tmp_path: Path):
    crls = authority.crls()
    assert len(crls) == 2, "one of the intermediate, one of the root"
    for issuer in (authority.intermediate, authority.root):
        name = x509.load_pem_x509_certificate(issuer.read_bytes()).subject
        (crl,) = (one for one in crls if one.issuer == name)
        file = tmp_path / "crl.pem"
        file.write_bytes(crl.public_bytes(Encoding.PEM))
        answer = run(
            program("certtool"), "--verify-crl", "--load-ca-certificate", issuer, "--infile", file
        )
        assert "Verified. The certificate is trusted." in answer.succeeded()


def test_the_crl_is_where_the_certificate_says_and_newer_after_a_revocation(
    authority: Authority, tmp_path: Path
):
    files = authority.issue("listed", profile="client")
    der = tmp_path / "issuer.crl"

    def fetch() -> x509.CertificateRevocationList:
        run(
            program("curl"), "--silent", "--show-error", "--fail", "--max-time", "10",
            "--output", der, crl_pointer(files),
        ).succeeded()  # fmt: skip
        return x509.load_der_x509_crl(der.read_bytes())

    def number(crl: x509.CertificateRevocationList) -> int:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number

    before = fetch()
    assert before.get_revoked_certificate_by_serial_number(files.serial) is None
    authority.mintmark("revoke", files.path, "--reason", "cessation-of-operation").succeeded()
    began = time.monotonic()
    entry = until(
        lambda: fetch().get_revoked_certificate_by_serial_number(files.serial), "the CRL", 60
    )
    assert time.monotonic() - began < 60
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert reason is x509.ReasonFlags.cessation_of_operation
    assert number(fetch()) > number(before)
    verified = run(
        program("openssl"), "crl", "-inform", "DER", "-in", der, "-noout",
        "-CAfile", authority.intermediate, "-verify",
    )  # fmt: skip
    assert "verify OK" in verified.text


def test_the_issuer_is_where_the_certificate_says(authority: Authority, good: Files):
    url = pointer(good, x509.AuthorityInformationAccessOID.CA_ISSUERS)
    path = url.split(f":{authority.http_port}", 1)[1]
    issuer = x509.load_der_x509_certificate(authority.fetch(path))
    good.certificate.verify_directly_issued_by(issuer)


def test_gnutls_accepts_the_path_and_refuses_a_revoked_leaf(
    authority: Authority, crl_file: Path, good: Files, revoked: Files
):
    def verify(files: Files) -> Result:
        return run(
            program("certtool"), "--verify", "--load-ca-certificate", authority.root,
            "--load-crl", crl_file, "--infile", files.fullchain,
        )  # fmt: skip

    assert "Verified. The certificate is trusted." in verify(good).succeeded()
    verify(revoked).refused("revoked")
