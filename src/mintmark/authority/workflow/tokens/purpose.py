"""What a signed token is for, and what is known once it is verified."""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct

from mintmark.authority.policy.provisioners import Provisioner
from mintmark.model.access import Requester
from mintmark.model.certificate import StoredCertificate


class Purpose(Enum):
    """The one act that a token is presented for; the values end its audience's path."""

    SIGN = "sign"
    RENEW = "renew"
    REVOKE = "revoke"
    SSH_SIGN = "ssh/sign"
    SSH_RENEW = "ssh/renew"
    SSH_REKEY = "ssh/rekey"
    SSH_REVOKE = "ssh/revoke"

    __hash__ = object.__hash__  # one object a member; Enum would hash its name anew each time

    @property
    def methods(self) -> frozenset[str]:
        """What an audience may end with; clients ask for either `sign` with the same token."""
        return _SIGNING if self.value in _SIGNING else frozenset({self.value})

    @property
    def is_revocation(self) -> bool:
        """Whether it asks for the revocation of one."""
        return self in _REVOKING


VOUCHED = frozenset({Purpose.SIGN, Purpose.SSH_SIGN, Purpose.REVOKE, Purpose.SSH_REVOKE})
"""What a provisioner vouches for by a key of its own; certificates renew themselves."""
_SIGNING = frozenset({Purpose.SIGN.value, Purpose.SSH_SIGN.value})
_REVOKING = frozenset({Purpose.REVOKE, Purpose.SSH_REVOKE})


class Verified(Struct, frozen=True, gc=False):
    """A token whose signature, times, audience and issuer are good, and that is not used up.

    Args:
        requester: who asks, with all that the token vouches for; it carries the burn.
        subject: `sub`: a name, a key id, or the serial of what is to be revoked.
        claims: every claim of the token, for what only one protocol knows (`step`, `user`).
        provisioner: who vouches for the requester; None when a certificate speaks for itself
            that no provisioner of now has issued.
        stored: the certificate that the token was signed with (SSHPOP, renewal tokens), or
            the one that it revokes; None for all others.
    """

    requester: Requester
    subject: str
    claims: dict[str, Any]
    provisioner: Provisioner | None
    stored: StoredCertificate | None = None

    def __repr__(self) -> str:
        """Show no claims: they may be anybody's words, and personal."""
        return f"Verified(requester={self.requester!r}, subject={self.subject!r})"
