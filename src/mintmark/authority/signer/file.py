"""Signing keys in files: encrypted on disk, in memory while they sign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from mintmark.authority.signer.draft import Draft
from mintmark.authority.signer.files import read_secret
from mintmark.authority.signer.pkcs8 import encrypted_pkcs8, parse_private_key, plain_pkcs8
from mintmark.authority.signer.signer import SignatureAlgorithm
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.wire import der

__all__ = [
    "FileSigner",
    "SigningPrivateKey",
    "encrypted_pkcs8",
    "generate",
    "load",
    "parse_private_key",
    "plain_pkcs8",
]

SigningPrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

# RFC 5758 §3.2 and RFC 8410 §3: no parameters; RFC 4055 §5: NULL.
_ECDSA_SHA256: Final = SignatureAlgorithm(
    "ecdsa-with-SHA256", der.sequence(der.oid("1.2.840.10045.4.3.2"))
)
_ECDSA_SHA384: Final = SignatureAlgorithm(
    "ecdsa-with-SHA384", der.sequence(der.oid("1.2.840.10045.4.3.3"))
)
_ED25519: Final = SignatureAlgorithm("Ed25519", der.sequence(der.oid("1.3.101.112")))
_RSA_SHA256: Final = SignatureAlgorithm(
    "sha256WithRSAEncryption", der.sequence(der.oid("1.2.840.113549.1.1.11"), der.NULL)
)

_SLOW_RSA_BITS: Final = 2048  # 0.2 ms a signature; 3072 bits take 0.6 ms, 4096 bits 1.3 ms


class FileSigner:
    """A `Signer` whose key came from a file; it can sign and is not handed out.

    Args:
        private_key: ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits.

    Raises:
        Error: CONFIGURATION for any other key.
    """

    __slots__ = ("_private_key", "_sign", "algorithm", "slow", "spki")

    def __init__(self, private_key: object) -> None:
        key, algorithm, sign, slow = _mechanism(private_key)
        self._private_key = key
        self._sign: Final = sign
        self.algorithm: Final = algorithm
        self.slow: Final = slow
        self.spki: Final = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def __repr__(self) -> str:
        return f"FileSigner({self.algorithm.name})"

    def __reduce__(self) -> str:
        raise TypeError("a signer is not copied and not pickled")

    def sign(self, draft: Draft) -> bytes:
        """Redeem the draft and return the signature value.

        Raises:
            TypeError: it is not a draft.
            RuntimeError: the draft was redeemed before, or the key computed a wrong signature.
        """
        if not isinstance(draft, Draft):
            raise TypeError(f"a signer signs drafts, not {type(draft).__name__}")
        return self._sign(draft.redeem())

    def builder_key(self) -> Any:
        """Return the private key for `cryptography`'s builders; only the ceremony asks."""
        return self._private_key


def load(path: Path, passphrase: bytes | None) -> FileSigner:
    """Return the signer of a key file.

    Raises:
        Error: CONFIGURATION when the file is missing, open to others, no private key, of a
            kind that cannot sign certificates, or the passphrase is missing or wrong.
    """
    return FileSigner(parse_private_key(read_secret(path), passphrase, str(path)))


def generate(key_type: KeyType) -> SigningPrivateKey:
    """Make a new private key; OpenSSL's generator provides the randomness."""
    match key_type:
        case KeyType.EC_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.EC_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyType.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case KeyType.RSA_2048 | KeyType.RSA_3072 | KeyType.RSA_4096:
            # RFC 8017 names no exponent; 65537 is the one that every verifier accepts.
            return rsa.generate_private_key(65537, int(key_type.value[4:]))


def _mechanism(
    key: object,
) -> tuple[SigningPrivateKey, SignatureAlgorithm, Callable[[bytes], bytes], bool]:
    """Return key, algorithm, signing function and slowness of a private key."""
    match key:
        case ec.EllipticCurvePrivateKey(curve=ec.SECP256R1()):
            sha256 = ec.ECDSA(hashes.SHA256())
            return key, _ECDSA_SHA256, lambda tbs: key.sign(tbs, sha256), False
        case ec.EllipticCurvePrivateKey(curve=ec.SECP384R1()):
            sha384 = ec.ECDSA(hashes.SHA384())
            return key, _ECDSA_SHA384, lambda tbs: key.sign(tbs, sha384), True
        case ed25519.Ed25519PrivateKey():
            return key, _ED25519, key.sign, False
        case rsa.RSAPrivateKey() if 2048 <= key.key_size <= 4096:
            return key, _RSA_SHA256, _rsa_sign(key), key.key_size > _SLOW_RSA_BITS
        case _:
            raise Error(
                Kind.CONFIGURATION,
                f"a key of type {type(key).__name__} cannot sign certificates",
                hint="use EC P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits",
            )


def _rsa_sign(key: rsa.RSAPrivateKey) -> Callable[[bytes], bytes]:
    """Return an RSA signing function that checks what it made.

    One faulty signature made by way of the Chinese remainder theorem gives the private key
    away, so none leaves unverified; the check costs a tenth of the signature.
    """
    public_key, scheme, digest = key.public_key(), padding.PKCS1v15(), hashes.SHA256()

    def sign(tbs: bytes) -> bytes:
        signature = key.sign(tbs, scheme, digest)
        try:
            public_key.verify(signature, tbs, scheme, digest)
        except InvalidSignature as error:
            raise RuntimeError("the RSA key computed a wrong signature") from error
        return signature

    return sign
