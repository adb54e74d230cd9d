"""The OCSP responder: what a certificate is worth, signed, at this moment.

Every answer starts from the store, so that a revocation shows as soon as it is durable, in all
processes; a signed response is reused only while the store still says the same. Serials that
our issuer never signed are `unknown` (RFC 6960 §2.2).

The responder is delegated (RFC 6960 §4.2.2.2): a key of its own, made in memory and never
written down, with a certificate that lives a week and is replaced at half of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from mintmark.authority.issuance.ocsp import ResponderKey, sign_response
from mintmark.authority.policy.approve import approve_own
from mintmark.authority.signer.file import FileSigner, generate
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.issue import issuance_record, sign_approved
from mintmark.model.access import Credential, Requester, ServiceRule
from mintmark.model.act import Act
from mintmark.model.errors import Error
from mintmark.model.keys import KeyType
from mintmark.model.profile import OCSP_RESPONDER
from mintmark.store.interface import CertificateStatus
from mintmark.wire import ocsp
from mintmark.wire.spki import subject_key

log = logging.getLogger(__name__)

PERIOD: Final = 1.0  # seconds; until the next look, a clock that jumped back stops all answers
SERVICE: Final = "mintmark-ocsp"
OWN: Final = Requester(SERVICE, ServiceRule(SERVICE, frozenset()), Credential.LOCAL)
CACHED_ANSWERS: Final = 50_000  # of about 1 kB; forgotten all at once when full
CACHED_REQUESTS: Final = 50_000
CACHED_OCTETS: Final = 256  # of a request; an honest one has 190 at most, with SHA-512
HASHES: Final = ("sha1", "sha256", "sha384", "sha512")  # of CertIDs


@dataclass(frozen=True, slots=True)
class OCSPAnswer:
    """A response with its times, for the HTTP headers.

    Args:
        der: OCSPResponse.
        this_update: Unix seconds; 0 for errors.
        next_update: Unix seconds; 0 for errors.
        cacheable: whether the same request may be given the same answer.
    """

    der: bytes
    this_update: int = 0
    next_update: int = 0
    cacheable: bool = False


class Responder:
    """Answers OCSP requests about the active issuer's certificates.

    Args:
        authority: whose certificates these are.
        key: the delegated responder.
        lifetime: seconds from thisUpdate to nextUpdate.
    """

    def __init__(self, authority: Authority, key: ResponderKey, lifetime: int) -> None:
        self._authority = authority
        self._key = key
        self._lifetime = lifetime
        issuing = authority.issuing
        self._issuer = issuing.issuer.id
        self._ours = {
            ocsp.issuer_hashes(name, issuing.name, issuing.signer.spki) for name in HASHES
        }
        self._requests: dict[bytes, ocsp.OCSPRequest] = {}
        self._answers: dict[bytes, tuple[CertificateStatus, OCSPAnswer]] = {}

    @classmethod
    async def start(cls, authority: Authority, lifetime: int) -> Responder:
        """Return a responder with a fresh key and certificate.

        Raises:
            Error: as issuance and storage.
        """
        return cls(authority, await delegate(authority), lifetime)

    async def run(self, sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep) -> None:
        """Replace key and certificate at half of their life, until cancelled."""
        while True:
            await sleep(PERIOD)
            try:
                await self.turn()
            except Error as error:
                log.warning("the OCSP responder's certificate: %s", error.detail)
            except Exception:
                log.exception("the OCSP responder's certificate could not be replaced")

    async def turn(self) -> None:
        """Replace the key if it is time, or if the clock jumped to before its beginning."""
        certificate = self._key.certificate
        half = (certificate.not_before + certificate.not_after) // 2
        if not certificate.not_before <= self._authority.clock() <= half:
            self._key = await delegate(self._authority)
            self._answers.clear()

    async def answer(self, request_der: bytes) -> OCSPAnswer:
        """Answer one request.

        Raises:
            Error: MALFORMED or TOO_LARGE for what is no request; UNAVAILABLE.
        """
        request = self._requests.get(request_der) or self._read(request_der)
        if any(self._foreign(cert_id) for cert_id in request.cert_ids):
            return UNAUTHORIZED
        if len(request.cert_ids) > 1 or request.nonce is not None:
            return await self._sign_fresh(request)
        cert_id = request.cert_ids[0]
        status = await self._authority.store.status(self._issuer, cert_id.serial)
        now = int(self._authority.clock())
        kept = self._answers.get(request_der)
        if kept and kept[0] == status and self._fresh(kept[1], now):
            return kept[1]
        answer = self._sign(now, [(cert_id, status)], None)
        if not status.issued or len(request_der) > CACHED_OCTETS:
            return answer  # of these there are more than any memory holds
        if len(self._answers) >= CACHED_ANSWERS:
            self._answers.clear()
        self._answers[request_der] = status, answer
        return answer

    def _read(self, request_der: bytes) -> ocsp.OCSPRequest:
        request = ocsp.parse_request(request_der)
        # One with a nonce does not come again.
        if request.nonce is None and len(request_der) <= CACHED_OCTETS:
            if len(self._requests) >= CACHED_REQUESTS:
                self._requests.clear()
            self._requests[request_der] = request
        return request

    def _foreign(self, cert_id: ocsp.CertID) -> bool:
        return (cert_id.issuer_name_hash, cert_id.issuer_key_hash) not in self._ours

    def _fresh(self, answer: OCSPAnswer, now: int) -> bool:
        """Whether less than half of a response's time is over; the clock may jump back."""
        return 0 <= now - answer.this_update < self._lifetime // 2

    async def _sign_fresh(self, request: ocsp.OCSPRequest) -> OCSPAnswer:
        store = self._authority.store
        answers = [
            (cert_id, await store.status(self._issuer, cert_id.serial))
            for cert_id in request.cert_ids
        ]
        return self._sign(int(self._authority.clock()), answers, request.nonce)

    def _sign(
        self,
        now: int,
        answers: list[tuple[ocsp.CertID, CertificateStatus]],
        nonce: bytes | None,
    ) -> OCSPAnswer:
        # RFC 6960 §4.2.2.2: relying parties check the responder's certificate too.
        next_update = min(now + self._lifetime, self._key.certificate.not_after)
        responses = [
            ocsp.single_response(cert_id.der, _cert_status(status), now, next_update)
            for cert_id, status in answers
        ]
        der = sign_response(self._key, now, responses, nonce)
        return OCSPAnswer(der, now, next_update, cacheable=nonce is None)


def _cert_status(status: CertificateStatus) -> bytes:
    if status.revocation is not None:
        return ocsp.revoked(status.revocation.revoked_at, status.revocation.reason)
    return ocsp.GOOD if status.issued else ocsp.UNKNOWN


UNAUTHORIZED: Final = OCSPAnswer(ocsp.error_response(ocsp.ResponseStatus.UNAUTHORIZED))
"""For issuers that are not ours: RFC 9919 §3.2.1 has no other word for it."""


async def delegate(authority: Authority) -> ResponderKey:
    """Make a key and issue the certificate that lets it answer for the active issuer.

    The key is P-256 whatever the issuer's is: a response is signed for each request, and an
    RSA issuer would make that twelve times dearer.
    """
    now = authority.clock()
    signer = FileSigner(generate(KeyType.EC_P256))
    approval = approve_own(
        OCSP_RESPONDER,
        SERVICE,
        subject_key(signer.spki),
        issuer=authority.issuing.issuer,
        now=now,
        backdate=authority.policy.backdate,
    )
    certificate = await sign_approved(authority, authority.issuing, approval)
    await authority.store.commit(
        Act(
            audit=issuance_record(OWN, certificate, "ocsp.delegate", now),
            certificate=certificate,
        )
    )
    return ResponderKey(certificate, signer)
