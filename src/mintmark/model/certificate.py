"""What the CA remembers of a certificate, and what can happen to it."""

from __future__ import annotations

from msgspec import Struct

from mintmark.model.identifiers import Identifier
from mintmark.model.status import Reason, Status


class Certificate(Struct, frozen=True, gc=False):
    """A signed certificate and what we need to know of it without parsing it again.

    Args:
        serial: 20 octets, big endian, positive (RFC 5280 §4.1.2.2); the certificate's
            identity everywhere in mintmark.
        issuer: id of the issuer (`Issuer.id`), the first 16 hex digits of the SHA-256 of its
            SPKI.
        service: whose certificate it is; authorisation compares this.
        profile: name of the profile it was issued under.
        common_name: subject common name, empty if there is none.
        identifiers: its subject alternative names, canonical, in encoded order.
        not_before: Unix seconds, inclusive (RFC 5280 §4.1.2.5).
        not_after: Unix seconds, inclusive.
        der: the certificate.
        spki_sha256: SHA-256 of its SubjectPublicKeyInfo, 32 octets.
        replaces: serial of the certificate that this one renewed or rekeyed.
        metadata: owner, environment, contact and the like: short texts by key.
    """

    serial: bytes
    issuer: str
    service: str
    profile: str
    common_name: str
    identifiers: tuple[Identifier, ...]
    not_before: int
    not_after: int
    der: bytes
    spki_sha256: bytes
    replaces: bytes | None = None
    metadata: dict[str, str] | None = None

    @property
    def id(self) -> str:
        """The certificate's id in the API, as `cert_40ab…`: its serial says it all."""
        return f"cert_{self.serial.hex()}"


class Revocation(Struct, frozen=True, gc=False):
    """The fact that a serial is revoked; it is never taken back.

    Args:
        serial: of the revoked certificate.
        issuer: id of its issuer, whose CRL lists it.
        revoked_at: Unix seconds.
        reason: see `Reason`.
        not_after: of the revoked certificate; it leaves the CRL one CRL after that
            (RFC 5280 §3.3).
    """

    serial: bytes
    issuer: str
    revoked_at: int
    reason: Reason
    not_after: int


class StoredCertificate(Struct, frozen=True, gc=False):
    """A certificate together with its fate, as the store answers.

    Args:
        certificate: as it was issued.
        revocation: None as long as it is not revoked.
        sequence: position in the inventory, rising with time of storage; the paging key.
        replaced_by: serial of a certificate that renewed or rekeyed it, if any.
    """

    certificate: Certificate
    revocation: Revocation | None
    sequence: int
    replaced_by: bytes | None = None

    def status(self, now: float) -> Status:
        """Return what it is worth at `now`; both ends of the validity are inclusive."""
        if self.revocation is not None:
            return Status.REVOKED
        return Status.EXPIRED if now > self.certificate.not_after else Status.ACTIVE
