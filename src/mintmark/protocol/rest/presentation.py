"""How certificates, revocations and issuers are written as documents of the API.

Whatever is the same in every answer is prepared once per issuer: the hot path joins, hashes
and encodes what is new, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec

from mintmark.authority.workflow.authority import Authority
from mintmark.client.documents import (
    CertificateDocument,
    CertificateSummary,
    IssuedCertificate,
    IssuerDocument,
    KindWord,
    Name,
    ReasonWord,
    RootDocument,
)
from mintmark.model.certificate import Certificate, StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import IdentifierType
from mintmark.model.issuer import Issuer
from mintmark.model.ssh import SSHCertificate, SSHCertificateType
from mintmark.model.status import Reason
from mintmark.model.time import timestamp
from mintmark.wire import certificate as wire_certificate
from mintmark.wire import pem
from mintmark.wire.http import Response
from mintmark.wire.ssh import certificate as wire_ssh

JSON_TYPE = "application/json"
Headers = tuple[tuple[str, str], ...]
PRIVATE: Headers = (("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"))
PUBLIC: Headers = (("Cache-Control", "public, max-age=60"), ("X-Content-Type-Options", "nosniff"))

_NAME_WORDS: Final = {each: each.value for each in IdentifierType}  # `value` is slow to ask for
_encode = msgspec.json.Encoder().encode


def json_answer(status: int, document: object, headers: Headers = PRIVATE) -> Response:
    """Return a document as a JSON response."""
    return Response(status, _encode(document), JSON_TYPE, headers)


@dataclass(frozen=True, slots=True)
class IssuerPresentation:
    """What every answer says of an issuer, prepared.

    Args:
        name: its common name.
        chain: DER of the intermediates, the issuer first, without the root.
        chain_pem: the same as PEM.
    """

    name: str
    chain: tuple[bytes, ...]
    chain_pem: str


class Presenter:
    """Writes the authority's values as documents.

    Args:
        authority: whose certificates these are.
    """

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._issuers: tuple[Issuer, ...] = ()
        self._prepared: Mapping[str, IssuerPresentation] = {}

    def issuer(self, issuer_id: str) -> IssuerPresentation:
        """Return what is said of an issuer; `authority.issuers` may be replaced at any time.

        Raises:
            Error: UNAVAILABLE for an issuer that another process on the database has added.
        """
        if self._authority.issuers is not self._issuers:
            self._issuers = self._authority.issuers
            self._prepared = {issuer.id: _prepare(issuer) for issuer in self._issuers}
        prepared = self._prepared.get(issuer_id)
        if prepared is None:
            raise Error(
                Kind.UNAVAILABLE,
                f"issuer {issuer_id!r} is not known to this process yet",
                hint="the operator restarts it after an issuer was added",
                retry_after=10,
            )
        return prepared

    def summary(self, stored: StoredCertificate) -> CertificateSummary:
        """Return a certificate without its PEM."""
        return CertificateSummary(**self._fields(stored.certificate, stored))

    def document(self, stored: StoredCertificate, *, with_pem: bool) -> CertificateDocument:
        """Return a certificate, with its PEM if the requester may have it."""
        certificate = stored.certificate
        if isinstance(certificate, SSHCertificate):
            line = wire_ssh.line(certificate.der) if with_pem else None
            return CertificateDocument(**self._fields(certificate, stored), certificate=line)
        return CertificateDocument(
            **self._fields(certificate, stored),
            certificate=pem.certificate(certificate.der).decode() if with_pem else None,
            chain=self.issuer(certificate.issuer).chain_pem if with_pem else None,
        )

    def issued(
        self,
        certificate: Certificate,
        *,
        stored: StoredCertificate | None = None,
        private_key: str | None = None,
        hint: str = "",
    ) -> IssuedCertificate:
        """Return a certificate that was just issued, or is handed out again (`stored`)."""
        return IssuedCertificate(
            **self._fields(certificate, stored),
            certificate=pem.certificate(certificate.der).decode(),
            chain=self.issuer(certificate.issuer).chain_pem,
            private_key=private_key,
            hint=hint,
        )

    def fullchain(self, certificate: Certificate) -> str:
        """Return an X.509 certificate with those above it as PEM, leaf first, no root."""
        chain_pem = self.issuer(certificate.issuer).chain_pem
        return pem.certificate(certificate.der).decode() + chain_pem

    def _fields(self, certificate: Certificate, stored: StoredCertificate | None) -> dict[str, Any]:
        """Return the fields that all documents of a certificate share."""
        serial = certificate.serial.hex()
        certificate_id = f"cert_{serial}"
        issuer, names, kind = (
            _of_ssh(certificate)
            if isinstance(certificate, SSHCertificate)
            else (self.issuer(certificate.issuer).name, _names(certificate), "x509")
        )
        fields: dict[str, Any] = {
            "certificate_id": certificate_id,
            "service_name": certificate.service,
            "common_name": certificate.common_name,
            "serial_number": serial,
            "not_before": timestamp(certificate.not_before),
            "not_after": timestamp(certificate.not_after),
            "issuer": issuer,
            "download_url": f"/api/v1/certificates/{certificate_id}/download",
            "status": "active",
            "profile": certificate.profile,
            "names": names,
            "fingerprint_sha256": hashlib.sha256(certificate.der).hexdigest(),
            "replaces": certificate_id_of(certificate.replaces),
            "metadata": certificate.metadata or {},
            "kind": kind,
        }
        if stored is not None:
            fields["status"] = stored.status(self._authority.clock()).value
            fields["replaced_by"] = certificate_id_of(stored.replaced_by)
            if revocation := stored.revocation:
                fields["revoked_at"] = timestamp(revocation.revoked_at)
                fields["revocation_reason"] = reason_word(revocation.reason)
        return fields

    def issuer_document(self, issuer: Issuer) -> IssuerDocument:
        """Return an issuer."""
        return IssuerDocument(
            id=issuer.id,
            name=issuer.name,
            active=issuer.active,
            not_before=timestamp(issuer.not_before),
            not_after=timestamp(issuer.not_after),
            fingerprint_sha256=hashlib.sha256(issuer.der).hexdigest(),
            certificate=pem.certificate(issuer.der).decode(),
            chain=pem.certificates(issuer.chain).decode(),
        )

    def root_documents(self) -> list[RootDocument]:
        """Return the trust anchors of all issuers, each once."""
        roots = dict.fromkeys(issuer.root for issuer in self._authority.issuers)
        return [_root_document(der) for der in roots]


def certificate_id_of(serial: bytes | None) -> str | None:
    """Return the id of the certificate with a serial, or None without one."""
    return None if serial is None else f"cert_{serial.hex()}"


def reason_word(reason: Reason) -> ReasonWord:
    """Return a reason as the documents write it; a test compares all words."""
    return cast("ReasonWord", reason.word)


def _names(certificate: Certificate) -> list[Name]:
    return [Name(_NAME_WORDS[name.type], name.value) for name in certificate.identifiers]


def _of_ssh(certificate: SSHCertificate) -> tuple[str, list[Name], KindWord]:
    """Return issuer, names and kind; SSH CA keys have no name but what they are and their id."""
    issuer = f"SSH {certificate.type.word} CA {certificate.issuer}"
    names = [Name("principal", principal) for principal in certificate.principals]
    return issuer, names, "ssh-user" if certificate.type is SSHCertificateType.USER else "ssh-host"


def _prepare(issuer: Issuer) -> IssuerPresentation:
    # A root that signs leaves itself has nothing between it and the trust anchor.
    chain = () if issuer.der == issuer.root else (issuer.der, *issuer.chain)
    return IssuerPresentation(issuer.name, chain, pem.certificates(chain).decode())


def _root_document(der: bytes) -> RootDocument:
    root = wire_certificate.parse(der)
    return RootDocument(
        name=root.common_name,
        not_before=timestamp(root.not_before),
        not_after=timestamp(root.not_after),
        fingerprint_sha256=hashlib.sha256(der).hexdigest(),
        certificate=pem.certificate(der).decode(),
    )
