"""Requests made before the clock starts: every CSR with a key of its own, every octet ready."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DOMAIN = "bench.internal"
_LENGTH = struct.Struct(">I")


def csr(number: int) -> bytes:
    """Return a PEM CSR of a fresh P-256 key for a name and a second one."""
    name = f"n{number:07}.{DOMAIN}"
    names = [x509.DNSName(name), x509.DNSName(f"www.{name}")]
    return (
        x509.CertificateSigningRequestBuilder(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        )
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


def csrs(count: int, start: int = 0) -> list[bytes]:
    """Return CSRs of distinct names and keys."""
    return [csr(number) for number in range(start, start + count)]


def http(
    method: str, path: str, body: bytes = b"", content_type: str = "application/json"
) -> bytes:
    """Return the octets of one HTTP/1.1 request."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if body:
        head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def issuance(pems: Iterable[bytes]) -> Iterator[bytes]:
    """Yield requests for certificates."""
    for pem in pems:
        body = json.dumps({"csr": pem.decode()}).encode()
        yield http("POST", "/api/v1/certificates/request", body)


def save(path: Path, requests: Iterable[bytes]) -> int:
    """Write requests to a file, each after its length; return how many."""
    count = 0
    with path.open("wb") as file:
        for request in requests:
            file.write(_LENGTH.pack(len(request)))
            file.write(request)
            count += 1
    return count


def load(path: Path) -> list[bytes]:
    """Return the requests of a file."""
    data = path.read_bytes()
    requests, at = [], 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        requests.append(data[at : at + length])
        at += length
    return requests
