"""What one process knows of stored provisioners, which are in force beside the configured ones."""

from __future__ import annotations

from dataclasses import dataclass, field

from mintmark.authority.policy.approve import Policy
from mintmark.model.provisioner import StoredProvisioner


@dataclass(slots=True)
class Provisioned:
    """What one process knows of stored provisioners.

    Args:
        version: the store's `provisioners_version` of `rows`; below 0 before the first look.
        rows: those that are there, by name.
        changes: how often this process changed `rows` itself.
        configured: the policy as the configuration says it; None before the first look.
        merged: `configured` with `rows`; the authority's policy is this one unless the
            configuration was read again.
        problems: why a stored provisioner is not in force, by name.
    """

    version: int = -1
    rows: tuple[StoredProvisioner, ...] = ()
    changes: int = 0
    configured: Policy | None = None
    merged: Policy | None = None
    problems: dict[str, str] = field(default_factory=dict)
