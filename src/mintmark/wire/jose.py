"""JOSE as ACME uses it: one flattened JWS, one JWK, and no choice that a stranger could make.

A JWS says by itself how it wants to be verified, and that has let forgers in elsewhere. Here the
key decides: each kind of key has one algorithm (RFC 8725 §3.1), everything else is refused
before any octet is verified. joserfc does the arithmetic; what may be given to it stands here.
RFC 7515 §7.2.2, RFC 7517, RFC 7638.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from mintmark.model.errors import Error, Kind
from mintmark.wire import json

MAX_BYTES: Final = 64 * 1024
ALGORITHMS: Final = ("ES256", "ES384", "EdDSA", "RS256")
RSA_BITS: Final = (2048, 8192)
HMAC_ALGORITHM: Final = "HS256"

# RFC 7638 §3.2: the members that a thumbprint is made of, and all that is read of a JWK.
_MEMBERS: Final = {
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
    "RSA": ("e", "kty", "n"),
}
_CURVES: Final = {
    ("EC", "P-256"): ("ES256", 32),
    ("EC", "P-384"): ("ES384", 48),
    ("OKP", "Ed25519"): ("EdDSA", 32),
}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# Header parameters that bring keys of their own, or change what is signed (RFC 7515 §4.1, 7797).
_REFUSED: Final = frozenset({"crit", "b64", "jku", "x5u", "x5c", "x5t", "x5t#S256", "zip", "enc"})


class AlgorithmError(Error):
    """The algorithm is not one that is verified here, or not that of the key."""

    def __init__(self, algorithm: str, why: str) -> None:
        super().__init__(
            Kind.MALFORMED,
            f"algorithm {algorithm[:32]!r} {why}",
            hint=f"sign with one of {', '.join(ALGORITHMS)}, as the account key's kind asks",
        )


class _Flattened(msgspec.Struct):
    """Unknown members are ignored (RFC 7515 §7.2.2)."""

    protected: str
    payload: str
    signature: str
    header: msgspec.Raw = msgspec.Raw(b"")
    signatures: msgspec.Raw = msgspec.Raw(b"")


@dataclass(frozen=True, slots=True)
class JWS:
    """A flattened JWS, read and not verified.

    Args:
        algorithm: as it asks to be verified.
        header: its protected header, the only one it has.
        payload: decoded.
        signing_input: what was signed (RFC 7515 §5.1).
        signature: decoded.
    """

    algorithm: str
    header: dict[str, Any]
    payload: bytes
    signing_input: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that may sign a JWS.

    Args:
        jwk: the canonical JWK (RFC 7638 §3).
        thumbprint: SHA-256 of that, 32 octets.
        algorithm: the only one it is used with.
        spki: DER SubjectPublicKeyInfo.
        key: as joserfc has it.
    """

    jwk: bytes
    thumbprint: bytes
    algorithm: str
    spki: bytes
    key: Any

    @property
    def thumbprint_text(self) -> str:
        """The thumbprint in base64url, as key authorizations have it (RFC 8555 §8.1)."""
        return encode(self.thumbprint)


def parse(data: bytes, *, max_bytes: int = MAX_BYTES) -> JWS:
    """Read a flattened JWS; nothing is verified yet.

    Raises:
        Error: MALFORMED or TOO_LARGE.
    """
    outer = json.decode(data, _Flattened, max_bytes=max_bytes)
    if bytes(outer.header) or bytes(outer.signatures):
        raise Error(
            Kind.MALFORMED,
            "the JWS has an unprotected header or several signatures",
            hint="send one flattened JWS with a protected header only (RFC 8555 §6.2)",
        )
    header = json.decode(decode(outer.protected, "protected"), dict[str, Any], max_bytes=max_bytes)
    if refused := sorted(_REFUSED & header.keys()):
        raise Error(
            Kind.MALFORMED,
            f"the JWS has the header parameter '{refused[0]}', which is not used here",
            hint="send alg, nonce, url and one of jwk and kid (RFC 8555 §6.2)",
        )
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise Error(Kind.MALFORMED, "the JWS has no 'alg' in its protected header")
    return JWS(
        algorithm,
        header,
        decode(outer.payload, "payload"),
        f"{outer.protected}.{outer.payload}".encode("ascii"),
        decode(outer.signature, "signature"),
    )


def verify(jws: JWS, key: PublicKey) -> None:
    """Verify a signature with the one algorithm of its key.

    Raises:
        AlgorithmError: the JWS names another algorithm.
        Error: MALFORMED when the signature is not good.
    """
    check_algorithm(jws)
    if jws.algorithm != key.algorithm:
        raise AlgorithmError(jws.algorithm, f"is not that of the key ({key.algorithm})")
    try:
        good = JWSRegistry.algorithms[key.algorithm].verify(
            jws.signing_input, jws.signature, key.key
        )
    except (JoseError, ValueError):
        good = False
    if not good:
        raise Error(
            Kind.MALFORMED,
            "the JWS signature does not verify with the key",
            hint="sign with the private half of the key that 'jwk' or 'kid' names",
        )


def check_algorithm(jws: JWS) -> None:
    """Refuse what no key here could verify: `none`, HMAC and everything else unknown.

    Raises:
        AlgorithmError: see above.
    """
    if jws.algorithm not in ALGORITHMS:
        raise AlgorithmError(jws.algorithm, "is not accepted")


def verify_hmac(jws: JWS, key: bytes) -> None:
    """Verify the JWS of an external account binding (RFC 8555 §7.3.4).

    Raises:
        AlgorithmError: its algorithm is not HS256.
        Error: MALFORMED when the MAC is not good.
    """
    if jws.algorithm != HMAC_ALGORITHM:
        raise AlgorithmError(jws.algorithm, f"is not accepted here (only {HMAC_ALGORITHM})")
    expected = hmac.digest(key, jws.signing_input, "sha256")
    if not hmac.compare_digest(expected, jws.signature):
        raise Error(
            Kind.MALFORMED,
            "the external account binding does not verify with its key",
            hint="use the HMAC key exactly as it was given, base64url",
        )


def public_key(members: object) -> PublicKey:
    """Return the key that a JWK holds.

    Raises:
        Error: MALFORMED for what is no JWK, BAD_PUBLIC_KEY for one that is not accepted.
    """
    if not isinstance(members, dict):
        raise Error(Kind.MALFORMED, "the JWK is not a JSON object")
    if private := sorted(_PRIVATE & members.keys()):
        raise Error(
            Kind.BAD_PUBLIC_KEY,
            f"the JWK has the private member '{private[0]}', so its key is compromised",
            hint="make a new key, and send its public half only",
        )
    kty = members.get("kty")
    names = _MEMBERS.get(kty) if isinstance(kty, str) else None
    if names is None:
        raise _bad_key(f"a JWK of kind {str(kty)[:32]!r} is not accepted")
    public = {name: members.get(name) for name in names}
    if not all(isinstance(value, str) for value in public.values()):
        raise Error(Kind.MALFORMED, f"a JWK of kind '{kty}' has the members {', '.join(names)}")
    # `names` is in lexicographic order, as RFC 7638 §3.3 wants it.
    return parse_jwk(msgspec.json.encode(public))


@lru_cache(maxsize=1024)  # strangers choose them: one of RSA with 8192 bits takes 15 kB
def parse_jwk(jwk: bytes) -> PublicKey:
    """Return the key of a canonical JWK, as `PublicKey.jwk` has it.

    Raises:
        Error: BAD_PUBLIC_KEY, MALFORMED.
    """
    members = msgspec.json.decode(jwk, type=dict[str, str])
    algorithm, kind = _rsa(members) if members["kty"] == "RSA" else _curve(members["kty"], members)
    try:
        key = kind.import_key(dict(members))
        spki = key.as_der(private=False)
    except (JoseError, ValueError, OverflowError) as error:
        raise _bad_key("the JWK holds no key of its kind") from error
    return PublicKey(jwk, hashlib.sha256(jwk).digest(), algorithm, spki, key)


def _curve(kty: str, members: dict[str, str]) -> tuple[str, Any]:
    found = _CURVES.get((kty, members["crv"]))
    if found is None:
        raise _bad_key(f"a JWK on curve {members['crv'][:32]!r} is not accepted")
    algorithm, size = found
    for name in ("x", "y") if kty == "EC" else ("x",):
        if len(decode(members[name], name)) != size:  # RFC 7518 §6.2.1.2: the full size
            raise _bad_key(f"'{name}' of a JWK on {members['crv']} has {size} octets")
    return algorithm, ECKey if kty == "EC" else OKPKey


def _rsa(members: dict[str, str]) -> tuple[str, Any]:
    modulus, exponent = decode(members["n"], "n"), decode(members["e"], "e")
    # RFC 7518 §2, Base64urlUInt: one spelling of a number, so one thumbprint of a key.
    if modulus[:1] in {b"", b"\0"} or exponent[:1] in {b"", b"\0"}:
        raise _bad_key("'n' or 'e' of the JWK is empty or begins with a zero octet")
    bits = int.from_bytes(modulus).bit_length()
    if not RSA_BITS[0] <= bits <= RSA_BITS[1]:
        raise _bad_key(f"an RSA key of {bits} bits is not accepted")
    value = int.from_bytes(exponent)
    if len(exponent) > 4 or value < 65537 or not value & 1 or not modulus[-1] & 1:
        raise _bad_key("the RSA key has an exponent below 65537 or an even number")
    return "RS256", RSAKey


def encode(octets: bytes) -> str:
    """Return base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decode(text: str, what: str) -> bytes:
    """Return the octets of base64url without padding, of which there is one spelling only.

    Args:
        text: the base64url.
        what: it is, for the message.

    Raises:
        Error: MALFORMED.
    """
    try:
        octets = base64.b64decode(
            text.encode("ascii").translate(_TO_STANDARD) + b"=" * (-len(text) % 4), validate=True
        )
    except (binascii.Error, ValueError):
        octets = b""
    if encode(octets) != text:
        raise Error(
            Kind.MALFORMED,
            f"'{what}' is not base64url without padding",
            hint="use the alphabet A-Z a-z 0-9 - _ and no '=' (RFC 7515 §2)",
        )
    return octets


_TO_STANDARD: Final = bytes.maketrans(b"-_+/", b"+/!!")


def _bad_key(why: str) -> Error:
    low, high = RSA_BITS
    return Error(
        Kind.BAD_PUBLIC_KEY,
        why,
        hint=f"use an EC key on P-256 or P-384, Ed25519, or RSA of {low} to {high} bits",
    )
