"""SSH: certificates of users and hosts, key ids and keys that are banned, CA keys to trust."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from mintmark.authority.policy.ssh import default_ssh_profile
from mintmark.authority.policy.whitelist import service_id
from mintmark.authority.workflow import ssh as workflow
from mintmark.authority.workflow.tokens import Purpose, for_identity
from mintmark.client.documents import RevocationRequest, StatusWord
from mintmark.client.ssh_documents import (
    SSHAuthorities,
    SSHBanDocument,
    SSHBanRequest,
    SSHCertificatePage,
    SSHCertificateRequest,
    SSHRenewal,
    SSHTypeWord,
)
from mintmark.model.access import Requester
from mintmark.model.act import IdempotencyKey
from mintmark.model.certificate import StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.profile import CLIENT
from mintmark.model.request import IssuanceRequest
from mintmark.model.ssh import (
    BanKind,
    Generation,
    SSHBan,
    SSHCertificate,
    SSHCertificateType,
    SSHRequest,
)
from mintmark.model.status import CertificateKind, Reason, Status
from mintmark.model.time import parse_duration, timestamp
from mintmark.protocol.rest.certificates import MAX_PAGE, ends_before, sequence_of
from mintmark.protocol.rest.parameters import find_ssh, require_of_proof
from mintmark.protocol.rest.presentation import PRIVATE, PUBLIC, json_answer, reason_word
from mintmark.protocol.rest.replay import once
from mintmark.protocol.rest.revocation import revocation_of
from mintmark.protocol.rest.routes import Call
from mintmark.protocol.rest.ssh_presentation import authority_document, ssh_document
from mintmark.store.interface import CertificateFilter
from mintmark.wire.csr import parse_csr
from mintmark.wire.http import Response
from mintmark.wire.ssh import key as wire_key

_KINDS = {
    "user": CertificateKind.SSH_USER,
    "host": CertificateKind.SSH_HOST,
}
_TYPES = {one.word: one for one in SSHCertificateType}
_REASONS = {reason.word: reason for reason in Reason}


class SSHListQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which SSH certificates to list; every parameter narrows.

    Args:
        service: exact service id.
        type: of users or of hosts.
        status: now.
        principal: one of its principals.
        key_id: exact key id.
        expiring: valid now and ending within this time, as `8h`.
        cursor: `next_cursor` of the page before.
        limit: certificates a page.
    """

    service: Annotated[str, Meta(max_length=128)] | None = None
    type: SSHTypeWord | None = None
    status: StatusWord | None = None
    principal: Annotated[str, Meta(max_length=255)] | None = None
    key_id: Annotated[str, Meta(max_length=255)] | None = None
    expiring: Annotated[str, Meta(max_length=16, pattern="^[0-9]{1,12}[ydhms]$")] | None = None
    cursor: Annotated[str, Meta(max_length=45)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = 100


# --- certificates ------------------------------------------------------------------------------


async def request_certificate(call: Call) -> Response:
    """Issue the SSH certificate that was asked for."""
    wish: SSHCertificateRequest = call.body

    async def act(key: IdempotencyKey | None) -> Response:
        request = ssh_request(call, wish)
        requester = call.requester
        if call.proof is not None and wish.identity_csr is not None:
            requester = for_identity(call.proof.token)
        issued = await workflow.issue_ssh(
            call.authority,
            requester,
            request,
            identity=_identity(request, wish),
            idempotency=key,
        )
        identity = None if issued.identity is None else call.presenter.fullchain(issued.identity)
        return _issued(call, issued.certificate, identity)

    return await once(call, act)


async def renew_certificate(call: Call) -> Response:
    """Issue a successor, of the same key or of a new one."""
    wish: SSHRenewal = call.body

    async def act(key: IdempotencyKey | None) -> Response:
        stored, _ = await find_ssh(call, call.arguments["ssh_id"])
        require_of_proof(call, stored)
        _require_purpose(call, wish)
        successor = await workflow.renew_ssh(
            call.authority,
            call.requester,
            stored,
            key=None if wish.public_key is None else wire_key.parse_line(wish.public_key),
            idempotency=key,
        )
        return _issued(call, successor)

    return await once(call, act)


async def show_certificate(call: Call) -> Response:
    """Answer with one SSH certificate."""
    stored, certificate = await find_ssh(call, call.arguments["ssh_id"])
    return json_answer(200, ssh_document(certificate, call.authority.clock(), stored=stored))


async def list_certificates(call: Call) -> Response:
    """Answer with one page, newest first; a service sees its own certificates only.

    A page can be short, or even empty, and not the last: a key id and a principal are found by
    one index, and what was meant by the text is looked at afterwards.
    """
    query: SSHListQuery = call.query
    requester, clock = call.requester, call.authority.clock
    if not requester.is_admin and query.service not in (None, requester.service):
        return json_answer(200, SSHCertificatePage(certificates=[]))
    if not _can_exist(query):
        return json_answer(200, SSHCertificatePage(certificates=[]))
    after = None if query.cursor is None else await sequence_of(call, query.cursor)
    found: list[StoredCertificate] = []
    for kind in _KINDS.values() if query.type is None else (_KINDS[query.type],):
        found += await call.authority.store.certificates(
            _filter(query, requester, kind, int(clock())), after=after, limit=query.limit + 1
        )
    found.sort(key=lambda stored: -stored.sequence)
    page = found[: query.limit]
    more = len(found) > query.limit
    return json_answer(
        200,
        SSHCertificatePage(
            certificates=[
                ssh_document(stored.certificate, clock(), stored=stored)
                for stored in page
                if isinstance(stored.certificate, SSHCertificate)
                and _is_meant(query, stored.certificate)
            ],
            next_cursor=page[-1].certificate.id if more else None,
        ),
    )


async def revoke_certificate(call: Call) -> Response:
    """Revoke the SSH certificate of the path."""
    wish: RevocationRequest = call.body
    stored, _ = await find_ssh(call, call.arguments["ssh_id"])
    require_of_proof(call, stored)
    return await revocation_of(call, stored, wish.reason)


def ssh_request(call: Call, wish: SSHCertificateRequest) -> SSHRequest:
    """Return what is asked for; what is left out is left to policy and the credential.

    Raises:
        Error: BAD_PUBLIC_KEY, BAD_PROFILE, MALFORMED.
    """
    requester = call.requester
    service = requester.service
    if wish.service_name is not None and wish.service_name != service:
        service = service_id(wish.service_name)
    return SSHRequest(
        service=service,
        profile=_profile(call, wish),
        key=wire_key.parse_line(wish.public_key),
        key_id=wish.key_id,
        principals=tuple(wish.principals),
        lifetime=None if wish.lifetime is None else parse_duration(wish.lifetime),
        metadata=wish.metadata or None,
    )


def _profile(call: Call, wish: SSHCertificateRequest) -> str:
    """Return the profile that is named, or the first of the type that is open to the requester.

    Raises:
        Error: BAD_PROFILE when type and profile contradict each other, or none is open.
    """
    profiles = call.authority.policy.ssh_profiles
    if wish.profile is not None:
        named = profiles.get(wish.profile)
        if named is not None and wish.type is not None and named.type.word != wish.type:
            raise Error(
                Kind.BAD_PROFILE,
                f"profile {wish.profile!r} is for SSH {named.type.word} certificates, and type "
                f"{wish.type!r} is asked for",
                hint="give one of the two",
            )
        return wish.profile  # policy refuses one that does not exist, and says which do
    grant = call.requester.ssh
    only_host = grant is not None and grant.types == {SSHCertificateType.HOST}
    type_ = _TYPES[wish.type or ("host" if only_host else "user")]
    return default_ssh_profile(call.authority.policy, call.requester, type_)


def _identity(request: SSHRequest, wish: SSHCertificateRequest) -> IssuanceRequest | None:
    """Return the request for an X.509 client certificate that goes with the SSH one."""
    if wish.identity_csr is None:
        return None
    csr = parse_csr(wish.identity_csr.encode())
    return IssuanceRequest(
        service=request.service,
        profile=CLIENT.name,
        key=csr.key,
        identifiers=csr.identifiers,
        common_name=csr.common_name,
        metadata=request.metadata,
    )


def _require_purpose(call: Call, wish: SSHRenewal) -> None:
    """Refuse a token for a renewal where a new key is certified, and the other way round.

    Raises:
        Error: BAD_TOKEN.
    """
    needed = Purpose.SSH_RENEW if wish.public_key is None else Purpose.SSH_REKEY
    if call.proof is not None and call.proof.purpose is not needed:
        raise Error(
            Kind.BAD_TOKEN,
            f"the token is for '{call.proof.purpose.value}' and this is '{needed.value}'",
            hint=f"make a token whose audience ends with '{needed.value}'",
        )


def _issued(call: Call, certificate: SSHCertificate, identity: str | None = None) -> Response:
    document = ssh_document(certificate, call.authority.clock(), identity=identity)
    location = ("Location", f"/api/v1/ssh/certificates/{document.certificate_id}")
    return json_answer(201, document, (*PRIVATE, location))


def _can_exist(query: SSHListQuery) -> bool:
    """Whether a certificate can match, so that other texts need not reach the database."""
    texts = (query.service, query.principal, query.key_id)
    return all(text is None or (text.isprintable() and text) for text in texts)


def _filter(
    query: SSHListQuery, requester: Requester, kind: CertificateKind, now: int
) -> CertificateFilter:
    return CertificateFilter(
        now=now,
        service=query.service if requester.is_admin else requester.service,
        status=None if query.status is None else Status(query.status),
        name=query.key_id if query.principal is None else query.principal,
        expires_before=ends_before(query.expiring, now),
        kind=kind,
    )


def _is_meant(query: SSHListQuery, certificate: SSHCertificate) -> bool:
    return query.key_id in (None, certificate.key_id) and (
        query.principal is None or query.principal in certificate.principals
    )


# --- bans --------------------------------------------------------------------------------------


async def ban(call: Call) -> Response:
    """Ban a key id or a key: the KRL names it, and no certificate is issued for it."""
    wish: SSHBanRequest = call.body
    if wish.key_id is not None and wish.public_key is None:
        kind, value = BanKind.KEY_ID, wish.key_id.encode()
        shown = wish.key_id
    elif wish.public_key is not None and wish.key_id is None:
        key = wire_key.parse_line(wish.public_key)
        kind, value = BanKind.KEY, key.sha256
        shown = wire_key.fingerprint(key.blob)
    else:
        raise Error(
            Kind.MALFORMED,
            "exactly one of key_id and public_key says what to ban",
            hint="give one of them; a certificate is revoked, not banned",
        )
    banned = SSHBan(kind, value, int(call.authority.clock()), _REASONS[wish.reason])
    await workflow.ban(call.authority, call.requester, banned)
    return json_answer(
        201,
        SSHBanDocument(
            kind="key-id" if kind is BanKind.KEY_ID else "key",
            value=shown,
            banned_at=timestamp(banned.banned_at),
            reason=reason_word(banned.reason),
        ),
    )


# --- what everybody may know -------------------------------------------------------------------


async def list_authorities(call: Call) -> Response:
    """Answer with the CA keys that relying parties trust now, active ones first."""
    trusted = sorted(
        call.authority.ssh.trusted, key=lambda one: one.generation is not Generation.ACTIVE
    )
    return json_answer(
        200, SSHAuthorities(authorities=[authority_document(one) for one in trusted]), PUBLIC
    )
