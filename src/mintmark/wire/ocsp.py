"""OCSP requests read and responses assembled by hand (RFC 6960, profiled by RFC 9919).

A responder answers tens of thousands of times a second, so a request is walked once and a
response is put together from octets, as CRLs and leaves are. Tests hold both against
`cryptography`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

import msgspec

from mintmark.model.errors import Error, Kind
from mintmark.model.status import Reason
from mintmark.wire import der

MAX_BYTES: Final = 4096
MAX_REQUESTS: Final = 16
MAX_NONCE: Final = 128  # RFC 9654 §2.1
MAX_FORM: Final = 512  # octets of a request whose form is remembered; as many are, at most

_HASH_OIDS: Final = {
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
# RFC 5754 §2 and RFC 3370 §2.1: parameters NULL or absent, both are to be accepted.
_HASH_NAMES: Final = {
    der.sequence(der.oid(dotted), parameters): name
    for name, dotted in _HASH_OIDS.items()
    for parameters in (b"", der.NULL)
}
_NONCE: Final = der.oid("1.3.6.1.5.5.7.48.1.2")
_BASIC: Final = der.oid("1.3.6.1.5.5.7.48.1.1")


class CertID(msgspec.Struct, frozen=True, gc=False):
    """Which certificate a request asks about (RFC 6960 §4.1.1).

    Args:
        hash_algorithm: `sha1`, `sha256`, `sha384`, `sha512`, or the dotted OID of another.
        issuer_name_hash: hash of the issuer's Name in DER.
        issuer_key_hash: hash of the issuer's key: its BIT STRING without tag, length and
            unused bits.
        serial: content octets of the INTEGER, as in the request.
        der: the CertID as it was sent, to be repeated in the response.
    """

    hash_algorithm: str
    issuer_name_hash: bytes
    issuer_key_hash: bytes
    serial: bytes
    der: bytes


class OCSPRequest(msgspec.Struct, frozen=True, gc=False):
    """An OCSP request; its signature, if any, is not looked at (RFC 9919 §3.1.2).

    Args:
        cert_ids: what is asked about, in order, at least one.
        nonce: to be repeated in the response (RFC 9654), or None.
    """

    cert_ids: tuple[CertID, ...]
    nonce: bytes | None


class ResponseStatus(Enum):
    """OCSPResponseStatus of answers that carry nothing else (RFC 6960 §4.2.1)."""

    MALFORMED_REQUEST = 1
    INTERNAL_ERROR = 2
    TRY_LATER = 3
    UNAUTHORIZED = 6


# --- requests ----------------------------------------------------------------------------------


def parse_request(data: bytes) -> OCSPRequest:
    """Parse an OCSPRequest (RFC 6960 §4.1.1).

    Raises:
        Error: MALFORMED when it is none, has a critical extension that is not known, a nonce
            outside 1 to `MAX_NONCE` octets; TOO_LARGE over `MAX_BYTES` or `MAX_REQUESTS`.
    """
    return _read(data)[0]


class _Form(msgspec.Struct, frozen=True, gc=False):
    """How a request about one certificate is put together: all of it but serial and nonce.

    Args:
        known: the CertID of the request that it was learned from.
        head: octets before the serial.
        middle: octets between serial and nonce.
        tail: octets after the nonce, or after the serial if there is none.
        cert_id: where the CertID starts; its serial starts after `head`.
        serial_end: where the serial ends.
        nonce: where the nonce starts.
        nonce_end: where it ends; without a nonce it is empty, where the serial ends.
    """

    known: CertID
    head: bytes
    middle: bytes
    tail: bytes
    cert_id: int
    serial_end: int
    nonce: int
    nonce_end: int


class RequestReader:
    """Reads requests, and remembers for each length how the last one was put together.

    The requests of one program about one issuer's certificates differ in serial and nonce
    alone. Both are contents of primitive elements, whose tags and lengths stand before them: a
    request whose other octets are those of one that was read before is read the same way.
    """

    __slots__ = ("_forms",)

    def __init__(self) -> None:
        self._forms: dict[int, _Form] = {}

    def parse(self, data: bytes) -> OCSPRequest:
        """Parse an OCSPRequest, as `parse_request` does.

        Raises:
            Error: as `parse_request`.
        """
        form = self._forms.get(len(data))
        if (
            form is None
            or not data.startswith(form.head)
            or not data.endswith(form.tail)
            or data[form.serial_end : form.nonce] != form.middle
        ):
            return self._learn(data)
        known, end = form.known, form.serial_end
        cert_id = CertID(
            known.hash_algorithm,
            known.issuer_name_hash,
            known.issuer_key_hash,
            data[len(form.head) : end],
            data[form.cert_id : end],
        )
        return OCSPRequest((cert_id,), data[form.nonce : form.nonce_end] or None)

    def _learn(self, data: bytes) -> OCSPRequest:
        request, serial_end, nonce_end = _read(data)
        if len(request.cert_ids) == 1 and len(data) <= MAX_FORM:
            known = request.cert_ids[0]
            nonce_end = nonce_end or serial_end
            nonce = nonce_end - len(request.nonce or b"")
            self._forms[len(data)] = _Form(
                known,
                data[: serial_end - len(known.serial)],
                data[serial_end:nonce],
                data[nonce_end:],
                serial_end - len(known.der),
                serial_end,
                nonce,
                nonce_end,
            )
        return request


def decode_path(text: str) -> bytes:
    """Return the request in the path of a GET (RFC 6960 Appendix A.1).

    Args:
        text: what follows the responder's URL, percent-decoded.

    Raises:
        Error: MALFORMED when it is not base64.
    """
    try:
        # DER starts with 0x30, so its base64 never starts with a slash; it may end with one.
        return base64.b64decode(text.lstrip("/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Error(
            Kind.MALFORMED,
            "path is no OCSP request in base64",
            hint="GET takes the request's DER in base64, percent-encoded (RFC 6960 Appendix A.1)",
        ) from error


def _too_large(what: str, limit: int) -> Error:
    return Error(Kind.TOO_LARGE, f"OCSP request has {what}, the limit is {limit}")


def _read(data: bytes) -> tuple[OCSPRequest, int, int]:
    """Return a request, where its last serial ends, and where its nonce ends or 0.

    Raises:
        Error: as `parse_request`.
    """
    if len(data) > MAX_BYTES:
        raise _too_large(f"{len(data)} octets", MAX_BYTES)
    try:
        return _parse(data)
    except ValueError as error:
        raise Error(Kind.MALFORMED, f"OCSP request cannot be read: {error}") from error


def _parse(data: bytes) -> tuple[OCSPRequest, int, int]:
    """Walk the request; a structure of another kind raises ValueError."""
    start, end = der.expect(data, 0, len(data), der.SEQUENCE)
    at, stop = der.expect(data, start, end, der.SEQUENCE)
    if end != len(data):
        raise ValueError(f"{len(data) - end} octets follow it")
    if stop != end:  # optionalSignature
        _, signature_end = der.expect(data, stop, end, 0xA0)
        if signature_end != end:
            raise ValueError("something follows its signature")
    at = _skip_version_and_name(data, at, stop)
    at, list_end = der.expect(data, at, stop, der.SEQUENCE)
    found = []
    serial_end = 0
    while at < list_end:
        request, at = der.expect(data, at, list_end, der.SEQUENCE)
        cert_id, serial_end = _cert_id(data, request, at)
        found.append(cert_id)
        if len(found) > MAX_REQUESTS:
            raise _too_large(f"more than {MAX_REQUESTS} certificates", MAX_REQUESTS)
    if not found:
        raise ValueError("it asks about no certificate")
    nonce = nonce_end = 0
    if list_end != stop:
        extensions, extensions_end = der.expect(data, list_end, stop, 0xA2)
        nonce, nonce_end = _extensions(data, extensions, extensions_end)
        if extensions_end != stop:
            raise ValueError("something follows its extensions")
    return OCSPRequest(tuple(found), data[nonce:nonce_end] or None), serial_end, nonce_end


def _skip_version_and_name(data: bytes, at: int, end: int) -> int:
    """Return where the requestList starts."""
    if at < end and data[at] == 0xA0:
        version, at = der.expect(data, at, end, 0xA0)
        if data[version:at] != b"\x02\x01\0":
            raise ValueError("its version is not 1")
    if at < end and data[at] == 0xA1:
        _, at = der.expect(data, at, end, 0xA1)
    return at


def _cert_id(data: bytes, start: int, end: int) -> tuple[CertID, int]:
    """Read the Request between two offsets; return its CertID, and where that ends."""
    at, stop = der.expect(data, start, end, der.SEQUENCE)
    _, algorithm_end = der.expect(data, at, stop, der.SEQUENCE)
    name, name_end = der.expect(data, algorithm_end, stop, der.OCTET_STRING)
    key, key_end = der.expect(data, name_end, stop, der.OCTET_STRING)
    serial, serial_end = der.expect(data, key_end, stop, der.INTEGER)
    if serial == serial_end or serial_end != stop:
        raise ValueError("a CertID does not end with its serial")
    algorithm = _HASH_NAMES.get(data[at:algorithm_end])
    if algorithm is None:
        identifier, identifier_end = der.expect(data, at + 2, algorithm_end, der.OBJECT_IDENTIFIER)
        algorithm = der.dotted(data[identifier:identifier_end])
    if stop != end:  # singleRequestExtensions
        extensions, extensions_end = der.expect(data, stop, end, 0xA0)
        _extensions(data, extensions, extensions_end)
        if extensions_end != end:
            raise ValueError("something follows a request's extensions")
    cert_id = CertID(
        algorithm,
        data[name:name_end],
        data[key:key_end],
        data[serial:serial_end],
        data[start:stop],
    )
    return cert_id, stop


def _extensions(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where the nonce is, and refuse critical extensions that are not known."""
    at, stop = der.expect(data, start, end, der.SEQUENCE)
    if stop != end:
        raise ValueError("something follows its list of extensions")
    nonce = 0, 0
    while at < stop:
        extension, at = der.expect(data, at, stop, der.SEQUENCE)
        _, value = der.expect(data, extension, at, der.OBJECT_IDENTIFIER)
        critical = data.startswith(der.BOOLEAN_TRUE, value, at)
        if critical:
            value += len(der.BOOLEAN_TRUE)
        content, content_end = der.expect(data, value, at, der.OCTET_STRING)
        if content_end != at:
            raise ValueError("something follows the value of an extension")
        if not data.startswith(_NONCE, extension, at):
            if critical:  # RFC 5280 §4.2: what is critical and unknown must be refused
                raise ValueError("it has a critical extension that is not known")
        elif nonce == (0, 0):
            nonce = _nonce(data, content, content_end)
        else:
            raise ValueError("it has two nonces")
    return nonce


def _nonce(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Return where it is; RFC 9654 §2.1: empty ones and those over 128 octets are refused."""
    content, stop = der.expect(data, start, end, der.OCTET_STRING)
    if stop != end or not 1 <= stop - content <= MAX_NONCE:
        raise ValueError(f"its nonce is not 1 to {MAX_NONCE} octets in an OCTET STRING")
    return content, stop


def issuer_hashes(hash_algorithm: str, name_der: bytes, spki_der: bytes) -> tuple[bytes, bytes]:
    """Return issuerNameHash and issuerKeyHash of an issuer (RFC 6960 §4.1.1).

    Args:
        hash_algorithm: as in `CertID`.
        name_der: the issuer's subject Name, as in its certificate.
        spki_der: its SubjectPublicKeyInfo.

    Raises:
        ValueError: the algorithm is not one of those four, or `spki_der` is none.
    """
    if hash_algorithm not in _HASH_OIDS:
        raise ValueError(f"hash algorithm {hash_algorithm!r} is not used in CertIDs")
    start, end = der.expect(spki_der, 0, len(spki_der), der.SEQUENCE)
    _, algorithm_end = der.expect(spki_der, start, end, der.SEQUENCE)
    bits, _ = der.expect(spki_der, algorithm_end, end, der.BIT_STRING)
    return (
        hashlib.new(hash_algorithm, name_der, usedforsecurity=False).digest(),
        hashlib.new(hash_algorithm, spki_der[bits + 1 : end], usedforsecurity=False).digest(),
    )


# --- responses ---------------------------------------------------------------------------------

GOOD: Final = b"\x80\0"
UNKNOWN: Final = b"\x82\0"
_SUCCESSFUL: Final = b"\x0a\x01\0"
_NEXT_UPDATE: Final = b"\xa0\x11"  # [0] around a GeneralizedTime, which is always 17 octets
_REASONS: Final = {
    reason: b""
    if reason is Reason.UNSPECIFIED  # RFC 5280 §5.3.1: said by saying nothing
    else der.explicit(0, der.tlv(der.ENUMERATED, bytes((reason.value,))))
    for reason in Reason
}


def revoked(revoked_at: int, reason: Reason) -> bytes:
    """Return the CertStatus of a revoked certificate (RFC 6960 §4.2.1)."""
    return der.tlv(0xA1, der.generalized_time(revoked_at), _REASONS[reason])


def single_response(cert_id_der: bytes, status: bytes, this_update: int, next_update: int) -> bytes:
    """Return a SingleResponse (RFC 6960 §4.2.1).

    Args:
        cert_id_der: `CertID.der` of the request.
        status: `GOOD`, `UNKNOWN` or what `revoked` returns.
        this_update: Unix seconds.
        next_update: Unix seconds; RFC 9919 §3.2.4 wants it in every response.
    """
    times = _times(this_update, next_update)
    size = len(cert_id_der) + len(status) + len(times)
    return b"".join((der.sequence_header(size), cert_id_der, status, times))


@lru_cache(maxsize=64)
def _times(this_update: int, next_update: int) -> bytes:
    return der.generalized_time(this_update) + _NEXT_UPDATE + der.generalized_time(next_update)


def response_data(
    responder_key_hash: bytes,
    produced_at: int,
    responses: Sequence[bytes],
    nonce: bytes | None = None,
) -> bytes:
    """Return ResponseData (RFC 6960 §4.2.1), to be signed.

    Args:
        responder_key_hash: SHA-1 of the responder's key (RFC 6960 §4.2.1, KeyHash).
        produced_at: Unix seconds.
        responses: what `single_response` returned, one for each CertID asked about.
        nonce: of the request, or None.
    """
    answers = b"".join(responses)
    if nonce is None:
        return _before_answers(responder_key_hash, produced_at, len(answers), 0) + answers
    extensions = _before_nonce(len(nonce))
    size = len(extensions) + len(nonce)
    before = _before_answers(responder_key_hash, produced_at, len(answers), size)
    return b"".join((before, answers, extensions, nonce))


@lru_cache(maxsize=1024)
def _before_answers(key_hash: bytes, produced_at: int, size: int, extensions: int) -> bytes:
    """Return what stands before the answers of a ResponseData.

    Args:
        key_hash: the ResponderID byKey, as RFC 9919 §3.2.3 wants it.
        produced_at: Unix seconds.
        size: of the answers.
        extensions: size of what follows them.
    """
    before = (
        der.explicit(2, der.octet_string(key_hash))
        + der.generalized_time(produced_at)
        + der.header(der.SEQUENCE, size)
    )
    return der.header(der.SEQUENCE, len(before) + size + extensions) + before


@lru_cache(maxsize=MAX_NONCE)
def _before_nonce(size: int) -> bytes:
    """Return responseExtensions with a nonce of some size alone (RFC 9654 §2.1), up to it."""
    nonce = bytes(size)
    value = der.octet_string(der.octet_string(nonce))
    return der.explicit(1, der.sequence(der.sequence(_NONCE, value)))[:-size]


def basic_response(
    tbs: bytes, algorithm_identifier: bytes, signature: bytes, certificates: Sequence[bytes] = ()
) -> bytes:
    """Return a successful OCSPResponse around a BasicOCSPResponse (RFC 6960 §4.2.1).

    Args:
        tbs: the signed ResponseData.
        algorithm_identifier: DER AlgorithmIdentifier of the signature.
        signature: its value.
        certificates: DER of the responder's certificate; none when the issuer itself signed.
    """
    bits, certs = _before_signature(len(signature)), _certs(tuple(certificates))
    size = len(tbs) + len(algorithm_identifier) + len(bits) + len(signature) + len(certs)
    return b"".join((_before_basic(size), tbs, algorithm_identifier, bits, signature, certs))


@lru_cache(maxsize=64)
def _before_signature(size: int) -> bytes:
    """Return what stands before the octets of a signature: a BIT STRING without unused bits."""
    return der.header(der.BIT_STRING, size + 1) + b"\0"


@lru_cache(maxsize=1024)
def _before_basic(size: int) -> bytes:
    """Return what stands before the parts of a BasicOCSPResponse of some size."""
    # Lengths from the inside out.
    basic = der.header(der.SEQUENCE, size)
    size += len(basic)
    response = _BASIC + der.header(der.OCTET_STRING, size)
    size += len(response)
    response_bytes = der.header(der.SEQUENCE, size)
    size += len(response_bytes)
    explicit = der.header(0xA0, size)
    size += len(explicit) + len(_SUCCESSFUL)
    head = der.header(der.SEQUENCE, size)
    return b"".join((head, _SUCCESSFUL, explicit, response_bytes, response, basic))


@lru_cache(maxsize=64)
def _certs(certificates: tuple[bytes, ...]) -> bytes:
    """Return certs [0] of a BasicOCSPResponse, or nothing."""
    return der.explicit(0, der.sequence(*certificates)) if certificates else b""


def error_response(status: ResponseStatus) -> bytes:
    """Return an OCSPResponse that says why there is no answer (RFC 6960 §2.3)."""
    return der.sequence(der.tlv(der.ENUMERATED, bytes((status.value,))))
