"""Signed tokens: a JWT becomes a requester, for one act and once (design rule 9).

Which provisioner a token means is read from it untrusted; everything after that is verified
with keys that the provisioner says, never with what the token says of itself.
"""

from mintmark.authority.workflow.tokens.purpose import Purpose, Verified
from mintmark.authority.workflow.tokens.requester import for_identity, requester_from_jwt

__all__ = ["Purpose", "Verified", "for_identity", "requester_from_jwt"]
