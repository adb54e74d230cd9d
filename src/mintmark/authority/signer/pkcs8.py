"""Private keys at rest: PKCS #8, encrypted with PBES2, scrypt and AES-256-CBC.

RFC 5958 is the envelope, RFC 8018 §6.2 PBES2, RFC 7914 §7 scrypt as its key derivation.
`cryptography` reads this form and does not write it, so the writer is here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7

from mintmark.model.errors import Error, Kind
from mintmark.wire import der, pem

ENCRYPTED_PRIVATE_KEY: Final = "ENCRYPTED PRIVATE KEY"  # RFC 7468 §11

# 16 MB and about 50 ms a key. OpenSSL refuses keys that want 32 MB and more, and a key that
# `openssl pkey` cannot read is a key that nobody can take along.
SCRYPT_N: Final = 2**14
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1

_PBES2: Final = der.oid("1.2.840.113549.1.5.13")
_SCRYPT: Final = der.oid("1.3.6.1.4.1.11591.4.11")
_AES_256_CBC: Final = der.oid("2.16.840.1.101.3.4.1.42")


def encrypted_pkcs8(
    private_key: PrivateKeyTypes,
    passphrase: bytes,
    *,
    entropy: Callable[[int], bytes] = os.urandom,
) -> bytes:
    """Return a private key as an encrypted PEM block that `openssl pkey` reads.

    Args:
        private_key: any key `cryptography` can write as PKCS #8.
        passphrase: at least one octet.
        entropy: for salt and initialization vector.

    Raises:
        Error: CONFIGURATION when the passphrase is empty.
    """
    if not passphrase:
        raise Error(
            Kind.CONFIGURATION,
            "the passphrase for the private key is empty",
            hint="give a passphrase of several words",
        )
    salt, vector = entropy(16), entropy(16)
    key = Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(passphrase)
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(vector)).encryptor()
    padder = PKCS7(128).padder()
    padded = padder.update(plain_pkcs8(private_key)) + padder.finalize()
    encrypted = encryptor.update(padded) + encryptor.finalize()
    scrypt = der.sequence(
        _SCRYPT,
        der.sequence(
            der.octet_string(salt),
            der.integer(SCRYPT_N),
            der.integer(SCRYPT_R),
            der.integer(SCRYPT_P),
        ),
    )
    cipher = der.sequence(_AES_256_CBC, der.octet_string(vector))
    algorithm = der.sequence(_PBES2, der.sequence(scrypt, cipher))
    return pem.encode(ENCRYPTED_PRIVATE_KEY, der.sequence(algorithm, der.octet_string(encrypted)))


def plain_pkcs8(private_key: PrivateKeyTypes) -> bytes:
    """Return a private key as unencrypted PKCS #8 DER (RFC 5958)."""
    return private_key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def parse_private_key(data: bytes, passphrase: bytes | None, origin: str) -> PrivateKeyTypes:
    """Return the private key of one PEM block, encrypted or not.

    Args:
        data: the PEM.
        passphrase: for an encrypted key; a plain one does not look at it.
        origin: what the message calls it, as a path.

    Raises:
        Error: CONFIGURATION when it is no private key, or the passphrase is missing or wrong.
    """
    encrypted = b"ENCRYPTED" in data
    if encrypted and not passphrase:
        raise Error(
            Kind.CONFIGURATION,
            f"private key '{origin}' is encrypted, and no passphrase was given",
            hint="give the passphrase by prompt, file or environment",
        )
    try:
        return serialization.load_pem_private_key(data, passphrase if encrypted else None)
    except (ValueError, TypeError) as error:
        if encrypted and ("password" in str(error) or _is_envelope(data)):
            raise Error(
                Kind.CONFIGURATION,
                f"private key '{origin}' cannot be decrypted with this passphrase",
                hint="check for another keyboard layout, or a newline at the end of a file",
            ) from error
        raise Error(
            Kind.CONFIGURATION,
            f"'{origin}' holds no private key that can be read",
            hint="it must be one PEM block, PKCS #8, EC P-256 or P-384, Ed25519 or RSA",
        ) from error


def _is_envelope(data: bytes) -> bool:
    """Whether this is an EncryptedPrivateKeyInfo (RFC 5958 §3), so that only its inside is wrong.

    One wrong passphrase in 256 decrypts to octets that end like padding, and only then are they
    no key.
    """
    try:
        (envelope,) = pem.decode(ENCRYPTED_PRIVATE_KEY, data)
        content, end = der.expect(envelope, 0, len(envelope), der.SEQUENCE)
        _, algorithm_end = der.expect(envelope, content, end, der.SEQUENCE)
        _, encrypted_end = der.expect(envelope, algorithm_end, end, der.OCTET_STRING)
    except (ValueError, Error):
        return False
    return encrypted_end == end == len(envelope)
