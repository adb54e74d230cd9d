"""The documents of the REST API, one shape for the server that writes and the client that reads.

The server decodes requests and encodes answers with these structs, the client does the reverse,
and the OpenAPI description is made from them, so that the three cannot drift apart. Requests
refuse unknown fields; answers may grow, so clients ignore what they do not know.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from mintmark.model.keys import KeyType

# Text that every database stores and every terminal prints: no control characters.
# The end is written so that it means the same to Python and to ECMA-262, which JSON Schema uses.
_PRINTABLE = r"^[^\x00-\x1f\x7f]*(?![\s\S])"

Metadata = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=64, pattern=_PRINTABLE)],
        Annotated[str, Meta(max_length=256, pattern=_PRINTABLE)],
    ],
    Meta(
        max_length=16,
        description="Owner, environment, contact and the like; kept with the certificate.",
    ),
]
Names = Annotated[list[Annotated[str, Meta(max_length=2048)]], Meta(max_length=100)]
ServiceName = Annotated[str, Meta(min_length=1, max_length=128, description="A service id.")]
CSRText = Annotated[
    str,
    Meta(max_length=65536, description="PKCS #10 request, PEM; only its key and names count."),
]
ValidityDays = Annotated[
    int, Meta(ge=1, le=36500, description="Validity in days; `lifetime` says it finer.")
]
Lifetime = Annotated[
    str,
    Meta(
        max_length=16,
        pattern="^[0-9]{1,12}[ydhms]$",
        description="Validity as a number and a unit.",
        examples=["30d", "12h"],
    ),
]
KeySize = Annotated[Literal[2048, 3072, 4096], Meta(description="Modulus of an RSA key, bits.")]
SerialText = Annotated[
    str,
    Meta(min_length=1, max_length=59, description="Serial in hex, with or without colons."),
]
ReasonWord = Literal[
    "unspecified",
    "key-compromise",
    "ca-compromise",
    "affiliation-changed",
    "superseded",
    "cessation-of-operation",
    "privilege-withdrawn",
]
StatusWord = Literal["active", "expired", "revoked"]
Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class KeyWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which key: the one of a CSR, or one that the server makes and returns once.

    Args:
        csr: without it the server makes the key.
        key_type: of the key the server makes; a CSR's key must be of it.
        key_size: for RSA keys, document 3's way to say `rsa-2048`, `rsa-3072`, `rsa-4096`.
        validity_days: this or `lifetime`, else the profile's default.
        lifetime: as `30d` or `12h`.
    """

    csr: CSRText | None = None
    key_type: KeyType | None = None
    key_size: KeySize | None = None
    validity_days: ValidityDays | None = None
    lifetime: Lifetime | None = None


class CertificateRequest(KeyWish, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate asked for.

    Args:
        service_name: whose certificate; the requester's own if left out.
        common_name: also asked for as a name if it is a DNS name or an IP address.
        san_dns: DNS names.
        san_ip: IP addresses.
        san_email: e-mail addresses.
        san_uri: URIs.
        profile: `peer` if left out, or the first one open to the requester.
        metadata: short texts by key.
    """

    service_name: ServiceName | None = None
    common_name: Annotated[str, Meta(max_length=253)] = ""
    san_dns: Names = []
    san_ip: Names = []
    san_email: Names = []
    san_uri: Names = []
    profile: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    metadata: Metadata = {}


class RenewalRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A successor with the same key.

    Args:
        validity_days: this or `lifetime`, else as long as its predecessor.
        lifetime: as `30d` or `12h`.
    """

    validity_days: ValidityDays | None = None
    lifetime: Lifetime | None = None


class RekeyRequest(KeyWish, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A successor with a new key and the same names."""


class RevocationRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a certificate is revoked (RFC 5280 §5.3.1)."""

    reason: ReasonWord = "unspecified"


class CRLRevocationRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A certificate to be revoked, by exactly one of its id and its serial.

    Args:
        certificate_id: as `cert_…`, or a service id for its current certificate.
        serial_number: in hex.
        reason: RFC 5280 §5.3.1.
    """

    certificate_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    serial_number: SerialText | None = None
    reason: ReasonWord = "unspecified"


class TokenRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A one-time enrolment token asked for.

    Args:
        service_name: the service that may enrol with it.
        names: names its certificate may carry, beside those of the whitelist.
        profile: the only profile it is good for; any the service may use if left out.
        lifetime: how long it can be used, 1 minute to 30 days.
    """

    service_name: ServiceName
    names: Names = []
    profile: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    lifetime: Lifetime = "1h"


class Name(Struct, frozen=True):
    """One subject alternative name.

    Args:
        type: kind of name.
        value: canonical text.
    """

    type: Literal["dns", "ip", "email", "uri"]
    value: str


class CertificateSummary(Struct, frozen=True, kw_only=True):
    """What the authority remembers of a certificate, without the certificate.

    Args:
        certificate_id: `cert_` and the serial.
        service_name: whose it is.
        common_name: may be empty.
        serial_number: lower-case hex.
        not_before: RFC 3339, inclusive.
        not_after: RFC 3339, inclusive.
        issuer: the issuer's name.
        download_url: path below the server's own URL.
        status: at the time of the answer.
        profile: under which it was issued.
        names: subject alternative names.
        fingerprint_sha256: SHA-256 of the DER, hex.
        replaces: id of the certificate it renewed or rekeyed.
        replaced_by: id of the certificate that renewed or rekeyed it.
        revoked_at: RFC 3339.
        revocation_reason: RFC 5280 §5.3.1.
        metadata: as given with the request.
    """

    certificate_id: str
    service_name: str
    common_name: str
    serial_number: str
    not_before: Timestamp
    not_after: Timestamp
    issuer: str
    download_url: str
    status: StatusWord
    profile: str
    names: list[Name]
    fingerprint_sha256: str
    replaces: str | None = None
    replaced_by: str | None = None
    revoked_at: Timestamp | None = None
    revocation_reason: ReasonWord | None = None
    metadata: dict[str, str] = {}


class CertificateDocument(CertificateSummary, frozen=True, kw_only=True):
    """A certificate with its PEM.

    Args:
        certificate: PEM; null if the requester may not download.
        chain: PEM of the intermediates, leaf's issuer first, without the root; null as above.
    """

    certificate: str | None = None
    chain: str | None = None


class IssuedCertificate(CertificateSummary, frozen=True, kw_only=True):
    """A certificate just issued, or the same one again for the same Idempotency-Key.

    Args:
        certificate: PEM.
        chain: PEM of the intermediates, leaf's issuer first, without the root.
        private_key: PEM PKCS #8, only when the server made the key and only this once.
        hint: what to know about this answer; usually empty.
    """

    certificate: str
    chain: str
    private_key: str | None = None
    hint: str = ""


class CertificatePage(Struct, frozen=True, kw_only=True):
    """One page of certificates, newest first.

    Args:
        certificates: the page.
        next_cursor: `cursor` of the next page; null on the last.
    """

    certificates: list[CertificateSummary]
    next_cursor: str | None = None


class RevocationDocument(Struct, frozen=True, kw_only=True):
    """A revocation; it is final."""

    certificate_id: str
    serial_number: str
    revoked_at: Timestamp
    revocation_reason: ReasonWord
    status: Literal["revoked"] = "revoked"


class SerialStatus(Struct, frozen=True, kw_only=True):
    """What a serial is worth now.

    Args:
        serial_number: lower-case hex.
        status: `unknown` if no certificate of this authority has it.
        revoked: whether it is revoked.
        revoked_at: RFC 3339.
        revocation_reason: RFC 5280 §5.3.1.
    """

    serial_number: str
    status: Literal["active", "expired", "revoked", "unknown"]
    revoked: bool
    revoked_at: Timestamp | None = None
    revocation_reason: ReasonWord | None = None


class IssuerDocument(Struct, frozen=True, kw_only=True):
    """One issuer.

    Args:
        id: first 16 hex digits of the SHA-256 of its SubjectPublicKeyInfo.
        name: its common name.
        active: whether it signs new certificates.
        not_before: RFC 3339.
        not_after: RFC 3339.
        fingerprint_sha256: SHA-256 of the DER, hex.
        certificate: PEM.
        chain: PEM of what stands above it, without the root.
    """

    id: str
    name: str
    active: bool
    not_before: Timestamp
    not_after: Timestamp
    fingerprint_sha256: str
    certificate: str
    chain: str


class IssuerList(Struct, frozen=True, kw_only=True):
    """Every issuer that ever signed, the root among them."""

    issuers: list[IssuerDocument]


class RootDocument(Struct, frozen=True, kw_only=True):
    """One trust anchor; compare its fingerprint with one that came by another way.

    Args:
        name: its common name.
        not_before: RFC 3339.
        not_after: RFC 3339.
        fingerprint_sha256: SHA-256 of the DER, hex.
        certificate: PEM.
    """

    name: str
    not_before: Timestamp
    not_after: Timestamp
    fingerprint_sha256: str
    certificate: str


class RootList(Struct, frozen=True, kw_only=True):
    """The trust anchors."""

    roots: list[RootDocument]


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One audit record.

    Args:
        id: its place in the table.
        record: the record, octet for octet as the log's Merkle tree hashes it.
    """

    id: int
    record: msgspec.Raw


class AuditPage(Struct, frozen=True, kw_only=True):
    """One page of audit records, newest first; with a filter a page can be empty and not last.

    Args:
        records: the page.
        next_cursor: `cursor` of the next page; null on the last.
    """

    records: list[AuditEntry]
    next_cursor: int | None = None


class TokenDocument(Struct, frozen=True, kw_only=True):
    """A one-time enrolment token.

    Args:
        token: the secret, returned this once.
        service_name: the service that may enrol with it.
        names: names its certificate may carry, beside those of the whitelist.
        profile: the only profile it is good for, or null.
        expires_at: RFC 3339.
    """

    token: str
    service_name: str
    names: list[Name]
    profile: str | None
    expires_at: Timestamp


class Health(Struct, frozen=True, kw_only=True):
    """The server answers and so does its storage."""

    status: Literal["ok"]
    time: Timestamp


class Version(Struct, frozen=True, kw_only=True):
    """Which server this is.

    Args:
        version: of mintmark.
        api: of this API.
    """

    version: str
    api: Literal["v1"]


class Problem(Struct, frozen=True, kw_only=True):
    """A refusal (RFC 9457).

    Args:
        type: `urn:mintmark:error:` and the kind.
        title: the kind in words.
        status: HTTP status code.
        detail: what was refused, the value and the limit.
        instance: under which the operator finds this in the log, if it is there.
        hint: what to do next.
        retry_after: seconds until the same request may succeed.
        subproblems: refusals of single names.
    """

    type: str
    title: str = ""
    status: int = 0
    detail: str = ""
    instance: str = ""
    hint: str = ""
    retry_after: int | None = None
    subproblems: list[Problem] = []
