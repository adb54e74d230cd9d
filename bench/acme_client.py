"""A lean ACME client (RFC 8555): one account, whole orders, no request more than they need."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALGORITHM = ec.ECDSA(hashes.SHA256())
_CURVE_OCTETS = 32
POLL_SECONDS = 0.05


@dataclass(slots=True)
class Answer:
    """An answer of the server: its status, headers in lower case, and body."""

    status: int
    headers: dict[str, str]
    body: bytes


class Way(Protocol):
    """A way to the server."""

    async def ask(self, method: str, path: str, body: bytes) -> Answer:
        """Send one request."""


class RefusedError(Exception):
    """The server refused a step; the text is its answer."""


class Client:
    """One account on one way to the server.

    Args:
        way: to the server.
        origin: as `https://localhost:8443`; what is signed has it.
        tokens: where the tokens of challenges are put, for who answers the validation: each
            with the account key's thumbprint.
    """

    def __init__(self, way: Way, origin: str, tokens: dict[str, str]) -> None:
        self._way = way
        self._origin = origin
        self._tokens = tokens
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        self._jwk = {
            "crv": "P-256",
            "kty": "EC",
            "x": _encode(numbers.x.to_bytes(_CURVE_OCTETS, "big")),
            "y": _encode(numbers.y.to_bytes(_CURVE_OCTETS, "big")),
        }
        canonical = json.dumps(self._jwk, separators=(",", ":"), sort_keys=True)
        self._thumbprint = _encode(hashlib.sha256(canonical.encode()).digest())
        self._kid = ""
        self._nonce = ""

    async def register(self, directory: str) -> None:
        """Make the account of a directory, given by its path."""
        found = json.loads((await self._way.ask("GET", directory, b"")).body)
        self._new_order = found["newOrder"]
        path = found["newNonce"].removeprefix(self._origin)
        self._nonce = (await self._way.ask("HEAD", path, b"")).headers["replay-nonce"]
        made = await self._post(found["newAccount"], {"termsOfServiceAgreed": True})
        self._kid = made.headers["location"]

    async def order(self, name: str, csr: str) -> bytes:
        """Order a certificate, meet its challenge, and return it with its chain.

        Args:
            name: DNS name.
            csr: for that name, DER in base64url.
        """
        made = await self._post(self._new_order, {"identifiers": [{"type": "dns", "value": name}]})
        order = json.loads(made.body)
        (authorization,) = order["authorizations"]
        await self._authorize(authorization)
        finished = json.loads((await self._post(order["finalize"], {"csr": csr})).body)
        while finished["status"] == "processing":
            await asyncio.sleep(POLL_SECONDS)
            finished = json.loads((await self._post(made.headers["location"], None)).body)
        return (await self._post(finished["certificate"], None)).body

    async def _authorize(self, url: str) -> None:
        authorization = json.loads((await self._post(url, None)).body)
        (challenge,) = (one for one in authorization["challenges"] if one["type"] == "http-01")
        self._tokens[challenge["token"]] = self._thumbprint
        status = json.loads((await self._post(challenge["url"], {})).body)["status"]
        while status in {"pending", "processing"}:
            await asyncio.sleep(POLL_SECONDS)
            status = json.loads((await self._post(url, None)).body)["status"]
        del self._tokens[challenge["token"]]
        if status != "valid":
            raise RefusedError(f"the challenge is {status}")

    async def _post(self, url: str, payload: Any) -> Answer:
        """Send a signed request; a payload of None is POST-as-GET."""
        header: dict[str, Any] = {"alg": "ES256", "nonce": self._nonce, "url": url}
        header |= {"kid": self._kid} if self._kid else {"jwk": self._jwk}
        protected = _encode(json.dumps(header).encode())
        text = "" if payload is None else _encode(json.dumps(payload).encode())
        der = self._key.sign(f"{protected}.{text}".encode(), _ALGORITHM)
        signature = b"".join(
            one.to_bytes(_CURVE_OCTETS, "big") for one in decode_dss_signature(der)
        )
        body = (
            f'{{"protected":"{protected}","payload":"{text}","signature":"{_encode(signature)}"}}'
        )
        answer = await self._way.ask("POST", url.removeprefix(self._origin), body.encode())
        self._nonce = answer.headers["replay-nonce"]
        if not 200 <= answer.status < 300:
            raise RefusedError(answer.body.decode(errors="replace"))
        return answer


def csrs(count: int, domain: str) -> Iterator[bytes]:
    """Yield names and CSRs for them, parted by a blank: DER in base64url, a key for each."""
    run = os.urandom(4).hex()
    for number in range(count):
        name = f"n{number:06}-{run}.{domain}"
        csr = (
            x509.CertificateSigningRequestBuilder(x509.Name([]))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        )
        yield f"{name} {_encode(csr.public_bytes(Encoding.DER))}".encode()


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
