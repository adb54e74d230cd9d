"""Many orders at once, and nothing that a client would have to repeat."""

from __future__ import annotations

import asyncio

import pytest
from cryptography import x509

from tests.interop.acme.service import Service
from tests.interop.acme.swarm import swarm

pytestmark = pytest.mark.interop
ORDERS = 200
PARALLEL = 32
ACCOUNTS = 8  # some orders under way are of one account, some are not


def test_two_hundred_orders_with_32_under_way_get_a_certificate_each(service: Service):
    names = [f"n{number}.example.internal" for number in range(ORDERS)]
    ordering = swarm(
        service.directory("many"), service.root, service.http_port, names,
        clients=ACCOUNTS, parallel=PARALLEL,
    )  # fmt: skip
    chains = asyncio.run(ordering)
    issuer = x509.load_pem_x509_certificate(service.authority.intermediate.read_bytes())
    found = []
    for leaf, *issuers in chains:
        assert issuers == [issuer]
        leaf.verify_directly_issued_by(issuer)
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        found += extension.value.get_values_for_type(x509.DNSName)
    assert sorted(found) == sorted(names)
    assert len({leaf.serial_number for leaf, *_ in chains}) == ORDERS
