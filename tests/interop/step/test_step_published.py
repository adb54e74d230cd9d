"""What `step` reads of what we publish: certificates that are served, CRL, OCSP."""

from __future__ import annotations

import json

import pytest

from tests.interop.programs import until
from tests.interop.step.service import Host

pytestmark = pytest.mark.interop


def trusting(host: Host) -> tuple[str, ...]:
    """Return the option that names the root."""
    return "--roots", str(host.service.authority.root)


def test_certificate_inspect_of_our_own_server(host):
    told = host.step(
        "certificate", "inspect", host.service.url, "--format", "json", *trusting(host)
    ).succeeded()

    assert "localhost" in json.loads(told)["extensions"]["subject_alt_name"]["dns_names"]


def test_certificate_verify_of_our_own_server(host):
    host.step("certificate", "verify", host.service.url, *trusting(host)).succeeded()
    # By the operating system's roots alone it is nobody's.
    host.step("certificate", "verify", host.service.url).refused("failed to verify certificate")


def test_certificate_needs_renewal_of_our_own_server(host):
    asked = ("certificate", "needs-renewal", host.service.url, *trusting(host))

    assert host.step(*asked).status == 1


@pytest.mark.parametrize("way", ["--verify-crl", "--verify-ocsp"])
def test_certificate_verify_knows_what_is_revoked(host, way):
    host.obtain()
    verify = ("certificate", "verify", "web.crt", *trusting(host), way)
    host.step(*verify).succeeded()

    host.step("ca", "revoke", "--cert", "web.crt", "--key", "web.key").succeeded()

    refused = until(lambda: (done := host.step(*verify)).status and done, "it is seen as revoked")
    refused.refused("certificate marked as revoked in CRL", "revoked according to OCSP")


def test_crl_inspect_over_both_ports_and_of_what_a_server_shows(host):
    authority = host.service.authority
    signed = ("--ca", authority.intermediate, "--format", "json")
    found = [
        json.loads(host.step("crl", "inspect", *place, *signed).succeeded())
        for place in (
            (f"{authority.http}/crl",),
            (f"{host.service.url}/crl", *trusting(host)),
            (host.service.url, "--from", *trusting(host)),
        )
    ]

    assert [one["signature"]["valid"] for one in found] == [True] * 3
    numbers = {one["signature"]["value"] for one in found}
    assert len(numbers) <= 2  # a new one may have come in between


def test_crl_inspect_with_the_certificate_of_somebody_else(host):
    # step says so, and ends with 0.
    told = host.step(
        "crl", "inspect", f"{host.service.authority.http}/crl", "--format", "json",
        "--ca", host.service.authority.root,
    ).text  # fmt: skip
    assert '"valid": true' not in told
