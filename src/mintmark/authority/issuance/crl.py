"""CRLs: from stored entries to a linted draft to a signed list (RFC 5280 §5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography import x509

from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.signer.draft import Draft
from mintmark.model.errors import Error, Kind
from mintmark.model.time import timestamp
from mintmark.wire import crl, der

MAX_NUMBER: Final = 2**159 - 1  # RFC 5280 §5.2.3: at most 20 octets
# Parsing a list back a second time, after the signature, costs 0.2 s at a million entries;
# above this size only the frame around the linted octets is looked at again.
PARSED_BACK_OCTETS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class CRLContent:
    """What a CRL says beside its entries.

    Args:
        number: CRL number (RFC 5280 §5.2.3).
        this_update: Unix seconds.
        next_update: Unix seconds.
        previous: number of the last one published; 0 when this is the first.
    """

    number: int
    this_update: int
    next_update: int
    previous: int = 0


def draft_crl(issuing: IssuingKey, content: CRLContent, entries: bytes) -> Draft:
    """Encode a full CRL of an issuer and lint it.

    Args:
        issuing: whose CRL it is.
        content: number and times.
        entries: encoded entries (`wire.crl.entry`), already joined.

    Raises:
        Error: INTERNAL with the clause that it would violate.
    """
    algorithm = issuing.signer.algorithm.identifier
    tbs = crl.tbs_cert_list(
        issuing.name,
        algorithm,
        content.this_update,
        content.next_update,
        content.number,
        issuing.key_id,
        entries,
    )
    try:
        parsed = x509.load_der_x509_crl(crl.cert_list(tbs, algorithm, b""))
        wrong = _lint(parsed, issuing, content, bool(entries))
    except (ValueError, x509.ExtensionNotFound) as error:
        raise Error(
            Kind.INTERNAL, f"CRL lint: the list cannot be read: {error} (RFC 5280 §5.1)"
        ) from error
    if wrong:
        raise Error(Kind.INTERNAL, f"CRL lint: {wrong}")
    return Draft(tbs)


def issue_crl(issuing: IssuingKey, content: CRLContent, entries: bytes) -> bytes:
    """Return the signed CRL, DER; a pure function, for a thread when the list is long.

    Raises:
        Error: INTERNAL as `draft_crl`, or when what was signed is not what was drafted.
    """
    draft = draft_crl(issuing, content, entries)
    signature = issuing.signer.sign(draft)
    signed = crl.cert_list(draft.tbs, issuing.signer.algorithm.identifier, signature)
    _check_frame(signed, draft.tbs)
    if len(signed) <= PARSED_BACK_OCTETS:
        parsed = x509.load_der_x509_crl(signed)
        if parsed.tbs_certlist_bytes != draft.tbs or parsed.signature != signature:
            raise Error(Kind.INTERNAL, "a signed CRL is not the one that was drafted")
    return signed


def _lint(
    parsed: x509.CertificateRevocationList,
    issuing: IssuingKey,
    content: CRLContent,
    has_entries: bool,  # noqa: FBT001 - a fact about the list, not a switch
) -> str:
    """Return what is wrong with a CRL, with its clause, or an empty text."""
    number = parsed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    key_id = parsed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    next_update = parsed.next_update_utc
    times = (parsed.last_update_utc.timestamp(), next_update and next_update.timestamp())
    if not content.previous < number == content.number <= MAX_NUMBER:
        return f"number {number} does not rise from {content.previous} (RFC 5280 §5.2.3)"
    if times != (content.this_update, content.next_update) or times[0] >= content.next_update:
        return (
            f"{timestamp(content.this_update)} to {timestamp(content.next_update)} is no time "
            "from one update to the next (RFC 5280 §5.1.2.5)"
        )
    if parsed.issuer != issuing.certificate.subject:
        return "the issuer is not the subject of its certificate (RFC 5280 §5.1.2.3)"
    if key_id.key_identifier != issuing.key_id:
        return "the authority key identifier is not the issuer's (RFC 5280 §5.2.1)"
    if (len(parsed) > 0) != has_entries:
        return "the entries are not in the list (RFC 5280 §5.1.2.6)"
    return ""


def _check_frame(signed: bytes, tbs: bytes) -> None:
    """Check that a CertificateList is exactly its three parts, the first the drafted one."""
    _, start, end = der.read(signed)
    parts = der.children(signed, start, end)
    if end != len(signed) or len(parts) != 3 or not signed.startswith(tbs, start):
        raise Error(Kind.INTERNAL, "a signed CRL is not framed as RFC 5280 §5.1 wants it")
