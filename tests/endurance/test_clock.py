"""A clock that jumps back an hour under a running server, and what must not go back with it."""

from __future__ import annotations

import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509 import ocsp

from tests.endurance.servers import Server, make, serving, wait
from tests.interop.authority import Files
from tests.interop.programs import program

pytestmark = pytest.mark.endurance
HOUR = 3600
PER_HOUR = 5
SETTINGS = f"""
whitelist:
  services:
    - {{service_id: storm, names: ['*.storm.internal'], certificates_per_hour: 0}}
    - {{service_id: bounded, names: ['*.bounded.internal'], certificates_per_hour: {PER_HOUR}}}
"""


class Clock:
    """The clock of a server: a file that its C library reads at each look (libfaketime)."""

    def __init__(self, server: Server) -> None:
        found = subprocess.run(
            [program("faketime"), "-f", "+0", "printenv", "LD_PRELOAD"],
            check=True,
            capture_output=True,
            text=True,
        )
        self._file = server.authority.home / "clock"
        self.set(0)
        server.daemon.options["env"] |= {
            "LD_PRELOAD": found.stdout.strip(),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Be so far from the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.replace(self._file)


@pytest.fixture
def server(place: Path) -> Server:
    """A server whose clock can be set; everything it lives by is three hours old."""
    return make(place, settings=SETTINGS, late_by="3h")


@pytest.fixture
def clock(server: Server) -> Clock:
    return Clock(server)


def now_of(server: Server) -> float:
    """Return what time a server thinks it is."""
    return datetime.fromisoformat(server.api("/health").json["time"]).timestamp()


def crl_of(server: Server) -> x509.CertificateRevocationList:
    """Return the newest CRL of the intermediate."""
    issuer = x509.load_pem_x509_certificate(server.authority.intermediate.read_bytes())
    (found,) = [crl for crl in server.authority.crls() if crl.issuer == issuer.subject]
    return found


def number_of(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def issue_and_revoke(server: Server, name: str) -> int:
    """Have a certificate issued and revoked; return its serial."""
    with server.connect(server.files) as client:
        issued = client.issue(f"{name}.storm.internal")
        assert issued.status == 201, issued.body
        serial = issued.json["serial_number"]
        answer = client.ask("POST", "/crl/revoke", {"serial_number": serial})
        assert answer.status == 200, answer.body
        assert client.ask("GET", f"/crl/check/{serial}").json["revoked"]
    return int(serial, 16)


def listed(server: Server, serial: int):
    return lambda: crl_of(server).get_revoked_certificate_by_serial_number(serial)


@pytest.mark.parametrize("killed", [False, True], ids=["running", "killed before"])
def test_crl_and_ocsp_go_on_when_the_clock_jumps_back(server, clock, killed):
    with serving(server):
        before_jump = issue_and_revoke(server, "before")
        wait(listed(server, before_jump), "the CRL before the jump")
        before = crl_of(server)
        assert server.ocsp(server.files) == "good"

        if killed:  # with the lease of publication in its hands
            server.kill()
        clock.set(-HOUR)
        if killed:
            server.start()
        assert abs(now_of(server) - (time.time() - HOUR)) < 60
        serial = issue_and_revoke(server, "after")

        wait(listed(server, serial), "the CRL after the jump", 60)
        after = crl_of(server)
        assert number_of(after) > number_of(before)
        # A relying party with either clock takes it: not from the future, and not yet over.
        assert after.last_update_utc.timestamp() <= now_of(server)
        assert after.next_update_utc.timestamp() > time.time()
        assert listed(server, before_jump)()
        wait(lambda: responder_is_valid(server), "a responder of that time", 10)
        assert server.ocsp(server.files) == "good"
    assert " ERROR " not in server.log.read_text()
    server.prove()


def responder_is_valid(server: Server) -> bool:
    """Whether the responder's certificate is valid at the time that its answers bear."""
    response = server.ocsp_response(server.files)
    if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        return False
    (certificate,) = response.certificates
    return certificate.not_valid_before_utc <= response.this_update_utc


def test_rate_limit_locks_nobody_out_when_the_clock_jumps_back(server, clock):
    bounded: Files = server.authority.issue("bounded", profile="client", offline=True)
    interval = HOUR // PER_HOUR
    with serving(server), server.connect(bounded) as client:

        def ask():
            return client.issue("one.bounded.internal")

        for _ in range(PER_HOUR):
            assert ask().status == 201
        assert ask().status == 429

        for jumped in (-HOUR // 2, -HOUR):
            clock.set(jumped)
            answer = ask()
            assert answer.status == 429
            assert int(answer.headers["retry-after"]) <= interval + 1
        clock.set(-HOUR + interval + 2)
        assert ask().status == 201
        assert ask().status == 429
