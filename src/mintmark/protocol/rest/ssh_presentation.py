"""How SSH certificates and CA keys are written as documents of the API."""

from __future__ import annotations

from typing import cast

from mintmark.client.ssh_documents import (
    SSHAuthorityDocument,
    SSHCertificateDocument,
    SSHTypeWord,
)
from mintmark.model.certificate import StoredCertificate
from mintmark.model.ssh import Generation, SSHAuthority, SSHCertificate
from mintmark.model.status import Status
from mintmark.model.time import timestamp
from mintmark.protocol.rest.presentation import certificate_id_of, reason_word
from mintmark.wire.ssh import certificate as wire_ssh
from mintmark.wire.ssh import key as wire_key


def ssh_document(
    certificate: SSHCertificate,
    now: float,
    *,
    stored: StoredCertificate | None = None,
    identity: str | None = None,
) -> SSHCertificateDocument:
    """Return an SSH certificate.

    Args:
        certificate: as issued.
        now: Unix seconds, for its status.
        stored: its fate; None when it was just issued.
        identity: PEM of the X.509 certificate that was issued with it, if one was.
    """
    fields = wire_ssh.parse(certificate.der).fields
    revocation = stored.revocation if stored else None
    status = stored.status(now) if stored else Status.ACTIVE
    return SSHCertificateDocument(
        certificate_id=certificate.id,
        serial_number=str(certificate.number),
        type=cast("SSHTypeWord", certificate.type.word),
        key_id=certificate.key_id,
        principals=list(certificate.principals),
        service_name=certificate.service,
        profile=certificate.profile,
        valid_after=timestamp(certificate.not_before),
        valid_before=timestamp(certificate.not_after + 1),  # SSH's end is exclusive
        authority_fingerprint=wire_key.fingerprint(fields.authority.blob),
        key_fingerprint=wire_key.fingerprint_text(certificate.key_sha256),
        extensions=dict(fields.extensions),
        critical_options=dict(fields.critical_options),
        status=status.value,
        certificate=wire_ssh.line(certificate.der),
        replaces=certificate_id_of(certificate.replaces),
        replaced_by=certificate_id_of(stored.replaced_by if stored else None),
        revoked_at=timestamp(revocation.revoked_at) if revocation else None,
        revocation_reason=reason_word(revocation.reason) if revocation else None,
        metadata=certificate.metadata or {},
        identity_certificate=identity,
    )


def authority_document(authority: SSHAuthority) -> SSHAuthorityDocument:
    """Return one CA key to trust."""
    if authority.generation is Generation.RETIRED:
        raise ValueError("a retired CA key is not to be trusted")
    return SSHAuthorityDocument(
        id=authority.id,
        type=cast("SSHTypeWord", authority.type.word),
        generation=authority.generation.value,
        public_key=wire_key.line(authority.key),
        fingerprint=wire_key.fingerprint(authority.key.blob),
    )
