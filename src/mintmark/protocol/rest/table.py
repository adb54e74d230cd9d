"""The table of routes: the whole API on one screen, with who may call what."""

from __future__ import annotations

from functools import cache

from mintmark.client import documents
from mintmark.model.access import Operation
from mintmark.protocol.rest import (
    administration,
    certificates,
    issuing,
    openapi,
    public,
    revocation,
)
from mintmark.protocol.rest.presentation import JSON_TYPE, PUBLIC
from mintmark.protocol.rest.routes import Access, Call, Route
from mintmark.wire.http import Response


async def describe(_: Call) -> Response:
    """Answer with the OpenAPI description of this table."""
    return Response(200, _description(), JSON_TYPE, PUBLIC)


@cache
def _description() -> bytes:
    return openapi.describe(ROUTES)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/certificates/request",
        "requestCertificate",
        "Issue a certificate for the key of a CSR, or for a key that the server makes.",
        Access.AUTHENTICATED,
        issuing.request_certificate,
        Operation.REQUEST,
        tokens=True,
        idempotent=True,
        body=documents.CertificateRequest,
        status=201,
        answer=documents.IssuedCertificate,
    ),
    Route(
        "GET",
        "/certificates/",
        "listCertificates",
        "List certificates, newest first; a service sees its own.",
        Access.AUTHENTICATED,
        certificates.list_certificates,
        query=certificates.ListQuery,
        answer=documents.CertificatePage,
    ),
    Route(
        "GET",
        "/certificates",
        "listCertificatesPlain",
        "The same list, without the slash.",
        Access.AUTHENTICATED,
        certificates.list_certificates,
        query=certificates.ListQuery,
        answer=documents.CertificatePage,
    ),
    Route(
        "GET",
        "/certificates/{id}",
        "showCertificate",
        "One certificate.",
        Access.AUTHENTICATED,
        certificates.show_certificate,
        answer=documents.CertificateDocument,
    ),
    Route(
        "GET",
        "/certificates/{id}/download",
        "downloadCertificate",
        "One certificate as a file.",
        Access.AUTHENTICATED,
        certificates.download_certificate,
        Operation.DOWNLOAD,
        query=certificates.DownloadQuery,
        media=certificates.DOWNLOAD_MEDIA,
    ),
    Route(
        "POST",
        "/certificates/{id}/renew",
        "renewCertificate",
        "Issue a successor with the same key and names.",
        Access.AUTHENTICATED,
        issuing.renew_certificate,
        Operation.RENEW,
        idempotent=True,
        body=documents.RenewalRequest,
        body_required=False,
        status=201,
        answer=documents.IssuedCertificate,
    ),
    Route(
        "POST",
        "/certificates/{id}/rekey",
        "rekeyCertificate",
        "Issue a successor with a new key and the same names.",
        Access.AUTHENTICATED,
        issuing.rekey_certificate,
        Operation.RENEW,
        idempotent=True,
        body=documents.RekeyRequest,
        body_required=False,
        status=201,
        answer=documents.IssuedCertificate,
    ),
    Route(
        "DELETE",
        "/certificates/{id}/revoke",
        "revokeCertificate",
        "Revoke a certificate, for good.",
        Access.AUTHENTICATED,
        revocation.revoke_certificate,
        Operation.REVOKE,
        body=documents.RevocationRequest,
        body_required=False,
        answer=documents.RevocationDocument,
    ),
    Route(
        "GET",
        "/crl",
        "currentCRL",
        "The newest CRL of an issuer.",
        Access.AUTHENTICATED,
        revocation.current_crl,
        query=revocation.CRLQuery,
        media=("application/x-pem-file", "application/pkix-crl"),
    ),
    Route(
        "POST",
        "/crl/revoke",
        "revokeBySerial",
        "Revoke a certificate by its serial or id, for good.",
        Access.AUTHENTICATED,
        revocation.revoke_by_serial,
        Operation.REVOKE,
        body=documents.CRLRevocationRequest,
        answer=documents.RevocationDocument,
    ),
    Route(
        "GET",
        "/crl/check/{serial}",
        "checkSerial",
        "What a serial is worth now.",
        Access.AUTHENTICATED,
        revocation.check_serial,
        answer=documents.SerialStatus,
    ),
    Route(
        "GET",
        "/issuers",
        "listIssuers",
        "Every issuer that ever signed.",
        Access.PUBLIC,
        public.list_issuers,
        answer=documents.IssuerList,
    ),
    Route(
        "GET",
        "/roots",
        "listRoots",
        "The trust anchors.",
        Access.PUBLIC,
        public.list_roots,
        answer=documents.RootList,
    ),
    Route(
        "GET",
        "/audit",
        "listAudit",
        "List audit records, newest first.",
        Access.ADMIN,
        administration.list_audit,
        Operation.ADMIN,
        query=administration.AuditQuery,
        answer=documents.AuditPage,
    ),
    Route(
        "POST",
        "/tokens",
        "createToken",
        "Make a one-time enrolment token.",
        Access.ADMIN,
        administration.make_token,
        Operation.ADMIN,
        body=documents.TokenRequest,
        status=201,
        answer=documents.TokenDocument,
    ),
    Route(
        "GET",
        "/health",
        "health",
        "Whether this server can do its work.",
        Access.PUBLIC,
        public.health,
        answer=documents.Health,
    ),
    Route(
        "GET",
        "/version",
        "version",
        "Which mintmark this is.",
        Access.PUBLIC,
        public.version,
        answer=documents.Version,
    ),
    Route(
        "GET",
        "/openapi.json",
        "openapi",
        "This description, OpenAPI 3.1.",
        Access.PUBLIC,
        describe,
        media=(JSON_TYPE,),
    ),
)
