"""PKCS #10 requests: the key, the proof of possession and the names asked for, nothing else.

RFC 2986 §4 is the syntax. The request is walked once, by hand, so that the octets that are
certified are the octets that were sent; its other attributes and extensions are not even read
(design rule 2).
"""

from __future__ import annotations

from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from msgspec import Struct

from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.keys import ALL_KEY_TYPES, KeyType
from mintmark.model.request import SubjectKey
from mintmark.wire import der, identifiers, pem
from mintmark.wire.general_names import parse_general_name
from mintmark.wire.spki import subject_key

MAX_BYTES: Final = 64 * 1024
MAX_COMMON_NAME: Final = 64  # RFC 5280 Appendix A.1, ub-common-name


class CSR(Struct, frozen=True, gc=False):
    """What we take from a PKCS #10 request.

    Args:
        key: its public key; the signature was verified with it.
        common_name: the subject's common name as text, empty without one.
        identifiers: its subject alternative names, canonical, without repetition.
    """

    key: SubjectKey
    common_name: str
    identifiers: tuple[Identifier, ...]


class UnverifiedCSR(Struct, frozen=True, gc=False):
    """A request that was read as far as its key; `verify` comes before all else.

    Args:
        octets: the request, DER.
        unproven: its public key; not to be certified by itself.
        info: where its CertificationRequestInfo begins.
        info_end: where that ends, and its signature algorithm begins.
        algorithm_end: where that ends.
        signature: where its signature BIT STRING's content begins; it is the rest.
        subject: where its subject's content begins.
        subject_end: where that ends.
        attributes: where its attributes begin.
    """

    octets: bytes
    unproven: SubjectKey
    info: int
    info_end: int
    algorithm_end: int
    signature: int
    subject: int
    subject_end: int
    attributes: int

    def verify(self) -> CSR:
        """Verify the proof of possession (RFC 2986 §4.2), then read the names.

        Raises:
            Error: BAD_CSR when it does not verify or cannot be read, REJECTED_IDENTIFIER for
                its names.
        """
        octets = self.octets
        key = self.verify_key()
        try:
            common_name = _common_name(octets, self.subject, self.subject_end)
            return CSR(key, common_name, _names(octets, self.attributes, self.info_end))
        except ValueError as error:
            raise _unreadable(error) from error

    def verify_key(self) -> SubjectKey:
        """Verify the proof of possession and return the key; the names are not even read.

        Raises:
            Error: BAD_CSR.
        """
        octets, algorithm = self.octets, self.info_end
        try:
            _verify(
                self.unproven,
                octets[algorithm : self.algorithm_end],
                octets[self.signature + 1 :],
                octets[self.info : algorithm],
                octets,
            )
        except ValueError as error:
            raise _unreadable(error) from error
        return self.unproven


def parse_csr(data: bytes) -> CSR:
    """Parse a request, PEM or DER, and verify its proof of possession (RFC 2986 §4.2).

    Raises:
        Error: BAD_CSR when it cannot be read or its signature does not verify, BAD_PUBLIC_KEY,
            REJECTED_IDENTIFIER for its names, TOO_LARGE over `MAX_BYTES`.
    """
    return read_csr(data).verify()


def parse_csr_key(data: bytes) -> SubjectKey:
    """Return the key of a request, PEM or DER, whose names are not even read.

    Raises:
        Error: BAD_CSR, BAD_PUBLIC_KEY, TOO_LARGE as `parse_csr`.
    """
    return read_csr(data).verify_key()


def read_csr(data: bytes) -> UnverifiedCSR:
    """Read a request, PEM or DER, as far as its key.

    Raises:
        Error: BAD_CSR when it cannot be read, BAD_PUBLIC_KEY, TOO_LARGE over `MAX_BYTES`.
    """
    if len(data) > MAX_BYTES:
        raise Error(Kind.TOO_LARGE, f"CSR has {len(data)} octets, the limit is {MAX_BYTES}")
    octets = data if data[:1] == b"\x30" else _from_pem(data)
    try:
        return _walk(octets)
    except ValueError as error:
        raise _unreadable(error) from error


def _unreadable(error: ValueError) -> Error:
    return Error(
        Kind.BAD_CSR,
        f"CSR is no PKCS #10 request in DER: {error}",
        hint="make one with `openssl req -new`",
    )


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


def _walk(data: bytes) -> UnverifiedCSR:
    """Walk the request up to its names; a structure that is not PKCS #10 raises ValueError."""
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

    return UnverifiedCSR(
        data,
        subject_key(data[subject_end:spki_end], data),
        start,
        info_end,
        algorithm_end,
        value,
        subject,
        subject_end,
        spki_end,
    )


# --- the proof of possession -------------------------------------------------------------------

_Scheme = tuple[tuple[KeyType, ...], tuple[Any, ...]]
"""The key types that sign by a scheme, and what their `verify` asks for beside the signature."""

_EC: Final = (KeyType.EC_P256, KeyType.EC_P384)
_RSA: Final = tuple(key_type for key_type in ALL_KEY_TYPES if key_type.rsa_bits is not None)


def _signature_schemes() -> dict[bytes, _Scheme]:
    """Return how to check a signature, by its encoded AlgorithmIdentifier.

    RFC 5758 §3.2: ECDSA without parameters; RFC 8410 §3: Ed25519 without; RFC 4055 §5: RSA
    with NULL, and without for leniency.
    """
    schemes: dict[bytes, _Scheme] = {der.sequence(der.oid("1.3.101.112")): ((KeyType.ED25519,), ())}
    for number, algorithm in enumerate((hashes.SHA256(), hashes.SHA384(), hashes.SHA512())):
        ecdsa = der.oid(f"1.2.840.10045.4.3.{number + 2}")
        schemes[der.sequence(ecdsa)] = _EC, (ec.ECDSA(algorithm),)
        pkcs1 = der.oid(f"1.2.840.113549.1.1.{number + 11}")
        by_rsa = _RSA, (padding.PKCS1v15(), algorithm)
        schemes[der.sequence(pkcs1, der.NULL)] = schemes[der.sequence(pkcs1)] = by_rsa
    return schemes


_SCHEMES: Final = _signature_schemes()
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
    key_types, arguments = _SCHEMES.get(algorithm) or _other_scheme(algorithm, whole)
    if key.type not in key_types:
        raise Error(Kind.BAD_CSR, "CSR's signature algorithm does not fit its public key")
    try:
        key.public_key.verify(signature, info, *arguments)
    except InvalidSignature:
        raise Error(
            Kind.BAD_CSR,
            "CSR's signature does not verify with its public key: no proof of possession",
            hint="sign the request with the private key of the public key in it",
        ) from None


def _other_scheme(algorithm: bytes, whole: bytes) -> _Scheme:
    """Return how to check RSASSA-PSS (RFC 4055 §3.1); refuse all else by name."""
    start, end = der.expect(algorithm, 0, len(algorithm), der.SEQUENCE)
    content, stop = der.expect(algorithm, start, end, der.OBJECT_IDENTIFIER)
    algorithm_id = der.dotted(algorithm[content:stop])
    if algorithm_id == _PSS:
        return _pss_scheme(whole)
    name = _SIGNATURE_NAMES.get(algorithm_id, algorithm_id)
    raise Error(
        Kind.BAD_CSR,
        f"CSR is signed with '{name}', which is not accepted",
        hint="accepted: ECDSA and RSA with SHA-256, SHA-384 or SHA-512, and Ed25519",
    )


def _pss_scheme(whole: bytes) -> _Scheme:
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
    return _RSA, (scheme, algorithm)


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
