"""The repository: what relying parties fetch by plain HTTP (RFC 5280 §3, §4.2.1.13, §4.2.2.1).

Everything of X.509 here is public and signed, so that plain HTTP takes nothing away; it must be
plain, because a client that fetches a CRL to verify TLS cannot need TLS for it. What is of SSH is
public and not signed (OpenSSH knows no signature of it): it is here for whoever is on the same
machine, and is to be fetched over HTTPS, where the same paths are.

    GET /crl/ISSUER.crl     the newest CRL, DER (RFC 2585 §4.2)
    GET /crl/ISSUER.pem     the same, PEM
    GET /crl/all.pem        the newest CRL of every issuer: what nginx, HAProxy, PostgreSQL want
    GET /issuer/ISSUER.cer  an issuer's certificate, DER (RFC 2585 §4.1)
    GET /roots.pem          trust anchors
    GET /ssh/krl            the newest KRL, for sshd's RevokedKeys (PROTOCOL.krl)
    GET /ssh/user_ca.pub    the SSH CA keys of users, for sshd's TrustedUserCAKeys, one a line
    GET /ssh/host_ca.pub    the SSH CA keys of hosts, for @cert-authority in known_hosts
    GET /health             whether this process can do its work
"""

from __future__ import annotations

import asyncio
import re
from email.utils import formatdate

from mintmark.authority.workflow.authority import Authority
from mintmark.model.errors import Error
from mintmark.model.ssh import SSHCertificateType, StoredKRL
from mintmark.store.interface import StoredCRL
from mintmark.wire import pem
from mintmark.wire.http import Request, Response
from mintmark.wire.ssh import key as ssh_key

CRL_PATH = re.compile(r"/crl/([0-9a-f]{16})\.(crl|pem)")
ISSUER_PATH = re.compile(r"/issuer/([0-9a-f]{16})\.cer")
FRESH = 1.0  # seconds a CRL is kept before the store is asked again
LARGE = 256 * 1024  # octets of CRLs that are encoded in a thread
MAX_AGE = 60  # seconds a cache may keep a CRL: the promise of section "Revocation" in the docs
TEXT = "text/plain; charset=utf-8"


class Repository:
    """Answers for the plain HTTP port, OCSP aside.

    Args:
        authority: whose certificates and CRLs these are.
    """

    def __init__(self, authority: Authority) -> None:
        self._authority = authority
        self._crls: dict[str, tuple[float, StoredCRL | None]] = {}
        self._krl: tuple[float, StoredKRL | None] | None = None
        self._armored: dict[str, tuple[tuple[StoredCRL, ...], bytes]] = {}
        self._armoring = asyncio.Lock()
        self._roots = b"".join(
            pem.encode("CERTIFICATE", der)
            for der in dict.fromkeys(issuer.root for issuer in authority.issuers)
        )

    async def handle(self, request: Request) -> Response:  # noqa: PLR0911 - one a route
        """Answer one request; whatever is not listed above is not found."""
        if request.method not in {"GET", "HEAD"}:
            return Response(405, headers=(("Allow", "GET, HEAD"),))
        if match := CRL_PATH.fullmatch(request.path):
            return await self._crl(match[1], match[2], request)
        if match := ISSUER_PATH.fullmatch(request.path):
            return self._issuer(match[1])
        match request.path:
            case "/crl/all.pem":
                return await self._all_crls()
            case "/roots.pem":
                return Response(200, self._roots, "application/x-pem-file")
            case "/ssh/krl":
                return await self._latest_krl(request)
            case "/ssh/user_ca.pub":
                return self._ssh_keys(SSHCertificateType.USER)
            case "/ssh/host_ca.pub":
                return self._ssh_keys(SSHCertificateType.HOST)
            case "/health":
                return await health(self._authority)
        return _not_found()

    def _issuer(self, issuer_id: str) -> Response:
        for issuer in self._authority.issuers:
            if issuer.id == issuer_id:
                headers = (("Cache-Control", "public, max-age=86400"),)
                return Response(200, issuer.der, "application/pkix-cert", headers)
        return _not_found()

    def _ssh_keys(self, type_: SSHCertificateType) -> Response:
        """Return every CA key to trust; without one there is no file: an empty one is no answer."""
        trusted = self._authority.ssh.trusts(type_)
        if not trusted:
            return _not_found()
        body = "".join(f"{ssh_key.line(one.key)}\n" for one in trusted).encode()
        return Response(200, body, TEXT, (("Cache-Control", f"public, max-age={MAX_AGE}"),))

    async def _latest_krl(self, request: Request) -> Response:
        """Return the newest KRL, asking the store once a second at most."""
        now = self._authority.clock()
        if self._krl is None or not 0 <= now - self._krl[0] < FRESH:
            self._krl = now, await self._authority.store.latest_krl()
        krl = self._krl[1]
        if krl is None:
            return _not_found()
        headers = (
            ("ETag", f'"krl-{krl.number}"'),
            ("Last-Modified", formatdate(krl.generated_at, usegmt=True)),  # RFC 9110 §5.6.7
            ("Cache-Control", f"public, max-age={MAX_AGE}"),
        )
        if request.headers.get("if-none-match") == f'"krl-{krl.number}"':
            return Response(304, headers=headers)
        return Response(200, krl.octets, "application/octet-stream", headers)

    async def _crl(self, issuer_id: str, form: str, request: Request) -> Response:
        crl = await self.latest(issuer_id)
        if crl is None:
            return _not_found()
        etag = f'"{issuer_id}-{crl.number}"'
        headers = (("ETag", etag), ("Cache-Control", f"public, max-age={MAX_AGE}"))
        if request.headers.get("if-none-match") == etag:
            return Response(304, headers=headers)
        if form == "pem":
            body = await self.armored(crl)
            return Response(200, body, "application/x-pem-file", headers)
        return Response(200, crl.der, "application/pkix-crl", headers)

    async def _all_crls(self) -> Response:
        found = [await self.latest(issuer.id) for issuer in self._authority.issuers]
        body = await self._armor("/crl/all.pem", tuple(crl for crl in found if crl))
        headers = (("Cache-Control", f"public, max-age={MAX_AGE}"),)
        return Response(200, body, "application/x-pem-file", headers)

    async def _armor(self, path: str, crls: tuple[StoredCRL, ...]) -> bytes:
        """Return CRLs as PEM, made once for all who ask.

        A million entries are 50 MB: whoever reads them slowly holds the octets for as long, and
        must not hold a copy of their own.
        """
        async with self._armoring:
            kept = self._armored.get(path)
            if kept is None or not _same(kept[0], crls):
                large = sum(len(crl.der) for crl in crls) > LARGE
                body = await asyncio.to_thread(_pem, crls) if large else _pem(crls)
                kept = self._armored[path] = crls, body
            return kept[1]

    async def armored(self, crl: StoredCRL) -> bytes:
        """Return a CRL as PEM."""
        return await self._armor(f"/crl/{crl.issuer}.pem", (crl,))

    async def latest(self, issuer_id: str) -> StoredCRL | None:
        """Return the newest CRL of a known issuer, asking the store once a second at most."""
        if all(issuer.id != issuer_id for issuer in self._authority.issuers):
            return None
        now = self._authority.clock()
        kept = self._crls.get(issuer_id)
        if kept and 0 <= now - kept[0] < FRESH:
            return kept[1]
        crl = await self._authority.store.latest_crl(issuer_id)
        if kept and kept[1] and crl and _same((kept[1],), (crl,)):
            crl = kept[1]
        self._crls[issuer_id] = (now, crl)
        return crl


async def health(authority: Authority) -> Response:
    """Answer 200 when the store answers, 503 with the reason when it does not."""
    try:
        await authority.store.latest_checkpoint()
    except Error as error:
        body = f"unavailable: {error.detail}\n".encode()
        return Response(503, body, TEXT, (("Retry-After", "5"),))
    return Response(200, b"ok\n", TEXT, (("Cache-Control", "no-store"),))


def _same(some: tuple[StoredCRL, ...], others: tuple[StoredCRL, ...]) -> bool:
    """Whether CRLs are the same ones; a number is never used twice (design rule 4)."""
    return [(crl.issuer, crl.number) for crl in some] == [
        (crl.issuer, crl.number) for crl in others
    ]


def _pem(crls: tuple[StoredCRL, ...]) -> bytes:
    return b"".join([pem.crl(crl.der) for crl in crls])


def _not_found() -> Response:
    return Response(404, b"not found\n", TEXT)
