"""Drafts: the only thing a signer signs, and only once.

Design rule 1. Only `authority.issuance` makes drafts, and only after linting what it is about
to sign; import-linter and a test hold that. A draft knows no key: whoever holds it cannot sign.
"""

from __future__ import annotations


class Draft:
    """Octets that are fit to be signed: a TBSCertificate, TBSCertList or ResponseData.

    Args:
        tbs: the DER to be signed.
    """

    __slots__ = ("_redeemed", "tbs")

    def __init__(self, tbs: bytes) -> None:
        self.tbs = tbs
        self._redeemed = False

    def redeem(self) -> bytes:
        """Hand out the octets, once.

        Raises:
            RuntimeError: it was redeemed before: a defect of the caller.
        """
        if self._redeemed:
            raise RuntimeError("a draft is redeemed once")
        self._redeemed = True
        return self.tbs
