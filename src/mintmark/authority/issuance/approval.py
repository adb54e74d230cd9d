"""Approvals: proof that policy said yes, and to what exactly.

Design rule 1: only `authority.policy` makes an `Approval`, and nothing changes after it. The
constructor asks for a seal that only policy imports; a test holds that.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import force_setattr

from mintmark.model.identifiers import Identifier
from mintmark.model.profile import Profile
from mintmark.model.request import SubjectKey
from mintmark.model.ssh import SSHProfile, SSHPublicKey

SEAL: Final = object()


class Approval(Struct, frozen=True, gc=False):
    """One certificate that may be issued, down to its last name and second.

    Args:
        service: whose certificate it will be.
        profile: the shape it takes.
        common_name: subject common name, empty for none.
        identifiers: subject alternative names, in the order in which they are encoded.
        key: the subject's key.
        not_before: Unix seconds, inclusive.
        not_after: Unix seconds, inclusive.
        issuer: id of the issuer that it was approved for.
        replaces: serial of the certificate this renews or rekeys, or None.
        metadata: short texts by key, or None.
        seal: policy's seal; it is not kept.
        vouched: whether a credential vouched for the common name, so that it need not be
            among the names.

    Raises:
        TypeError: the seal is not policy's.
    """

    service: str
    profile: Profile
    common_name: str
    identifiers: tuple[Identifier, ...]
    key: SubjectKey
    not_before: int
    not_after: int
    issuer: str
    replaces: bytes | None
    metadata: dict[str, str] | None
    seal: object
    vouched: bool = False

    def __post_init__(self) -> None:
        _break_seal(self)


class SSHApproval(Struct, frozen=True, gc=False):
    """One SSH certificate that may be issued, down to its last principal and second.

    Args:
        service: whose certificate it will be.
        profile: type, extensions and critical options.
        key: the subject's key.
        key_id: what sshd will log.
        principals: in the order in which they are encoded; never empty.
        valid_after: Unix seconds, inclusive.
        valid_before: Unix seconds, exclusive.
        authority: id of the SSH authority that it was approved for.
        replaces: serial of the certificate this renews or rekeys, or None.
        metadata: short texts by key, or None.
        seal: policy's seal; it is not kept.

    Raises:
        TypeError: the seal is not policy's.
    """

    service: str
    profile: SSHProfile
    key: SSHPublicKey
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    authority: str
    replaces: bytes | None
    metadata: dict[str, str] | None
    seal: object

    def __post_init__(self) -> None:
        _break_seal(self)


def _break_seal(approval: Approval | SSHApproval) -> None:
    """Check the seal and let go of it, so that nobody takes it from one approval to the next."""
    if approval.seal is not SEAL:
        raise TypeError("only policy approves")
    force_setattr(approval, "seal", None)
