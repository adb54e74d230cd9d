"""SSH certificates: sign by token, renew and rekey by possession of the old one."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from mintmark.authority.policy.ssh import makes_user
from mintmark.authority.workflow.authenticate import requester_from_certificate
from mintmark.authority.workflow.renew import renew as renew_certificate
from mintmark.authority.workflow.ssh import SSHIssued, issue_ssh, renew_ssh
from mintmark.authority.workflow.tokens import for_identity
from mintmark.model.access import Credential, Requester, SSHGrant
from mintmark.model.certificate import Certificate, StoredCertificate
from mintmark.model.errors import Error, Kind
from mintmark.model.profile import CLIENT, SERVER_AUTH
from mintmark.model.request import IssuanceRequest
from mintmark.model.ssh import (
    SSHCertificate,
    SSHCertificateType,
    SSHPublicKey,
    SSHRequest,
)
from mintmark.protocol.step.call import Call, answer
from mintmark.protocol.step.present import chain
from mintmark.protocol.step.refusal import StepError
from mintmark.protocol.step.signing import check_order, open_profiles, read_key, unauthorized
from mintmark.wire.go_time import moment
from mintmark.wire.http import Response
from mintmark.wire.ssh.encoding import base64_octets, base64_text, string
from mintmark.wire.ssh.key import RSA, parse_blob


async def sign(call: Call) -> Response:
    """Issue what a token vouches for: a certificate, and what it was asked for beside it."""
    body, now = call.body, int(call.authority.clock())
    grant, type_ = _asked(call)
    key_id, principals = _names(call, grant, type_)
    begins, ends = moment(body.valid_after, now), moment(body.valid_before, now)
    check_order(("validAfter", begins), ("validBefore", ends), now)
    request = SSHRequest(
        service=call.requester.service,
        profile=_profile(call, grant, type_),
        key=_key(body.public_key, "publicKey"),
        key_id=key_id,
        principals=principals,
        valid_after=begins,
        valid_before=ends,
    )
    requester = for_identity(call.token) if body.identity_csr else call.requester
    issued = await issue_ssh(
        call.authority,
        requester,
        request,
        identity=_identity(call, requester),
        add_user_key=_add_user_key(call, type_, principals or grant.principals(type_)),
    )
    return _issued(call, issued)


async def renew(call: Call) -> Response:
    """Issue a successor for a host certificate, with the same key."""
    return await _succeed(call, None)


async def rekey(call: Call) -> Response:
    """Issue a successor for a host certificate, with another key."""
    return await _succeed(call, _key(call.body.public_key, "publicKey"))


async def _succeed(call: Call, key: SSHPublicKey | None) -> Response:
    stored = call.token.stored
    if stored is None or not isinstance(stored.certificate, SSHCertificate):
        raise Error(Kind.MALFORMED, "the token was not signed with an SSH certificate")
    try:
        certificate = await renew_ssh(call.authority, call.requester, stored, key=key)
    except Error as error:
        raise _host_only(stored, error) or unauthorized(error) from error
    members: dict[str, Any] = {"crt": base64_text(certificate.der)}
    if call.request.peer.certificate is not None:
        # The host's is on record, and has to reach it whatever this one is refused for.
        with suppress(Error):
            identity = await _renew_identity(call, call.request.peer.certificate, certificate)
            members["identityCrt"] = chain(call.authority, identity)
    return answer(201, members)


async def _renew_identity(call: Call, der: bytes, certificate: SSHCertificate) -> Certificate:
    """Renew the client certificate of the connection; it ends with the SSH one at the latest.

    Raises:
        Error: UNAUTHENTICATED, or as `renew`.
    """
    authority = call.authority
    address = call.request.peer.address
    requester, stored = await requester_from_certificate(authority, der, address)
    whole = stored.certificate.not_after - stored.certificate.not_before
    lifetime = min(whole, certificate.not_after - int(authority.clock()))
    return await renew_certificate(authority, requester, stored, lifetime=lifetime)


def _host_only(stored: StoredCertificate, error: Error) -> Error | None:
    """Return what step-ca says of user certificates, which are not renewed unless claimed."""
    certificate = stored.certificate
    if error.kind is not Kind.FORBIDDEN or not isinstance(certificate, SSHCertificate):
        return None
    if certificate.type is SSHCertificateType.HOST:
        return None
    return Error(Kind.MALFORMED, "sshpop certificate must be a host ssh certificate")


def _asked(call: Call) -> tuple[SSHGrant, SSHCertificateType]:
    """Return what the token vouches for, and the type of certificate that is asked for.

    Raises:
        Error: MALFORMED for a type that is none, FORBIDDEN for a token without SSH.
    """
    grant = call.requester.ssh
    if grant is None:
        raise Error(Kind.FORBIDDEN, "the token does not vouch for SSH certificates")
    return grant, _type(call.body.cert_type, grant)


def _names(call: Call, grant: SSHGrant, type_: SSHCertificateType) -> tuple[str, tuple[str, ...]]:
    """Return key id and principals that are asked for, empty for all that the token says.

    Only admins choose a key id: clients send whatever was typed, and the token's holds.
    Principals are the token's however they are written; what it does not say is refused by
    policy. People get what their provider says of them, whatever is asked for: clients make
    principals of a name that was typed, or of the account that ssh is on its way to. Hosts have
    no capital letters.

    Raises:
        Error: MALFORMED for a principal that is empty.
    """
    asked = tuple(call.body.principals or ())
    if "" in asked:
        raise Error(
            Kind.MALFORMED,
            "principals cannot contain empty values",
            hint="leave the list out for all principals of the token",
        )
    if type_ is SSHCertificateType.HOST:
        asked = tuple(dict.fromkeys([one.lower() for one in asked]))
    if grant.any_principals:
        return call.body.key_id or "", asked
    if call.requester.credential is Credential.OIDC:
        return "", ()
    vouched = grant.principals(type_)
    written = {one.lower(): one for one in vouched} | {one: one for one in vouched}
    return "", tuple(
        dict.fromkeys([written.get(one) or written.get(one.lower(), one) for one in asked])
    )


def _profile(call: Call, grant: SSHGrant, type_: SSHCertificateType) -> str:
    """Return the profile of the type that was asked for: the first that is open.

    Raises:
        Error: FORBIDDEN for a type that the token is not for.
    """
    profiles = call.authority.policy.ssh_profiles
    for name in grant.profiles or profiles:
        if name in profiles and profiles[name].type is type_:
            return name
    raise Error(Kind.FORBIDDEN, f"the token does not vouch for SSH {type_.word} certificates")


def _type(text: str | None, grant: SSHGrant) -> SSHCertificateType:
    word = (text or "").lower()
    if type_ := SSHCertificateType.of(word):
        return type_
    if word:
        raise Error(Kind.MALFORMED, f"unknown certType {word[:40]!r}", hint="send 'user' or 'host'")
    only_host = grant.types == {SSHCertificateType.HOST}
    return SSHCertificateType.HOST if only_host else SSHCertificateType.USER


def _key(text: str | None, name: str) -> SSHPublicKey:
    """Return a public key.

    Raises:
        Error: MALFORMED without one; BAD_PUBLIC_KEY, with 400 for what is none that can be
            certified at all, and 403 for one of RSA that is weak.
    """
    if not text:
        raise Error(Kind.MALFORMED, f"missing or empty {name}")
    blob = base64_octets(text, name)
    try:
        return parse_blob(blob)
    except Error as error:
        if blob.startswith(string(RSA.encode())):
            raise
        raise StepError(error.kind, error.detail, status=400, hint=error.hint) from error


def _add_user_key(
    call: Call, type_: SSHCertificateType, principals: tuple[str, ...]
) -> SSHPublicKey | None:
    """Return the key for a certificate that makes the user on a host.

    None where none was asked for, and where it is not one user that would be made: clients ask
    beside whatever certificate, and do without when none comes.
    """
    if not call.body.add_user_public_key:
        return None
    key = _key(call.body.add_user_public_key, "addUserPublicKey")
    return key if makes_user(type_, principals) else None


def _identity(call: Call, requester: Requester) -> IssuanceRequest | None:
    """Return the request for an X.509 client certificate that goes with the SSH one.

    Its names are those that the token vouches for; of the CSR only the key counts.
    """
    if not call.body.identity_csr:
        return None
    return IssuanceRequest(
        service=requester.service,
        profile=_identity_profile(call),
        key=read_key(call.body.identity_csr),
        identifiers=requester.identifiers,
    )


def _identity_profile(call: Call) -> str:
    """Return a profile that is for clients alone: who is an SSH host is no TLS server by that."""
    known = call.authority.policy.profiles
    for name in open_profiles(call):
        if name in known and SERVER_AUTH not in known[name].extended_key_usages:
            return name
    return CLIENT.name


def _issued(call: Call, issued: SSHIssued) -> Response:
    members: dict[str, Any] = {"crt": base64_text(issued.certificate.der)}
    if issued.add_user is not None:
        members["addUserCrt"] = base64_text(issued.add_user.der)
    if issued.identity is not None:
        members["identityCrt"] = chain(call.authority, issued.identity)
    return answer(201, members)
