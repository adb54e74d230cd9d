"""The claims that step clients put into tokens: names, SSH options, and the key they bind to.

Tokens of JWK and X5C provisioners have them alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from mintmark.authority.policy.mapping import principals_of
from mintmark.authority.policy.provisioners import Provisioner
from mintmark.authority.workflow.tokens.claims import members, refused, text, texts
from mintmark.authority.workflow.tokens.purpose import Purpose
from mintmark.model.access import SSHGrant
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier
from mintmark.model.ssh import SSHCertificateType
from mintmark.wire import jose
from mintmark.wire.go_time import moment
from mintmark.wire.identifiers import parse_any

BOTH: Final = frozenset(SSHCertificateType)
_BOUND_KEY: Final = "x5rt#S256"
_SHA256: Final = 32


def names(claims: Mapping[str, Any], subject: str, purpose: Purpose) -> tuple[Identifier, ...]:
    """Return the names of `sans`, or the subject as the only one.

    A token for SSH can have a subject that is no name of X.509; it vouches for none then.

    Args:
        claims: of the token.
        subject: its `sub`.
        purpose: what it is presented for.

    Raises:
        Error: REJECTED_IDENTIFIER for what is no name, BAD_TOKEN for what is no text.
    """
    given = texts(claims, "sans") or (subject,)
    if purpose is Purpose.SIGN:
        return tuple(dict.fromkeys([parse_any(one) for one in given]))
    return tuple(dict.fromkeys([one for name in given if (one := _name(name)) is not None]))


def key_binding(claims: Mapping[str, Any]) -> bytes | None:
    """Return the SHA-256 of the only CSR or SSH key that the token is good for (RFC 7800 §3).

    Raises:
        Error: BAD_TOKEN for a confirmation that is none of these, so that none goes unheeded.
    """
    if claims.get("cnf") is None:
        return None
    value = text(members(claims, "cnf"), _BOUND_KEY)
    try:
        octets = jose.decode(value, _BOUND_KEY)
    except Error:
        octets = b""
    if len(octets) != _SHA256:
        raise refused(
            f"the token is bound by 'cnf' to something else than '{_BOUND_KEY}', a SHA-256",
            "bind it to a CSR or an SSH key, or not at all",
        )
    return octets


def ssh_grant(
    provisioner: Provisioner,
    claims: Mapping[str, Any],
    subject: str,
    purpose: Purpose,
    now: float,
) -> SSHGrant | None:
    """Return what a token vouches for in SSH; None for a token of X.509.

    Who holds a token is not who made it: the principals that it names are all that may be asked
    for, or those that its subject stands for. One without `step.ssh` is for X.509, and one with
    it for SSH, although clients write the audience of either. Hosts are written in lower case,
    as clients look for them.

    Args:
        provisioner: whose token it is.
        claims: of the token.
        subject: its `sub`.
        purpose: what it is presented for.
        now: Unix seconds.

    Raises:
        Error: FORBIDDEN when SSH is asked for and the provisioner has none; BAD_TOKEN when the
            token is for the other kind of certificate, or its options are none.
    """
    step = members(claims, "step")
    said = step.get("ssh")
    if purpose is not Purpose.SSH_SIGN:
        if said is not None:
            raise refused(
                "the token is for an SSH certificate ('step.ssh'), not for one of X.509",
                "make one without SSH options",
            )
        return None
    if not provisioner.claims.ssh:
        raise no_ssh(provisioner)
    if said is None:
        raise refused(
            "the token is for a certificate of X.509, and has no 'step.ssh'",
            "make one for SSH: step ca token --ssh",
        )
    options = members(step, "ssh")
    named = texts(options, "principals")
    return SSHGrant(
        types=_types(text(options, "certType")),
        user=provisioner.claims.ssh_user,
        host=provisioner.claims.ssh_host,
        key_id=text(options, "keyID") or subject,
        user_principals=named or principals_of(subject),
        host_principals=tuple(dict.fromkeys([one.lower() for one in named or (subject,)])),
        profiles=provisioner.rules.ssh_profiles,
        valid_after=_moment(options, "validAfter", now),
        valid_before=_moment(options, "validBefore", now),
    )


def no_ssh(provisioner: Provisioner) -> Error:
    """Return the refusal of SSH by a provisioner without it."""
    return Error(
        Kind.FORBIDDEN,
        f"provisioner {provisioner.name!r} issues no SSH certificates",
        hint="ask another provisioner, or have 'claims.ssh' set to true for this one",
    )


def _moment(options: Mapping[str, Any], name: str, now: float) -> int | None:
    said = text(options, name)
    if not said:
        return None
    try:
        return moment(said, int(now))
    except Error as error:
        raise refused(f"the token's '{name}' is no time: {error.detail}", error.hint) from error


def _types(word: str) -> frozenset[SSHCertificateType]:
    if not word:
        return BOTH
    if type_ := SSHCertificateType.of(word):
        return frozenset({type_})
    raise refused(f"the token's 'certType' {word!r} is neither 'user' nor 'host'")


def _name(value: str) -> Identifier | None:
    try:
        return parse_any(value)
    except Error:
        return None
