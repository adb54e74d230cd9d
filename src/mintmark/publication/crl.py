"""CRLs: one full list per issuer, published as a row that is there or not.

Due when a revocation happened (the publisher's turn comes within a second, the promise is 60 s)
and before half of the last one's life is over. Numbers only rise (design rule 4).
"""

from __future__ import annotations

import asyncio
import logging
from itertools import islice
from typing import Final

from cryptography import x509

from mintmark.authority.issuance.crl import CRLContent, issue_crl
from mintmark.authority.issuance.issuing import IssuingKey
from mintmark.authority.workflow.authority import Authority
from mintmark.model.errors import Error, Kind
from mintmark.model.issuer import Issuer
from mintmark.store.interface import StoredCRL

log = logging.getLogger(__name__)

_JOINED: Final = 10_000

MAX_NUMBER: Final = 2**63 - 1  # as databases have it; RFC 5280 §5.2.3 knows larger ones


async def publish_if_due(authority: Authority, lifetime: int, *, changed: bool) -> bool:
    """Publish the active issuer's CRL if it is due; return whether one was published."""
    issuing = authority.issuing
    latest = await authority.store.latest_crl(issuing.issuer.id)
    now = int(authority.clock())
    if latest and not changed and not is_due(latest, now):
        return False
    return await publish(authority, issuing, latest, now, lifetime)


async def publish(
    authority: Authority, issuing: IssuingKey, latest: StoredCRL | None, now: int, lifetime: int
) -> bool:
    """Sign and publish the next CRL; False when another process published that number first.

    A million entries take most of a second, so that the work is done in a thread.
    """
    number = latest.number + 1 if latest else 1
    # In the past by as much as leaves are, for relying parties whose clock is late; and after
    # our own clock was put back, back with it: nobody takes a CRL from the future.
    this_update = now - authority.policy.backdate
    next_update = now + lifetime
    # RFC 5280 §3.3: an entry stays until one CRL after the certificate's end.
    not_after_from = min(latest.this_update, this_update) if latest else 0
    content = CRLContent(number, this_update, next_update, number - 1)

    def build() -> tuple[bytes, int]:
        entries = authority.store.crl_entries(issuing.issuer.id, not_after_from)
        # Joined by the thousand: a million single entries are twice their size in memory.
        count, joined = 0, []
        while some := list(islice(entries, _JOINED)):
            count += len(some)
            joined.append(b"".join(some))
        octets = b"".join(joined)
        joined.clear()
        return issue_crl(issuing, content, octets), count

    der, count = await asyncio.to_thread(build)
    crl = StoredCRL(issuing.issuer.id, number, this_update, next_update, count, der)
    published = await authority.store.add_crl(crl)
    if published:
        log.info("CRL %d of issuer %s published: %d entries", number, issuing.issuer.id, count)
    return published


async def adopt(authority: Authority, issuer: Issuer, der: bytes) -> bool:
    """Publish a CRL that an issuer signed elsewhere: the root's, from its ceremony.

    Returns:
        Whether it is newer than what was published.

    Raises:
        Error: CONFIGURATION when it is no CRL of this issuer, or has no number.
    """
    try:
        crl = x509.load_der_x509_crl(der)
        certificate = x509.load_der_x509_certificate(issuer.der)
        is_signed = crl.is_signature_valid(certificate.public_key())  # type: ignore[arg-type]  # any kind of key may be asked
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except (ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise _not_adopted(issuer, f"it cannot be read as one with a number: {error}") from error
    if not is_signed or crl.issuer != certificate.subject:
        raise _not_adopted(issuer, "another issuer signed it")
    if number > MAX_NUMBER:
        raise _not_adopted(issuer, f"its number is above {MAX_NUMBER}, the largest that is stored")
    if crl.next_update_utc is None:
        raise _not_adopted(issuer, "it has no nextUpdate (RFC 5280 §5.1.2.5)")
    latest = await authority.store.latest_crl(issuer.id)
    if latest and latest.number >= number:
        return False
    this_update = int(crl.last_update_utc.timestamp())
    next_update = int(crl.next_update_utc.timestamp())
    return await authority.store.add_crl(
        StoredCRL(issuer.id, number, this_update, next_update, len(crl), der)
    )


def _not_adopted(issuer: Issuer, reason: str) -> Error:
    return Error(
        Kind.CONFIGURATION,
        f"this CRL is not published for issuer {issuer.name!r}: {reason}",
        hint="sign one with the issuer's key; openssl ca -gencrl writes a number",
    )


def is_due(crl: StoredCRL, now: int) -> bool:
    """Whether half of a CRL's life is over, or the clock jumped back to before its beginning."""
    half = crl.this_update + (crl.next_update - crl.this_update) // 2
    return not crl.this_update <= now < half
