"""CRLs: one full list per issuer, published as a row that is there or not.

Due when a revocation happened (the publisher's turn comes within a second, the promise is 60 s)
and before half of the last one's life is over. Numbers only rise (design rule 4).
"""

from __future__ import annotations

import asyncio
import logging

from mintmark.authority.issuance.crl import CRLContent, issue_crl
from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.workflow.authority import Authority
from mintmark.store.interface import StoredCRL

log = logging.getLogger(__name__)


async def publish_if_due(authority: Authority, lifetime: int, *, changed: bool) -> bool:
    """Publish the active issuer's CRL if it is due; return whether one was published."""
    issuing = authority.issuing
    latest = await authority.store.latest_crl(issuing.issuer.id)
    now = int(authority.clock())
    if latest and not changed and not _half_spent(latest, now):
        return False
    return await publish(authority, issuing, latest, now, lifetime)


async def publish(
    authority: Authority, issuing: IssuingKey, latest: StoredCRL | None, now: int, lifetime: int
) -> bool:
    """Sign and publish the next CRL; False when another process published that number first.

    A million entries take most of a second, so that the work is done in a thread.
    """
    number = latest.number + 1 if latest else 1
    # A clock that jumped back must not let this_update go back (RFC 5280 §5.1.2.4).
    this_update = max(now, latest.this_update if latest else 0)
    # RFC 5280 §3.3: an entry stays until one CRL after the certificate's end.
    not_after_from = latest.this_update if latest else 0
    content = CRLContent(number, this_update, this_update + lifetime, number - 1)

    def build() -> tuple[bytes, int]:
        entries = list(authority.store.crl_entries(issuing.issuer.id, not_after_from))
        return issue_crl(issuing, content, b"".join(entries)), len(entries)

    der, count = await asyncio.to_thread(build)
    crl = StoredCRL(
        issuing.issuer.id, number, this_update, this_update + lifetime, count, der
    )
    published = await authority.store.add_crl(crl)
    if published:
        log.info("CRL %d of issuer %s published: %d entries", number, issuing.issuer.id, count)
    return published


def _half_spent(crl: StoredCRL, now: int) -> bool:
    return now >= crl.this_update + (crl.next_update - crl.this_update) // 2
