"""`step ca renew` and `step ca rekey`: by the certificate, by a token, by a daemon."""

from __future__ import annotations

import datetime as dt
import signal
from pathlib import Path

import pytest
from cryptography import x509

from tests.interop.programs import Daemon, program, run, running, until
from tests.interop.step.service import Host, names

pytestmark = pytest.mark.interop

RENEW = ("ca", "renew", "web.crt", "web.key", "--force")
REKEY = ("ca", "rekey", "web.crt", "web.key", "--force")


def mark(host: Host) -> Path:
    """Write a command `./mark`, and return the file in which it writes down its runs."""
    command = host.file("mark")
    command.write_text('#!/bin/sh\necho reloaded "$@" >> "$HOME/marks"\n')
    command.chmod(0o755)
    return host.file("marks")


def ending(host: Host, seconds: int, provisioner: str = "brief") -> x509.Certificate:
    """Get a certificate that began ten minutes ago, and ends soon."""
    end = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=seconds)
    host.step(
        "ca", "certificate", "web.example.internal", "web.crt", "web.key",
        "--not-before=-10m", "--not-after", end.isoformat(), *host.by_password(provisioner),
    ).succeeded()  # fmt: skip
    return host.certificate()


def expired(host: Host, provisioner: str) -> x509.Certificate:
    """Get a certificate, and wait until it is over."""
    certificate = ending(host, 3, provisioner)
    until(lambda: dt.datetime.now(dt.UTC) > certificate.not_valid_after_utc, "it expired")
    return certificate


# --- renew ---------------------------------------------------------------------------------------


def test_renew(host):
    before = host.obtain()

    host.step(*RENEW).succeeded()

    after = host.certificate()
    assert after.serial_number != before.serial_number
    assert after.public_key() == before.public_key()
    host.verify()


def test_renew_after_expiry(host):
    before = expired(host, "brief")
    trusted = ("--roots", host.service.authority.root)
    host.step("certificate", "verify", "web.crt", *trusted).refused("has expired")

    host.step(*RENEW).succeeded()

    assert host.certificate().serial_number != before.serial_number
    host.step("certificate", "verify", "web.crt", *trusted).succeeded()


def test_renew_after_expiry_of_a_provisioner_that_does_not_have_it(host):
    expired(host, "admin")

    host.step(*RENEW).refused("certificate expired on")


def test_renew_by_a_token_while_the_certificate_is_good(host):
    before = host.obtain()

    host.step(*RENEW, "--mtls=false").succeeded()

    after = host.certificate()
    assert after.serial_number != before.serial_number
    assert after.public_key() == before.public_key()
    host.verify()


@pytest.mark.parametrize("mtls", [(), ("--mtls=false",)])
def test_renew_of_a_certificate_that_is_not_for_clients(host, mtls):
    host.step(
        "ca", "certificate", "web.example.internal", "web.crt", "web.key",
        *host.by_password("servers"),
    ).succeeded()  # fmt: skip

    host.step(*RENEW, *mtls).refused("tls: unsupported certificate", "is not for clients")


def test_a_renewal_token_is_good_for_one_renewal_by_any_client(host):
    before = host.obtain()
    # The provisioner says which kind of token it is; its name does not matter.
    token = host.step(
        "ca", "token", "web.example.internal", "--renew", "--provisioner", "hosts",
        "--x5c-insecure", "--x5c-cert", "web.crt", "--x5c-key", "web.key",
    ).succeeded().split()[-1]  # fmt: skip
    ask = (
        program("curl"), "--silent", "--show-error", "--cacert", host.service.authority.root,
        "--request", "POST", "--header", f"Authorization: Bearer {token}",
        f"{host.service.url}/renew",
    )  # fmt: skip

    assert "BEGIN CERTIFICATE" in run(*ask).succeeded()
    assert "used up" in run(*ask).succeeded()
    assert host.certificate() == before


def test_renew_too_early_and_in_time(host):
    before = host.obtain()

    early = host.step(*RENEW, "--expires-in", "8h").succeeded()
    assert "certificate not renewed: expires in 23h" in early
    assert host.certificate() == before

    host.step(*RENEW, "--expires-in", "24h").succeeded()
    assert host.certificate() != before


def test_renew_into_another_file(host):
    before = host.obtain()

    host.step("ca", "renew", "web.crt", "web.key", "--out", "new.crt").succeeded()

    assert host.certificate() == before
    assert host.certificate("new").public_key() == before.public_key()
    host.verify("new")


def test_renew_tells_the_service(host):
    host.obtain()
    marks = mark(host)

    host.step(*RENEW, "--exec", "./mark nginx").succeeded()

    assert marks.read_text() == "reloaded nginx\n"


def test_renew_by_a_daemon(host):
    before, marks = ending(host, 120), mark(host)  # less than a third of its life is left
    command = (program("step"), *RENEW, "--daemon", "--exec", "./mark")
    options = {"cwd": host.home, "env": host.environment}
    daemon = Daemon(command, host.file("daemon.log"), options)

    def runs() -> int:
        return marks.read_text().count("reloaded") if marks.exists() else 0

    with running(daemon, lambda: runs() == 1):
        assert "web.example.internal certificate renewed, next in" in daemon.said()
        first = host.certificate()
        assert first.serial_number != before.serial_number
        life = first.not_valid_after_utc - first.not_valid_before_utc
        assert life == before.not_valid_after_utc - before.not_valid_before_utc

        daemon.signal(signal.SIGHUP)
        until(lambda: runs() == 2, "it renews when it is told to")
        assert host.certificate().serial_number != first.serial_number
    assert "ERROR" not in daemon.said()


def test_a_daemon_whose_certificate_was_revoked_says_so(host):
    ending(host, 120)
    host.step("ca", "revoke", "--cert", "web.crt", "--key", "web.key").succeeded()
    daemon = Daemon(
        (program("step"), *RENEW, "--daemon"),
        host.file("daemon.log"),
        {"cwd": host.home, "env": host.environment},
    )

    with running(daemon, lambda: "ERROR" in daemon.said()):
        assert "lacked necessary authorization" in daemon.said()


# --- rekey ---------------------------------------------------------------------------------------


def test_rekey(host):
    before = host.obtain()

    host.step(*REKEY).succeeded()

    after = host.certificate()
    assert after.public_key() != before.public_key()
    assert names(after) == names(before)
    host.verify()


def test_rekey_into_other_files_with_a_key_of_another_kind(host):
    before = host.obtain()

    host.step(
        "ca", "rekey", "web.crt", "web.key", "--out-cert", "new.crt", "--out-key", "new.key",
        "--kty", "OKP",
    ).succeeded()  # fmt: skip

    assert host.certificate() == before
    assert names(host.certificate("new")) == names(before)
    host.verify("new")
    host.step("ca", "renew", "new.crt", "new.key", "--force").succeeded()


def test_rekey_with_a_key_of_ones_own(host):
    host.obtain()
    own = host.file("own.key")
    run(program("openssl"), "genrsa", "-out", own, "2048").succeeded()

    host.step(*REKEY, "--private-key", "own.key").succeeded()

    assert host.certificate().public_key().key_size == 2048


def test_rekey_too_early(host):
    before = host.obtain()

    assert "not rekeyed" in host.step(*REKEY, "--expires-in", "8h").succeeded()
    assert host.certificate() == before
