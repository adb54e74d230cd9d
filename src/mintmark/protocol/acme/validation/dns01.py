"""dns-01: a TXT record with the digest of the key authorization (RFC 8555 §8.4)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from mintmark.protocol.acme.validation.outcome import Attempt, ChallengeError, Validated, shown
from mintmark.protocol.acme.validation.resolver import Resolver

LABEL: Final = "_acme-challenge"
_SHOWN: Final = 3  # records that a sentence repeats; the DNS is public


async def validate(attempt: Attempt, resolver: Resolver) -> Validated:
    """Look for the digest at `_acme-challenge`, also of a wildcard's base.

    Raises:
        ChallengeError: it is not there.
    """
    return await find_digest(f"{LABEL}.{attempt.identifier}", attempt, resolver)


async def find_digest(name: str, attempt: Attempt, resolver: Resolver) -> Validated:
    """Look for the key authorization's digest among the TXT records of a name.

    Raises:
        ChallengeError: dns, or incorrectResponse when other records or none are there.
    """
    attempt.at("dns", f"looking up TXT of '{name}'")
    expected = base64.urlsafe_b64encode(
        hashlib.sha256(attempt.key_authorization.encode("ascii")).digest()
    ).rstrip(b"=")
    records = await resolver.texts(name)
    if any(hmac.compare_digest(record, expected) for record in records):
        return Validated(f"TXT of '{name}'")
    raise ChallengeError(
        "incorrectResponse",
        f"TXT of '{name}' has {told(records)}; expected '{expected.decode()}': wait until the "
        "record is on all name servers, then try again",
    )


def told(records: list[bytes]) -> str:
    """Say which records there are."""
    if not records:
        return "no record"
    quoted = [shown(record.decode("ascii", "backslashreplace"), 100) for record in records[:_SHOWN]]
    more = f" and {len(records) - _SHOWN} more" if len(records) > _SHOWN else ""
    return f"{', '.join(quoted)}{more}"
