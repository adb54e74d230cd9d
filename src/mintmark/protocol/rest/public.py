"""What everybody may read: health, version, issuers and trust anchors.

Issuers and roots are public by nature; a client that has no trust yet compares the root's
fingerprint with one it got by another way.
"""

from __future__ import annotations

import mintmark
from mintmark.client.documents import Health, IssuerList, RootList, Version
from mintmark.model.time import timestamp
from mintmark.protocol.rest.presentation import PUBLIC, json_answer
from mintmark.protocol.rest.routes import Call
from mintmark.wire.http import Response


async def health(call: Call) -> Response:
    """Answer 200 if storage answers; the store's own refusal is a 503."""
    await call.authority.store.latest_checkpoint()
    return json_answer(200, Health(status="ok", time=timestamp(call.authority.clock())))


async def version(_: Call) -> Response:
    """Answer which mintmark this is."""
    return json_answer(200, Version(version=mintmark.__version__, api="v1"), PUBLIC)


async def list_issuers(call: Call) -> Response:
    """Answer with every issuer that ever signed."""
    issuers = [call.presenter.issuer_document(issuer) for issuer in call.authority.issuers]
    return json_answer(200, IssuerList(issuers=issuers), PUBLIC)


async def list_roots(call: Call) -> Response:
    """Answer with the trust anchors."""
    return json_answer(200, RootList(roots=call.presenter.root_documents()), PUBLIC)
