"""Certificates downloaded, with their chains (RFC 8555 §7.4.2)."""

from __future__ import annotations

from typing import Final

from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.protocol.acme.request import Call
from mintmark.wire import pem
from mintmark.wire.http import Response

MEDIA_TYPE: Final = "application/pem-certificate-chain"


async def certificate(call: Call) -> Response:
    """Return a certificate of the account, leaf first, in one of its chains.

    The first chain leaves out the root, which relying parties have; the alternate has it, for
    clients that want to find it there.
    """
    serial = bytes.fromhex(call.arguments["serial"])
    stored = await call.authority.store.certificate(serial)
    own = call.provisioner.service(call.account.id)
    if stored is None or stored.certificate.service != own:
        raise call.not_found("certificate")
    if not call.is_read:
        raise Error(Kind.MALFORMED, "a certificate is read with an empty payload (POST-as-GET)")
    chains = _chains(call, stored.certificate)
    number = int(call.arguments.get("chain") or 0)
    if number >= len(chains):
        raise call.not_found("chain")
    alternates = tuple(
        ("Link", f'<{call.links.certificate(serial, each)}>;rel="alternate"')
        for each in range(len(chains))
        if each != number
    )
    return Response(200, pem.certificates(chains[number]), MEDIA_TYPE, alternates)


def _chains(call: Call, leaf: Certificate) -> tuple[tuple[bytes, ...], ...]:
    issuer = next(one for one in call.authority.issuers if one.id == leaf.issuer)
    usual = (leaf.der, issuer.der, *issuer.chain)
    return (usual, (*usual, issuer.root))
