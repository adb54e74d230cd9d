"""X.509: sign by token, renew and rekey by the certificate itself."""

from __future__ import annotations

from mintmark.authority.workflow.issue import issue
from mintmark.authority.workflow.renew import rekey as rekey_certificate
from mintmark.authority.workflow.renew import renew as renew_certificate
from mintmark.model.access import Credential
from mintmark.model.certificate import StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.profile import PEER
from mintmark.model.request import IssuanceRequest, SubjectKey
from mintmark.model.time import timestamp
from mintmark.protocol.step import names
from mintmark.protocol.step.call import Call
from mintmark.protocol.step.present import issued
from mintmark.protocol.step.refusal import StepError
from mintmark.wire.csr import CSR, parse_csr, parse_csr_key
from mintmark.wire.go_time import go_duration, moment
from mintmark.wire.http import Response


async def sign(call: Call) -> Response:
    """Issue what a token vouches for."""
    body, requester = call.body, call.requester
    key, common_name, identifiers = _wish(call)
    now = int(call.authority.clock())
    begins = moment(body.not_before, now)
    ends = moment(body.not_after, now if begins is None else begins)  # a duration is a lifetime
    check_order(("notBefore", begins), ("notAfter", ends), now)
    request = IssuanceRequest(
        service=requester.service,
        profile=open_profiles(call)[0],
        key=key,
        identifiers=identifiers,
        common_name=common_name,
        not_before=begins,
        not_after=ends,
    )
    try:
        certificate = await issue(call.authority, requester, request)
    except Error as error:
        raise _too_long(call, request, now) or error from error
    return issued(call.authority, certificate)


async def renew(call: Call) -> Response:
    """Issue a successor with the same key; the credential is the certificate, or a token of it."""
    stored = _own(call)
    try:
        certificate = await renew_certificate(call.authority, call.requester, stored)
    except Error as error:
        raise unauthorized(error) from error
    return issued(call.authority, certificate)


async def rekey(call: Call) -> Response:
    """Issue a successor with the key of a CSR, of which nothing else counts."""
    key = read_key(call.body.csr)
    stored = _own(call)
    try:
        certificate = await rekey_certificate(call.authority, call.requester, stored, key)
    except Error as error:
        raise unauthorized(error) from error
    return issued(call.authority, certificate)


def _wish(call: Call) -> tuple[SubjectKey, str, tuple[Identifier, ...]]:
    """Return key, common name and names that are asked for.

    People are named by their provider, and what their clients write into a CSR does not count;
    only admins ask for names of their own.
    """
    verified, csr = call.token, call.body.csr
    requester = verified.requester
    if requester.credential is not Credential.OIDC:
        parsed = read_csr(csr)
        return parsed.key, *names.of_token(verified, parsed)
    if not requester.any_names:
        return read_key(csr), *names.of_subject(verified)
    parsed = read_csr(csr)
    if names.asks_for_oneself(verified, parsed):
        return parsed.key, *names.of_subject(verified)
    return parsed.key, *names.of_csr(parsed)


def read_csr(text: str | None) -> CSR:
    """Return a CSR, PEM.

    Raises:
        Error: MALFORMED without one, BAD_CSR, BAD_PUBLIC_KEY, REJECTED_IDENTIFIER.
    """
    return parse_csr(_given(text))


def read_key(text: str | None) -> SubjectKey:
    """Return the key of a CSR, PEM, whose names do not count.

    Raises:
        Error: MALFORMED without one, BAD_CSR, BAD_PUBLIC_KEY.
    """
    return parse_csr_key(_given(text))


def _given(csr: str | None) -> bytes:
    if not csr:
        raise Error(Kind.MALFORMED, "missing csr")
    return csr.encode()


def check_order(begins: tuple[str, int | None], ends: tuple[str, int | None], now: int) -> None:
    """Refuse a validity that is over, or ends before it begins.

    Args:
        begins: name and Unix seconds of what was asked for, None for nothing.
        ends: the same.
        now: Unix seconds.

    Raises:
        Error: MALFORMED.
    """
    (start_name, start), (end_name, end) = begins, ends
    if end is not None and end < now:
        raise Error(
            Kind.MALFORMED,
            f"{end_name} cannot be in the past; it is {timestamp(end)}",
            hint="ask for a later end, or leave it out",
        )
    if start is not None and end is not None and end < start:
        raise Error(
            Kind.MALFORMED,
            f"{end_name} {timestamp(end)} cannot be before {start_name} {timestamp(start)}",
            hint=f"ask for a later {end_name}, or an earlier {start_name}",
        )


def open_profiles(call: Call) -> tuple[str, ...]:
    """Return the profiles that are open to who calls, the default first; clients name none."""
    requester = call.requester
    return requester.profiles or requester.rule.profiles or (PEER.name,)


def _own(call: Call) -> StoredCertificate:
    """Return the certificate that stands for the caller."""
    stored = call.stored if call.verified is None else call.verified.stored
    if stored is None:
        raise Error(Kind.MALFORMED, "missing client certificate")
    return stored


def unauthorized(error: Error) -> Error:
    """Return a refused renewal with the status by which clients tell it from a broken one."""
    if error.kind in {Kind.FORBIDDEN, Kind.CONFLICT}:
        return StepError(error.kind, error.detail, status=401, hint=error.hint)
    return error


def _too_long(call: Call, request: IssuanceRequest, now: int) -> Error | None:
    """Return a refused lifetime in the words of step-ca, None for another refusal."""
    lifetimes = call.requester.lifetimes
    if lifetimes is None or request.not_after is None:
        return None
    backdate = call.authority.policy.backdate
    start = now - backdate if request.not_before is None else request.not_before
    asked, allowed = request.not_after - start, lifetimes.maximum + backdate
    if asked <= allowed:
        return None
    return Error(
        Kind.BAD_LIFETIME,
        f"requested duration of {go_duration(asked)} is more than the authorized maximum "
        f"certificate duration of {go_duration(allowed)}",
    )
