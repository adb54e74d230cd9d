"""Section `acme`: what all ACME provisioners have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from mintmark.model.errors import Error
from mintmark.model.time import MINUTE
from mintmark.protocol.acme.validation.endpoint import parse_endpoint, sources
from mintmark.protocol.acme.validation.settings import ValidationSettings
from mintmark.server.sections import Section, at, key, span
from mintmark.server.settings.values import Port, Texts


class Validation(Section, frozen=True, kw_only=True):
    """How ACME challenges are looked at."""

    http_port: Annotated[
        Port,
        key(
            "Port of http-01; another than 80 is for tests and odd networks.",
            "certificates for names of hosts where anyone may listen on that port",
        ),
    ] = 80
    https_port: Annotated[
        Port,
        key(
            "Port of tls-alpn-01 and of redirects to https; another than 443 is for tests and "
            "odd networks.",
            "certificates for names of hosts where anyone may listen on that port",
        ),
    ] = 443
    resolvers: Annotated[
        Texts,
        key(
            "Addresses of DNS resolvers, as 10.0.0.53 or 10.0.0.53:5353; empty takes the hosts "
            "file and the system's.",
            "certificates for every name",
        ),
    ] = ()
    source_addresses: Annotated[
        Annotated[tuple[str, ...], Meta(max_length=2)],
        key(
            "Addresses that validation comes from, one of each family; empty: the system's choice.",
            "denial of service",
        ),
    ] = ()
    allow_private: Annotated[
        bool,
        key(
            "Whether loopback and private addresses are validated.",
            "GET requests from the authority's own network",
        ),
    ] = True
    timeout: Annotated[
        Annotated[int, span(1, MINUTE)], key("For one attempt, all in all.", "denial of service")
    ] = 10
    concurrency: Annotated[
        Annotated[int, Meta(ge=1, le=10_000)],
        key("Validations of one process at the same time.", "sockets and memory"),
    ] = 128
    issuer_domain_names: Annotated[
        Annotated[tuple[str, ...], Meta(max_length=10)],
        key(
            "Names by which dns-persist-01 records speak of this authority.",
            "certificates for names whose records were written for others",
        ),
    ] = ()


class ACME(Section, frozen=True, kw_only=True):
    """What all ACME provisioners have in common."""

    validation: Validation = Validation()


def validation(given: Validation) -> ValidationSettings:
    """Return how far validation goes."""
    return ValidationSettings(
        resolvers=given.resolvers,
        source_addresses=given.source_addresses,
        http_port=given.http_port,
        https_port=given.https_port,
        tls_port=given.https_port,
        allow_private=given.allow_private,
        timeout=given.timeout,
        concurrency=given.concurrency,
        issuer_domain_names=given.issuer_domain_names,
    )


def problems(given: Validation) -> Iterator[Error]:
    """Yield what is wrong although each key by itself is of its form."""
    for number, resolver in enumerate(given.resolvers):
        try:
            parse_endpoint(resolver, 53)
        except Error as error:
            yield at(f"acme.validation.resolvers[{number}]", error)
    try:
        sources(validation(given))
    except Error as error:
        yield at("acme.validation.source_addresses", error)
