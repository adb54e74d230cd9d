"""Policy's word on SSH certificates: the only maker of an `SSHApproval`.

As in `approve`: final principals, key, key id and dates are looked at, and whatever is not known
is refused. The form of principals is checked here, to say what would be accepted, and again
before the signature (design rule 7).
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import structs

from mintmark.authority.issuance.approval import SEAL, SSHApproval
from mintmark.authority.issuance.ssh_keys import SSHKeys
from mintmark.authority.issuance.ssh_lints import MAX_TEXT, key_id_fault, principal_fault
from mintmark.authority.policy.approve import (
    Policy,
    bounded,
    check_bound,
    check_end,
    check_lifetime,
    may_act_for,
    together,
)
from mintmark.authority.policy.keys import check_rsa
from mintmark.authority.policy.provisioners import AnyCompiled
from mintmark.model.access import Operation, Requester, SSHGrant
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import Lifetimes
from mintmark.model.ssh import (
    SSH_BUILT_IN,
    SSHCertificateType,
    SSHProfile,
    SSHPublicKey,
    SSHRequest,
)
from mintmark.model.time import HOUR, MINUTE, timestamp
from mintmark.wire.identifiers import parse_any
from mintmark.wire.ssh.certificate import MAX_PRINCIPALS
from mintmark.wire.ssh.key import RSA

USER, HOST = SSHCertificateType.USER, SSHCertificateType.HOST
_BUILT_IN_NAMES: Final = tuple(profile.name for profile in SSH_BUILT_IN)

ADD_USER: Final = "ssh-add-user"
_PROVISIONER: Final = "provisioner"
# It becomes a word of a shell command, so that nothing else than a login name is one.
_LOGIN_NAME: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


def approve_ssh(
    policy: Policy,
    requester: Requester,
    request: SSHRequest,
    *,
    operation: Operation,
    keys: SSHKeys,
    now: float,
) -> SSHApproval:
    """Approve the request, or say why not.

    Raises:
        Error: FORBIDDEN, BAD_PROFILE, BAD_PUBLIC_KEY, REJECTED_IDENTIFIER, BAD_LIFETIME;
            NOT_FOUND when there is no CA of the type.
    """
    # 1. The requester may do this, for this service.
    may_act_for(requester, request.service, operation)

    # 2. The profile exists and is open to the requester, as is its type.
    provisioner = _provisioner(policy, requester)
    profile = _profile(policy, requester, provisioner, request.profile)
    authority = keys.active(profile.type).authority

    # 3. The key is strong, the one that the credential was made for, and none of ours.
    check_bound(requester, request.key.sha256)
    check_ssh_key(policy, keys, request.key)

    # 4. Every principal may be in this profile's and this requester's certificates.
    principals = _principals(policy, profile, requester, provisioner, request)

    # 5. The key id is what the credential says.
    key_id = _key_id(requester, request, principals)

    # 6. The validity lies inside all bounds.
    valid_after, valid_before = ssh_validity(policy, profile, requester, request, now)

    return SSHApproval(
        service=request.service,
        profile=profile,
        key=request.key,
        key_id=key_id,
        principals=principals,
        valid_after=valid_after,
        valid_before=valid_before,
        authority=authority.id,
        replaces=request.replaces,
        metadata=request.metadata,
        seal=SEAL,
    )


def makes_user(type_: SSHCertificateType, principals: tuple[str, ...]) -> bool:
    """Whether a certificate names one user to be made: a plain login, and its e-mail address."""
    login, *others = principals or ("",)
    is_one = not others or (len(others) == 1 and "@" in others[0])
    return type_ is USER and is_one and _LOGIN_NAME.fullmatch(login) is not None


def approve_add_user(
    policy: Policy,
    requester: Requester,
    approval: SSHApproval,
    keys: SSHKeys,
    key: SSHPublicKey,
) -> SSHApproval:
    """Approve the certificate by which a user is made on a host before the first login.

    It runs one fixed command as the login `provisioner`, and ends with the user's own.

    Args:
        policy: the rules in force.
        requester: who asks.
        approval: of the user certificate that it goes with.
        keys: the SSH authority's.
        key: the further key that it is for.

    Raises:
        Error: REJECTED_IDENTIFIER unless there is one principal, or a second one that is an
            e-mail address, and it is a plain login name; BAD_PUBLIC_KEY.
    """
    if not makes_user(approval.profile.type, approval.principals):
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            "a certificate that adds a user goes with a user certificate of one plain login name",
            hint="ask for one principal of a-z, 0-9, '_' and '-', at most 32 characters",
        )
    check_bound(requester, key.sha256)
    check_ssh_key(policy, keys, key)
    login = approval.principals[0]
    command = f"sudo useradd -m {login}; nc -q0 localhost 22"
    profile = SSHProfile(ADD_USER, USER, critical_options=(("force-command", command),))
    return structs.replace(
        approval,
        profile=profile,
        key=key,
        key_id=f"{login}-{_PROVISIONER}",
        principals=(_PROVISIONER,),
        replaces=None,
        seal=SEAL,
    )


def default_ssh_profile(policy: Policy, requester: Requester, type_: SSHCertificateType) -> str:
    """Return the first profile of a type that is open to the requester.

    Raises:
        Error: BAD_PROFILE when none is.
    """
    for name in open_ssh_profiles(policy, requester):
        if policy.ssh_profiles[name].type is type_:
            return name
    raise Error(
        Kind.BAD_PROFILE,
        f"no profile for SSH {type_.word} certificates is open to service {requester.service!r}",
        hint="an operator opens one in the whitelist or the rules of the provisioner",
    )


def open_ssh_profiles(policy: Policy, requester: Requester) -> tuple[str, ...]:
    """Return the SSH profiles that a requester may ask for, defaults first."""
    return _open(policy, requester, _provisioner(policy, requester))


def _open(policy: Policy, requester: Requester, provisioner: AnyCompiled | None) -> tuple[str, ...]:
    grant, known = requester.ssh, policy.ssh_profiles
    if grant is None:
        if requester.is_admin:
            return tuple(known)
        if provisioner is not None:
            return ()
        named = requester.profiles or requester.rule.profiles or _BUILT_IN_NAMES
        return tuple([name for name in named if name in known])
    types = grant.types
    bound = grant.profiles if provisioner is None else provisioner.rules.ssh_profiles
    return tuple(
        [
            name
            for name in grant.profiles
            if name in bound and name in known and known[name].type in types
        ]
    )


def _provisioner(policy: Policy, requester: Requester) -> AnyCompiled | None:
    """Return the provisioner that vouches for a requester, None if none has to, as for admins.

    Raises:
        Error: FORBIDDEN when it is gone, or issues no SSH certificates.
    """
    if not requester.provisioner or (requester.ssh is None and requester.is_admin):
        return None
    found = policy.provisioners.get(requester.provisioner)
    if found is None or not found.claims.ssh:
        why = "is not there any more" if found is None else "issues no SSH certificates"
        raise Error(
            Kind.FORBIDDEN,
            f"provisioner {requester.provisioner!r} {why}",
            hint="sign in by another provisioner, or have an operator allow it",
        )
    return found


def _profile(
    policy: Policy, requester: Requester, provisioner: AnyCompiled | None, name: str
) -> SSHProfile:
    usable = _open(policy, requester, provisioner)
    if name not in usable:
        raise Error(
            Kind.BAD_PROFILE,
            f"SSH profile {name[:64]!r} is not open to service {requester.service!r}",
            hint=f"allowed: {', '.join(sorted(usable)) or 'none'}",
        )
    return policy.ssh_profiles[name]


def check_ssh_key(policy: Policy, keys: SSHKeys, key: SSHPublicKey) -> None:
    """Check that a subject's key is strong and none of this authority's own.

    Raises:
        Error: BAD_PUBLIC_KEY.
    """
    if key.blob in keys.blobs or key.spki_sha256 in policy.authority_keys:
        raise Error(
            Kind.BAD_PUBLIC_KEY,
            "the public key is one of this authority's own CA keys",
            hint="make a key of your own: ssh-keygen -t ed25519",
        )
    if key.type == RSA:
        check_rsa(key.public_key)


def _principals(
    policy: Policy,
    profile: SSHProfile,
    requester: Requester,
    provisioner: AnyCompiled | None,
    request: SSHRequest,
) -> tuple[str, ...]:
    principals = request.principals or _vouched(requester, profile.type)
    if not 1 <= len(principals) <= MAX_PRINCIPALS:
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"{len(principals)} principals were asked for; an SSH certificate carries 1 to "
            f"{MAX_PRINCIPALS}",
            hint="name each login or host: without one a certificate would be good for all",
        )
    if len(principals) > 1 and len(set(principals)) != len(principals):
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            "a principal was asked for twice",
            hint="name each login or host once",
        )
    refusals = []
    for principal in principals:
        refusal = _principal_refusal(policy, profile, requester, provisioner, request, principal)
        if refusal is not None:
            refusals.append(refusal)
    if refusals:
        raise together(refusals)
    return principals


def _vouched(requester: Requester, type_: SSHCertificateType) -> tuple[str, ...]:
    return () if requester.ssh is None else requester.ssh.principals(type_)


def _principal_refusal(
    policy: Policy,
    profile: SSHProfile,
    requester: Requester,
    provisioner: AnyCompiled | None,
    request: SSHRequest,
    principal: str,
) -> Error | None:
    """Return why a principal may not be in a certificate of the service, or None."""
    shown = principal[:MAX_TEXT]
    if fault := principal_fault(profile.type, principal):
        accepts = "hosts by DNS name or IP address" if profile.type is HOST else "login names"
        return Error(
            Kind.REJECTED_IDENTIFIER,
            f"principal {shown!r} {fault}",
            hint=f"accepted: {accepts}, 1 to {MAX_TEXT} printable characters, no ',', '*' or '?'",
        )
    rules = policy.ssh_principals[profile.name]
    if rules and not rules.allow(principal):
        return Error(
            Kind.REJECTED_IDENTIFIER,
            f"principal {shown!r} is outside SSH profile {profile.name!r} (allowed: {rules})",
        )
    if not _is_allowed(policy, profile.type, requester, provisioner, request.service, principal):
        return Error(
            Kind.REJECTED_IDENTIFIER,
            f"principal {shown!r} is not among those of service {request.service!r}",
            hint="ask for what the credential vouches for, or have an operator add it to the rules",
        )
    return None


def _is_allowed(
    policy: Policy,
    type_: SSHCertificateType,
    requester: Requester,
    provisioner: AnyCompiled | None,
    service: str,
    principal: str,
) -> bool:
    grant = requester.ssh
    if grant is None and requester.is_admin:
        return True
    if provisioner is not None:
        if type_ is USER and provisioner.principals and not provisioner.principals.allow(principal):
            return False
        names = provisioner.names
        if type_ is HOST and names and not names.allow(parse_any(principal)):
            return False
    if grant is not None:
        return grant.any_principals or principal in grant.principals(type_)
    rules = policy.whitelist.compiled(service)
    if type_ is USER:
        return rules.principals.allow(principal)
    name = parse_any(principal)
    return principal == service or name in requester.identifiers or rules.names.allow(name)


def _key_id(requester: Requester, request: SSHRequest, principals: tuple[str, ...]) -> str:
    """Return the key id; a free one would let a service write another's name into sshd's log."""
    grant = requester.ssh
    default = (grant.key_id if grant is not None else "") or request.service
    key_id = request.key_id or default
    if fault := key_id_fault(key_id):
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"key id {key_id[:MAX_TEXT]!r} {fault}",
            hint=f"1 to {MAX_TEXT} printable characters are accepted",
        )
    if grant is not None:
        is_allowed = not grant.key_id or key_id == grant.key_id
    else:
        is_allowed = requester.is_admin or key_id in (request.service, *principals)
    if not is_allowed:
        raise Error(
            Kind.REJECTED_IDENTIFIER,
            f"key id {key_id!r} is not what the credential says",
            hint=f"leave it out, or ask for {default!r}",
        )
    return key_id


def ssh_validity(
    policy: Policy, profile: SSHProfile, requester: Requester, request: SSHRequest, now: float
) -> tuple[int, int]:
    """Return valid_after and valid_before, inside all bounds.

    What lies before now is our addition for clocks that run late, and not counted: a
    certificate may be as much longer than its maximum.

    Raises:
        Error: BAD_LIFETIME.
    """
    request = _as_vouched(requester.ssh, request)
    bounds = bounded(profile, _lifetimes(requester, profile.type))
    is_asked = request.lifetime is not None or request.valid_before is not None
    begin = int(now) if request.valid_after is None else request.valid_after
    asked = bounds.default if request.lifetime is None else request.lifetime
    if request.valid_before is not None:
        asked = request.valid_before - begin - max(0, min(policy.backdate, int(now) - begin))
    check_lifetime(asked, bounds, profile.name)
    if not now - HOUR - MINUTE < begin <= now + asked or begin + asked < now:
        raise Error(
            Kind.BAD_LIFETIME,
            f"a validity from Unix second {begin} for {asked} s is over, or begins more than an "
            "hour ago or too far in the future",
            hint="leave the beginning out: it is now",
        )
    end = begin + asked if request.valid_before is None else request.valid_before
    # Backdating takes three quarters of a short life at the most, as in `approve`.
    start = begin - min(policy.backdate, asked * 3 // 4) if request.valid_after is None else begin
    limit = requester.expires_at
    if limit is not None and end > limit:
        if is_asked or limit - now < bounds.minimum:
            raise Error(
                Kind.BAD_LIFETIME,
                f"a lifetime of {asked} s would outlive the credential that asks for it, which "
                f"ends {timestamp(limit)}",
                hint=f"ask for at most {max(int(limit - now), 0)} s",
            )
        end = limit
    _check_vouched(requester.ssh, start, end)
    if requester.ssh is not None:
        check_end(end, now, bounds.maximum)
    return start, end


def _as_vouched(grant: SSHGrant | None, request: SSHRequest) -> SSHRequest:
    """Return the request with the dates of the credential where it has none of its own."""
    if grant is None or (grant.valid_after is None and grant.valid_before is None):
        return request
    after, before = request.valid_after, request.valid_before
    return structs.replace(
        request,
        valid_after=grant.valid_after if after is None else after,
        valid_before=grant.valid_before if before is None and request.lifetime is None else before,
    )


def _check_vouched(grant: SSHGrant | None, start: int, end: int) -> None:
    """Refuse a validity outside the one that the credential names.

    Both may have been given from now on, and now is a moment later in the request.

    Raises:
        Error: BAD_LIFETIME.
    """
    if grant is None:
        return
    first, last = grant.valid_after, grant.valid_before
    if (first is not None and start < first - MINUTE) or (last is not None and end > last + MINUTE):
        raise Error(
            Kind.BAD_LIFETIME,
            f"a validity from {timestamp(start)} to {timestamp(end)} is not inside the one that "
            "the credential names",
            hint="leave the dates out: they are those of the token",
        )


def _lifetimes(requester: Requester, type_: SSHCertificateType) -> Lifetimes | None:
    if requester.ssh is None:
        return None
    return requester.ssh.user if type_ is USER else requester.ssh.host
