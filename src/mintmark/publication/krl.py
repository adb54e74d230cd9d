"""The KRL: one list of revoked SSH certificates and banned keys, for users and hosts together.

sshd reads it as `RevokedKeys` and verifies no signature of it (OpenSSH dropped KRL signatures),
so that it is as true as the way it came: from this authority over HTTPS. It carries no end;
one is published when there is news, and the first one, empty perhaps, as soon as there is an
SSH CA: without its file sshd lets nobody in.
"""

from __future__ import annotations

import asyncio
import logging
from itertools import groupby
from operator import itemgetter

from mintmark.authority.workflow.authority import Authority
from mintmark.model.ssh import BanKind, StoredKRL
from mintmark.wire.ssh import krl

log = logging.getLogger(__name__)


async def publish_krl(authority: Authority, latest: StoredKRL | None, now: int) -> StoredKRL | None:
    """Build and publish the next KRL.

    Args:
        authority: whose revocations and bans it lists.
        latest: the newest one published, None for the first.
        now: Unix seconds.

    Returns:
        What was published; None when another process published that number first, or when
        there never was an SSH CA.
    """
    store = authority.store
    keys = {id_: blob for id_, _, blob in await store.ssh_authorities()}
    if not keys:
        return None
    bans = await store.bans()
    key_ids = [one.value.decode() for one in bans if one.kind is BanKind.KEY_ID]
    key_sha256s = [one.value for one in bans if one.kind is BanKind.KEY]
    # Of the time, so that it rises after a restore from a backup too, which knows nothing of
    # what was published since (design rule 4).
    number = max(now, latest.number + 1 if latest else 1)
    # An entry stays until one KRL after the certificate's end, as on CRLs.
    not_after_from = min(latest.generated_at, now) if latest else 0

    def build() -> StoredKRL:
        revoked = groupby(store.krl_serials(not_after_from), itemgetter(0))
        serials = [(keys[id_], [serial for _, serial in some]) for id_, some in revoked]
        octets = krl.encode(number, now, serials, key_ids, key_sha256s, "mintmark")
        entries = sum(len(some) for _, some in serials) + len(bans)
        return StoredKRL(number, now, entries, octets)

    built = await asyncio.to_thread(build)
    if not await store.add_krl(built):
        return None
    log.info("KRL %d published: %d entries", number, built.entries)
    return built
