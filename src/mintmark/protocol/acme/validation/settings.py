"""How far validation goes and how long it takes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ValidationSettings:
    """Limits and ways of validation.

    What an attacker gains who controls them: with `resolvers` or the ports, certificates for
    every name; with `allow_private`, GET requests from the authority's own network.

    Args:
        resolvers: IP addresses of recursive DNS servers, with a port if it is not 53
            (`10.0.0.53`, `10.0.0.53:5353`, `[2001:db8::53]:5353`), asked in this order; empty
            takes the hosts file and then the servers of resolv.conf.
        source_addresses: IP addresses that connections and queries come from, at most one of
            each family; empty leaves it to the system.
        http_port: of http-01, and of redirects to `http` without a port; 80 everywhere but in
            tests and odd networks.
        https_port: of redirects to `https` without a port; 443 likewise.
        tls_port: of tls-alpn-01; 443 likewise.
        allow_private: whether loopback, private and other addresses that the Internet does not
            route are validated: the normal case of a private authority. Link-local addresses,
            where clouds keep their metadata, multicast and 0.0.0.0 never are.
        timeout: seconds for one validation, DNS and redirects included.
        connect_timeout: seconds for one address, its TLS handshake included.
        dns_timeout: seconds for one lookup, aliases and repetitions included.
        dns_try: seconds until the next resolver is asked.
        body_bytes: of an http-01 response.
        header_bytes: of its header, and of those before it.
        redirects: followed one after the other.
        addresses: of a name, tried one after the other while nothing answers there.
        concurrency: validations at the same time, in one process.
        account_concurrency: those of one account.
        issuer_domain_names: by which dns-persist-01 records name this authority, A-labels in
            lower case; empty makes that challenge fail.
    """

    resolvers: tuple[str, ...] = ()
    source_addresses: tuple[str, ...] = ()
    http_port: int = 80
    https_port: int = 443
    tls_port: int = 443
    allow_private: bool = True
    timeout: float = 10.0
    connect_timeout: float = 3.0
    dns_timeout: float = 5.0
    dns_try: float = 2.0
    body_bytes: int = 64 * 1024
    header_bytes: int = 16 * 1024
    redirects: int = 10
    addresses: int = 10
    concurrency: int = 128
    account_concurrency: int = 32
    issuer_domain_names: tuple[str, ...] = ()
