"""`mintmark revoke`: for good, and seen at once."""

from __future__ import annotations

from typing import cast

import msgspec

from mintmark.cli.options import Place, print_json
from mintmark.cli.output import say
from mintmark.cli.reach import reach
from mintmark.cli.target import find_target
from mintmark.client.documents import ReasonWord


def revoke(place: Place, target: str, reason: str) -> None:
    """Revoke a certificate."""
    found = find_target(target)
    with reach(place, own=found.directory) as api:
        revocation = api.revoke(found.id, cast("ReasonWord", reason))
    if place.as_json:
        print_json(msgspec.to_builtins(revocation))
        return
    say(f"revoked {revocation.certificate_id} ({revocation.revocation_reason})")
    if place.offline:
        say("OCSP and CRL say so as soon as the server runs")
    else:
        say("OCSP says so now, the CRL within 60 seconds")
