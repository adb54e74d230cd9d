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
_VISIBLE = r"^[\x21-\x7e]*(?![\s\S])"

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
KindWord = Literal["x509", "ssh-user", "ssh-host"]
ProvisionerName = Annotated[str, Meta(min_length=1, max_length=48, pattern=_VISIBLE)]
AccountId = Annotated[str, Meta(min_length=1, max_length=64, pattern=_VISIBLE)]
Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class KeyWish(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which key: the one of a CSR, or one that the server makes and returns once.

    Args:
        csr: without it the server makes the key.
        key_type: of the key the server makes; a CSR's key must be of it.
        key_size: for RSA keys, another way to say `rsa-2048`, `rsa-3072`, `rsa-4096`.
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
        principals: of an SSH user certificate that it may ask for.
        profile: the only profile it is good for, of X.509 or of SSH; any the service may use if
            left out.
        lifetime: how long it can be used, 1 minute to 30 days.
    """

    service_name: ServiceName
    names: Names = []
    principals: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=255)]], Meta(max_length=256)
    ] = []
    profile: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    lifetime: Lifetime = "1h"


class ExternalKeyRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An external account key asked for (RFC 8555 §7.3.4).

    Args:
        provisioner: the ACME provisioner where it is good.
        name: what you call it.
    """

    provisioner: ProvisionerName = "acme"
    name: Annotated[str, Meta(max_length=128, pattern=_PRINTABLE)] = ""


class UnpauseRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account that may order again although its validations failed too often.

    Args:
        account_id: the last part of its URL.
        identifier: this one alone; all of them if left out.
    """

    account_id: AccountId
    identifier: Annotated[str, Meta(min_length=1, max_length=253)] | None = None


class RenewalWindowsRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Certificates that should be renewed earlier than planned (RFC 9773 §4.2).

    Of those that are valid and not replaced yet, the ones that all given fields name.

    Args:
        service_name: exact; an account's is `acme.PROVISIONER.ACCOUNT`.
        profile: exact.
        name: a name it carries.
        issuer: id of its issuer.
        issued_before: valid from before this time, RFC 3339.
        all: has to be true to move the windows of all certificates.
        over: how long the windows are spread over; `0s` asks for renewal at once.
        explanation_url: a page that says why; this server has one if it is left out.
        reason: for the audit log.
        cursor: `next_cursor` of the answer before.
    """

    service_name: ServiceName | None = None
    profile: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    name: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    issuer: Annotated[str, Meta(pattern=r"^[0-9a-f]{16}(?![\s\S])")] | None = None
    issued_before: Annotated[str, Meta(max_length=40)] | None = None
    all: bool = False
    over: Lifetime = "1h"
    explanation_url: (
        Annotated[str, Meta(max_length=2048, pattern=r"^https?://[!#-;=?-~]+(?![\s\S])")] | None
    ) = None
    reason: Annotated[str, Meta(max_length=256, pattern=_PRINTABLE)] = ""
    cursor: Annotated[str, Meta(min_length=1, max_length=128)] | None = None


class Name(Struct, frozen=True):
    """One subject alternative name, or one principal of an SSH certificate.

    Args:
        type: kind of name.
        value: canonical text.
    """

    type: Literal["dns", "ip", "email", "uri", "principal"]
    value: str


class CertificateSummary(Struct, frozen=True, kw_only=True):
    """What the authority remembers of a certificate, without the certificate.

    Args:
        certificate_id: `cert_` and the serial.
        service_name: whose it is.
        common_name: may be empty; of an SSH certificate its key id.
        serial_number: lower-case hex.
        not_before: RFC 3339, inclusive.
        not_after: RFC 3339, inclusive.
        issuer: the issuer's name.
        download_url: path below the server's own URL.
        status: at the time of the answer.
        profile: under which it was issued.
        names: subject alternative names; of an SSH certificate its principals.
        fingerprint_sha256: SHA-256 of the DER, or of an SSH certificate's octets, hex.
        replaces: id of the certificate it renewed or rekeyed.
        replaced_by: id of the certificate that renewed or rekeyed it.
        revoked_at: RFC 3339.
        revocation_reason: RFC 5280 §5.3.1.
        metadata: as given with the request.
        kind: X.509, or an SSH certificate of a user or a host.
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
    kind: KindWord = "x509"


class CertificateDocument(CertificateSummary, frozen=True, kw_only=True):
    """A certificate with its PEM.

    Args:
        certificate: PEM, or an SSH certificate's one line; null if the requester may not
            download.
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


class ExternalKeyDocument(Struct, frozen=True, kw_only=True):
    """An external account key, without its secret.

    Args:
        key_id: the `kid` that a client names it by.
        provisioner: where it is good.
        name: what the operator calls it.
        status: `unused` until an account is made with it.
        created_at: RFC 3339.
        account_id: the account that was made with it, or null.
        revoked_at: RFC 3339, or null.
    """

    key_id: str
    provisioner: str
    name: str
    status: Literal["unused", "used", "revoked"]
    created_at: Timestamp
    account_id: str | None = None
    revoked_at: Timestamp | None = None


class NewExternalKey(ExternalKeyDocument, frozen=True, kw_only=True):
    """An external account key with its secret.

    Args:
        hmac_key: base64url, as ACME clients take it; returned this once and kept sealed.
    """

    hmac_key: str


class ExternalKeyPage(Struct, frozen=True, kw_only=True):
    """One page of external account keys, by id.

    Args:
        external_keys: the page.
        next_cursor: `cursor` of the next page; null on the last.
    """

    external_keys: list[ExternalKeyDocument]
    next_cursor: str | None = None


class AccountDocument(Struct, frozen=True, kw_only=True):
    """An ACME account.

    Args:
        account_id: the last part of its URL.
        provisioner: where it was made.
        status: `revoked` if an operator locked it out, `deactivated` if its client did.
        service_name: its certificates are on record under this.
        contacts: URLs that its client gave.
        created_at: RFC 3339.
        external_key: id of the external account key that it was made with, or null.
    """

    account_id: str
    provisioner: str
    status: Literal["valid", "deactivated", "revoked"]
    service_name: str
    contacts: list[str]
    created_at: Timestamp
    external_key: str | None = None


class AccountPage(Struct, frozen=True, kw_only=True):
    """One page of ACME accounts, by id.

    Args:
        accounts: the page.
        next_cursor: `cursor` of the next page; null on the last.
    """

    accounts: list[AccountDocument]
    next_cursor: str | None = None


class PauseDocument(Struct, frozen=True, kw_only=True):
    """An account whose orders for an identifier are refused until it is unpaused.

    Args:
        account_id: whose.
        identifier: canonical text.
        failures: failed validations.
        paused_at: RFC 3339.
    """

    account_id: str
    identifier: str
    failures: int
    paused_at: Timestamp


class PausePage(Struct, frozen=True, kw_only=True):
    """One page of paused pairs, by account and identifier.

    Args:
        paused: the page.
        next_cursor: `cursor` of the next page; null on the last.
    """

    paused: list[PauseDocument]
    next_cursor: str | None = None


class Unpaused(Struct, frozen=True, kw_only=True):
    """An account that may order again.

    Args:
        account_id: whose.
        identifiers: for how many there were failures.
    """

    account_id: str
    identifiers: int


class RenewalWindowsMoved(Struct, frozen=True, kw_only=True):
    """Renewal windows that were moved; one call looks at up to 1000 certificates.

    Args:
        moved: how many.
        next_cursor: `cursor` of the next call; null when all certificates were looked at.
    """

    moved: int
    next_cursor: str | None = None


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
