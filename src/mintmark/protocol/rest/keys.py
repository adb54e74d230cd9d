"""Which key a request is about: the one of its CSR, or one that the server makes.

A key made here is returned once and kept nowhere. Making RSA keys is slow, so it is done in a
thread, and only a few at a time: a flood of such requests must not take the processor from
everybody else.
"""

from __future__ import annotations

import asyncio

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from msgspec import Struct

from mintmark.authority.signer.file import generate
from mintmark.authority.workflow.stages import Stages
from mintmark.client.documents import KeyWish
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.keys import KeyType
from mintmark.model.request import SubjectKey
from mintmark.wire.csr import read_csr
from mintmark.wire.spki import subject_key

DEFAULT = KeyType.EC_P256


class WishedKey(Struct, frozen=True, gc=False):
    """The key to be certified, and what came with it.

    Args:
        key: the public key.
        private_key: PEM PKCS #8 when the server made it, else None.
        common_name: of the CSR, empty without one.
        identifiers: names of the CSR, empty without one.
    """

    key: SubjectKey
    private_key: str | None = None
    common_name: str = ""
    identifiers: tuple[Identifier, ...] = ()


class KeyMaker:
    """Makes keys for those who cannot; `MAX` RSA keys at a time."""

    MAX = 2

    def __init__(self) -> None:
        self._busy = 0

    async def make(self, key_type: KeyType) -> WishedKey:
        """Return a new key with its private half.

        Raises:
            Error: UNAVAILABLE with `retry_after` while too many RSA keys are being made.
        """
        if key_type.rsa_bits is None:
            return _make(key_type)
        if self._busy >= self.MAX:
            raise Error(
                Kind.UNAVAILABLE,
                f"{self.MAX} RSA keys are being made already",
                hint="try again in a second, make the key yourself and send a CSR, or use "
                f"key_type {DEFAULT.value!r}",
                retry_after=1,
            )
        self._busy += 1
        try:
            return await asyncio.to_thread(_make, key_type)
        finally:
            self._busy -= 1


async def wished_key(wish: KeyWish, maker: KeyMaker, stages: Stages) -> WishedKey:
    """Return the key of the CSR, or a new one of the type wished for.

    Args:
        wish: the key's part of the request.
        maker: makes keys for those who cannot.
        stages: where CSRs gather that are verified together.

    Raises:
        Error: BAD_CSR, BAD_PUBLIC_KEY when the CSR's key is not of the type named,
            REJECTED_IDENTIFIER for the CSR's names, MALFORMED for contradicting wishes.
    """
    key_type = _key_type(wish)
    if wish.csr is None:
        return await maker.make(key_type or DEFAULT)
    unverified = read_csr(wish.csr.encode())
    await stages.verify
    csr = unverified.verify()
    if key_type is not None and csr.key.type is not key_type:
        raise Error(
            Kind.BAD_PUBLIC_KEY,
            f"the CSR's key is of type {csr.key.type.value!r}, the request names "
            f"{key_type.value!r}",
            hint="leave key_type and key_size out when sending a CSR",
        )
    return WishedKey(csr.key, None, csr.common_name, csr.identifiers)


def _key_type(wish: KeyWish) -> KeyType | None:
    if wish.key_size is None:
        return wish.key_type
    sized = KeyType(f"rsa-{wish.key_size}")
    if wish.key_type is not None and wish.key_type is not sized:
        raise Error(
            Kind.MALFORMED,
            f"key_size {wish.key_size} means {sized.value!r}, key_type says "
            f"{wish.key_type.value!r}",
            hint="give key_type alone",
        )
    return sized


def _make(key_type: KeyType) -> WishedKey:
    private_key = generate(key_type)
    spki = private_key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    text = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return WishedKey(subject_key(spki), text.decode())
