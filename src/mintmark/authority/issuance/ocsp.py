"""OCSP responses: signed by a responder that the issuer delegated (RFC 6960 §4.2.2.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from cryptography.x509 import ocsp as parser

from mintmark.authority.issuance.tbs import public_key_octets
from mintmark.authority.signer.draft import Draft
from mintmark.authority.signer.signer import Signer
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.model.time import timestamp
from mintmark.wire import ocsp


class ResponderKey:
    """A delegated responder: the certificate that the issuer gave it, and its key.

    Args:
        certificate: issued under the profile OCSP_RESPONDER.
        signer: its key.

    Attributes:
        certificates: what a response carries.
        key_hash: how responses name it (RFC 6960 §4.2.1, KeyHash: SHA-1 of the key).

    Raises:
        Error: INTERNAL when the key is not the certificate's.
    """

    __slots__ = ("certificate", "certificates", "key_hash", "signer")

    def __init__(self, certificate: Certificate, signer: Signer) -> None:
        if hashlib.sha256(signer.spki).digest() != certificate.spki_sha256:
            raise Error(Kind.INTERNAL, "the responder's key is not that of its certificate")
        self.certificate: Final = certificate
        self.certificates: Final = (certificate.der,)
        self.signer: Final = signer
        # RFC 6960 §4.2.1 fixes SHA-1 here; it names a key and protects nothing.
        self.key_hash: Final = hashlib.sha1(
            public_key_octets(signer.spki), usedforsecurity=False
        ).digest()


def draft_response(
    responder: ResponderKey, produced_at: int, responses: Sequence[bytes], nonce: bytes | None
) -> Draft:
    """Encode a ResponseData and lint it.

    Args:
        responder: who will sign.
        produced_at: Unix seconds.
        responses: encoded by `wire.ocsp.single_response`, in the order of the request.
        nonce: of the request, or None.

    Raises:
        Error: INTERNAL for a response without answers; UNAVAILABLE outside the responder's
            own validity, which only a clock that jumped brings about.
    """
    if not responses:
        raise Error(Kind.INTERNAL, "OCSP lint: a response without answers (RFC 6960 §4.2.1)")
    certificate = responder.certificate
    if not certificate.not_before <= produced_at <= certificate.not_after:
        raise Error(
            Kind.UNAVAILABLE,
            f"the OCSP responder's certificate is not valid at {timestamp(produced_at)}",
            hint="look at this machine's clock",
        )
    return Draft(ocsp.response_data(responder.key_hash, produced_at, responses, nonce))


def sign_responses(
    responder: ResponderKey,
    produced_at: int,
    answers: Sequence[tuple[Sequence[bytes], bytes | None]],
) -> list[bytes | Error]:
    """Return signed OCSPResponses, DER, that carry the responder's certificate.

    All are signed before any is put together, so that each signature finds the tables of the
    curve where the one before left them: in the processor's caches.

    Args:
        responder: who signs.
        produced_at: Unix seconds.
        answers: `responses` and `nonce` of each, as `draft_response` takes them.

    Returns:
        In the place of a response that does not parse back, the Error, INTERNAL: it may come
        of what a request had it repeat, and is no other request's.

    Raises:
        Error: as `draft_response`.
    """
    drafts = [
        draft_response(responder, produced_at, responses, nonce) for responses, nonce in answers
    ]
    sign = responder.signer.sign
    signatures = [sign(draft) for draft in drafts]
    signed: list[bytes | Error] = []
    for draft, signature in zip(drafts, signatures, strict=True):
        try:
            signed.append(_response(responder, draft.tbs, signature))
        except Error as error:
            signed.append(error)
    return signed


def _response(responder: ResponderKey, tbs: bytes, signature: bytes) -> bytes:
    """Put a response together, and check that it is, to another's eyes, what was signed."""
    response = ocsp.basic_response(
        tbs, responder.signer.algorithm.identifier, signature, responder.certificates
    )
    try:
        parsed = parser.load_der_ocsp_response(response)
        # The parsed signature stands behind everything else that was signed.
        same = parsed.signature == signature and tbs in response
    except ValueError as error:
        raise Error(Kind.INTERNAL, "a signed OCSP response cannot be parsed back") from error
    if not same:
        raise Error(Kind.INTERNAL, "a signed OCSP response is not the one that was drafted")
    return response
