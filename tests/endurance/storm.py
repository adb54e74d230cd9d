"""Customers that never stop asking: a process of its own, whose journal nobody can lose.

It reads a plan as JSON from its first argument. Each customer asks for certificates over mutual
TLS, keeps its connection mostly, and writes a line as soon as it holds an answer:

    issued KEY SERIAL SHA256        KEY is also the certificate's name; `-` asked without a key
    revoked SERIAL
    refused STATUS KEY

What got no answer is asked again under the same Idempotency-Key until it gets one. A line on
standard input ends it, once every customer has its answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import ssl
import sys
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

_PAUSE = 0.01  # seconds after a lost connection
_PATIENCE = 20.0  # seconds for one answer


def csr(name: str) -> str:
    """Return a PKCS #10 request with a key of its own."""
    builder = x509.CertificateSigningRequestBuilder(x509.Name([])).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
    )
    signed = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(Encoding.PEM).decode()


class Storm:
    """What all customers share."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.port: int = plan["port"]
        self.seed: int = plan["seed"]
        self.journal = os.open(plan["journal"], os.O_WRONLY | os.O_APPEND)
        self.stopping = False
        self.tls = ssl.create_default_context(cafile=plan["root"])
        self.tls.load_cert_chain(plan["certificate"], plan["key"])

    def write(self, *words: object) -> None:
        """Put a line into the journal; another process's end does not take it away again."""
        os.write(self.journal, (" ".join(map(str, words)) + "\n").encode())


class Customer:
    """One customer.

    Args:
        storm: shared.
        number: of this one.
    """

    def __init__(self, storm: Storm, number: int) -> None:
        self._storm = storm
        self._number = number
        self._random = random.Random(storm.seed * 1000 + number)
        self._reader: Any = None
        self._writer: Any = None

    async def run(self) -> None:
        """Ask until told to stop."""
        storm, count = self._storm, 0
        while not storm.stopping:
            count += 1
            name = f"c{storm.seed}-{self._number}-{count}"
            key = name if self._random.random() < 0.8 else "-"
            serial = await self._issue(name, key)
            if serial and self._random.random() < 0.05:
                await self._revoke(serial)
            if self._random.random() < 0.05:
                self._hang_up()
        self._hang_up()

    async def _issue(self, name: str, key: str) -> str:
        body = {"csr": csr(f"{name}.storm.internal")}
        headers = "" if key == "-" else f"Idempotency-Key: {key}\r\n"
        status, answer = await self._insist("POST", "/certificates/request", body, headers)
        if status not in (200, 201):
            self._storm.write("refused", status, name)
            return ""
        document = json.loads(answer)
        der = x509.load_pem_x509_certificate(document["certificate"].encode())
        digest = hashlib.sha256(der.public_bytes(Encoding.DER)).hexdigest()
        serial: str = document["serial_number"]
        self._storm.write("issued", key, serial, digest)
        return serial

    async def _revoke(self, serial: str) -> None:
        body = {"serial_number": serial, "reason": "superseded"}
        status, _ = await self._insist("POST", "/crl/revoke", body)
        if status in (200, 409):  # the second is the answer to a repetition
            self._storm.write("revoked", serial)
        else:
            self._storm.write("refused", status, serial)

    async def _insist(
        self, method: str, path: str, body: object, headers: str = ""
    ) -> tuple[int, bytes]:
        """Ask until there is an answer that is not `later`."""
        octets = json.dumps(body).encode()
        head = (
            f"{method} /api/v1{path} HTTP/1.1\r\nHost: localhost\r\n{headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(octets)}\r\n\r\n"
        )
        while True:
            try:
                async with asyncio.timeout(_PATIENCE):
                    status, answer = await self._ask(head.encode() + octets)
            except (OSError, EOFError, TimeoutError):
                self._hang_up()
                await asyncio.sleep(_PAUSE)
                continue
            if status != 503:
                return status, answer
            await asyncio.sleep(_PAUSE)

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                "localhost", self._storm.port, ssl=self._storm.tls
            )
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].partition("\r\n")[0])
        body: bytes = await self._reader.readexactly(length)
        if "connection: close" in head:
            self._hang_up()
        return int(head.split(" ", 2)[1]), body

    def _hang_up(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


async def _main(plan: dict[str, Any]) -> None:
    storm = Storm(plan)
    customers = [Customer(storm, number).run() for number in range(plan["customers"])]
    running = asyncio.gather(*customers)
    told = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    await asyncio.wait((told, running), return_when=asyncio.FIRST_COMPLETED)
    storm.stopping = True
    await running


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
