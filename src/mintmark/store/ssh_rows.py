"""SSH's rows, and provisioners', as values and back, the same for both databases."""

from __future__ import annotations

from typing import Any, Final

from mintmark.model.certificate import Certificate, Revocation
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import StoredProvisioner
from mintmark.model.ssh import (
    BanKind,
    SSHAuthority,
    SSHBan,
    SSHCertificate,
    SSHCertificateType,
    StoredKRL,
)
from mintmark.model.status import CertificateKind, Reason
from mintmark.model.time import MINUTE
from mintmark.wire.crl import entry
from mintmark.wire.ssh import certificate as wire_certificate

X509: Final = CertificateKind.X509.value
"""The kind of issuers that are none of SSH's."""
_KINDS: Final = {
    SSHCertificateType.USER: CertificateKind.SSH_USER.value,
    SSHCertificateType.HOST: CertificateKind.SSH_HOST.value,
}
_TYPES: Final = {kind: type_ for type_, kind in _KINDS.items()}
_SERIAL_OCTETS: Final = 8
_TIME_END: Final = 1 << 63
"""Both databases count in 64 bits with a sign."""
CLOCK_SKEW: Final = 5 * MINUTE
"""So much later used tokens are forgotten, for servers whose clocks are behind."""

BANS: Final = "SELECT kind, value, banned_at, reason FROM ssh_bans"
KRL: Final = """
SELECT number, generated_at, entries, octets FROM krls ORDER BY number DESC LIMIT 1
"""
AUTHORITIES: Final = f"SELECT issuer, kind, der FROM issuers WHERE kind != '{X509}'"  # noqa: S608 - ours
PROVISIONERS: Final = "SELECT name, type, document, version, updated_at FROM provisioners"
PROVISIONERS_VERSION: Final = "SELECT coalesce(sum(version), 0) FROM provisioners"


def kind(certificate: Certificate) -> str | None:
    """Return the kind of an SSH certificate, None of an X.509 one."""
    return _KINDS[certificate.type] if isinstance(certificate, SSHCertificate) else None


def parse(serial: bytes, octets: bytes, kind_: str) -> wire_certificate.Fields:
    """Return what a stored SSH certificate says.

    Raises:
        Error: INTERNAL when it is not what it is stored as.
    """
    try:
        fields = wire_certificate.parse(octets).fields
    except Error as error:
        raise _disorder(serial, "cannot be read") from error
    if fields.type is not _TYPES.get(kind_):
        raise _disorder(serial, f"is stored as '{kind_}' and is for a {fields.type.word}")
    if fields.serial.to_bytes(_SERIAL_OCTETS) != serial:
        raise _disorder(serial, "is stored under another serial")
    return fields


def _disorder(serial: bytes, what: str) -> Error:
    return Error(Kind.INTERNAL, f"SSH certificate 'cert_{serial.hex()}' {what}")


def ban_keys(certificate: Certificate) -> tuple[tuple[bytes, str], ...]:
    """Return (value, kind) of the bans that would forbid a certificate: key, then key id."""
    if not isinstance(certificate, SSHCertificate):
        return ()
    return (
        (certificate.key_sha256, BanKind.KEY.value),
        (certificate.key_id.encode(), BanKind.KEY_ID.value),
    )


def ban_row(ban: SSHBan) -> tuple[Any, ...]:
    """Return (value, kind, banned_at, reason)."""
    return ban.value, ban.kind.value, ban.banned_at, ban.reason.value


def ban(row: tuple[Any, ...]) -> SSHBan:
    """Return a ban from one row of `BANS`."""
    return SSHBan(BanKind(row[0]), row[1], row[2], Reason(row[3]))


def revocation_entry(revocation: Revocation, issuer_kind: str) -> bytes:
    """Return the CRL entry of a revocation; KRLs are made of serials alone."""
    if issuer_kind != X509:
        return b""
    return entry(revocation.serial, revocation.revoked_at, revocation.reason)


def authority_row(authority: SSHAuthority) -> tuple[Any, ...]:
    """Return (issuer, kind, der, spki_sha256) of a CA key."""
    key = authority.key
    return authority.id, _KINDS[authority.type], key.blob, key.spki_sha256


def authority(row: tuple[Any, ...]) -> tuple[str, SSHCertificateType, bytes]:
    """Return (id, type, key blob) from one row of `AUTHORITIES`."""
    return row[0], _TYPES[row[1]], row[2]


def require_same(authority: SSHAuthority, known: str) -> None:
    """Refuse a CA key that signs certificates of another kind already.

    Raises:
        Error: CONFIGURATION.
    """
    if known != _KINDS[authority.type]:
        raise Error(
            Kind.CONFIGURATION,
            f"the SSH CA key '{authority.id}' for {authority.type.word} certificates is the key"
            f" of '{known}' already",
            hint="make a key of its own for each",
        )


def host_names(certificate: Certificate) -> set[str]:
    """Return the principals of a host certificate, in lower case; none of any other."""
    if (
        not isinstance(certificate, SSHCertificate)
        or certificate.type is not SSHCertificateType.HOST
    ):
        return set()
    return {principal.lower() for principal in certificate.principals}


def findable(principal: str) -> bool:
    """Whether a principal can be in a table; a request can carry any text."""
    return principal.isprintable()


def krl(row: tuple[Any, ...]) -> StoredKRL:
    """Return a KRL from one row of `KRL`."""
    return StoredKRL(*row)


def provisioner_row(provisioner: StoredProvisioner) -> tuple[Any, ...]:
    """Return (name, type, document, version, updated_at)."""
    return (
        provisioner.name,
        provisioner.type,
        provisioner.document,
        provisioner.version,
        provisioner.updated_at,
    )


def provisioner(row: tuple[Any, ...]) -> StoredProvisioner:
    """Return a provisioner from one row of `PROVISIONERS`."""
    return StoredProvisioner(*row)


def texts(certificate: SSHCertificate) -> tuple[str, ...]:
    """Return what is stored of a certificate as text beside what all certificates have.

    Raises:
        Error: MALFORMED for a serial or an end that cannot be stored.
    """
    if len(certificate.serial) != _SERIAL_OCTETS:
        raise Error(
            Kind.MALFORMED,
            f"the serial of an SSH certificate has {_SERIAL_OCTETS} octets,"
            f" not {len(certificate.serial)}",
        )
    if certificate.not_after >= _TIME_END:
        raise Error(
            Kind.MALFORMED,
            f"the SSH certificate ends at {certificate.not_after}, later than can be stored"
            f" ({_TIME_END - 1})",
        )
    return certificate.principals


# Table, its key, and what has ended at :now.
ENDED: Final = (
    ("used_tokens", "sha256", f"expires_at < :now - {CLOCK_SKEW}"),
    ("ssh_hosts", "(principal, not_after, certificate)", "not_after < :now"),
)
