"""SSH certificates: from an approval to a linted draft to a certificate (design rules 1 and 7).

The signer knows nothing of SSH: it signs a draft's octets, and `wire.ssh` puts what it returns
into SSH's form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mintmark.authority.issuance.approval import SSHApproval
from mintmark.authority.issuance.ssh_keys import SSHIssuingKey
from mintmark.authority.issuance.ssh_lints import MAX_SERIAL, NONCE_OCTETS, lint
from mintmark.authority.signer.draft import Draft
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHCertificate
from mintmark.wire.ssh import certificate as wire

SERIAL_OCTETS: Final = 8


class SSHDraft(Draft):
    """An SSH certificate up to its signature that passed every lint.

    Args:
        tbs: what is to be signed.
        approval: what it is the draft of.
        fields: what it says.

    Attributes:
        linted: the octets that passed, whatever becomes of `tbs`.
    """

    __slots__ = ("approval", "fields", "linted")

    def __init__(self, tbs: bytes, approval: SSHApproval, fields: wire.Fields) -> None:
        super().__init__(tbs)
        self.approval: Final = approval
        self.fields: Final = fields
        self.linted: Final = tbs


def new_ssh_serial(entropy: Callable[[int], bytes]) -> int:
    """Return a fresh serial: 63 random bits, never 0, which means "not set"."""
    return int.from_bytes(entropy(SERIAL_OCTETS)) & MAX_SERIAL or 1


def new_nonce(entropy: Callable[[int], bytes]) -> bytes:
    """Return random octets in front of everything that a requester can choose."""
    return entropy(NONCE_OCTETS)


def draft_ssh(approval: SSHApproval, key: SSHIssuingKey, serial: int, nonce: bytes) -> SSHDraft:
    """Encode the certificate and lint it.

    Args:
        approval: policy's.
        key: the CA key that it was approved for.
        serial: from `new_ssh_serial`.
        nonce: from `new_nonce`.

    Raises:
        TypeError: it is not an approval.
        Error: a lint's: REJECTED_IDENTIFIER, BAD_LIFETIME, BAD_PROFILE; MALFORMED for what no
            certificate can carry; INTERNAL for a defect of ours.
    """
    if not isinstance(approval, SSHApproval):
        raise TypeError(f"only an SSH approval is drafted, not {type(approval).__name__}")
    profile = approval.profile
    fields = wire.Fields(
        type=profile.type,
        key=approval.key,
        serial=serial,
        key_id=approval.key_id,
        principals=approval.principals,
        valid_after=approval.valid_after,
        valid_before=approval.valid_before,
        critical_options=profile.critical_options,
        extensions=profile.extensions,
        authority=key.authority.key,
        nonce=nonce,
    )
    tbs = wire.encode_tbs(fields)
    lint(tbs, fields, approval, key.authority)
    return SSHDraft(tbs, approval, fields)


def issue_ssh(draft: SSHDraft, key: SSHIssuingKey) -> SSHCertificate:
    """Sign the draft; a pure function, so that a slow signer can have a thread.

    Raises:
        TypeError: it is not an SSH draft.
        RuntimeError: the draft was redeemed before.
        Error: INTERNAL when it was drafted for another CA key, or what was signed does not
            parse back to what was drafted.
    """
    if not isinstance(draft, SSHDraft):
        raise TypeError(f"only an SSH draft is issued, not {type(draft).__name__}")
    approval, fields, authority = draft.approval, draft.fields, key.authority
    if approval.authority != authority.id:
        raise Error(
            Kind.INTERNAL,
            f"an SSH certificate drafted for CA {approval.authority} came to {authority.id}",
        )
    blob = wire.encode(draft.tbs, authority.key.blob, key.signer.sign(draft))
    _parse_back(blob, draft)
    return SSHCertificate(
        serial=fields.serial.to_bytes(SERIAL_OCTETS),
        issuer=approval.authority,
        service=approval.service,
        profile=approval.profile.name,
        common_name=approval.key_id,
        identifiers=(),
        not_before=approval.valid_after,
        not_after=approval.valid_before - 1,
        der=blob,
        spki_sha256=approval.key.spki_sha256,
        replaces=approval.replaces,
        metadata=approval.metadata,
        type=approval.profile.type,
        principals=approval.principals,
        key_sha256=approval.key.sha256,
    )


def _parse_back(blob: bytes, draft: SSHDraft) -> None:
    """Check that what is about to leave can be read, and is what was linted.

    The linted octets were read back and every field compared before they were signed: the same
    octets say the same, and behind them may stand a signature and nothing else. The signer
    answers for it, as it does in X.509.
    """
    if not blob.startswith(draft.linted):
        raise Error(Kind.INTERNAL, "a signed SSH certificate is not the one that was drafted")
    try:
        wire.signature_at(blob, len(draft.linted))
    except Error as error:
        raise Error(
            Kind.INTERNAL, f"a signed SSH certificate is not good: {error.detail}"
        ) from error
