"""Record: reads that leave a trace, such as a download."""

from __future__ import annotations

from typing import Any

from mintmark.authority.workflow.authority import Authority
from mintmark.model.access import Requester
from mintmark.model.act import Act, AuditRecord


async def record(
    authority: Authority,
    requester: Requester,
    action: str,
    *,
    certificate: bytes | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Write one audit record; the read goes on only when it is durable (design rule 8)."""
    await authority.store.commit(
        Act(
            audit=AuditRecord(
                action,
                authority.clock(),
                requester.service,
                certificate,
                requester.address,
                details or {},
            )
        )
    )
