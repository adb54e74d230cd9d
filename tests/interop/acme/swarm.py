"""An ACME client that orders many certificates at once (RFC 8555), and the hosts it does it for.

It forgives nothing: an answer that a client would have to repeat is an error here.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

_POLLS = 100


def encode(octets: bytes) -> str:
    """Return base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


@dataclass
class Answers:
    """The web servers of all hosts: what they answer, by token."""

    authorizations: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    @contextlib.asynccontextmanager
    async def serving(self, port: int) -> AsyncIterator[None]:
        """Answer on a port of loopback for the length of a block."""
        server = await asyncio.start_server(self._answer, "127.0.0.1", port)
        async with server:
            yield

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            token = request.split()[1].decode().rpartition("/")[2]
            body = self.authorizations[token].encode()
            self.asked += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
        writer.close()


class Client:
    """One account, used by one task or by several.

    Args:
        http: connections to the server.
        directory: its directory, decoded.
        answers: where challenges are answered.
    """

    def __init__(self, http: httpx.AsyncClient, directory: dict[str, Any], answers: Answers):
        self._http = http
        self._directory = directory
        self._answers = answers
        self._key = ec.generate_private_key(ec.SECP256R1())
        numbers = self._key.public_key().public_numbers()
        self._jwk = {
            "crv": "P-256",
            "kty": "EC",
            "x": encode(numbers.x.to_bytes(32)),
            "y": encode(numbers.y.to_bytes(32)),
        }
        canonical = json.dumps(self._jwk, separators=(",", ":"), sort_keys=True)
        self._thumbprint = encode(hashlib.sha256(canonical.encode()).digest())
        self._nonces: list[str] = []
        self._url: str | None = None

    @classmethod
    async def connect(cls, http: httpx.AsyncClient, url: str, answers: Answers) -> Client:
        """Make an account."""
        made = cls(http, (await http.get(url)).json(), answers)
        answer = await made._post("newAccount", {"termsOfServiceAgreed": True})
        made._url = answer.headers["location"]
        return made

    async def order(self, *names: str) -> list[x509.Certificate]:
        """Order a certificate and return it with its chain."""
        identifiers = [{"type": "dns", "value": name} for name in names]
        made = await self._post("newOrder", {"identifiers": identifiers})
        for authorization in made.json()["authorizations"]:
            await self._authorize(authorization)
        csr = (
            x509.CertificateSigningRequestBuilder(x509.Name([]))
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
            )
            .sign(ec.generate_private_key(ec.SECP256R1()), SHA256())
        )
        url = made.headers["location"]
        await self._post(made.json()["finalize"], {"csr": encode(csr.public_bytes(Encoding.DER))})
        order = await self._settled(url)
        assert order["status"] == "valid", order
        chain = await self._post(order["certificate"])
        return x509.load_pem_x509_certificates(chain.content)

    async def revoke(self, certificate: x509.Certificate, reason: int) -> None:
        """Revoke a certificate of the account."""
        der = encode(certificate.public_bytes(Encoding.DER))
        await self._post("revokeCert", {"certificate": der, "reason": reason})

    async def _authorize(self, url: str) -> None:
        authorization = (await self._post(url)).json()
        challenge = next(one for one in authorization["challenges"] if one["type"] == "http-01")
        token = challenge["token"]
        self._answers.authorizations[token] = f"{token}.{self._thumbprint}"
        await self._post(challenge["url"], {})
        settled = await self._settled(url)
        assert settled["status"] == "valid", settled

    async def _settled(self, url: str) -> dict[str, Any]:
        """Poll a resource until it is no longer on its way."""
        for _ in range(_POLLS):
            answer = await self._post(url)
            found = answer.json()
            if found["status"] not in ("pending", "processing"):
                return found
            await asyncio.sleep(int(answer.headers.get("retry-after", "0")) or 0.05)
        raise AssertionError(f"{url} stays {found['status']}")

    async def _post(self, target: str, payload: object = None) -> httpx.Response:
        """Send a signed request; None as the payload reads (POST-as-GET, §6.3)."""
        url = self._directory.get(target, target)
        if not self._nonces:
            fresh = await self._http.head(self._directory["newNonce"])
            self._nonces.append(fresh.headers["replay-nonce"])
        who = {"jwk": self._jwk} if self._url is None else {"kid": self._url}
        header = {"alg": "ES256", "nonce": self._nonces.pop(), "url": url, **who}
        protected = encode(json.dumps(header).encode())
        body = "" if payload is None else encode(json.dumps(payload).encode())
        signed = self._key.sign(f"{protected}.{body}".encode(), ec.ECDSA(SHA256()))
        signature = encode(b"".join(part.to_bytes(32) for part in decode_dss_signature(signed)))
        answer = await self._http.post(
            url,
            json={"protected": protected, "payload": body, "signature": signature},
            headers={"content-type": "application/jose+json"},
        )
        self._nonces.append(answer.headers["replay-nonce"])
        assert answer.is_success, f"{target}: {answer.text}"
        return answer


async def swarm(
    directory: str, root: Path, http_port: int, names: list[str], *, clients: int, parallel: int
) -> list[list[x509.Certificate]]:
    """Order a certificate for each name, so many at a time, and return the chains.

    Args:
        directory: URL of the server's directory.
        root: what is trusted.
        http_port: where the server validates.
        names: one certificate each.
        clients: how many accounts share the work.
        parallel: how many orders are under way at once.
    """
    answers, todo = Answers(), iter(names)
    trust = ssl.create_default_context(cafile=str(root))
    limits = httpx.Limits(max_connections=parallel)
    async with (
        answers.serving(http_port),
        httpx.AsyncClient(verify=trust, limits=limits, timeout=60, trust_env=False) as http,
    ):
        accounts = await asyncio.gather(
            *(Client.connect(http, directory, answers) for _ in range(clients))
        )

        async def work(client: Client) -> list[list[x509.Certificate]]:
            return [await client.order(name) for name in todo]

        done = await asyncio.gather(*(work(accounts[n % clients]) for n in range(parallel)))
    return [chain for chains in done for chain in chains]
