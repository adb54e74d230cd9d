"""The configuration that is in force, on record (design rule 8).

What a file lets people have is as much an act as what an admin does by the API: each process
writes down what it took up, when it starts and whenever it reads the file again.
"""

from __future__ import annotations

import hashlib
import socket
from typing import Any

import msgspec

from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.provisioners import told
from mintmark.model.act import Act, AuditRecord
from mintmark.server.own import LOCAL_ADMIN
from mintmark.server.settings import Settings


async def record_configuration(authority: Authority, settings: Settings) -> None:
    """Write the audit record of a configuration, before it is in force.

    It says what provisioners allow; changes of stored ones have records of their own.

    Args:
        authority: whose log it is.
        settings: what is taken up.

    Raises:
        Error: UNAVAILABLE; it must not be in force then.
    """
    provisioners = {
        one.name: {"type": one.type, **told(one.provisioner())} for one in settings.provisioners
    }
    details: dict[str, Any] = {
        "host": socket.gethostname(),
        "sha256": digest(settings),
        "provisioners": provisioners,
    }
    record = AuditRecord(
        "configuration.load", authority.clock(), LOCAL_ADMIN.service, details=details
    )
    await authority.store.commit(Act(record))


def digest(settings: Settings) -> str:
    """Return the SHA-256 of a configuration in hex: the same for files that mean the same."""
    return hashlib.sha256(msgspec.json.encode(settings, order="deterministic")).hexdigest()
