"""The OCSP responder: what a certificate is worth, signed, at this moment.

Every answer starts from the store, so that a revocation shows as soon as it is durable, in all
processes; a signed response is reused only while the store still says the same. Serials that
our issuer never signed are `unknown` (RFC 6960 §2.2).

Requests that come in turns of the event loop one after the other are answered together (ADR
0015): their statuses are one read, and their signatures find the tables of the curve in the
processor's caches. Who can be given an answer that was signed before does not wait for signatures.

The responder is delegated (RFC 6960 §4.2.2.2): a key of its own, made in memory and never
written down, with a certificate that lives a week and is replaced at half of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import msgspec

from mintmark.authority.issuance.ocsp import ResponderKey, sign_responses
from mintmark.authority.policy.approve import approve_own
from mintmark.authority.signer.file import FileSigner, generate
from mintmark.authority.workflow.authority import Authority
from mintmark.authority.workflow.issue import issuance_record, sign_approved
from mintmark.model.access import Credential, Requester, ServiceRule
from mintmark.model.act import Act
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.profile import OCSP_RESPONDER
from mintmark.store.interface import CertificateStatus
from mintmark.wire import ocsp
from mintmark.wire.http import Response
from mintmark.wire.spki import subject_key

log = logging.getLogger(__name__)

PERIOD: Final = 1.0  # seconds; until the next look, a clock that jumped back stops all answers
SERVICE: Final = "mintmark-ocsp"
OWN: Final = Requester(SERVICE, ServiceRule(SERVICE, frozenset()), Credential.LOCAL)
CACHED_ANSWERS: Final = 50_000  # of about 1 kB; forgotten all at once when full
CACHED_OCTETS: Final = 256  # of a request; an honest one has 190 at most, with SHA-512
GATHERING_TURNS: Final = 8  # of the loop, that the first who asks waits for others
TOGETHER: Final = 64  # answers signed in 2 ms, before whoever else came has a turn
HASHES: Final = ("sha1", "sha256", "sha384", "sha512")  # of CertIDs


class OCSPAnswer(msgspec.Struct, eq=False, gc=False):
    """A response with its times, for the HTTP headers.

    Args:
        der: OCSPResponse.
        this_update: Unix seconds; 0 for errors.
        next_update: Unix seconds; 0 for errors.
        cacheable: whether the same request may be given the same answer.
        posted: the protocol's own: what it answers to a POST, made once.
        got: the same of a GET.
    """

    der: bytes
    this_update: int = 0
    next_update: int = 0
    cacheable: bool = False
    posted: Response | None = None
    got: Response | None = None


class _Kept(msgspec.Struct, eq=False, gc=False):
    """An answer that may be given again while the store says the same."""

    request: ocsp.OCSPRequest
    statuses: list[CertificateStatus]
    answer: OCSPAnswer


class _Asked(msgspec.Struct, eq=False, gc=False):
    """Who waits for an answer; `kept` is what was answered before."""

    der: bytes
    request: ocsp.OCSPRequest
    kept: _Kept | None
    form: Callable[[OCSPAnswer], Response]
    future: asyncio.Future[Response]

    def give(self, answer: OCSPAnswer) -> None:
        """End the wait, unless the request was given up."""
        if not self.future.done():
            self.future.set_result(self.form(answer))


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
        self._reader = ocsp.RequestReader()
        self._kept: dict[bytes, _Kept] = {}
        self._waiting: list[_Asked] = []
        self._serving: set[asyncio.Task[None]] = set()

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
            self._kept.clear()

    def answer(
        self, request_der: bytes, form: Callable[[OCSPAnswer], Response]
    ) -> Response | asyncio.Future[Response]:
        """Answer one request; what cannot be answered has a response of its own in OCSP.

        Args:
            request_der: OCSPRequest.
            form: makes what the protocol sends of an answer.
        """
        kept = self._kept.get(request_der)
        if kept is None:
            try:
                request = self._reader.parse(request_der)
            except Error:
                return form(MALFORMED)
            for cert_id in request.cert_ids:
                if (cert_id.issuer_name_hash, cert_id.issuer_key_hash) not in self._ours:
                    return form(UNAUTHORIZED)
        else:
            request = kept.request
        loop = asyncio.get_running_loop()
        if not self._waiting:
            serving = loop.create_task(self._serve())
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)
        future: asyncio.Future[Response] = loop.create_future()
        self._waiting.append(_Asked(request_der, request, kept, form, future))
        return future

    async def _serve(self) -> None:
        """Answer all who came together: turn after turn, until one brings nobody."""
        came = 0
        for _ in range(GATHERING_TURNS):
            if came == len(self._waiting):
                break
            came = len(self._waiting)
            await asyncio.sleep(0)
        asked, self._waiting = self._waiting, []
        serials = [cert_id.serial for each in asked for cert_id in each.request.cert_ids]
        try:
            statuses = await self._authority.store.statuses(self._issuer, serials)
        except Exception as error:  # noqa: BLE001 - handed to everybody who waits for it
            _refuse(asked, error)
            return
        now = int(self._authority.clock())
        unsigned = []
        at = 0
        for each in asked:
            found = statuses[at : at + len(each.request.cert_ids)]
            at += len(found)
            if each.kept is not None and self._holds(each.kept, found, now):
                each.give(each.kept.answer)
            elif not each.future.done():  # the request may have been given up
                unsigned.append((each, found))
        for start in range(0, len(unsigned), TOGETHER):
            if start or len(unsigned) < len(asked):
                await asyncio.sleep(0)  # let those go who have their answer
            self._sign(unsigned[start : start + TOGETHER], now)

    def _holds(self, kept: _Kept, statuses: list[CertificateStatus], now: int) -> bool:
        """Whether less than half of an answer's time is over; the clock may jump back."""
        return (
            kept.statuses == statuses and 0 <= now - kept.answer.this_update < self._lifetime // 2
        )

    def _sign(self, unsigned: list[tuple[_Asked, list[CertificateStatus]]], now: int) -> None:
        """Give everybody a signed answer, or the reason why there is none."""
        key = self._key
        # RFC 6960 §4.2.2.2: relying parties check the responder's certificate too.
        next_update = min(now + self._lifetime, key.certificate.not_after)
        try:
            answers = [
                (_single_responses(asked.request, statuses, now, next_update), asked.request.nonce)
                for asked, statuses in unsigned
            ]
            responses = sign_responses(key, now, answers)
        except Exception as error:  # noqa: BLE001 - handed to everybody who waits for it
            _refuse((asked for asked, _ in unsigned), error)
            return
        for (asked, statuses), response in zip(unsigned, responses, strict=True):
            if isinstance(response, Error):
                _refuse((asked,), response)
                continue
            answer = OCSPAnswer(response, now, next_update, cacheable=asked.request.nonce is None)
            self._keep(asked, statuses, answer)
            asked.give(answer)

    def _keep(self, asked: _Asked, statuses: list[CertificateStatus], answer: OCSPAnswer) -> None:
        """Keep an answer that may come again; of all others there are more than memory holds."""
        if asked.request.nonce is not None or len(asked.der) > CACHED_OCTETS:
            return
        if len(statuses) > 1 or not statuses[0].issued:
            return
        if len(self._kept) >= CACHED_ANSWERS:
            self._kept.clear()
        self._kept[asked.der] = _Kept(asked.request, statuses, answer)


def _refuse(asked: Iterable[_Asked], error: Exception) -> None:
    if not isinstance(error, Error):  # a defect
        for each in asked:
            if not each.future.done():
                each.future.set_exception(error)
        return
    if error.kind is Kind.UNAVAILABLE:
        answer = TRY_LATER
    else:
        log.error("no OCSP response could be made", exc_info=error)
        answer = INTERNAL_ERROR
    for each in asked:
        each.give(answer)


def _single_responses(
    request: ocsp.OCSPRequest, statuses: list[CertificateStatus], now: int, next_update: int
) -> list[bytes]:
    return [
        ocsp.single_response(cert_id.der, _cert_status(status), now, next_update)
        for cert_id, status in zip(request.cert_ids, statuses, strict=True)
    ]


def _cert_status(status: CertificateStatus) -> bytes:
    if status.revocation is not None:
        return ocsp.revoked(status.revocation.revoked_at, status.revocation.reason)
    return ocsp.GOOD if status.issued else ocsp.UNKNOWN


def _error(status: ocsp.ResponseStatus) -> OCSPAnswer:
    return OCSPAnswer(ocsp.error_response(status))


MALFORMED: Final = _error(ocsp.ResponseStatus.MALFORMED_REQUEST)
INTERNAL_ERROR: Final = _error(ocsp.ResponseStatus.INTERNAL_ERROR)
TRY_LATER: Final = _error(ocsp.ResponseStatus.TRY_LATER)
UNAUTHORIZED: Final = _error(ocsp.ResponseStatus.UNAUTHORIZED)
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
