"""The commands `step ca …`, unmodified, against our server."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.interop.step.service import Host, names

pytestmark = pytest.mark.interop


# --- trust ---------------------------------------------------------------------------------------


def test_bootstrap(fresh):
    fresh.bootstrap()

    written = (fresh.step_path / "certs" / "root_ca.crt").read_bytes()
    assert x509.load_pem_x509_certificate(written) == x509.load_pem_x509_certificate(
        fresh.service.authority.root.read_bytes()
    )
    defaults = json.loads((fresh.step_path / "config" / "defaults.json").read_text())
    assert defaults["ca-url"] == fresh.service.url
    assert defaults["fingerprint"] == fresh.service.fingerprint


def test_bootstrap_with_another_fingerprint(fresh):
    fresh.step("ca", "bootstrap", "--ca-url", fresh.service.url, "--fingerprint", "0" * 64).refused(
        "not be found"
    )


def test_health(host):
    assert host.step("ca", "health").succeeded() == "ok\n"


def test_root(fresh):
    fresh.step(
        "ca", "root", "root.crt", "--ca-url", fresh.service.url,
        "--fingerprint", fresh.service.fingerprint,
    ).succeeded()  # fmt: skip

    assert fresh.file("root.crt").read_bytes() == fresh.service.authority.root.read_bytes()


@pytest.mark.parametrize("command", ["roots", "federation"])
def test_roots_and_federation(host, command):
    host.step("ca", command, "all.pem").succeeded()

    assert host.file("all.pem").read_bytes() == host.service.authority.root.read_bytes()


def test_provisioner_list(host):
    listed = json.loads(host.step("ca", "provisioner", "list").succeeded())

    found = {(one["type"], one["name"]) for one in listed}
    assert {("JWK", "admin"), ("SSHPOP", "sshpop"), ("ACME", "acme"), ("X5C", "hosts")} <= found


# --- certificates --------------------------------------------------------------------------------


def test_token_then_certificate(host):
    text = host.token("web.example.internal")

    host.step(
        "ca", "certificate", "web.example.internal", "web.crt", "web.key", "--token", text
    ).succeeded()

    assert names(host.certificate()) == {"web.example.internal"}
    host.verify()
    again = ("ca", "certificate", "web.example.internal", "a.crt", "a.key", "--token", text)
    host.step(*again).refused("lacked necessary authorization")


def test_a_token_is_all_that_a_new_host_needs(host, fresh_path):
    token = host.token("new.example.internal")
    new = Host(fresh_path, host.service)

    new.step(
        "ca", "certificate", "new.example.internal", "web.crt", "web.key",
        "--token", token,
    ).succeeded()  # fmt: skip

    assert names(new.certificate()) == {"new.example.internal"}


def test_certificate_by_jwk(host):
    sans = {
        "web.example.internal", "10.1.2.3", "fd00::1", "a@example.internal",
        "spiffe://example.internal/web",
    }  # fmt: skip

    certificate = host.obtain(
        "web.example.internal", *(f"--san={one}" for one in sans), "--not-after", "2h"
    )

    assert names(certificate) == sans
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert 7200 <= life.total_seconds() <= 7320
    host.verify()


def test_certificate_that_begins_later_and_ends_at_a_time(host):
    end = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(hours=3)

    certificate = host.obtain(
        "web.example.internal", "--not-before", "5m", "--not-after", end.isoformat()
    )

    assert certificate.not_valid_after_utc == end
    wait = certificate.not_valid_before_utc - dt.datetime.now(dt.UTC)
    assert 240 < wait.total_seconds() <= 300


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        (("--kty", "OKP"), ed25519.Ed25519PublicKey),
        (("--kty", "RSA", "--size", "2048"), rsa.RSAPublicKey),
        (("--kty", "EC", "--curve", "P-384"), ec.EllipticCurvePublicKey),
    ],
)
def test_certificate_with_a_key_of_another_kind(host, options, kind):
    assert isinstance(host.obtain("web.example.internal", *options).public_key(), kind)
    host.verify()
    host.step("ca", "renew", "web.crt", "web.key", "--force").succeeded()


def test_certificate_with_a_key_that_the_profile_does_not_take(host):
    host.step(
        "ca", "certificate", "web.example.internal", "web.crt", "web.key",
        "--kty", "EC", "--curve", "P-521", *host.by_password(),
    ).refused("public key is not accepted: P-521; accepted: ec-p256")  # fmt: skip


def test_certificate_with_a_wrong_password(host):
    host.password.write_text("wrong")

    host.step(
        "ca", "certificate", "web.example.internal", "web.crt", "web.key", *host.by_password()
    ).refused("decrypt")


def test_certificate_for_too_long(host):
    host.step(
        "ca", "certificate", "web.example.internal", "web.crt", "web.key", "--not-after", "1000h",
        *host.by_password(),
    ).refused("is more than the authorized maximum certificate duration of 24h1m0s")  # fmt: skip


def test_certificate_by_x5c(host):
    host.obtain("web.example.internal")

    host.step(
        "ca", "certificate", "more.example.internal", "more.crt", "more.key",
        "--provisioner", "hosts", "--x5c-cert", "web.crt", "--x5c-key", "web.key",
        "--not-after", "1h",
    ).succeeded()  # fmt: skip

    assert names(host.certificate("more")) == {"more.example.internal"}
    host.verify("more")


def test_certificate_by_acme(host):
    host.step(
        "ca", "certificate", "www.example.internal", "web.crt", "web.key", "--provisioner", "acme",
        "--standalone", "--http-listen", f"127.0.0.1:{host.service.http_port}",
        seconds=60,
    ).succeeded()  # fmt: skip

    assert names(host.certificate()) == {"www.example.internal"}
    host.verify()
    host.step("ca", "renew", "web.crt", "web.key", "--force").succeeded()


# --- CSRs and tokens -----------------------------------------------------------------------------


CSR_NAMES = (
    "web.example.internal",
    "10.0.0.1",
    "a@example.internal",
    "spiffe://example.internal/a",
)


def csr(host: Host, name: str = "web", sans: tuple[str, ...] = CSR_NAMES) -> str:
    """Have step write a key and a CSR, and return the CSR's file."""
    host.step(
        "certificate", "create", sans[0], f"{name}.csr", f"{name}.key", "--csr",
        "--no-password", "--insecure", *(f"--san={one}" for one in sans),
    ).succeeded()  # fmt: skip
    return f"{name}.csr"


def test_sign_of_a_csr(host):
    host.step("ca", "sign", csr(host), "web.crt", *host.by_password()).succeeded()

    assert names(host.certificate()) == set(CSR_NAMES)
    host.verify()


def test_sign_of_a_csr_that_asks_for_more_than_its_token(host):
    host.step(
        "ca", "sign", csr(host), "web.crt", "--token", host.token("web.example.internal")
    ).refused("does not contain the valid IP addresses - got [10.0.0.1], want []")


def test_sign_of_a_csr_by_acme(host):
    host.step(
        "ca", "sign", csr(host, sans=("csr.example.internal",)), "web.crt", "--provisioner", "acme",
        "--standalone", "--http-listen", f"127.0.0.1:{host.service.http_port}",
        seconds=60,
    ).succeeded()  # fmt: skip

    assert names(host.certificate()) == {"csr.example.internal"}


@pytest.mark.parametrize("by", ["--cnf-file", "--cnf"])
def test_a_token_that_is_bound_to_a_csr_is_worth_nothing_to_others(host, by):
    sans = ("web.example.internal",)
    mine, stolen = csr(host, "mine", sans), csr(host, "stolen", sans)
    if by == "--cnf":
        printed = host.step("certificate", "fingerprint", mine, "--format", "base64-url-raw")
        bound = host.token(sans[0], by, printed.succeeded().strip())
    else:
        bound = host.token(sans[0], by, mine)

    host.step("ca", "sign", stolen, "web.crt", "--token", bound).refused(
        "made for another certificate request"
    )
    host.step("ca", "sign", mine, "web.crt", "--token", bound).succeeded()


def test_a_token_for_later_is_not_good_yet(host):
    early = host.token("web.example.internal", "--not-before", "10m", "--not-after", "20m")

    host.step(
        "ca", "certificate", "web.example.internal", "web.crt", "web.key", "--token", early
    ).refused("in the future")


def test_a_token_by_x5c(host):
    host.obtain("web.example.internal")
    token = host.step(
        "ca", "token", "more.example.internal", "--provisioner", "hosts",
        "--x5c-cert", "web.crt", "--x5c-key", "web.key",
    ).succeeded().split()[-1]  # fmt: skip

    host.step(
        "ca", "certificate", "more.example.internal", "more.crt", "more.key", "--token", token
    ).succeeded()

    ends = host.certificate("more").not_valid_after_utc
    assert ends <= host.certificate().not_valid_after_utc


# --- revoke --------------------------------------------------------------------------------------


def test_revoke_by_the_certificate(host):
    host.obtain()

    host.step(
        "ca", "revoke", "--cert", "web.crt", "--key", "web.key", "--reason", "moved"
    ).succeeded()

    host.step("ca", "renew", "web.crt", "web.key", "--force").refused(
        "lacked necessary authorization"
    )


def test_revoke_by_a_token(host):
    serial = str(host.obtain().serial_number)
    token = host.token(serial, "--revoke")

    host.step("ca", "revoke", serial, "--token", token, "--reasonCode", "1").succeeded()

    again = host.token(serial, "--revoke")
    host.step("ca", "revoke", serial, "--token", again).refused("is already revoked")
    host.step("ca", "renew", "web.crt", "web.key", "--force").refused(
        "lacked necessary authorization"
    )


def test_revoke_of_a_serial_that_nobody_has(host):
    host.step("ca", "revoke", "12345", "--token", host.token("12345", "--revoke")).refused(
        "no X.509 certificate with serial 12345 is on record"
    )
