"""What is said of a certificate in a word: its kind, its status, why it was revoked.

By themselves, because the command line names them before it imports anything else.
"""

from __future__ import annotations

from enum import Enum


class Reason(Enum):
    """Why a certificate is revoked; the values are CRLReason codes (RFC 5280 §5.3.1).

    certificateHold (6) and removeFromCRL (8) are left out: revocation only grows. aACompromise
    (10) belongs to attribute certificates.
    """

    UNSPECIFIED = 0
    KEY_COMPROMISE = 1
    CA_COMPROMISE = 2
    AFFILIATION_CHANGED = 3
    SUPERSEDED = 4
    CESSATION_OF_OPERATION = 5
    PRIVILEGE_WITHDRAWN = 9

    @property
    def word(self) -> str:
        """The reason as the API and the CLI write it, as `key-compromise`."""
        return self.name.lower().replace("_", "-")


class CertificateKind(Enum):
    """What kind of certificate a row of the inventory is."""

    X509 = "x509"
    SSH_USER = "ssh-user"
    SSH_HOST = "ssh-host"


class Status(Enum):
    """What a certificate is worth now; derived, never stored."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"
