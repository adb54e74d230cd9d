"""PKCS #10 requests: the key, the proof of possession and the names asked for, nothing else.

RFC 2986 §4 is the syntax. The request is walked once, by hand, so that the octets that are
certified are the octets that were sent; its other attributes and extensions are not even read
(design rule 2).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NoReturn

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.keys import ALL_KEY_TYPES, KeyType
from mintmark.model.request import SubjectKey
from mintmark.wire import certificate, der, identifiers, pem
from mintmark.wire.general_names import parse_general_name

MAX_BYTES: Final = 64 * 1024
MAX_COMMON_NAME: Final = 64  # RFC 5280 Appendix A.1, ub-common-name


@dataclass(frozen=True, slots=True)
class CSR:
    """What we take from a PKCS #10 request.

    Args:
        key: its public key; the signature was verified with it.
        common_name: the subject's common name as text, empty without one.
        identifiers: its subject alternative names, canonical, without repetition.
    """

    key: SubjectKey
    common_name: str
    identifiers: tuple[Identifier, ...]


def parse_csr(data: bytes) -> CSR:
    """Parse a request, PEM or DER, and verify its proof of possession (RFC 2986 §4.2).

    Raises:
        Error: BAD_CSR when it cannot be read or its signature does not verify, BAD_PUBLIC_KEY,
            REJECTED_IDENTIFIER for its names, TOO_LARGE over `MAX_BYTES`.
    """
    if len(data) > MAX_BYTES:
        raise Error(Kind.TOO_LARGE, f"CSR has {len(data)} octets, the limit is {MAX_BYTES}")
    octets = data if data[:1] == b"\x30" else _from_pem(data)
    try:
        return _parse(octets)
    except ValueError as error:
        raise Error(
            Kind.BAD_CSR,
            f"CSR is no PKCS #10 request in DER: {error}",
            hint="make one with `openssl req -new`",
        ) from error


def _from_pem(data: bytes) -> bytes:
    """Return the one request in a PEM file (RFC 7468 §7, with the old label of its appendix)."""
    try:
        found = pem.decode(pem.CSR, data) or pem.decode("NEW CERTIFICATE REQUEST", data)
    except Error as error:
        raise Error(Kind.BAD_CSR, error.detail, hint=error.hint) from error
    if len(found) != 1:
        raise Error(
            Kind.BAD_CSR,
            f"CSR has {len(found)} PEM blocks 'CERTIFICATE REQUEST', one is needed",
            hint="send PEM that starts with '-----BEGIN CERTIFICATE REQUEST-----', or DER",
        )
    return found[0]


def _parse(data: bytes) -> CSR:
    """Walk the request; a structure that is not PKCS #10 raises ValueError."""
    start, end = der.expect(data, 0, len(data), der.SEQUENCE)
    if end != len(data):
        raise ValueError(f"{len(data) - end} octets follow it")
    info, info_end = der.expect(data, start, end, der.SEQUENCE)
    if data[info : info + 3] != b"\x02\x01\x00":  # RFC 2986 §4.1: version is v1(0)
        raise ValueError("its version is not 0")
    subject, subject_end = der.expect(data, info + 3, info_end, der.SEQUENCE)
    _, spki_end = der.expect(data, subject_end, info_end, der.SEQUENCE)
    _, algorithm_end = der.expect(data, info_end, end, der.SEQUENCE)
    value, value_end = der.expect(data, algorithm_end, end, der.BIT_STRING)
    if value_end != end or data[value : value + 1] != b"\0":
        raise ValueError("its signature is no BIT STRING of whole octets at its end")

    key = subject_key(data[subject_end:spki_end])
    _verify(
        key, data[info_end:algorithm_end], data[value + 1 : value_end], data[start:info_end], data
    )
    common_name = _common_name(data, subject, subject_end)
    return CSR(key, common_name, _names(data, spki_end, info_end))


# --- the key -----------------------------------------------------------------------------------

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


def subject_key(spki_der: bytes) -> SubjectKey:
    """Return the key of a DER SubjectPublicKeyInfo, if it is of a type mintmark certifies.

    The caller has seen, or is about to see, proof of possession.

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
        key_type = _rsa_type(public_key.key_size)
    return SubjectKey(spki_der, hashlib.sha256(spki_der).digest(), key_type, public_key)


def certified_key(certificate_der: bytes) -> SubjectKey:
    """Return the key of a certificate of ours, whose proof of possession was seen back then.

    Raises:
        Error: MALFORMED when it is no certificate, BAD_PUBLIC_KEY as `subject_key`.
    """
    return subject_key(certificate.spki_of(certificate_der))


_RSA_TYPES: Final = {kind.rsa_bits: kind for kind in ALL_KEY_TYPES if kind.rsa_bits is not None}


def _is_rsa(spki_der: bytes) -> bool:
    """Whether the key's own AlgorithmIdentifier, its first element, is rsaEncryption."""
    long_form = spki_der[1:2] >= b"\x80"
    return spki_der.startswith(_RSA, 2 + (spki_der[1] & 0x7F if long_form else 0))


def _rsa_type(bits: int) -> KeyType:
    """Return the type of an RSA key, told by the size of its modulus."""
    key_type = _RSA_TYPES.get(bits)
    if key_type is None:
        why = "is weak" if bits < 2048 else "is of a size that is not accepted"
        raise Error(Kind.BAD_PUBLIC_KEY, f"RSA key of {bits} bits {why}", hint=_ACCEPTED)
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


# --- the proof of possession -------------------------------------------------------------------

_Check = Callable[[Any, bytes, bytes], None]


def _ecdsa(algorithm: ec.ECDSA, key: Any, signature: bytes, info: bytes) -> None:
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError
    key.verify(signature, info, algorithm)


def _eddsa(key: Any, signature: bytes, info: bytes) -> None:
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise TypeError
    key.verify(signature, info)


def _rsa(algorithm: hashes.HashAlgorithm, key: Any, signature: bytes, info: bytes) -> None:
    if not isinstance(key, rsa.RSAPublicKey):
        raise TypeError
    key.verify(signature, info, padding.PKCS1v15(), algorithm)


def _signature_checks() -> dict[bytes, _Check]:
    """Return how to check a signature, by its encoded AlgorithmIdentifier.

    RFC 5758 §3.2: ECDSA without parameters; RFC 8410 §3: Ed25519 without; RFC 4055 §5: RSA
    with NULL, and without for leniency.
    """
    checks: dict[bytes, _Check] = {der.sequence(der.oid("1.3.101.112")): _eddsa}
    for number, algorithm in enumerate((hashes.SHA256(), hashes.SHA384(), hashes.SHA512())):
        ecdsa = der.oid(f"1.2.840.10045.4.3.{number + 2}")
        checks[der.sequence(ecdsa)] = partial(_ecdsa, ec.ECDSA(algorithm))
        pkcs1 = der.oid(f"1.2.840.113549.1.1.{number + 11}")
        checks[der.sequence(pkcs1, der.NULL)] = partial(_rsa, algorithm)
        checks[der.sequence(pkcs1)] = partial(_rsa, algorithm)
    return checks


_CHECKS: Final = _signature_checks()
_SIGNATURE_NAMES: Final = {
    "1.2.840.113549.1.1.2": "md2WithRSAEncryption",
    "1.2.840.113549.1.1.4": "md5WithRSAEncryption",
    "1.2.840.113549.1.1.5": "sha1WithRSAEncryption",
    "1.3.14.3.2.29": "sha1WithRSA",
    "1.2.840.113549.1.1.14": "sha224WithRSAEncryption",
    "1.2.840.10045.4.1": "ecdsa-with-SHA1",
    "1.2.840.10045.4.3.1": "ecdsa-with-SHA224",
    "1.2.840.10040.4.3": "dsa-with-SHA1",
}
_PSS: Final = "1.2.840.113549.1.1.10"


def _verify(key: SubjectKey, algorithm: bytes, signature: bytes, info: bytes, whole: bytes) -> None:
    """Verify the proof of possession: the signature over the CertificationRequestInfo."""
    check = _CHECKS.get(algorithm) or _other_check(algorithm, whole)
    try:
        check(key.public_key, signature, info)
    except TypeError:
        raise Error(Kind.BAD_CSR, "CSR's signature algorithm does not fit its public key") from None
    except InvalidSignature:
        raise Error(
            Kind.BAD_CSR,
            "CSR's signature does not verify with its public key: no proof of possession",
            hint="sign the request with the private key of the public key in it",
        ) from None


def _other_check(algorithm: bytes, whole: bytes) -> _Check:
    """Return how to check RSASSA-PSS (RFC 4055 §3.1); refuse all else by name."""
    start, end = der.expect(algorithm, 0, len(algorithm), der.SEQUENCE)
    content, stop = der.expect(algorithm, start, end, der.OBJECT_IDENTIFIER)
    algorithm_id = der.dotted(algorithm[content:stop])
    if algorithm_id == _PSS:
        return _pss_check(whole)
    name = _SIGNATURE_NAMES.get(algorithm_id, algorithm_id)
    raise Error(
        Kind.BAD_CSR,
        f"CSR is signed with '{name}', which is not accepted",
        hint="accepted: ECDSA and RSA with SHA-256, SHA-384 or SHA-512, and Ed25519",
    )


def _pss_check(whole: bytes) -> _Check:
    """Return how to check a PSS signature with the parameters the request names."""
    try:
        request = x509.load_der_x509_csr(whole)
        scheme = request.signature_algorithm_parameters
        algorithm = request.signature_hash_algorithm
    except UnsupportedAlgorithm as error:
        raise ValueError("its PSS parameters are unknown") from error
    if (
        not isinstance(scheme, padding.PSS)
        or not isinstance(algorithm, hashes.HashAlgorithm)
        or algorithm.digest_size < 32
    ):
        raise Error(
            Kind.BAD_CSR,
            "CSR is signed with RSASSA-PSS over a weak or unknown hash",
            hint="use SHA-256, SHA-384 or SHA-512",
        )

    def check(key: Any, signature: bytes, info: bytes) -> None:
        if not isinstance(key, rsa.RSAPublicKey):
            raise TypeError
        key.verify(signature, info, scheme, algorithm)

    return check


# --- the names ---------------------------------------------------------------------------------

_COMMON_NAME: Final = der.oid("2.5.4.3")
_STRING_DECODERS: Final = {
    der.UTF8_STRING: "utf-8",
    der.PRINTABLE_STRING: "ascii",
    der.IA5_STRING: "ascii",
}


def _common_name(data: bytes, start: int, end: int) -> str:
    """Return the subject's common name; other attributes of the subject are ignored."""
    found: str | None = None
    while start < end:
        at, start = der.expect(data, start, end, der.SET)
        while at < start:
            attribute, at = der.expect(data, at, start, der.SEQUENCE)
            if not data.startswith(_COMMON_NAME, attribute, at):
                continue
            if found is not None:
                raise Error(Kind.BAD_CSR, "CSR's subject has two common names, one is allowed")
            found = _text(data, attribute + len(_COMMON_NAME), at)
    return found or ""


def _text(data: bytes, start: int, end: int) -> str:
    """Return the text of a DirectoryString (RFC 5280 §4.1.2.4)."""
    tag, content, stop = der.read(data, start)
    encoding = _STRING_DECODERS.get(tag)
    if encoding is None or stop != end:
        raise ValueError("its common name is no UTF8String, PrintableString or IA5String")
    text = data[content:stop].decode(encoding)
    if not text.isprintable():
        raise Error(Kind.BAD_CSR, f"common name {text[:80]!r} has an unprintable character")
    if len(text) > MAX_COMMON_NAME:
        raise Error(
            Kind.BAD_CSR,
            f"common name has {len(text)} characters, the limit is {MAX_COMMON_NAME}",
            hint="leave the common name out; the subject alternative names are what counts",
        )
    return text


_EXTENSION_REQUEST: Final = der.oid("1.2.840.113549.1.9.14")
_SUBJECT_ALT_NAME: Final = der.oid("2.5.29.17")


def _names(data: bytes, start: int, end: int) -> tuple[Identifier, ...]:
    """Return the subject alternative names of the extensionRequest (RFC 2985 §5.4.2)."""
    if start == end:  # a missing [0] is read as an empty one, as OpenSSL does
        return ()
    at, stop = der.expect(data, start, end, 0xA0)
    if stop != end:
        raise ValueError("something follows its attributes")
    extensions: tuple[int, int] | None = None
    while at < end:
        attribute, at = der.expect(data, at, end, der.SEQUENCE)
        if data.startswith(_EXTENSION_REQUEST, attribute, at):
            if extensions is not None:
                raise ValueError("it has two extensionRequest attributes")
            extensions = _single_value(data, attribute + len(_EXTENSION_REQUEST), at)
    return () if extensions is None else _subject_alt_names(data, *extensions)


def _single_value(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where the one value of an attribute is: RFC 2985 §5.4.2, SINGLE VALUE TRUE."""
    values, values_end = der.expect(data, start, end, der.SET)
    content, stop = der.expect(data, values, values_end, der.SEQUENCE)
    if values_end != end or stop != end:
        raise ValueError("its extensionRequest has not exactly one value")
    return content, stop


def _subject_alt_names(data: bytes, start: int, end: int) -> tuple[Identifier, ...]:
    """Return the names of the one subjectAltName among the extensions."""
    found: list[tuple[int, int, int, int]] | None = None
    while start < end:
        extension, start = der.expect(data, start, end, der.SEQUENCE)
        if not data.startswith(_SUBJECT_ALT_NAME, extension, start):
            continue
        if found is not None:  # RFC 5280 §4.2: not more than one instance of an extension
            raise ValueError("it has two subjectAltName extensions")
        at = extension + len(_SUBJECT_ALT_NAME)
        if data.startswith(der.BOOLEAN_TRUE, at, start):  # critical or not says nothing here
            at += len(der.BOOLEAN_TRUE)
        content, stop = der.expect(data, at, start, der.OCTET_STRING)
        names, names_end = der.expect(data, content, stop, der.SEQUENCE)
        if stop != start or names_end != stop:
            raise ValueError("its subjectAltName is no extension")
        found = der.children(data, names, names_end)
    return identifiers.collect(
        parse_general_name,
        [(tag, data[content:stop]) for tag, _, content, stop in found or ()],
    )
