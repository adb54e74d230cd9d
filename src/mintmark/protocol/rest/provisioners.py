"""Provisioners over the API: listed, added, replaced, rotated and removed by admins.

The document of a provisioner is an entry of the configuration. Its form is not known here: the
codec that the composition root hands in reads, checks and writes it.
"""

from __future__ import annotations

from typing import Any

from mintmark.authority.workflow import provisioners as workflow
from mintmark.authority.workflow.provisioners import Listed
from mintmark.client.provisioner_documents import (
    NewProvisioner,
    ProvisionerDocument,
    ProvisionerList,
    ProvisionerRemoval,
    ProvisionerReplacement,
    ProvisionerRotation,
)
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import AnyProvisioner, JWKProvisioner
from mintmark.model.time import timestamp
from mintmark.protocol.rest.presentation import json_answer
from mintmark.protocol.rest.routes import Call
from mintmark.wire.http import Response


async def list_all(call: Call) -> Response:
    """Answer with all provisioners."""
    found = await workflow.listed(call.authority)
    return json_answer(200, ProvisionerList(provisioners=[_document(call, one) for one in found]))


async def show(call: Call) -> Response:
    """Answer with one provisioner."""
    return _answer(call, await workflow.find(call.authority, _name(call)))


async def add(call: Call) -> Response:
    """Store a new provisioner."""
    wish: NewProvisioner = call.body
    provisioner = call.codec.parse(wish.provisioner, call.authority.policy)
    added = await workflow.add(call.authority, call.requester, provisioner)
    return json_answer(201, _document(call, added))


async def replace(call: Call) -> Response:
    """Put another provisioner in the place of a stored one."""
    wish: ProvisionerReplacement = call.body
    provisioner = _parse(call, {"name": _name(call), **wish.provisioner})
    changed = await workflow.change(
        call.authority, call.requester, provisioner, version=wish.version
    )
    return _answer(call, changed)


async def rotate(call: Call) -> Response:
    """Give a JWK provisioner another key pair."""
    wish: ProvisionerRotation = call.body
    found = await workflow.find(call.authority, _name(call))
    if not isinstance(found.settings, JWKProvisioner):
        raise Error(
            Kind.CONFLICT,
            f"provisioner '{found.name}' is of type '{found.type}', which has no key",
            hint="only those of type 'jwk' are rotated",
        )
    pair = {"key": wish.key, "encrypted_key": wish.encrypted_key}
    provisioner = _parse(call, call.codec.render(found.settings) | pair)
    assert isinstance(provisioner, JWKProvisioner)  # noqa: S101 - as it was rendered
    rotated = await workflow.rotate(
        call.authority, call.requester, provisioner, version=wish.version
    )
    return _answer(call, rotated)


async def remove(call: Call) -> Response:
    """Remove a stored provisioner; the answer says what it was."""
    wish: ProvisionerRemoval = call.body
    removed = await workflow.remove(
        call.authority, call.requester, _name(call), version=wish.version
    )
    return _answer(call, removed)


def _parse(call: Call, document: dict[str, Any]) -> AnyProvisioner:
    """Return the provisioner of a document, which has the name of the path.

    Raises:
        Error: MALFORMED.
    """
    provisioner = call.codec.parse(document, call.authority.policy)
    if provisioner.name != _name(call):
        raise Error(
            Kind.MALFORMED,
            f"'provisioner.name' is '{provisioner.name}', the path says '{_name(call)[:64]}'",
            hint="names stay: remove the one and add the other",
        )
    return provisioner


def _name(call: Call) -> str:
    return call.arguments["provisioner"]


def _answer(call: Call, listed: Listed) -> Response:
    return json_answer(200, _document(call, listed))


def _document(call: Call, listed: Listed) -> ProvisionerDocument:
    return ProvisionerDocument(
        name=listed.name,
        type=listed.type,
        origin=listed.origin.value,
        version=listed.version,
        updated_at=None if listed.updated_at is None else timestamp(listed.updated_at),
        problem=listed.problem,
        provisioner=None if listed.settings is None else call.codec.render(listed.settings),
    )
