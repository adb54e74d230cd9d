"""What everybody may read: health, version, issuers, trust anchors, where to sign in.

Issuers and roots are public by nature; a client that has no trust yet compares the root's
fingerprint with one it got by another way.
"""

from __future__ import annotations

import mintmark
from mintmark.client.documents import Health, IssuerList, RootList, Version
from mintmark.client.ssh_documents import SignInProvider, SignInProviders
from mintmark.model.provisioner import OIDCProvisioner
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


async def list_providers(call: Call) -> Response:
    """Answer with the OpenID providers that people sign in at.

    Nothing of it is secret: the `client_secret` of a native client is in every client
    (RFC 8252 §8.5).
    """
    settings = (one.settings for one in call.authority.policy.provisioners.values())
    return json_answer(
        200,
        SignInProviders(
            providers=[
                SignInProvider(
                    name=one.name,
                    configuration_endpoint=one.configuration_endpoint,
                    client_id=one.client_id,
                    client_secret=one.client_secret,
                    scopes=list(one.scopes),
                    listen_address=one.listen_address,
                )
                for one in settings
                if isinstance(one, OIDCProvisioner)
            ]
        ),
        PUBLIC,
    )
