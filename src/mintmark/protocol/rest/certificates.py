"""Certificates on record: one, its download, and the list."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

from msgspec import Meta, Struct

from mintmark.authority.workflow.record import record
from mintmark.client.documents import CertificatePage, KindWord, StatusWord
from mintmark.model.access import Operation
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHCertificate
from mintmark.model.status import CertificateKind, Status
from mintmark.model.time import parse_duration
from mintmark.protocol.rest.parameters import find_certificate
from mintmark.protocol.rest.presentation import PRIVATE, json_answer
from mintmark.protocol.rest.routes import Call
from mintmark.store.interface import CertificateFilter
from mintmark.wire import pem, pkcs
from mintmark.wire.http import Response
from mintmark.wire.identifiers import parse_any
from mintmark.wire.ssh import certificate as wire_ssh

MAX_PAGE = 1000
FAR = 253402300799  # 9999-12-31, beyond any notAfter (RFC 5280 §4.1.2.5)
PASSWORD_HEADER = "x-pkcs12-password"  # noqa: S105 - the name of a header
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_PASSWORD = re.compile(r"[\x20-\x7e]{1,128}")


class DownloadQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a certificate is written.

    Args:
        format: `pem` and `der` are the certificate alone, `chain` the intermediates,
            `fullchain` both, `pkcs12` and `pkcs7` both in one file without a private key;
            `ssh` is the one line of an SSH certificate, which has no other form.
    """

    format: Literal["pem", "der", "chain", "fullchain", "pkcs12", "pkcs7", "ssh"] | None = None


class ListQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which certificates to list; every parameter narrows.

    Args:
        service: exact service id.
        status: now.
        profile: exact profile name.
        name: a name it carries: DNS name, IP address, e-mail address or URI; with the `kind` of
            an SSH certificate its key id or a principal.
        expiring: valid now and ending within this time, as `30d`.
        kind: X.509, or SSH certificates of users or of hosts; all of them if left out.
        cursor: `next_cursor` of the page before.
        limit: certificates a page.
    """

    service: Annotated[str, Meta(max_length=128)] | None = None
    status: StatusWord | None = None
    profile: Annotated[str, Meta(max_length=64)] | None = None
    name: Annotated[str, Meta(max_length=2048)] | None = None
    expiring: Annotated[str, Meta(max_length=16, pattern="^[0-9]{1,12}[ydhms]$")] | None = None
    kind: KindWord | None = None
    cursor: Annotated[str, Meta(max_length=45)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = 100


async def show_certificate(call: Call) -> Response:
    """Answer with one certificate; its PEM only to those who may download."""
    stored = await find_certificate(call, call.arguments["id"])
    with_pem = call.requester.may(Operation.DOWNLOAD)
    return json_answer(200, call.presenter.document(stored, with_pem=with_pem))


async def list_certificates(call: Call) -> Response:
    """Answer with one page, newest first; a service sees its own certificates only."""
    query: ListQuery = call.query
    requester, now = call.requester, int(call.authority.clock())
    if not requester.is_admin and query.service not in (None, requester.service):
        return json_answer(200, CertificatePage(certificates=[]))
    if _cannot_exist(query):
        return json_answer(200, CertificatePage(certificates=[]))
    kind = None if query.kind is None else CertificateKind(query.kind)
    matching = CertificateFilter(
        now=now,
        service=query.service if requester.is_admin else requester.service,
        profile=query.profile,
        status=None if query.status is None else Status(query.status),
        name=_name(query.name, kind),
        expires_before=ends_before(query.expiring, now),
        kind=kind,
    )
    after = None if query.cursor is None else await sequence_of(call, query.cursor)
    found = await call.authority.store.certificates(matching, after=after, limit=query.limit + 1)
    page = found[: query.limit]
    more = len(found) > query.limit
    return json_answer(
        200,
        CertificatePage(
            certificates=[call.presenter.summary(stored) for stored in page],
            next_cursor=page[-1].certificate.id if more else None,
        ),
    )


def _name(text: str | None, kind: CertificateKind | None) -> str | None:
    """Return a name as it is on record: canonical, but principals stay as they are written.

    Raises:
        Error: REJECTED_IDENTIFIER.
    """
    is_ssh = kind not in (None, CertificateKind.X509)
    return text if text is None or is_ssh else parse_any(text).value


def ends_before(expiring: str | None, now: int) -> int | None:
    """Return when certificates end at the latest that end within a time; None without one."""
    return None if expiring is None else min(now + parse_duration(expiring), FAR)


def _cannot_exist(query: ListQuery) -> bool:
    """Whether no certificate can match, so that the text need not reach the database."""
    texts = [text for text in (query.service, query.profile) if text is not None]
    return not all(_VISIBLE.fullmatch(text) for text in texts)


async def sequence_of(call: Call, cursor: str) -> int:
    """Return where the page before ended; its last certificate's id is the cursor.

    An id says nothing about how many certificates others have, as a number would.
    """
    if cursor.startswith("cert_"):
        try:
            return (await find_certificate(call, cursor)).sequence
        except Error as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
    raise Error(
        Kind.MALFORMED,
        f"{cursor!r} is not a cursor",
        hint="pass next_cursor of the page before, unchanged",
    )


# --- download ----------------------------------------------------------------------------------

Chain = tuple[bytes, ...]
# format: media type, file name, encoder of certificate, chain and password
_FORMATS: dict[str, tuple[str, str, Callable[[Certificate, Chain, bytes | None], bytes]]] = {
    "pem": (
        "application/x-pem-file",
        "cert.pem",
        lambda certificate, _, __: pem.certificate(certificate.der),
    ),
    "der": ("application/pkix-cert", "cert.der", lambda certificate, _, __: certificate.der),
    "chain": ("application/x-pem-file", "chain.pem", lambda _, chain, __: pem.certificates(chain)),
    "fullchain": (
        "application/pem-certificate-chain",  # RFC 8555 §9.1: leaf first, no root
        "fullchain.pem",
        lambda certificate, chain, _: pem.certificates((certificate.der, *chain)),
    ),
    "pkcs12": (
        "application/x-pkcs12",
        "cert.p12",
        lambda certificate, chain, password: pkcs.pkcs12(
            certificate.id, None, certificate.der, chain, password
        ),
    ),
    "pkcs7": (
        "application/pkcs7-mime; smime-type=certs-only",  # RFC 8551 §3.2.2
        "cert.p7b",
        lambda certificate, chain, _: pkcs.pkcs7((certificate.der, *chain)),
    ),
    "ssh": (
        "text/plain; charset=utf-8",
        "key-cert.pub",
        lambda certificate, _, __: f"{wire_ssh.line(certificate.der)}\n".encode(),
    ),
}
DOWNLOAD_MEDIA = tuple(dict.fromkeys(media for media, _, _ in _FORMATS.values()))


async def download_certificate(call: Call) -> Response:
    """Answer with the certificate in a file format; the audit log knows who fetched it."""
    query: DownloadQuery = call.query
    stored = await find_certificate(call, call.arguments["id"])
    certificate = stored.certificate
    is_ssh = isinstance(certificate, SSHCertificate)
    form = query.format or ("ssh" if is_ssh else "pem")
    if is_ssh is not (form == "ssh"):
        raise _no_form(certificate, form)
    media, name, encode = _FORMATS[form]
    chain = () if is_ssh else call.presenter.issuer(certificate.issuer).chain
    body = encode(certificate, chain, _password(call))
    await record(
        call.authority,
        call.requester,
        "certificate.download",
        certificate=certificate.serial,
        details={"format": form},
    )
    disposition = ("Content-Disposition", f'attachment; filename="{name}"')
    return Response(200, body, media, (*PRIVATE, disposition))


def _no_form(certificate: Certificate, form: str) -> Error:
    if isinstance(certificate, SSHCertificate):
        return Error(
            Kind.CONFLICT,
            f"certificate {certificate.id} is an SSH {certificate.type.word} certificate, which "
            f"has no form {form!r}",
            hint="leave format out, or ask for 'ssh': the line of a -cert.pub file",
        )
    others = ", ".join(each for each in _FORMATS if each != "ssh")
    return Error(
        Kind.CONFLICT,
        f"certificate {certificate.id} is an X.509 certificate, which has no form {form!r}",
        hint=f"formats: {others}",
    )


def _password(call: Call) -> bytes | None:
    """Return the password for a PKCS #12 file, None without one.

    It protects nothing secret, since the file has no private key; some programs want one.
    """
    value = call.request.headers.get(PASSWORD_HEADER)
    if value is None:
        return None
    if not _PASSWORD.fullmatch(value):
        raise Error(Kind.MALFORMED, "X-PKCS12-Password is not 1 to 128 printable ASCII characters")
    return value.encode()
