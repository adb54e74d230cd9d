"""SubjectPublicKeyInfo: the keys that are certified, and what the others are called.

The octets that are certified are the octets that were sent; a key is known by its encoded
AlgorithmIdentifier (RFC 5280 §4.1.2.7), and anything but the one encoding of each accepted type
is refused by name.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, NoReturn

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mintmark.model.errors import Error, Kind
from mintmark.model.keys import ALL_KEY_TYPES, KeyType
from mintmark.model.request import SubjectKey
from mintmark.wire import certificate, der

# AlgorithmIdentifiers, encoded: id-ecPublicKey with a named curve (RFC 5480 §2.1.1), Ed25519
# without parameters (RFC 8410 §3), rsaEncryption with NULL (RFC 3279 §2.3.1).
_EC: Final = der.oid("1.2.840.10045.2.1")
_P256: Final = b"\x30\x59" + der.sequence(_EC, der.oid("1.2.840.10045.3.1.7")) + b"\x03\x42\0\x04"
_P384: Final = b"\x30\x76" + der.sequence(_EC, der.oid("1.3.132.0.34")) + b"\x03\x62\0\x04"
_ED25519: Final = b"\x30\x2a" + der.sequence(der.oid("1.3.101.112")) + b"\x03\x21\0"
_RSA: Final = der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL)
_KEY_NAMES: Final = {
    "1.2.840.10040.4.1": "DSA",
    "1.2.840.10046.2.1": "Diffie-Hellman",
    "1.2.840.113549.1.1.1": "RSA with other parameters than NULL",
    "1.2.840.113549.1.1.10": "RSA for PSS only",
    "1.2.840.10045.3.1.7": "P-256 whose point is not uncompressed",
    "1.3.132.0.34": "P-384 whose point is not uncompressed",
    "1.3.132.0.10": "secp256k1",
    "1.3.132.0.33": "P-224",
    "1.3.132.0.35": "P-521",
    "1.3.101.110": "X25519",
    "1.3.101.111": "X448",
    "1.3.101.112": "Ed25519 with parameters or of a wrong size",
    "1.3.101.113": "Ed448",
}
_ACCEPTED: Final = "accepted: " + ", ".join(key_type.value for key_type in ALL_KEY_TYPES)


def subject_key(spki_der: bytes, csr: bytes | None = None) -> SubjectKey:
    """Return the key of a DER SubjectPublicKeyInfo, if it is of a type mintmark certifies.

    The caller has seen, or is about to see, proof of possession.

    Args:
        spki_der: the SubjectPublicKeyInfo.
        csr: the CSR that it came in, DER, if it came in one.

    Raises:
        Error: BAD_PUBLIC_KEY naming the types that are accepted.
    """
    size = len(spki_der)
    key_type: KeyType | None = None
    if size == 91 and spki_der.startswith(_P256):
        key_type = KeyType.EC_P256
    elif size == 120 and spki_der.startswith(_P384):
        key_type = KeyType.EC_P384
    elif size == 44 and spki_der.startswith(_ED25519):
        key_type = KeyType.ED25519
    elif not _is_rsa(spki_der):
        _refuse_key(spki_der)
    try:
        public_key: Any = load_der_public_key(spki_der)
    except (ValueError, UnsupportedAlgorithm) as error:
        # For EC this is the check that the point lies on the curve (SP 800-186 D.1.1.1).
        raise Error(
            Kind.BAD_PUBLIC_KEY, "public key is no valid key of its type", hint=_ACCEPTED
        ) from error
    if key_type is None:
        key_type = _rsa_type(public_key)
    digest = hashlib.sha256(spki_der).digest()
    return SubjectKey(spki_der, digest, key_type, public_key, csr)


def certified_key(certificate_der: bytes) -> SubjectKey:
    """Return the key of a certificate of ours, whose proof of possession was seen back then.

    Raises:
        Error: MALFORMED when it is no certificate, BAD_PUBLIC_KEY as `subject_key`.
    """
    return subject_key(certificate.spki_of(certificate_der))


MAX_RSA_EXPONENT: Final = 2**256
_RSA_TYPES: Final = {kind.rsa_bits: kind for kind in ALL_KEY_TYPES if kind.rsa_bits is not None}


def _is_rsa(spki_der: bytes) -> bool:
    """Whether the key's own AlgorithmIdentifier, its first element, is rsaEncryption."""
    long_form = spki_der[1:2] >= b"\x80"
    return spki_der.startswith(_RSA, 2 + (spki_der[1] & 0x7F if long_form else 0))


def _rsa_type(public_key: Any) -> KeyType:
    """Return the type of an RSA key, told by the size of its modulus.

    What signatures cost to verify grows with the exponent; NIST SP 800-56B §6.2 ends it at 2^256.
    """
    bits = public_key.key_size
    key_type = _RSA_TYPES.get(bits)
    if key_type is None:
        why = "is weak" if bits < 2048 else "is of a size that is not accepted"
        raise Error(Kind.BAD_PUBLIC_KEY, f"RSA key of {bits} bits {why}", hint=_ACCEPTED)
    if public_key.public_numbers().e >= MAX_RSA_EXPONENT:
        raise Error(
            Kind.BAD_PUBLIC_KEY,
            "RSA key has an exponent of more than 256 bits",
            hint="make one with the exponent 65537, as all programs do",
        )
    return key_type


def _refuse_key(spki_der: bytes) -> NoReturn:
    """Say which type of key it is that is not accepted."""
    try:
        name = _key_name(spki_der)
    except (ValueError, IndexError) as error:
        raise Error(
            Kind.BAD_PUBLIC_KEY, f"public key cannot be read: {error}", hint=_ACCEPTED
        ) from error
    raise Error(Kind.BAD_PUBLIC_KEY, f"public key is not accepted: {name}", hint=_ACCEPTED)


def _key_name(spki_der: bytes) -> str:
    """Return what a person calls the type of a key."""
    start, end = der.expect(spki_der, 0, len(spki_der), der.SEQUENCE)
    algorithm, algorithm_end = der.expect(spki_der, start, end, der.SEQUENCE)
    content, stop = der.expect(spki_der, algorithm, algorithm_end, der.OBJECT_IDENTIFIER)
    algorithm_id = der.dotted(spki_der[content:stop])
    if algorithm_id == "1.2.840.10045.2.1":
        return _curve(spki_der, der.children(spki_der, stop, algorithm_end))
    return _KEY_NAMES.get(algorithm_id, f"of algorithm {algorithm_id}")


def _curve(spki_der: bytes, parameters: list[tuple[int, int, int, int]]) -> str:
    """Return what an EC key's parameters name (RFC 5480 §2.1.1: namedCurve and nothing else)."""
    tag, _, content, stop = parameters[0]
    if tag != der.OBJECT_IDENTIFIER:
        return "EC with explicit curve parameters"
    curve = der.dotted(spki_der[content:stop])
    return _KEY_NAMES.get(curve, f"EC on curve {curve}")
