"""Renewal windows moved by an operator: how a mass replacement is driven (RFC 9773 §4.2).

A client that asks for renewal information learns that its certificate should be replaced
earlier than planned, and replaces it. The windows of a selection are spread, so that not
everybody comes at once; which part a certificate gets depends on its serial alone, so that
pages need to know nothing of each other and a repetition moves nobody's turn far.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mintmark.authority.policy.whitelist import require
from mintmark.authority.workflow.authority import Authority
from mintmark.model.access import Operation, Requester
from mintmark.model.acme import RenewalWindow
from mintmark.model.act import Act, AuditRecord
from mintmark.model.certificate import Certificate, StoredCertificate
from mintmark.model.status import CertificateKind, Status
from mintmark.store.interface import CertificateFilter

PAGE: Final = 1000  # certificates looked at in one call
_PARTS: Final = 30  # a certificate's window is so much narrower than the whole spread


@dataclass(frozen=True, slots=True)
class Selection:
    """Which certificates; every field narrows, and None does not.

    Those that are revoked, expired or replaced are never among them.

    Args:
        service: exact service id.
        profile: exact profile name.
        name: exact common name or subject alternative name, canonical.
        issuer: issuer id.
        issued_before: Unix seconds; not_before < this.
    """

    service: str | None = None
    profile: str | None = None
    name: str | None = None
    issuer: str | None = None
    issued_before: int | None = None

    def has(self, stored: StoredCertificate) -> bool:
        """Whether a certificate that the store listed is among them."""
        certificate = stored.certificate
        return (
            stored.replaced_by is None
            and self.issuer in (None, certificate.issuer)
            and (self.issued_before is None or certificate.not_before < self.issued_before)
        )


@dataclass(frozen=True, slots=True)
class Moved:
    """What one call did.

    Args:
        count: windows that were moved.
        last: the last certificate that was looked at, if there may be more behind it.
    """

    count: int
    last: StoredCertificate | None


async def move_windows(
    authority: Authority,
    requester: Requester,
    selection: Selection,
    *,
    over: int,
    explanation_url: str = "",
    reason: str = "",
    after: int | None = None,
) -> Moved:
    """Move the windows of some certificates to between now and `over` seconds later.

    At most `PAGE` certificates are looked at in one call; whoever wants them all calls again
    with the last one's sequence.

    Args:
        authority: whose certificates.
        requester: an admin.
        selection: which ones.
        over: seconds that the windows are spread over; 0 asks for renewal at once.
        explanation_url: a page for people, or empty.
        reason: for the audit log, or empty.
        after: sequence of the last certificate of the call before.

    Raises:
        Error: FORBIDDEN for anyone but an admin.
    """
    require(requester.is_admin, requester.service, Operation.ADMIN)
    now = int(authority.clock())
    matching = CertificateFilter(
        now=now,
        service=selection.service,
        profile=selection.profile,
        name=selection.name,
        status=Status.ACTIVE,
        kind=CertificateKind.X509,
    )
    found = await authority.store.certificates(matching, after=after, limit=PAGE)
    chosen = [one.certificate for one in found if selection.has(one)]
    if chosen:
        audit = _record(requester, chosen, authority.clock(), over, explanation_url, reason)
        # What is asked of clients is on record before they are asked (design rule 8).
        await authority.store.commit(Act(audit=audit))
        windows = [window(one, now, over, explanation_url) for one in chosen]
        await authority.store.set_renewal_windows(windows)
    return Moved(len(chosen), found[-1] if len(found) == PAGE else None)


def window(certificate: Certificate, now: int, over: int, explanation_url: str) -> RenewalWindow:
    """Return a certificate's part of the spread, never behind two thirds of its life.

    Two thirds is when it would be renewed anyway: nobody is asked to wait.
    """
    lifetime = certificate.not_after - certificate.not_before
    latest = certificate.not_before + lifetime * 2 // 3
    spread = max(min(over, latest - now), 0)
    width = max(spread // _PARTS, 1)
    places = max(spread - width, 0) + 1
    start = now + int.from_bytes(certificate.serial[-4:]) % places
    return RenewalWindow(certificate.serial, start, start + width, explanation_url)


def _record(
    requester: Requester,
    chosen: Iterable[Certificate],
    now: float,
    over: int,
    explanation_url: str,
    reason: str,
) -> AuditRecord:
    serials = [certificate.serial for certificate in chosen]
    details = {
        "count": len(serials),
        "newest": serials[0].hex(),
        "oldest": serials[-1].hex(),
        "over": over,
        **({"explanation_url": explanation_url} if explanation_url else {}),
        **({"reason": reason} if reason else {}),
    }
    return AuditRecord(
        "acme.renewal-window.move",
        now,
        requester.service,
        address=requester.address,
        details=details,
    )
