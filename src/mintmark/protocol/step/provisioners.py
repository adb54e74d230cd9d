"""The list of provisioners, as step clients read it to make tokens.

Everybody may read it: a client has no credential yet. It says what a client needs and no more;
who is an admin, and which groups and domains are let in, is nobody else's business.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from mintmark.authority.policy.provisioners import JWK
from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import (
    ACMEProvisioner,
    AnyProvisioner,
    Claims,
    JWKProvisioner,
    OIDCProvisioner,
    SSHPOPProvisioner,
    X5CProvisioner,
)
from mintmark.protocol.step.call import Call, answer
from mintmark.wire import pem
from mintmark.wire.go_time import go_duration
from mintmark.wire.http import Response

_PAGE: Final = 20
_MAX_PAGE: Final = 100
_INTEGER: Final = re.compile(r"[-+]?[0-9]+", re.ASCII)
_SHOWN: Final = (
    ACMEProvisioner,
    JWKProvisioner,
    OIDCProvisioner,
    SSHPOPProvisioner,
    X5CProvisioner,
)


async def provisioners(call: Call) -> Response:
    """Return one page, by name; the cursor is the name that the next page begins with."""
    cursor, limit = _page(call.request.query)
    shown = [one for one in _all(call) if one.name >= cursor]
    following = shown[limit].name if len(shown) > limit else ""
    own_roots = pem.certificates(dict.fromkeys(one.root for one in call.authority.issuers))
    documents = [document(one, own_roots) for one in shown[:limit]]
    return answer(200, {"provisioners": documents, "nextCursor": following})


async def encrypted_key(call: Call) -> Response:
    """Return the private key of a JWK provisioner, under its owners' password."""
    kid = call.arguments["kid"]
    for one in call.authority.policy.provisioners.values():
        if isinstance(one, JWK) and one.key_id == kid and one.settings.encrypted_key:
            return answer(200, {"key": one.settings.encrypted_key})
    raise Error(Kind.NOT_FOUND, "there is no encrypted key of this kid")


def document(provisioner: AnyProvisioner, own_roots: bytes) -> dict[str, Any]:
    """Return a provisioner as clients read it.

    Args:
        provisioner: one of those that step clients know.
        own_roots: PEM of this authority's trust anchors.
    """
    match provisioner:
        case JWKProvisioner():
            members: dict[str, Any] = {
                "type": "JWK",
                "name": provisioner.name,
                "key": msgspec.json.decode(provisioner.key),
            }
            if provisioner.encrypted_key:
                members["encryptedKey"] = provisioner.encrypted_key
        case OIDCProvisioner():
            members = {
                "type": "OIDC",
                "name": provisioner.name,
                "clientID": provisioner.client_id,
                "clientSecret": provisioner.client_secret,
                "configurationEndpoint": provisioner.configuration_endpoint,
                "scopes": provisioner.scopes,
            }
            if provisioner.listen_address:
                members["listenAddress"] = provisioner.listen_address
        case X5CProvisioner():
            roots = provisioner.roots.encode() or own_roots
            members = {
                "type": "X5C",
                "name": provisioner.name,
                "roots": base64.b64encode(roots).decode(),
            }
        case ACMEProvisioner():
            return _acme(provisioner)
        case _:
            members = {"type": "SSHPOP", "name": provisioner.name}
    return {**members, "claims": claims(provisioner.claims), "options": {}}


def claims(claims: Claims) -> dict[str, Any]:
    """Return claims by step-ca's names."""
    members: dict[str, Any] = {}
    for name, lifetimes in (
        ("TLSCert", claims.tls),
        ("UserSSHCert", claims.ssh_user),
        ("HostSSHCert", claims.ssh_host),
    ):
        members[f"min{name}Duration"] = go_duration(lifetimes.minimum)
        members[f"max{name}Duration"] = go_duration(lifetimes.maximum)
        members[f"default{name}Duration"] = go_duration(lifetimes.default)
    return {
        **members,
        "enableSSHCA": claims.ssh,
        "disableRenewal": not claims.renewal,
        "allowRenewalAfterExpiry": claims.renewal_after_expiry,
    }


def _acme(provisioner: ACMEProvisioner) -> dict[str, Any]:
    members: dict[str, Any] = {
        "type": "ACME",
        "name": provisioner.name,
        "requireEAB": provisioner.external_account_binding,
        "challenges": [one.value for one in provisioner.challenges],
        "claims": {
            "disableRenewal": not provisioner.renewal,
            "allowRenewalAfterExpiry": provisioner.renewal_after_expiry,
        },
        "options": {},
    }
    if provisioner.terms_of_service:
        members["termsOfService"] = provisioner.terms_of_service
    if provisioner.website:
        members["website"] = provisioner.website
    return members


def _all(call: Call) -> list[AnyProvisioner]:
    """Return the provisioners in force that step clients know, by name."""
    found = [one.settings for one in call.authority.policy.provisioners.values()]
    return sorted((one for one in found if isinstance(one, _SHOWN)), key=lambda one: one.name)


def _page(query: str) -> tuple[str, int]:
    """Return cursor and limit.

    Raises:
        Error: MALFORMED for a limit that is no number.
    """
    given: dict[str, str] = {}
    for name, value in parse_qsl(query):  # clients escape a cursor: names may have an '@'
        given.setdefault(name, value)
    cursor, limit = given.get("cursor", ""), given.get("limit", "")
    if not limit:
        return cursor, _PAGE
    if not _INTEGER.fullmatch(limit):
        raise Error(Kind.MALFORMED, f"limit {limit[:40]!r} is not an integer")
    # Longer numbers are over the limit whatever they are, and would cost to convert.
    asked = _MAX_PAGE if len(limit) > 9 else int(limit)
    return cursor, min(asked, _MAX_PAGE) if asked > 0 else _PAGE
