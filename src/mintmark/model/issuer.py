"""Issuers as the world sees them: a name, a key and a certificate, without the private half."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issuer:
    """One issuer.

    Args:
        id: first 16 hex digits of the SHA-256 of its SPKI.
        name: what a person calls it: its common name.
        der: its certificate.
        chain: DER certificates above it, nearest first, the root left out.
        root: DER of the trust anchor at the top.
        spki_sha256: SHA-256 of its SubjectPublicKeyInfo.
        not_before: Unix seconds.
        not_after: Unix seconds; nothing it signs outlives this.
        active: whether it signs now (an issuer without its key only answers for the past).
    """

    id: str
    name: str
    der: bytes
    chain: tuple[bytes, ...]
    root: bytes
    spki_sha256: bytes
    not_before: int
    not_after: int
    active: bool = True
