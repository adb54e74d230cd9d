"""Record: reads that leave a trace, such as a download."""

from __future__ import annotations

from typing import Any, Final

from mintmark.authority.workflow.authority import Authority
from mintmark.model.access import Requester
from mintmark.model.act import Act, AuditRecord, RateClaim

READS_PER_HOUR: Final = 10_000  # of one service


async def record(
    authority: Authority,
    requester: Requester,
    action: str,
    *,
    certificate: bytes | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Write one audit record; the read goes on only when it is durable (design rule 8).

    Records stay for ever, so that a service cannot have them written without end.

    Raises:
        Error: RATE_LIMITED, for anyone but an admin.
    """
    claim = RateClaim(f"reads:{requester.service}", READS_PER_HOUR)
    await authority.store.commit(
        Act(
            audit=AuditRecord(
                action,
                authority.clock(),
                requester.service,
                certificate,
                requester.address,
                details or {},
            ),
            rates=() if requester.is_admin else (claim,),
        )
    )
