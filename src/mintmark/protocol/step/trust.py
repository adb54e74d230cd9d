"""What a client needs before it trusts anybody: roots, intermediates, CRL, health, version."""

from __future__ import annotations

import hashlib
import re
from email.utils import formatdate
from typing import Final, Protocol

from mintmark.model.errors import Error, Kind
from mintmark.protocol.step.call import Call, answer
from mintmark.protocol.step.refusal import StepError
from mintmark.store.interface import StoredCRL
from mintmark.wire import pem
from mintmark.wire.http import Response

PEM_TYPE: Final = "application/x-pem-file"
# The step-ca whose answers these are: clients compare it to know what they may ask for.
VERSION: Final = "0.30.2"
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}")


class CRLs(Protocol):
    """Where the newest CRLs are kept in memory: the repository."""

    async def latest(self, issuer_id: str) -> StoredCRL | None:
        """Return the newest CRL of an issuer."""

    async def armored(self, crl: StoredCRL) -> bytes:
        """Return a CRL as PEM."""


async def health(call: Call) -> Response:
    """Say that the server works, when storage answers."""
    await call.authority.store.latest_checkpoint()
    return answer(200, {"status": "ok"})


async def version(_: Call) -> Response:
    """Say which step-ca's protocol this is; client certificates are never required for it."""
    return answer(200, {"version": VERSION})


async def root(call: Call) -> Response:
    """Return the root with a fingerprint: what the client compares it with itself."""
    wanted = call.arguments["sha"].replace("-", "").lower()
    if _FINGERPRINT.fullmatch(wanted):
        for der in _roots(call):
            if hashlib.sha256(der).hexdigest() == wanted:
                return answer(200, {"ca": pem.certificate(der).decode()})
    raise Error(Kind.NOT_FOUND, f'root certificate with fingerprint "{wanted[:64]}" was not found')


async def roots(call: Call) -> Response:
    """Return the trust anchors; /federation has the same, there are no others."""
    return answer(201, {"crts": [pem.certificate(der).decode() for der in _roots(call)]})


async def roots_pem(call: Call) -> Response:
    """Return the trust anchors as one file."""
    return Response(200, pem.certificates(_roots(call)), PEM_TYPE)


async def intermediates(call: Call) -> Response:
    """Return the issuers between the trust anchors and the leaves."""
    found = _intermediates(call)
    return answer(201, {"crts": [pem.certificate(der).decode() for der in found]})


async def intermediates_pem(call: Call) -> Response:
    """Return them as one file."""
    return Response(200, pem.certificates(_intermediates(call)), PEM_TYPE)


async def crl(call: Call, crls: CRLs) -> Response:
    """Return the newest CRL of the issuer that signs now."""
    found = await crls.latest(call.authority.issuing.issuer.id)
    if found is None:
        raise Error(Kind.NOT_FOUND, "no CRL was published yet")
    expires = ("Expires", formatdate(found.next_update, usegmt=True))
    if any(one.partition("=")[0] == "pem" for one in call.request.query.split("&")):
        named = ("Content-Disposition", 'attachment; filename="crl.pem"')
        return Response(200, await crls.armored(found), PEM_TYPE, (named, expires))
    named = ("Content-Disposition", 'attachment; filename="crl.crl"')
    return Response(200, found.der, "application/pkix-crl", (named, expires))


def _roots(call: Call) -> tuple[bytes, ...]:
    return tuple(dict.fromkeys(issuer.root for issuer in call.authority.issuers))


def _intermediates(call: Call) -> tuple[bytes, ...]:
    """Return the active issuer with its chain, then the other issuers.

    Raises:
        StepError: the roots sign leaves themselves.
    """
    authority = call.authority
    anchors = set(_roots(call))
    every = (authority.issuing.issuer, *authority.issuers)
    found = dict.fromkeys(
        der for issuer in every for der in (issuer.der, *issuer.chain) if der not in anchors
    )
    if not found:
        raise StepError(Kind.NOT_FOUND, "there are no intermediates to show", status=501)
    return tuple(found)
