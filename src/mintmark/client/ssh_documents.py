"""The documents of the REST API's SSH and sign-in part; see `client.documents`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from mintmark.client.documents import (
    CSRText,
    Lifetime,
    Metadata,
    ReasonWord,
    ServiceName,
    StatusWord,
    Timestamp,
)

PublicKeyLine = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=16384,
        description="A public key as it stands in a .pub file; never a certificate.",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... alice@laptop"],
    ),
]
Principal = Annotated[str, Meta(min_length=1, max_length=255)]
SSHTypeWord = Literal["user", "host"]
ProfileName = Annotated[str, Meta(min_length=1, max_length=64)]


class SSHCertificateRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An SSH certificate asked for.

    Args:
        public_key: the subject's key.
        type: user or host; left out: what the profile says, else user.
        profile: the first one of the type that is open to the requester, if left out.
        key_id: what sshd will log; left out: what the credential says, else the service.
        principals: left out: all that the credential vouches for.
        lifetime: left out: the default.
        service_name: whose certificate; the requester's own if left out.
        identity_csr: PKCS #10 for an X.509 client certificate of the same validity.
        metadata: short texts by key.
    """

    public_key: PublicKeyLine
    type: SSHTypeWord | None = None
    profile: ProfileName | None = None
    key_id: Annotated[str, Meta(max_length=255)] = ""
    principals: Annotated[list[Principal], Meta(max_length=256)] = []
    lifetime: Lifetime | None = None
    service_name: ServiceName | None = None
    identity_csr: CSRText | None = None
    metadata: Metadata = {}


class SSHRenewal(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A successor for an SSH certificate.

    Args:
        public_key: of a rekey; left out, the key stays.
    """

    public_key: PublicKeyLine | None = None


class SSHCertificateDocument(Struct, frozen=True, kw_only=True):
    """An SSH certificate.

    Args:
        certificate_id: `cert_` and the serial in hex.
        serial_number: the serial as OpenSSH writes it, decimal, as text: JSON's numbers are
            too small for it.
        type: user or host.
        key_id: what sshd logs.
        principals: login names, or host names.
        service_name: whose it is.
        profile: under which it was issued.
        valid_after: RFC 3339, inclusive.
        valid_before: RFC 3339, exclusive.
        authority_fingerprint: of the CA key, `SHA256:...`.
        key_fingerprint: of the subject's key, `SHA256:...`.
        extensions: by name.
        critical_options: by name.
        status: at the time of the answer.
        replaces: id of the certificate it renewed or rekeyed.
        replaced_by: id of its successor.
        revoked_at: RFC 3339.
        revocation_reason: RFC 5280 §5.3.1.
        metadata: as given with the request.
        certificate: one line, as it stands in a -cert.pub file.
        identity_certificate: PEM, leaf first, when `identity_csr` was given.
    """

    certificate_id: str
    serial_number: str
    type: SSHTypeWord
    key_id: str
    principals: list[str]
    service_name: str
    profile: str
    valid_after: Timestamp
    valid_before: Timestamp
    authority_fingerprint: str
    key_fingerprint: str
    extensions: dict[str, str]
    critical_options: dict[str, str]
    status: StatusWord
    certificate: str
    replaces: str | None = None
    replaced_by: str | None = None
    revoked_at: Timestamp | None = None
    revocation_reason: ReasonWord | None = None
    metadata: Metadata = {}
    identity_certificate: str | None = None


class SSHCertificatePage(Struct, frozen=True, kw_only=True):
    """One page of SSH certificates, newest first."""

    certificates: list[SSHCertificateDocument]
    next_cursor: str | None = None


class SSHBanRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key id or a key for the KRL; exactly one of the two."""

    key_id: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    public_key: PublicKeyLine | None = None
    reason: ReasonWord = "unspecified"


class SSHBanDocument(Struct, frozen=True, kw_only=True):
    """A key id or a key on the KRL; it is final."""

    kind: Literal["key-id", "key"]
    value: str
    banned_at: Timestamp
    reason: ReasonWord


class SSHAuthorityDocument(Struct, frozen=True, kw_only=True):
    """One CA key that relying parties trust."""

    id: str
    type: SSHTypeWord
    generation: Literal["next", "active", "previous"]
    public_key: str
    fingerprint: str


class SSHAuthorities(Struct, frozen=True, kw_only=True):
    """All CA keys that relying parties trust now, active ones first."""

    authorities: list[SSHAuthorityDocument]


class SignInProvider(Struct, frozen=True, kw_only=True):
    """An OpenID provider that people sign in at; all of it is public."""

    name: str
    configuration_endpoint: str
    client_id: str
    client_secret: str
    scopes: list[str]
    listen_address: str


class SignInProviders(Struct, frozen=True, kw_only=True):
    """Where people can sign in."""

    providers: list[SignInProvider]
