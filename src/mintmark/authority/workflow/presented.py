"""Client certificates that were found on record, so that the next connection need not look.

What is on record of a certificate never changes (design rule 4) and is never deleted, so it may
be remembered for as long as the process lives. What does change is not remembered: whether the
certificate is revoked or has expired is asked at every request, and who it makes the requester
holds for one policy alone. Only what was found is kept: a stranger adds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mintmark.authority.policy.approve import Policy
from mintmark.model.access import Requester

KEPT: Final = 1024


@dataclass(slots=True)
class Presented:
    """A certificate that was presented over TLS and found on record.

    Args:
        requester: who presented it, as `policy` sees it.
        not_after: of the certificate.
        policy: the rules that `requester` comes from.
    """

    requester: Requester
    not_after: int
    policy: Policy


class PresentedCertificates:
    """The certificates that were presented last, by all of their octets and the client's address.

    The address is a part of the requester: it goes to the audit log.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, str], Presented] = {}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, der: bytes, address: str) -> Presented | None:
        """Return what is known of a certificate presented from an address."""
        return self._known.get((der, address))

    def keep(self, der: bytes, address: str, presented: Presented) -> None:
        """Remember a certificate; beyond `KEPT`, the oldest one is forgotten."""
        known = self._known
        if len(known) >= KEPT:
            del known[next(iter(known))]
        known[der, address] = presented
