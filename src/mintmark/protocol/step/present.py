"""How certificates are answered: PEM, leaf first, with all that stands above it but the root."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from mintmark.authority.workflow.authority import Authority
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.model.issuer import Issuer
from mintmark.protocol.step.call import answer
from mintmark.wire import pem
from mintmark.wire.http import Response

# What a client's own TLS server should use; crypto/tls does not choose among TLS 1.3's.
TLS_OPTIONS: Final = {
    "cipherSuites": [
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    ],
    "minVersion": 1.2,
    "maxVersion": 1.3,
    "renegotiation": False,
}


def issued(authority: Authority, certificate: Certificate) -> Response:
    """Answer with a new certificate."""
    leaf = pem.certificate(certificate.der).decode()
    issuer = _issuer(authority, certificate.issuer)
    members: dict[str, Any] = {
        "crt": leaf,
        "ca": _text(issuer.der),
        "certChain": [leaf, *_above(issuer)],
        "tlsOptions": TLS_OPTIONS,
    }
    return answer(201, members)


def chain(authority: Authority, certificate: Certificate) -> list[str]:
    """Return a certificate and what stands above it."""
    leaf = pem.certificate(certificate.der).decode()
    return [leaf, *_above(_issuer(authority, certificate.issuer))]


def _above(issuer: Issuer) -> list[str]:
    """Return the issuer and its own issuers, without the trust anchor."""
    if issuer.der == issuer.root:
        return []
    return [_text(der) for der in (issuer.der, *issuer.chain)]


@lru_cache(maxsize=64)  # issuers are few and in every answer
def _text(der: bytes) -> str:
    return pem.certificate(der).decode()


def _issuer(authority: Authority, issuer_id: str) -> Issuer:
    for issuer in (authority.issuing.issuer, *authority.issuers):
        if issuer.id == issuer_id:
            return issuer
    raise Error(
        Kind.UNAVAILABLE,
        f"issuer {issuer_id!r} is not known to this process yet",
        hint="the operator restarts it after an issuer was added",
        retry_after=10,
    )
