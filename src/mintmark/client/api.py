"""The REST API as typed calls; every refusal comes back as the `Error` the server raised."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from mintmark.client.documents import (
    AccountDocument,
    AccountPage,
    AuditEntry,
    AuditPage,
    CertificateDocument,
    CertificatePage,
    CertificateRequest,
    CertificateSummary,
    ExternalKeyDocument,
    ExternalKeyPage,
    ExternalKeyRequest,
    Health,
    IssuedCertificate,
    IssuerDocument,
    IssuerList,
    KindWord,
    NewExternalKey,
    PauseDocument,
    PausePage,
    Problem,
    ReasonWord,
    RekeyRequest,
    RenewalRequest,
    RenewalWindowsMoved,
    RenewalWindowsRequest,
    RevocationDocument,
    RevocationRequest,
    RootDocument,
    RootList,
    SerialStatus,
    TokenDocument,
    TokenRequest,
    Unpaused,
    UnpauseRequest,
    Version,
)
from mintmark.client.provisioner_documents import (
    NewProvisioner,
    ProvisionerDocument,
    ProvisionerList,
    ProvisionerRemoval,
    ProvisionerReplacement,
    ProvisionerRotation,
)
from mintmark.client.ssh_documents import (
    SignInProvider,
    SignInProviders,
    SSHAuthorities,
    SSHAuthorityDocument,
    SSHBanDocument,
    SSHBanRequest,
    SSHCertificateDocument,
    SSHCertificatePage,
    SSHCertificateRequest,
    SSHRenewal,
)
from mintmark.client.transport import Answer, Transport
from mintmark.model.errors import Error, Kind

BASE = "/api/v1"
PAGE = 1000  # certificates or audit records fetched at a time
_KINDS = {f"urn:mintmark:error:{kind.value}": kind for kind in Kind}
# What an answer without a problem document means, as a proxy in between may send one.
_STATUS_KINDS = {
    401: Kind.UNAUTHENTICATED,
    403: Kind.FORBIDDEN,
    404: Kind.NOT_FOUND,
    409: Kind.CONFLICT,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMITED,
    502: Kind.UNAVAILABLE,
    503: Kind.UNAVAILABLE,
    504: Kind.UNAVAILABLE,
}

Document = TypeVar("Document")
# Named here: inside the class, `list` is a call.
Issuers = list[IssuerDocument]
Roots = list[RootDocument]
Summaries = list[CertificateSummary]
AuditEntries = list[AuditEntry]
ExternalKeys = list[ExternalKeyDocument]
Accounts = list[AccountDocument]
Provisioners = list[ProvisionerDocument]
Pauses = list[PauseDocument]
SSHAuthorityKeys = list[SSHAuthorityDocument]
SSHCertificates = list[SSHCertificateDocument]
Providers = list[SignInProvider]


class APIClient:
    """Calls one server.

    Args:
        transport: the way to it.
        token: a one-time token or a provisioner's, for requests without a client certificate.
    """

    def __init__(self, transport: Transport, *, token: str | None = None) -> None:
        self._transport = transport
        self._token = token

    # --- certificates --------------------------------------------------------------------------

    def request_certificate(
        self, wish: CertificateRequest, *, idempotency_key: str | None = None
    ) -> IssuedCertificate:
        """Ask for a certificate.

        Args:
            wish: what is asked for.
            idempotency_key: the same key and wish again return the same certificate.
        """
        return self._issue("/certificates/request", wish, idempotency_key)

    def renew(
        self, certificate: str, wish: RenewalRequest, *, idempotency_key: str | None = None
    ) -> IssuedCertificate:
        """Ask for a successor with the same key."""
        return self._issue(f"{_path(certificate)}/renew", wish, idempotency_key)

    def rekey(
        self, certificate: str, wish: RekeyRequest, *, idempotency_key: str | None = None
    ) -> IssuedCertificate:
        """Ask for a successor with a new key."""
        return self._issue(f"{_path(certificate)}/rekey", wish, idempotency_key)

    def certificate(self, certificate: str) -> CertificateDocument:
        """Return one certificate by id, serial in hex, or service id."""
        return self._call(CertificateDocument, "GET", _path(certificate))

    def download(
        self, certificate: str, form: str = "pem", *, password: str | None = None
    ) -> bytes:
        """Return a certificate as a file: pem, der, chain, fullchain, pkcs12, pkcs7 or ssh."""
        headers = {} if password is None else {"x-pkcs12-password": password}
        path = f"{_path(certificate)}/download{_query(format=form)}"
        return self._send("GET", path, headers=headers).body

    def list(
        self,
        *,
        service: str | None = None,
        status: str | None = None,
        profile: str | None = None,
        name: str | None = None,
        expiring: str | None = None,
        kind: KindWord | None = None,
        limit: int | None = None,
    ) -> Iterator[CertificateSummary]:
        """Yield certificates, newest first, fetching pages as they are needed.

        Args:
            service: exact service id.
            status: active, expired or revoked.
            profile: exact profile name.
            name: a name it carries.
            expiring: ends within this time, as `30d`.
            kind: X.509, or SSH certificates of users or hosts.
            limit: how many at most; None yields all.
        """

        def page(cursor: Any, size: int) -> tuple[Summaries, Any]:
            query = _query(
                service=service,
                status=status,
                profile=profile,
                name=name,
                expiring=expiring,
                kind=kind,
                cursor=cursor,
                limit=size,
            )
            found = self._call(CertificatePage, "GET", f"/certificates/{query}")
            return found.certificates, found.next_cursor

        return _pages(page, limit)

    def revoke(self, certificate: str, reason: ReasonWord = "unspecified") -> RevocationDocument:
        """Revoke a certificate by id, serial in hex, or service id."""
        path = f"{_path(certificate)}/revoke"
        return self._call(RevocationDocument, "DELETE", path, RevocationRequest(reason=reason))

    # --- revocation lists ----------------------------------------------------------------------

    def crl(self, *, issuer: str | None = None, form: str = "pem") -> bytes:
        """Return the newest CRL, pem or der, of an issuer or of the one that signs now."""
        return self._send("GET", f"/crl{_query(issuer=issuer, format=form)}").body

    def check_serial(self, serial: str) -> SerialStatus:
        """Return what a serial (hex, colons, decimal) is worth now."""
        return self._call(SerialStatus, "GET", f"/crl/check/{quote(serial, safe='')}")

    # --- the authority -------------------------------------------------------------------------

    def token(self, wish: TokenRequest) -> TokenDocument:
        """Make a one-time enrolment token; admins only."""
        return self._call(TokenDocument, "POST", "/tokens", wish)

    def issuers(self) -> Issuers:
        """Return every issuer that ever signed."""
        return self._call(IssuerList, "GET", "/issuers").issuers

    def roots(self) -> Roots:
        """Return the trust anchors."""
        return self._call(RootList, "GET", "/roots").roots

    def audit(
        self, *, service: str | None = None, action: str | None = None, limit: int | None = None
    ) -> Iterator[AuditEntry]:
        """Yield audit records, newest first, fetching pages as they are needed; admins only."""

        def page(cursor: Any, size: int) -> tuple[AuditEntries, Any]:
            query = _query(service=service, action=action, cursor=cursor, limit=size)
            found = self._call(AuditPage, "GET", f"/audit{query}")
            return found.records, found.next_cursor

        return _pages(page, limit)

    # --- ACME ----------------------------------------------------------------------------------

    def create_external_key(self, wish: ExternalKeyRequest) -> NewExternalKey:
        """Make an external account key; admins only, like everything of ACME here."""
        return self._call(NewExternalKey, "POST", "/acme/external-keys", wish)

    def external_keys(
        self, *, provisioner: str | None = None, limit: int | None = None
    ) -> Iterator[ExternalKeyDocument]:
        """Yield external account keys, by id, fetching pages as they are needed."""

        def page(cursor: Any, size: int) -> tuple[ExternalKeys, Any]:
            query = _query(provisioner=provisioner, cursor=cursor, limit=size)
            found = self._call(ExternalKeyPage, "GET", f"/acme/external-keys{query}")
            return found.external_keys, found.next_cursor

        return _pages(page, limit)

    def revoke_external_key(self, key_id: str) -> ExternalKeyDocument:
        """Make an external account key worthless."""
        path = f"/acme/external-keys/{_segment(key_id)}"
        return self._call(ExternalKeyDocument, "DELETE", path)

    def accounts(
        self, *, provisioner: str | None = None, limit: int | None = None
    ) -> Iterator[AccountDocument]:
        """Yield ACME accounts, by id, fetching pages as they are needed."""

        def page(cursor: Any, size: int) -> tuple[Accounts, Any]:
            query = _query(provisioner=provisioner, cursor=cursor, limit=size)
            found = self._call(AccountPage, "GET", f"/acme/accounts{query}")
            return found.accounts, found.next_cursor

        return _pages(page, limit)

    def revoke_account(self, account_id: str) -> AccountDocument:
        """Lock an ACME account out for good."""
        return self._call(AccountDocument, "DELETE", f"/acme/accounts/{_segment(account_id)}")

    def paused(self, *, limit: int | None = None) -> Iterator[PauseDocument]:
        """Yield paused pairs of account and identifier, fetching pages as they are needed."""

        def page(cursor: Any, size: int) -> tuple[Pauses, Any]:
            found = self._call(PausePage, "GET", f"/acme/paused{_query(cursor=cursor, limit=size)}")
            return found.paused, found.next_cursor

        return _pages(page, limit)

    def unpause(self, wish: UnpauseRequest) -> Unpaused:
        """Let an account order again."""
        return self._call(Unpaused, "POST", "/acme/unpause", wish)

    def move_renewal_windows(self, wish: RenewalWindowsRequest) -> int:
        """Move the renewal windows of certificates, page after page; return how many."""
        moved = 0
        while True:
            answer = self._call(RenewalWindowsMoved, "POST", "/renewal-windows", wish)
            moved += answer.moved
            if answer.next_cursor is None:
                return moved
            wish = msgspec.structs.replace(wish, cursor=answer.next_cursor)

    # --- SSH -----------------------------------------------------------------------------------

    def request_ssh_certificate(
        self, wish: SSHCertificateRequest, *, idempotency_key: str | None = None
    ) -> SSHCertificateDocument:
        """Ask for an SSH certificate.

        Args:
            wish: what is asked for.
            idempotency_key: the same key and wish again return the same certificate.
        """
        return self._ask(SSHCertificateDocument, "POST", "/ssh/certificates", wish, idempotency_key)

    def renew_ssh(
        self, certificate: str, wish: SSHRenewal, *, idempotency_key: str | None = None
    ) -> SSHCertificateDocument:
        """Ask for the successor of an SSH certificate, of the same key or a new one."""
        path = f"{_ssh_path(certificate)}/renew"
        return self._ask(SSHCertificateDocument, "POST", path, wish, idempotency_key)

    def ssh_certificate(self, certificate: str) -> SSHCertificateDocument:
        """Return one SSH certificate by id."""
        return self._call(SSHCertificateDocument, "GET", _ssh_path(certificate))

    def ssh_certificates(
        self,
        *,
        service: str | None = None,
        type_: str | None = None,
        principal: str | None = None,
        key_id: str | None = None,
        status: str | None = None,
        expiring: str | None = None,
        limit: int | None = None,
    ) -> Iterator[SSHCertificateDocument]:
        """Yield SSH certificates, newest first, fetching pages as they are needed.

        Args:
            service: exact service id.
            type_: user or host.
            principal: one of its principals.
            key_id: exact key id.
            status: active, expired or revoked.
            expiring: ends within this time, as `8h`.
            limit: how many at most; None yields all.
        """

        def page(cursor: Any, size: int) -> tuple[SSHCertificates, Any]:
            query = _query(
                service=service,
                type=type_,
                principal=principal,
                key_id=key_id,
                status=status,
                expiring=expiring,
                cursor=cursor,
                limit=size,
            )
            found = self._call(SSHCertificatePage, "GET", f"/ssh/certificates{query}")
            return found.certificates, found.next_cursor

        return _pages(page, limit)

    def revoke_ssh(
        self, certificate: str, reason: ReasonWord = "unspecified"
    ) -> RevocationDocument:
        """Revoke an SSH certificate by id."""
        path = f"{_ssh_path(certificate)}/revoke"
        return self._ask(RevocationDocument, "DELETE", path, RevocationRequest(reason=reason))

    def ban_ssh(self, wish: SSHBanRequest) -> SSHBanDocument:
        """Put a key id or a key on the KRL, for good; admins only."""
        return self._call(SSHBanDocument, "POST", "/ssh/bans", wish)

    def ssh_authorities(self) -> SSHAuthorityKeys:
        """Return the SSH CA keys to trust now, active ones first."""
        return self._call(SSHAuthorities, "GET", "/ssh/authorities").authorities

    def krl(self) -> bytes:
        """Return the newest KRL (PROTOCOL.krl)."""
        answer = self._transport.request("GET", "/ssh/krl")
        if answer.status != 200:
            raise refusal(answer)
        return answer.body

    def sign_in_providers(self) -> Providers:
        """Return the OpenID providers that people sign in at."""
        return self._call(SignInProviders, "GET", "/sign-in").providers

    # --- provisioners --------------------------------------------------------------------------

    def provisioners(self) -> Provisioners:
        """Return all provisioners; admins only, like everything about them."""
        return self._call(ProvisionerList, "GET", "/provisioners").provisioners

    def provisioner(self, name: str) -> ProvisionerDocument:
        """Return one provisioner."""
        return self._call(ProvisionerDocument, "GET", f"/provisioners/{_segment(name)}")

    def add_provisioner(self, wish: NewProvisioner) -> ProvisionerDocument:
        """Store a new provisioner."""
        return self._call(ProvisionerDocument, "POST", "/provisioners", wish)

    def replace_provisioner(self, name: str, wish: ProvisionerReplacement) -> ProvisionerDocument:
        """Put another provisioner in the place of a stored one."""
        path = f"/provisioners/{_segment(name)}/replace"
        return self._call(ProvisionerDocument, "POST", path, wish)

    def rotate_provisioner(self, name: str, wish: ProvisionerRotation) -> ProvisionerDocument:
        """Give a JWK provisioner another key pair."""
        path = f"/provisioners/{_segment(name)}/rotate"
        return self._call(ProvisionerDocument, "POST", path, wish)

    def remove_provisioner(self, name: str, wish: ProvisionerRemoval) -> ProvisionerDocument:
        """Remove a stored provisioner."""
        path = f"/provisioners/{_segment(name)}"
        return self._call(ProvisionerDocument, "DELETE", path, wish)

    # --- the server ----------------------------------------------------------------------------

    def health(self) -> Health:
        """Return that the server and its storage work; UNAVAILABLE is raised if not."""
        return self._call(Health, "GET", "/health")

    def version(self) -> Version:
        """Return which mintmark answers."""
        return self._call(Version, "GET", "/version")

    # --- underneath ----------------------------------------------------------------------------

    def _issue(self, path: str, wish: object, idempotency_key: str | None) -> IssuedCertificate:
        return self._ask(IssuedCertificate, "POST", path, wish, idempotency_key)

    def _ask(
        self,
        document: type[Document],
        method: str,
        path: str,
        wish: object,
        idempotency_key: str | None = None,
    ) -> Document:
        """Send what a token may be presented for."""
        headers = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
        if self._token is not None:
            headers["authorization"] = f"Bearer {self._token}"
        return decoded(document, self._send(method, path, wish, headers))

    def _call(
        self, document: type[Document], method: str, path: str, json: object = None
    ) -> Document:
        return decoded(document, self._send(method, path, json))

    def _send(
        self,
        method: str,
        path: str,
        json: object = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        answer = self._transport.request(method, BASE + path, json, headers)
        if not 200 <= answer.status < 300:
            raise refusal(answer)
        return answer


def refusal(answer: Answer) -> Error:
    """Return the error that an answer's problem document tells of (RFC 9457)."""
    after = answer.headers.get("retry-after", "")
    seconds = int(after) if re.fullmatch("[0-9]{1,9}", after) else None
    try:
        problem = msgspec.json.decode(answer.body, type=Problem)
    except msgspec.MsgspecError:
        return Error(
            _STATUS_KINDS.get(answer.status, Kind.INTERNAL),
            f"the server answered {answer.status} without a problem document",
            hint="is this a mintmark server, and is there a proxy in between?",
            retry_after=seconds,
        )
    return _error(problem, answer.status, seconds)


def _error(problem: Problem, status: int, retry_after: int | None = None) -> Error:
    kind = _KINDS.get(problem.type) or _STATUS_KINDS.get(status, Kind.INTERNAL)
    return Error(
        kind,
        problem.detail or problem.title,
        hint=problem.hint,
        retry_after=retry_after,
        subproblems=tuple(_error(one, one.status or status) for one in problem.subproblems),
    )


def decoded(document: type[Document], answer: Answer) -> Document:
    """Return an answer as the document that it is.

    Raises:
        Error: INTERNAL for another one.
    """
    try:
        return msgspec.json.decode(answer.body, type=document)
    except msgspec.MsgspecError as error:
        raise Error(
            Kind.INTERNAL,
            f"the server's answer cannot be read: {error}",
            hint="are client and server of the same version?",
        ) from error


def _path(certificate: str) -> str:
    if not certificate.strip("."):  # a dot segment would name another resource
        raise Error(
            Kind.NOT_FOUND,
            f"{certificate!r} names no certificate",
            hint="give a certificate id, a serial in hex, or a service id",
        )
    return f"/certificates/{quote(certificate, safe='')}"


def _ssh_path(certificate: str) -> str:
    return f"/ssh/certificates/{_segment(certificate)}"


def _segment(text: str) -> str:
    """Return one segment of a path; a dot segment would name another resource."""
    if not text.strip("."):
        raise Error(Kind.NOT_FOUND, f"there is no {text!r}")
    return quote(text, safe="")


def _pages(
    fetch: Callable[[Any, int], tuple[list[Document], Any]], limit: int | None
) -> Iterator[Document]:
    """Yield what pages hold, up to a number; `fetch` gets a cursor and how many it may return."""
    cursor = None
    left = limit
    while left is None or left > 0:
        page, cursor = fetch(cursor, _page_size(left))
        yield from page
        if cursor is None:
            return
        left = None if left is None else left - len(page)


def _query(**parameters: Any) -> str:
    given = {name: value for name, value in parameters.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _page_size(left: int | None) -> int:
    return PAGE if left is None else min(left, PAGE)
