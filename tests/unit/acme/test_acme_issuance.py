"""RFC 8555 §7.4: from an order to a certificate."""

from __future__ import annotations

import pytest
from cryptography import x509

from tests.unit.acme.client import csr


def leaf(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificates(pem)[0]


def test_an_order_becomes_a_certificate(client):
    found = leaf(client.certificate("web.example.internal", "192.0.2.7"))

    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["web.example.internal"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["192.0.2.7"]
