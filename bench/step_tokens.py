"""One-time tokens of a JWK provisioner, and the step requests that carry them (step protocol)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.requests import DOMAIN, csr, http

if TYPE_CHECKING:
    from collections.abc import Iterator

PROVISIONER = "bench"
LIFE_SECONDS = 3000  # of a token: longer than a measurement, shorter than an hour


@dataclass(frozen=True, slots=True)
class ProvisionerKey:
    """The key pair that signs tokens.

    Args:
        private_key: P-256.
        jwk: its public half, with `kid`.
    """

    private_key: ec.EllipticCurvePrivateKey
    jwk: dict[str, str]

    @classmethod
    def generate(cls) -> ProvisionerKey:
        """Make one."""
        private_key = ec.generate_private_key(ec.SECP256R1())
        numbers = private_key.public_key().public_numbers()
        members = {
            "crv": "P-256",
            "kty": "EC",
            "x": _base64url(numbers.x.to_bytes(32)),
            "y": _base64url(numbers.y.to_bytes(32)),
        }
        # RFC 7638 §3: these members in this order, without white space.
        thumbprint = hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()
        extra = {"use": "sig", "alg": "ES256", "kid": _base64url(thumbprint)}
        return cls(private_key, members | extra)

    def token(self, audience: str, now: int, **claims: Any) -> str:
        """Return a token with an identity of its own (RFC 7515 §3.1)."""
        header = {"alg": "ES256", "kid": self.jwk["kid"], "typ": "JWT"}
        body = {
            "iss": PROVISIONER,
            "aud": audience,
            "iat": now,
            "nbf": now,
            "exp": now + LIFE_SECONDS,
            "jti": os.urandom(32).hex(),
            **claims,
        }
        signed = f"{_json64(header)}.{_json64(body)}"
        der = self.private_key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = decode_dss_signature(der)
        return f"{signed}.{_base64url(r.to_bytes(32) + s.to_bytes(32))}"


def sign_requests(key: ProvisionerKey, host: str, now: int, count: int) -> Iterator[bytes]:
    """Yield requests of `POST /sign`, each with a fresh token for the names of its CSR."""
    for number in range(count):
        name = f"n{number:07}.{DOMAIN}"
        token = key.token(f"https://{host}/1.0/sign", now, sub=name, sans=[name, f"www.{name}"])
        body = {"csr": csr(number).decode(), "ott": token, "notBefore": "", "notAfter": ""}
        yield http("POST", "/sign", json.dumps(body).encode())


def ssh_sign_requests(key: ProvisionerKey, host: str, now: int, count: int) -> Iterator[bytes]:
    """Yield requests of `POST /ssh/sign` for user certificates, each with a fresh token."""
    for number in range(count):
        user = f"user{number:07}"
        ssh = {
            "certType": "user",
            "keyID": user,
            "principals": [user],
            "validAfter": "",
            "validBefore": "",
        }
        token = key.token(f"https://{host}/1.0/ssh/sign", now, sub=user, step={"ssh": ssh})
        line = (
            ed25519.Ed25519PrivateKey.generate()
            .public_key()
            .public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        )
        body = {"publicKey": line.split()[1].decode(), "ott": token, **ssh}
        yield http("POST", "/ssh/sign", json.dumps(body).encode())


def _base64url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _json64(value: dict[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())
