"""The commands `step ca …`, unmodified, against our server."""

from __future__ import annotations

import json

import pytest
from cryptography import x509

from tests.interop.programs import program, run, until
from tests.interop.step.service import Host

pytestmark = pytest.mark.interop


def names(certificate: x509.Certificate) -> set[str]:
    kind = x509.SubjectAlternativeName
    return {str(one.value) for one in certificate.extensions.get_extension_for_class(kind).value}


def verify(host: Host, name: str = "web") -> None:
    """Assert that OpenSSL follows the written file to the root."""
    file = host.file(f"{name}.crt")
    run(
        program("openssl"), "verify", "-x509_strict", "-CAfile", host.service.authority.root,
        "-untrusted", file, file,
    ).succeeded()  # fmt: skip


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
    token = host.step("ca", "token", "web.example.internal", *host.by_password()).succeeded()
    text = token.split()[-1]

    host.step(
        "ca", "certificate", "web.example.internal", "web.crt", "web.key", "--token", text
    ).succeeded()

    assert names(host.certificate()) == {"web.example.internal"}
    verify(host)
    again = ("ca", "certificate", "web.example.internal", "a.crt", "a.key", "--token", text)
    host.step(*again).refused("lacked necessary authorization")


def test_a_token_is_all_that_a_new_host_needs(host, fresh_path):
    token = host.step("ca", "token", "new.example.internal", *host.by_password()).succeeded()
    new = Host(fresh_path, host.service)

    new.step(
        "ca", "certificate", "new.example.internal", "web.crt", "web.key",
        "--token", token.split()[-1],
    ).succeeded()  # fmt: skip

    assert names(new.certificate()) == {"new.example.internal"}


def test_certificate_by_jwk(host):
    sans = ("--san", "web.example.internal", "--san", "10.1.2.3", "--san", "a@example.internal")

    certificate = host.obtain("web.example.internal", *sans, "--not-after", "2h")

    assert names(certificate) == {"web.example.internal", "10.1.2.3", "a@example.internal"}
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    assert 7200 <= life.total_seconds() <= 7320
    verify(host)


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
    verify(host, "more")


def test_certificate_by_acme(host):
    host.step(
        "ca", "certificate", "www.example.internal", "web.crt", "web.key", "--provisioner", "acme",
        "--standalone", "--http-listen", f"127.0.0.1:{host.service.http_port}",
        seconds=60,
    ).succeeded()  # fmt: skip

    assert names(host.certificate()) == {"www.example.internal"}
    verify(host)
    host.step("ca", "renew", "web.crt", "web.key", "--force").succeeded()


# --- renew, rekey, revoke ------------------------------------------------------------------------


def test_renew(host):
    before = host.obtain()

    host.step("ca", "renew", "web.crt", "web.key", "--force").succeeded()

    after = host.certificate()
    assert after.serial_number != before.serial_number
    assert after.public_key() == before.public_key()
    verify(host)


def test_renew_after_expiry(host):
    host.step(
        "ca", "certificate", "web.example.internal", "web.crt", "web.key",
        "--not-before=-10m", "--not-after=2s", *host.by_password("brief"),
    ).succeeded()  # fmt: skip
    before = host.certificate()
    until(lambda: host.step("certificate", "verify", "web.crt").status != 0, "it expired")

    host.step("ca", "renew", "web.crt", "web.key", "--force").succeeded()

    assert host.certificate().serial_number != before.serial_number


def test_rekey(host):
    before = host.obtain()

    host.step("ca", "rekey", "web.crt", "web.key", "--force").succeeded()

    after = host.certificate()
    assert after.public_key() != before.public_key()
    assert names(after) == names(before)
    verify(host)


def test_revoke_by_the_certificate(host):
    host.obtain()

    host.step("ca", "revoke", "--cert", "web.crt", "--key", "web.key").succeeded()

    host.step("ca", "renew", "web.crt", "web.key", "--force").refused(
        "lacked necessary authorization"
    )


def test_revoke_by_a_token(host):
    serial = str(host.obtain().serial_number)
    token = host.step("ca", "token", *host.by_password(), "--revoke", serial).succeeded().split()

    host.step("ca", "revoke", serial, "--token", token[-1], "--reasonCode", "1").succeeded()

    token = host.step("ca", "token", *host.by_password(), "--revoke", serial).succeeded().split()
    host.step("ca", "revoke", serial, "--token", token[-1]).refused("is already revoked")
    host.step("ca", "renew", "web.crt", "web.key", "--force").refused(
        "lacked necessary authorization"
    )
