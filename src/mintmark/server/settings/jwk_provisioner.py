"""Provisioners of type `jwk`: tokens signed by a key whose private half a password unlocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import JWKProvisioner
from mintmark.server.sections import TAG, Section, key, unknown
from mintmark.server.settings.claims import ClaimsEntry, Known, RulesEntry, refused
from mintmark.server.settings.values import ProvisionerName
from mintmark.wire import jose, jwe

_JWK: Final = JWKProvisioner("jwk", "")
_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e", "kid", "alg", "use")
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+){4}", re.ASCII)
# All that protects the private half is a slow hash of the password (RFC 7518 §4.8): with fewer
# rounds than the oldest clients' guesses would pass too fast.
_MIN_ITERATIONS: Final = 100_000
_MEANING: Final = key(
    "The public JWK, as a mapping; its kid is the RFC 7638 thumbprint, or left out.",
    "tokens of their own, and so everything that the rules allow",
)


class JWKEntry(Section, frozen=True, kw_only=True):
    """Tokens signed by a key whose private half its owners unlock with a password."""

    name: Annotated[ProvisionerName, key("The iss of its tokens.", "nothing")]
    type: Annotated[Literal["jwk"], key(TAG, "nothing")]
    key: Annotated[Annotated[dict[str, str], Meta(max_length=20)], _MEANING]
    encrypted_key: Annotated[
        Annotated[str, Meta(max_length=16384)],
        key(
            "The private JWK as compact JWE under a password (PBES2-HS256+A128KW), which anybody "
            "may read; empty when its owners keep it elsewhere.",
            "guesses at the password",
        ),
    ] = ""
    claims: Annotated[ClaimsEntry, key("Lifetimes and renewal.", "a stolen key works longer")] = (
        ClaimsEntry()
    )
    rules: Annotated[
        RulesEntry, key("Names, principals and profiles.", "certificates for other parties")
    ] = RulesEntry()

    def provisioner(self) -> JWKProvisioner:
        """Return what the entry says.

        Raises:
            Error: CONFIGURATION or BAD_PUBLIC_KEY for a key that is not accepted.
        """
        return JWKProvisioner(
            name=self.name,
            key=public_jwk(self.key),
            encrypted_key=self.encrypted_key,
            claims=self.claims.claims(_JWK.claims),
            rules=self.rules.rules(),
        )

    @classmethod
    def of(cls, provisioner: JWKProvisioner) -> JWKEntry:
        """Return the entry that says this provisioner."""
        return cls(
            name=provisioner.name,
            type="jwk",
            key=msgspec.json.decode(provisioner.key, type=dict[str, str]),
            encrypted_key=provisioner.encrypted_key,
            claims=ClaimsEntry.of(provisioner.claims, _JWK.claims),
            rules=RulesEntry.of(provisioner.rules),
        )

    def problems(self, path: str, known: Known) -> Iterator[Error]:
        """Yield what is wrong although each key by itself is of its form."""
        try:
            public_jwk(self.key)
        except Error as error:
            yield refused(f"{path}.key", error)
        if self.encrypted_key and (why := _unsafe(self.encrypted_key)):
            yield Error(
                Kind.CONFIGURATION,
                f"'{path}.encrypted_key' {why}",
                hint="have it made by mintmark provisioner add, or leave it out",
            )
        yield from self.claims.problems(f"{path}.claims", _JWK.claims)
        yield from self.rules.problems(f"{path}.rules", known)


def public_jwk(members: dict[str, str]) -> str:
    """Return a public JWK with all that clients look for, JSON.

    Raises:
        Error: BAD_PUBLIC_KEY for one that is private, symmetric or weak; MALFORMED or
            CONFIGURATION when its members contradict each other.
    """
    jwk = jose.jwk(members)
    for name in members:
        if name not in _MEMBERS:
            raise unknown(f"a public JWK has no member '{name}'", name, _MEMBERS)
    thumbprint = jwk.public_key.thumbprint_text
    if jwk.key_id != thumbprint:
        raise Error(
            Kind.CONFIGURATION,
            f"its 'kid' is '{jwk.key_id}', and its thumbprint '{thumbprint}'",
            hint="leave 'kid' out, and it is added (RFC 7638)",
        )
    return msgspec.json.encode(jwk.document()).decode()


def _unsafe(compact: str) -> str:
    """Return why a JWE is not one that may be shown to everybody, or an empty text."""
    if not _COMPACT.fullmatch(compact):
        return "is no compact JWE of five parts"
    try:
        header: Any = msgspec.json.decode(jose.decode(compact.partition(".")[0], "header"))
    except (Error, msgspec.MsgspecError):
        return "has a header that cannot be read"
    found = (header.get("alg"), header.get("enc")) if isinstance(header, dict) else ()
    if found != (jwe.ALGORITHM, jwe.ENCRYPTION):
        return f"is not encrypted under a password ({jwe.ALGORITHM}, {jwe.ENCRYPTION})"
    low, high, count = _MIN_ITERATIONS, jwe.MAX_ITERATIONS, header.get("p2c")
    if type(count) is not int or not low <= count <= high:
        return f"has a 'p2c' that is no number from {low} to {high}"
    return ""
