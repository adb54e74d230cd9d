"""PEM armor, written as RFC 7468 §2 prints it and read as strictly as files in use allow.

Text around and between the blocks is skipped (RFC 7468 §5.2: explanatory text); inside a block
only base64 in its one correct form and white space are accepted, no RFC 1421 headers.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from mintmark.model.errors import Error, Kind

CERTIFICATE: Final = "CERTIFICATE"
CSR: Final = "CERTIFICATE REQUEST"
CRL: Final = "X509 CRL"
PRIVATE_KEY: Final = "PRIVATE KEY"
PKCS7: Final = "PKCS7"

_WHITE_SPACE: Final = b" \t\r\n"
_LINE: Final = 64  # characters (RFC 7468 §2)
_BLOCK: Final = 256 * _LINE


def encode(label: str, der: bytes) -> bytes:
    """Return `der` as one PEM block that ends in a newline."""
    text = binascii.b2a_base64(der, newline=False)
    lines: list[bytes] = []
    for at in range(0, len(text), _BLOCK):
        block = text[at : at + _BLOCK]
        lines += _cutter(len(block))(block)
    lines.append(b"")  # so that the last line, too, ends in a newline
    name = label.encode()
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (name, b"\n".join(lines), name)


@lru_cache(maxsize=1024)
def _cutter(size: int) -> Callable[[bytes], tuple[bytes, ...]]:
    """Return what cuts a text of some size into lines; certificates have few sizes."""
    lines, rest = divmod(size, _LINE)
    return struct.Struct(f"{_LINE}s" * lines + (f"{rest}s" if rest else "")).unpack


def certificate(der: bytes) -> bytes:
    """Return a certificate as PEM (RFC 7468 §5)."""
    return encode(CERTIFICATE, der)


def certificates(ders: Iterable[bytes]) -> bytes:
    """Return certificates as PEM blocks one after the other, in the order given."""
    return b"".join([encode(CERTIFICATE, der) for der in ders])


def csr(der: bytes) -> bytes:
    """Return a PKCS #10 request as PEM (RFC 7468 §7)."""
    return encode(CSR, der)


def crl(der: bytes) -> bytes:
    """Return a CRL as PEM (RFC 7468 §6)."""
    return encode(CRL, der)


def private_key(der: bytes) -> bytes:
    """Return an unencrypted PKCS #8 key as PEM (RFC 7468 §10)."""
    return encode(PRIVATE_KEY, der)


def pkcs7(der: bytes) -> bytes:
    """Return a CMS or PKCS #7 structure as PEM (RFC 7468 §8)."""
    return encode(PKCS7, der)


def decode(label: str, pem: bytes) -> list[bytes]:
    """Return the DER of every block with `label`, in order; blocks of other labels are skipped.

    Returns:
        The blocks' octets, which nobody has looked at yet; empty if there is no such block.

    Raises:
        Error: MALFORMED when a block has no end line or is not base64.
    """
    begin, end = b"-----BEGIN %b-----" % label.encode(), b"-----END %b-----" % label.encode()
    found: list[bytes] = []
    at = pem.find(begin)
    while at >= 0:
        start = at + len(begin)
        stop = pem.find(end, start)
        if stop < 0:
            raise Error(Kind.MALFORMED, f"PEM block '{label}' has no line '{end.decode()}'")
        body = pem[start:stop].translate(None, _WHITE_SPACE)
        try:
            found.append(binascii.a2b_base64(body, strict_mode=True))
        except binascii.Error as error:
            raise Error(
                Kind.MALFORMED,
                f"PEM block '{label}' is not base64: {str(error).lower()}",
                hint="the block may hold only base64 lines between its BEGIN and END lines",
            ) from error
        at = pem.find(begin, stop + len(end))
    return found
