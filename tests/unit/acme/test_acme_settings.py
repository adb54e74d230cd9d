"""The configuration's `provisioners` and `acme`."""

from __future__ import annotations

import pytest

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.provisioner import ACMEProvisioner, ChallengeType
from mintmark.server import settings, yaml


def read(text: str) -> settings.Settings:
    return settings.of(yaml.read(text))


def test_there_is_one_acme_server_by_default():
    first, *others = settings.provisioners(read("").provisioners)

    assert first == ACMEProvisioner("acme")
    assert not any(isinstance(one, ACMEProvisioner) for one in others)


def test_provisioners_say_what_they_are_like():
    (found,) = settings.provisioners(
        read("""
            provisioners:
            - name: web
              identifier_types: [dns]
              names: ["*.web.internal"]
              challenges: [dns-01]
              profiles: [peer, server]
              lifetime: 30d
              external_account_binding: true
              orders_per_hour: 0
            """).provisioners
    )

    assert found.identifier_types == (IdentifierType.DNS,)
    assert found.challenges == (ChallengeType.DNS_01,)
    assert (found.lifetime, found.external_account_binding) == (30 * 86400, True)
    assert found.profiles == ("peer", "server")


def test_there_may_be_none():
    assert settings.provisioners(read("provisioners: []").provisioners) == ()


def test_validation_says_where_and_how_long():
    found = settings.validation(
        read(
            "acme: {validation: {http_port: 5002, https_port: 5001, resolvers: ['127.0.0.1:53']}}"
        ).acme.validation
    )

    assert (found.http_port, found.https_port, found.tls_port) == (5002, 5001, 5001)
    assert found.resolvers == ("127.0.0.1:53",)
    assert found.timeout == 10


@pytest.mark.parametrize(
    "text",
    [
        "provisioners: [{}]",
        "provisioners: [{name: A}]",
        "provisioners: [{name: a/b}]",
        "provisioners: [{name: a}, {name: a}]",
        "provisioners: [{name: a, type: step}]",
        "provisioners: [{name: a, challenges: []}]",
        "provisioners: [{name: a, challenges: [http-02]}]",
        "provisioners: [{name: a, challenges: [dns-persist-01]}]",
        "provisioners: [{name: a, profiles: [none]}]",
        "provisioners: [{name: a, names: ['10.0.0.1/8']}]",
        "provisioners: [{name: a, max_identifiers: 101}]",
        "provisioners: [{name: a, lifetime: 500d}]",
        "acme: {validation: {resolvers: [dns.example]}}",
        "acme: {validation: {resolvers: ['10.0.0.1:0']}}",
        "acme: {validation: {resolvers: ['[::1]:x']}}",
        "acme: {validation: {resolvers: ['fe80::53%eth0']}}",
        "acme: {validation: {source_addresses: [eth0]}}",
        "acme: {validation: {source_addresses: [10.0.0.7, 10.0.0.8]}}",
        "acme: {validation: {http_port: 0}}",
        "acme: {validation: {timeout: 2h}}",
    ],
)
def test_what_cannot_work_is_refused(text):
    with pytest.raises(Error) as refused:
        read(text)

    assert refused.value.kind is Kind.CONFIGURATION


@pytest.mark.parametrize(
    "resolver",
    ["10.0.0.53", "10.0.0.53:5353", "2001:db8::53", "[2001:db8::53]", "[2001:db8::53]:5353"],
)
def test_resolvers_are_addresses_with_a_port_or_without(resolver):
    assert read(f"acme: {{validation: {{resolvers: ['{resolver}']}}}}")
