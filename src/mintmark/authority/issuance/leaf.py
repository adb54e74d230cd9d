"""Leaves: from an approval to a linted draft to a certificate (design rule 1)."""

from __future__ import annotations

from typing import Final

from cryptography import x509

from mintmark.authority.issuance.approval import Approval
from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.issuance.lints import lint
from mintmark.authority.signer.draft import Draft
from mintmark.model.certificate import Certificate
from mintmark.model.errors import Error, Kind
from mintmark.wire import der


class LeafDraft(Draft):
    """A leaf's TBSCertificate that passed every lint, with the approval behind it.

    Args:
        tbs: the TBSCertificate.
        approval: what it is the draft of.
        serial: its serial.
    """

    __slots__ = ("approval", "serial")

    def __init__(self, tbs: bytes, approval: Approval, serial: bytes) -> None:
        super().__init__(tbs)
        self.approval: Final = approval
        self.serial: Final = serial


def draft_leaf(approval: Approval, issuing: IssuingKey, serial: bytes) -> LeafDraft:
    """Encode the leaf and lint it.

    Args:
        approval: policy's.
        issuing: the issuer that it was approved for.
        serial: from `new_serial`.

    Raises:
        TypeError: it is not an approval.
        Error: a lint's: REJECTED_IDENTIFIER outside the issuer's name constraints,
            BAD_LIFETIME beyond the issuer's end, BAD_PROFILE for a profile that the key or
            the chain excludes; INTERNAL for a defect of ours.
    """
    if not isinstance(approval, Approval):
        raise TypeError(f"only an approval is drafted, not {type(approval).__name__}")
    template = issuing.form(approval.profile, approval.key.type).template
    tbs = template.assemble(approval, serial)
    lint(tbs, approval, issuing, serial)
    return LeafDraft(tbs, approval, serial)


def issue_leaf(draft: LeafDraft, issuing: IssuingKey) -> Certificate:
    """Sign the draft; a pure function, so that a slow signer can have a thread.

    Raises:
        TypeError: it is not a leaf's draft.
        RuntimeError: the draft was redeemed before.
        Error: INTERNAL when it was drafted for another issuer, or what was signed does not
            parse back to what was drafted.
    """
    if not isinstance(draft, LeafDraft):
        raise TypeError(f"only a leaf's draft is issued, not {type(draft).__name__}")
    approval = draft.approval
    if approval.issuer != issuing.issuer.id:
        raise Error(
            Kind.INTERNAL,
            f"a leaf drafted for issuer {approval.issuer} came to issuer {issuing.issuer.id}",
        )
    signature = issuing.signer.sign(draft)
    content = draft.tbs + issuing.signer.algorithm.identifier + der.bit_string(signature)
    header = der.header(der.SEQUENCE, len(content))
    certificate = header + content
    _parse_back(certificate, len(header), draft, signature)
    return Certificate(
        serial=draft.serial,
        issuer=approval.issuer,
        service=approval.service,
        profile=approval.profile.name,
        common_name=approval.common_name,
        identifiers=approval.identifiers,
        not_before=approval.not_before,
        not_after=approval.not_after,
        der=certificate,
        spki_sha256=approval.key.sha256,
        replaces=approval.replaces,
        metadata=approval.metadata,
    )


def _parse_back(certificate: bytes, start: int, draft: LeafDraft, signature: bytes) -> None:
    """Check that what is about to leave is, to another's eyes, what was linted and signed."""
    try:
        parsed = x509.load_der_x509_certificate(certificate)
    except ValueError as error:
        raise Error(Kind.INTERNAL, "a signed certificate cannot be parsed back") from error
    # The draft stands at its place, and the parsed serial and signature before and behind all
    # else that was signed.
    if (
        not certificate.startswith(draft.tbs, start)
        or parsed.serial_number != int.from_bytes(draft.serial, "big")
        or parsed.signature != signature
    ):
        raise Error(Kind.INTERNAL, "a signed certificate is not the one that was drafted")
