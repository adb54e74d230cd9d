"""A small authority on a store: for worlds that drive one server of it in process."""

from __future__ import annotations

from typing import Any

from mintmark.authority.policy.approve import Policy
from mintmark.authority.policy.limits import Limits
from mintmark.authority.policy.whitelist import Whitelist
from mintmark.authority.workflow.authority import Authority
from mintmark.model.act import Act, AuditRecord
from mintmark.model.profile import BUILT_IN
from tests import pki


def small(store, clock, run, hierarchy, provisioners, *, seed, per_hour, **more: Any) -> Authority:
    """Return an authority without whitelist, whose issuer is on record.

    Args:
        store: where it remembers.
        clock: Unix seconds.
        run: runs a coroutine to its end.
        hierarchy: from `pki.pki`.
        provisioners: that vouch for its requesters.
        seed: of its randomness.
        per_hour: certificates of one service.
        more: further arguments of `Authority`.
    """
    issuer = hierarchy.issuer
    run(store.add_issuer(issuer, Act(AuditRecord("issuer.add", clock(), "ca"))))
    profiles = {profile.name: profile for profile in BUILT_IN}
    return Authority(
        store=store,
        issuing=hierarchy.issuing,
        issuers=(issuer,),
        policy=Policy.of(profiles, Whitelist(), (issuer,), 60, provisioners),
        limits=Limits(per_hour, None),
        clock=clock,
        entropy=pki.Entropy(seed),
        secret=bytes(range(32)),
        **more,
    )
