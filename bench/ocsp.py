"""OCSP over plain HTTP: answers signed on demand, and answers that were signed before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from bench import bulk, requests
from bench.authority import BenchAuthority, make, serving, settings
from bench.driver import Load, drive
from bench.issuance import load, rates
from mintmark.wire.ocsp import issuer_hashes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.context import Bench

STORED = 10_000
CONCURRENCY = 64
ON_DEMAND = 20_000
CACHED = 50_000


def measure(bench: Bench) -> None:
    """Measure both, and plain GETs of cached answers."""
    authority = stocked(bench, "ocsp", STORED)
    fresh, kept = bench.amount(60_000), bench.amount(120_000)
    nonces, repeated = bench.scratch / "ocsp-nonce.requests", bench.scratch / "ocsp.requests"
    requests.save(nonces, _posts(authority, fresh, nonce=True))
    hundred = list(_posts(authority, 100, nonce=False))
    requests.save(repeated, (hundred[at % 100] for at in range(kept)))
    with serving(authority) as server:
        for name, path, target, warm in (
            ("signed on demand, with a nonce", nonces, ON_DEMAND, 500),
            ("from cache", repeated, CACHED, 1000),
        ):
            plan = Load(server.http, path, CONCURRENCY, bench.seconds, warm=warm)
            answered = drive(plan, server.pid)
            area = f"OCSP over plain HTTP, {name}, concurrency {CONCURRENCY}"
            rates(bench, area, answered, target, "answers")


def stocked(bench: Bench, name: str, count: int) -> BenchAuthority:
    """Return an authority with many certificates in its store."""
    authority = make(bench.scratch / name, settings())
    first = bench.scratch / f"{name}-first.requests"
    requests.save(first, requests.issuance([requests.csr(0)]))
    with serving(authority) as server:
        drive(load(authority, server, first, 1, 5.0), server.pid)
    bulk.certificates(authority.database, count)
    return authority


def _posts(authority: BenchAuthority, count: int, *, nonce: bool) -> Iterator[bytes]:
    """Yield OCSP requests for stored certificates."""
    issuer = x509.load_pem_x509_certificate(
        authority.directory.intermediate.certificate.read_bytes()
    )
    name_hash, key_hash = issuer_hashes(
        "sha1",
        issuer.subject.public_bytes(),
        issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    )
    for at in range(count):
        number = int.from_bytes(bulk.serial(at % STORED + 1), "big")
        builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
            name_hash, key_hash, number, hashes.SHA1()
        )
        if nonce:
            builder = builder.add_extension(x509.OCSPNonce(os.urandom(32)), critical=False)
        body = builder.build().public_bytes(Encoding.DER)
        yield requests.http("POST", "/ocsp", body, "application/ocsp-request")
