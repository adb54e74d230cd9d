"""Compact JSON Web Tokens, as provisioners, OpenID providers and holders of certificates sign them.

A token is read in full before it is verified, because the claims say whose key to take; until
then nothing in it is more than a hint. No header parameter brings a key or changes what is
verified: those that carry certificates (`x5c`, `x5cInsecure`, `sshpop`) are kept for the caller,
who judges them and then comes with a key of his own. RFC 7515 §7.1, RFC 7519, RFC 8725.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import msgspec
from joserfc.jws import JWSRegistry
from msgspec import Struct

from mintmark.model.errors import Error, Kind
from mintmark.wire import jose, json

MAX_BYTES: Final = 64 * 1024
TIME_END: Final = 1 << 53  # what JSON's numbers can count to (RFC 8259 §6)

# Header parameters that bring keys of their own, or change what is verified (RFC 7515 §4.1.2,
# §4.1.3, §4.1.5, §4.1.11, RFC 7797 §3), or make it a JWE.
_REFUSED: Final = frozenset({"crit", "b64", "jku", "jwk", "x5u", "zip", "enc"})
_DATES: Final = ("exp", "nbf", "iat", "auth_time")


class JWT(Struct, frozen=True, gc=False):
    """A token, read and not verified.

    Args:
        header: its JOSE header.
        claims: what it says.
        algorithm: as it asks to be verified; the key has the last word.
        key_id: `kid` of its header, or empty.
        signing_input: what was signed (RFC 7515 §5.1). It tells one token from another; the
            text does not, because an ECDSA signature (r, s) is as good as (r, n - s).
        signature: decoded.
        text: the whole.
    """

    header: Mapping[str, Any]
    claims: dict[str, Any]
    algorithm: str
    key_id: str
    signing_input: bytes
    signature: bytes
    text: str

    def __repr__(self) -> str:
        """Show nothing that could be presented as the token."""
        return f"JWT(algorithm={self.algorithm!r}, key_id={self.key_id!r})"


def parse(text: str) -> JWT:
    """Read a token; nothing is verified yet.

    Raises:
        Error: BAD_TOKEN.
    """
    if len(text) > MAX_BYTES:
        raise _bad(f"token has {len(text)} characters, the limit is {MAX_BYTES}")
    parts = text.split(".")
    if len(parts) != 3:
        raise _bad(
            f"token has {min(len(parts), 100)} parts, 3 are expected",
            "send a compact JWS: header, claims and signature with dots between them",
        )
    header, algorithm, key_id = _header(parts[0])
    claims = _object(parts[1], "claims")
    _check_dates(claims)
    return JWT(
        header,
        claims,
        algorithm,
        key_id,
        f"{parts[0]}.{parts[1]}".encode("ascii"),
        _decode(parts[2], "signature"),
        text,
    )


def verify(jwt: JWT, key: jose.JWK) -> None:
    """Verify a token's signature; the key says with which algorithms.

    Raises:
        Error: BAD_TOKEN.
    """
    if jwt.algorithm not in key.algorithms:
        raise _bad(
            f"token is signed with {jwt.algorithm}, its key is for {', '.join(key.algorithms)}",
            "sign with the algorithm of the key",
        )
    if not jose.is_signed(key.public_key, jwt.algorithm, jwt.signing_input, jwt.signature):
        raise _bad("token's signature does not verify with the key", "get a new token")


def sign(header: Mapping[str, Any], claims: Mapping[str, Any], private_key: Any) -> str:
    """Return a signed token.

    Args:
        header: without `typ`, and without `alg` for the preferred one of the key.
        claims: what it says.
        private_key: of EC, Ed25519 or RSA, as `cryptography` has it.

    Raises:
        Error: BAD_PUBLIC_KEY when the key signs no tokens, or not with the header's `alg`.
    """
    key = jose.jwk_of(private_key.public_key())
    algorithm = header.get("alg", key.algorithms[0])
    if algorithm not in key.algorithms:
        raise Error(
            Kind.BAD_PUBLIC_KEY,
            f"the key does not sign with {str(algorithm)[:32]!r}",
            hint=f"it signs with {', '.join(key.algorithms)}",
        )
    whole = {"alg": algorithm, "typ": "JWT"} | dict(header)
    first, second = (jose.encode(msgspec.json.encode(one)) for one in (whole, claims))
    signing_input = f"{first}.{second}"
    signature = JWSRegistry.algorithms[algorithm].sign(
        signing_input.encode("ascii"), jose.signing_key(key, private_key)
    )
    return f"{signing_input}.{jose.encode(signature)}"


@lru_cache(maxsize=64)  # a signer's tokens share it; of strangers' the newest, 64 kB each at most
def _header(part: str) -> tuple[Mapping[str, Any], str, str]:
    """Return the JOSE header, its algorithm and its key id.

    Raises:
        Error: BAD_TOKEN.
    """
    header = _object(part, "header")
    return MappingProxyType(header), *_check_header(header)


def _check_header(header: dict[str, Any]) -> tuple[str, str]:
    """Return algorithm and key id.

    Raises:
        Error: BAD_TOKEN.
    """
    if refused := sorted(_REFUSED & header.keys()):
        raise _bad(
            f"token has the header parameter '{refused[0]}', which is not used here",
            "send alg, kid and typ, and x5c, x5cInsecure or sshpop where a certificate signs",
        )
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in jose.TOKEN_ALGORITHMS:
        # `none` is no signature, and HMAC would make a secret of a key that is public.
        raise _bad(
            f"token's algorithm {str(algorithm)[:32]!r} is not accepted",
            f"sign with one of {', '.join(jose.TOKEN_ALGORITHMS)}",
        )
    # RFC 8725 §3.11: what says that it is some other kind of token, is.
    type_ = header.get("typ", "JWT")
    if not isinstance(type_, str) or type_.lower().removeprefix("application/") != "jwt":
        raise _bad(f"token is of type {str(type_)[:32]!r}, 'JWT' is expected")
    key_id = header.get("kid", "")
    if not isinstance(key_id, str) or len(key_id) > jose.MAX_KEY_ID:
        raise _bad(f"token's 'kid' is no text of at most {jose.MAX_KEY_ID} characters")
    return algorithm, key_id


def _check_dates(claims: dict[str, Any]) -> None:
    """Refuse dates that are none (RFC 7519 §2, NumericDate).

    Raises:
        Error: BAD_TOKEN.
    """
    for name in _DATES:
        value = claims.get(name, 0)
        if type(value) not in {int, float} or not 0 <= value <= TIME_END:
            raise _bad(
                f"token's '{name}' is no number from 0 to 2^53",
                "give it in seconds since 1970-01-01 UTC",
            )


def _object(part: str, what: str) -> dict[str, Any]:
    """Return the JSON object that a part holds, each of whose members has a name of its own."""
    octets = _decode(part, what)
    try:
        return json.decode(octets, dict[str, Any], max_bytes=MAX_BYTES)
    except Error as error:
        raise _bad(f"token's {what} is not accepted: {error.detail}") from error


def _decode(part: str, what: str) -> bytes:
    try:
        return jose.decode(part, what)
    except Error as error:
        raise _bad(f"token's {error.detail}", error.hint) from error


def _bad(why: str, hint: str = "") -> Error:
    return Error(Kind.BAD_TOKEN, why, hint=hint)
