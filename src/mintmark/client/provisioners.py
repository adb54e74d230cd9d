"""Provisioners as anybody may see them, and tokens made here that they take.

The private key of a JWK provisioner is fetched encrypted; its password opens it here and is
sent nowhere.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from mintmark.client.api import decoded, refusal
from mintmark.client.transport import Transport
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHPublicKey
from mintmark.wire import jose, jwe, jwt
from mintmark.wire.ssh.certificate import Parsed

LIFETIME: Final = 300  # seconds that a token lives
_MAX_PAGES: Final = 100

Document = TypeVar("Document")


class PublicKey(Struct, frozen=True):
    """What of a provisioner's JWK tells it from others."""

    kid: str = ""


class PublicProvisioner(Struct, frozen=True):
    """One provisioner, as the step protocol lists it.

    Args:
        type: JWK, OIDC, X5C, SSHPOP, ACME.
        name: its name.
        key: of JWK.
    """

    type: str
    name: str
    key: PublicKey | None = None


class _Page(Struct, frozen=True):
    provisioners: list[PublicProvisioner]
    next_cursor: str = msgspec.field(default="", name="nextCursor")


class _EncryptedKey(Struct, frozen=True):
    key: str


@dataclass(frozen=True, slots=True)
class Act:
    """What a token is for.

    Args:
        server: URL of the server, as clients call it.
        method: `ssh/sign`, `ssh/renew` and the like.
        now: Unix seconds.
        id: random text that no other token has.
    """

    server: str
    method: str
    now: float
    id: str

    def claims(self, provisioner: str, subject: str, fragment: str = "") -> dict[str, Any]:
        """Return the claims that every token has."""
        now = int(self.now)
        return {
            "iss": provisioner,
            "aud": f"{self.server.rstrip('/')}/1.0/{self.method}{fragment}",
            "sub": subject,
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME,
            "jti": self.id,
        }


def find(transport: Transport, type_: str, name: str | None) -> PublicProvisioner:
    """Return the provisioner of a type and name; without a name the first of the type.

    Raises:
        Error: NOT_FOUND with those there are.
    """
    found = [one for one in _listed(transport) if one.type.upper() == type_]
    for one in found:
        if name in {None, one.name}:
            return one
    names = ", ".join(one.name for one in found) or "none"
    what = f"{type_} provisioner" + ("" if name is None else f" '{name}'")
    raise Error(
        Kind.NOT_FOUND,
        f"the server has no {what}",
        hint=f"provisioners of type {type_}: {names}; an operator adds one: "
        "mintmark provisioner add",
    )


def private_key(transport: Transport, provisioner: PublicProvisioner, password: bytes) -> Any:
    """Return the private key of a JWK provisioner.

    Raises:
        Error: NOT_FOUND when its owners keep it elsewhere, UNAUTHENTICATED for a wrong password.
    """
    kid = "" if provisioner.key is None else provisioner.key.kid
    path = f"/provisioners/{quote(kid, safe='')}/encrypted-key"
    encrypted = _get(transport, _EncryptedKey, path).key
    return jose.parse_private_jwk(jwe.decrypt_key(encrypted, password)).private_key


def signing_token(
    key: Any,
    provisioner: PublicProvisioner,
    act: Act,
    subject: str,
    ssh: Mapping[str, Any],
    bound_to: SSHPublicKey,
) -> str:
    """Return a token for one SSH certificate.

    Args:
        key: the provisioner's private key.
        provisioner: whose token it is.
        act: `ssh/sign` at a server.
        subject: whose certificate it will be.
        ssh: `certType`, `keyID` and `principals`.
        bound_to: the only key that may be certified with it (RFC 7800 §3).
    """
    kid = "" if provisioner.key is None else provisioner.key.kid
    digest = jose.encode(hashlib.sha256(bound_to.blob).digest())
    claims = act.claims(provisioner.name, subject)
    claims |= {"step": {"ssh": dict(ssh)}, "cnf": {"x5rt#S256": digest}}
    return jwt.sign({"kid": kid}, claims, key)


def possession_token(key: Any, provisioner: PublicProvisioner, act: Act, shown: Parsed) -> str:
    """Return a token that shows an SSH certificate and that its key is here.

    Raises:
        Error: BAD_PUBLIC_KEY for a key that signs no tokens.
    """
    header = {"sshpop": base64.b64encode(shown.blob).decode("ascii")}
    fragment = f"#sshpop/{provisioner.name}"
    claims = act.claims(provisioner.name, str(shown.fields.serial), fragment)
    return jwt.sign(header, claims, key)


def _listed(transport: Transport) -> list[PublicProvisioner]:
    found: list[PublicProvisioner] = []
    cursor = ""
    for _ in range(_MAX_PAGES):
        query = urlencode({"limit": 100} | ({"cursor": cursor} if cursor else {}))
        page = _get(transport, _Page, f"/provisioners?{query}")
        found += page.provisioners
        cursor = page.next_cursor
        if not cursor:
            break
    return found


def _get(transport: Transport, document: type[Document], path: str) -> Document:
    answer = transport.request("GET", path)
    if answer.status != 200:
        raise refusal(answer)
    return decoded(document, answer)
