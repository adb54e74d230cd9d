"""What only an admin does: enrolment tokens and reading the audit log."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from mintmark.authority.workflow.enroll import create_token
from mintmark.client.documents import (
    AuditEntry,
    AuditPage,
    Name,
    TokenDocument,
    TokenRequest,
)
from mintmark.model.time import parse_duration, timestamp
from mintmark.protocol.rest.presentation import json_answer
from mintmark.protocol.rest.routes import Call
from mintmark.wire.http import Response
from mintmark.wire.identifiers import parse_all

MAX_PAGE = 1000
_Word = Annotated[str, Meta(max_length=128, pattern=r"^[\x21-\x7e]*(?![\s\S])")]


class AuditQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which audit records to list.

    Args:
        service: who did it.
        action: as `certificate.request`.
        cursor: `next_cursor` of the page before.
        limit: records a page.
    """

    service: _Word | None = None
    action: _Word | None = None
    cursor: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = 100


async def list_audit(call: Call) -> Response:
    """Answer with one page of the audit log, newest first."""
    query: AuditQuery = call.query
    records, cursor = await call.authority.store.audit(
        before=query.cursor, limit=query.limit, service=query.service, action=query.action
    )
    return json_answer(
        200,
        AuditPage(
            records=[
                AuditEntry(id=record.id, record=msgspec.Raw(record.leaf)) for record in records
            ],
            next_cursor=cursor,
        ),
    )


async def make_token(call: Call) -> Response:
    """Make a one-time enrolment token."""
    wish: TokenRequest = call.body
    identifiers = parse_all(wish.names)
    lifetime = parse_duration(wish.lifetime)
    expires_at = int(call.authority.clock()) + lifetime
    token = await create_token(
        call.authority,
        call.requester,
        service=wish.service_name,
        identifiers=identifiers,
        profiles=() if wish.profile is None else (wish.profile,),
        lifetime=lifetime,
        principals=tuple(wish.principals),
    )
    return json_answer(
        201,
        TokenDocument(
            token=token,
            service_name=wish.service_name,
            names=[Name(name.type.value, name.value) for name in identifiers],
            profile=wish.profile,
            expires_at=timestamp(expires_at),
        ),
    )
