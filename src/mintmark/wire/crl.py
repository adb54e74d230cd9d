"""CRLs assembled from entries that were encoded when the revocation happened (RFC 5280 §5).

A CRL of a million entries is one join of stored octets and one signature; `cryptography`'s
builder would take ten times as long and as much memory again.
"""

from __future__ import annotations

from typing import Final

from mintmark.model.status import Reason
from mintmark.wire import der

_VERSION_2: Final = der.integer(1)  # RFC 5280 §5.1.2.1: the value of v2 is 1
_REASON_CODE: Final = der.oid("2.5.29.21")
_AUTHORITY_KEY_ID: Final = der.oid("2.5.29.35")
_CRL_NUMBER: Final = der.oid("2.5.29.20")

# RFC 5280 §5.3.1: the extension is left out rather than to say "unspecified".
_ENTRY_EXTENSIONS: Final = {
    reason: b""
    if reason is Reason.UNSPECIFIED
    else der.sequence(
        der.sequence(
            _REASON_CODE, der.octet_string(der.tlv(der.ENUMERATED, bytes((reason.value,))))
        )
    )
    for reason in Reason
}


def entry(serial: bytes, revoked_at: int, reason: Reason) -> bytes:
    """Return one element of revokedCertificates (RFC 5280 §5.1.2.6).

    Args:
        serial: of the revoked certificate, big endian, positive.
        revoked_at: Unix seconds.
        reason: UNSPECIFIED is said by saying nothing.
    """
    return der.sequence(der.unsigned(serial), der.time(revoked_at), _ENTRY_EXTENSIONS[reason])


def tbs_cert_list(
    issuer_name_der: bytes,
    algorithm_identifier: bytes,
    this_update: int,
    next_update: int,
    number: int,
    authority_key_id: bytes,
    entries: bytes,
) -> bytes:
    """Return a TBSCertList of version 2 (RFC 5280 §5.1.2), to be signed.

    Args:
        issuer_name_der: the issuer's subject Name, exactly as in its certificate.
        algorithm_identifier: DER AlgorithmIdentifier of the signature to come.
        this_update: Unix seconds.
        next_update: Unix seconds.
        number: CRL number (RFC 5280 §5.2.3), at most 20 octets.
        authority_key_id: the issuer's subject key identifier, its octets alone.
        entries: encoded entries, already joined; empty when nothing is revoked.
    """
    extensions = der.explicit(
        0,
        der.sequence(
            der.sequence(
                _AUTHORITY_KEY_ID,
                der.octet_string(der.sequence(der.implicit(0, authority_key_id))),
            ),
            der.sequence(_CRL_NUMBER, der.octet_string(der.integer(number))),
        ),
    )
    head = b"".join(
        (
            _VERSION_2,
            algorithm_identifier,
            issuer_name_der,
            der.time(this_update),
            der.time(next_update),
        )
    )
    # RFC 5280 §5.1.2.6: without revoked certificates the list itself must be absent.
    list_header = der.header(der.SEQUENCE, len(entries)) if entries else b""
    size = len(head) + len(list_header) + len(entries) + len(extensions)
    # One join, so that a large CRL is copied once.
    return b"".join((der.header(der.SEQUENCE, size), head, list_header, entries, extensions))


def cert_list(tbs: bytes, algorithm_identifier: bytes, signature: bytes) -> bytes:
    """Return the CertificateList (RFC 5280 §5.1) of a signed TBSCertList."""
    tail = algorithm_identifier + der.bit_string(signature)
    return b"".join((der.header(der.SEQUENCE, len(tbs) + len(tail)), tbs, tail))
