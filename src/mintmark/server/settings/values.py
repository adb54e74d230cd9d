"""Kinds of value that several sections of the configuration have."""

from __future__ import annotations

import re
from typing import Annotated, Final

from msgspec import Meta

from mintmark.model.time import MINUTE, YEAR
from mintmark.server.sections import span

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1, le=10_000_000)]
Rate = Annotated[int, Meta(ge=0, le=10_000_000)]
Lifetime = Annotated[int, span(MINUTE, 10 * YEAR)]
Line = Annotated[str, Meta(min_length=1, max_length=2000)]
Texts = Annotated[tuple[str, ...], Meta(max_length=1000)]
Some = Annotated[tuple[str, ...], Meta(min_length=1, max_length=100)]
ProvisionerName = Annotated[str, Meta(min_length=1, max_length=48)]

# Names of profiles and of ACME provisioners, which stand in URLs.
NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
# Names of other provisioners: those that step-ca's clients have in their scripts.
PROVISIONER_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]*[A-Za-z0-9])?", re.ASCII)
