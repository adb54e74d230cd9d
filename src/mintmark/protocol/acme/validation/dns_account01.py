"""dns-account-01: dns-01 under a label of the account's own, so that several can have one each.

draft-ietf-acme-dns-account-label-02 §3.2: the label is `_`, the lower case base32 of the first
ten octets of the SHA-256 of the account's URL.
"""

from __future__ import annotations

import base64
import hashlib

from mintmark.protocol.acme.validation import dns01
from mintmark.protocol.acme.validation.outcome import Attempt, Validated
from mintmark.protocol.acme.validation.resolver import Resolver


async def validate(attempt: Attempt, resolver: Resolver) -> Validated:
    """Look for the digest at the account's own name.

    Raises:
        ChallengeError: it is not there.
    """
    name = f"{account_label(attempt.account_url)}.{dns01.LABEL}.{attempt.identifier}"
    return await dns01.find_digest(name, attempt, resolver)


def account_label(account_url: str) -> str:
    """Return the label of an account, `_` included."""
    digest = hashlib.sha256(account_url.encode("utf-8")).digest()[:10]
    return f"_{base64.b32encode(digest).decode('ascii').lower()}"
