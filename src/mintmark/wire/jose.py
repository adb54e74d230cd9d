"""JOSE: the flattened JWS of ACME, keys of tokens, and no choice that a stranger could make.

A JWS says by itself how it wants to be verified, and that has let forgers in elsewhere. Here the
key decides: each kind of key has one algorithm (RFC 8725 §3.1), or for tokens those of its kind,
everything else is refused before any octet is verified. joserfc knows keys and algorithms; what
may be given to it stands here. RFC 7515 §7.2.2, RFC 7517, RFC 7638. Compact tokens are in
`wire.jwt`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
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
# P-521 is for holders of SSH keys and for OpenID providers that have one; not for ACME accounts.
_TOKEN_CURVES: Final = _CURVES | {("EC", "P-521"): ("ES512", 66)}
# RFC 7518 §3.4: the hash goes with the curve, and r and s have the full size of it.
_ECDSA: Final = {
    "ES256": ec.ECDSA(hashes.SHA256()),
    "ES384": ec.ECDSA(hashes.SHA384()),
    "ES512": ec.ECDSA(hashes.SHA512()),
}
_ECDSA_SIZES: Final = {name: size for name, size in _TOKEN_CURVES.values() if name in _ECDSA}
_RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
TOKEN_ALGORITHMS: Final = (
    *dict.fromkeys(one for one, _ in _TOKEN_CURVES.values()),
    *_RSA_ALGORITHMS,
)
MAX_KEY_ID: Final = 1024
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# Left out when the public half of a private JWK is read; its `key_ops` says what that half does.
_PRIVATE_USE: Final = _PRIVATE | {"key_ops"}
_KINDS: Final[dict[str, Any]] = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
_CURVE_NAMES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
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


@dataclass(frozen=True, slots=True)
class JWK:
    """A key that may sign tokens (`wire.jwt`).

    Args:
        key_id: its `kid`, or its thumbprint in base64url where it has none.
        algorithms: those it may be used with, all of one kind; the first one is preferred.
        public_key: the key itself.
    """

    key_id: str
    algorithms: tuple[str, ...]
    public_key: PublicKey

    def document(self) -> dict[str, str]:
        """Return it as a JWK with `use`, `kid` and `alg` (RFC 7517 §4)."""
        members = msgspec.json.decode(self.public_key.jwk, type=dict[str, str])
        return members | {"use": "sig", "kid": self.key_id, "alg": self.algorithms[0]}


@dataclass(frozen=True, slots=True)
class PrivateJWK:
    """The private half of a key that signs tokens.

    Args:
        jwk: the public half.
        private_key: as `cryptography` has it.
    """

    jwk: JWK
    private_key: Any = field(repr=False)


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
    if not is_signed(key, key.algorithm, jws.signing_input, jws.signature):
        raise Error(
            Kind.MALFORMED,
            "the JWS signature does not verify with the key",
            hint="sign with the private half of the key that 'jwk' or 'kid' names",
        )


def is_signed(key: PublicKey, algorithm: str, signing_input: bytes, signature: bytes) -> bool:
    """Whether a signature verifies with a key.

    ECDSA, which comes with nearly every request that is signed, is verified here, with all that
    is the same each time made once; joserfc verifies the others.

    Args:
        key: the key.
        algorithm: one of its kind; the caller has looked at that.
        signing_input: what was signed (RFC 7515 §5.1).
        signature: decoded.
    """
    try:
        if (scheme := _ECDSA.get(algorithm)) is None:
            verifier = JWSRegistry.algorithms[algorithm]
            return bool(verifier.verify(signing_input, signature, key.key))
        size = _ECDSA_SIZES[algorithm]
        if len(signature) != 2 * size:
            return False
        r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        key.key.public_key.verify(encode_dss_signature(r, s), signing_input, scheme)
    except (JoseError, InvalidSignature, ValueError):
        return False
    return True


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
    return parse_jwk(_canonical(members))


def jwk(members: object) -> JWK:
    """Return the key for tokens that a JWK of a provisioner or a provider holds.

    Its `alg` pins the algorithm; an RSA key without one may be used with all of RSA.

    Raises:
        Error: MALFORMED for what is no JWK, BAD_PUBLIC_KEY for one that is not accepted, for
            encryption only, or with an `alg` that is none of its kind.
    """
    if not isinstance(members, dict):
        raise Error(Kind.MALFORMED, "the JWK is not a JSON object")
    public = _token_key(_canonical(members))
    uses = members.get("key_ops", ["verify"])
    if members.get("use", "sig") != "sig" or not isinstance(uses, list) or "verify" not in uses:
        raise _bad_key("a JWK whose 'use' or 'key_ops' does not say that it verifies signatures")
    key_id = members.get("kid", public.thumbprint_text)
    if not isinstance(key_id, str) or not 0 < len(key_id) <= MAX_KEY_ID:
        raise Error(Kind.MALFORMED, f"'kid' of a JWK is no text of 1 to {MAX_KEY_ID} characters")
    algorithms = _RSA_ALGORITHMS if public.algorithm == "RS256" else (public.algorithm,)
    pinned = members.get("alg", algorithms[0])
    if pinned not in algorithms:
        raise _bad_key(f"'alg' {str(pinned)[:32]!r} of a JWK is not one of {', '.join(algorithms)}")
    return JWK(key_id, (pinned,) if "alg" in members else algorithms, public)


def jwk_of(public_key: object) -> JWK:
    """Return the key for tokens that is a certificate's, or an SSH key's; its id is its thumbprint.

    Args:
        public_key: as `cryptography` has it.

    Raises:
        Error: BAD_PUBLIC_KEY for a kind that signs no tokens: security keys too, which `None`
            stands for.
    """
    match public_key:
        case ec.EllipticCurvePublicKey() if name := _CURVE_NAMES.get(public_key.curve.name):
            point = public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            half = len(point) // 2
            x, y = encode(point[1 : 1 + half]), encode(point[1 + half :])
            return jwk({"kty": "EC", "crv": name, "x": x, "y": y})
        case ed25519.Ed25519PublicKey():
            return jwk({"kty": "OKP", "crv": "Ed25519", "x": encode(public_key.public_bytes_raw())})
        case rsa.RSAPublicKey():
            numbers = public_key.public_numbers()
            return jwk({"kty": "RSA", "e": _number(numbers.e), "n": _number(numbers.n)})
        case _:
            raise _bad_key("a key of this kind signs no tokens")


def new_jwk() -> bytes:
    """Make a key for tokens, and return its private JWK: ES256, `kid` its thumbprint.

    OpenSSL's generator provides the randomness.
    """
    return private_jwk(ec.generate_private_key(ec.SECP256R1()))


def private_jwk(private_key: Any) -> bytes:
    """Return the private JWK of a key that `cryptography` has, JSON, `kid` its thumbprint.

    Raises:
        Error: BAD_PUBLIC_KEY for a kind that signs no tokens.
    """
    public = jwk_of(private_key.public_key())
    members = signing_key(public, private_key).as_dict(private=True)
    return msgspec.json.encode(members | public.document())


def signing_key(jwk: JWK, private_key: Any) -> Any:
    """Return the private half of a key as joserfc wants it."""
    return type(jwk.public_key.key).import_key(private_key)


def parse_private_jwk(data: bytes) -> PrivateJWK:
    """Read a private JWK.

    Raises:
        Error: MALFORMED, BAD_PUBLIC_KEY; never with anything of the key in it.
    """
    members = json.decode(data, dict[str, Any], max_bytes=MAX_BYTES)
    public = jwk({name: value for name, value in members.items() if name not in _PRIVATE_USE})
    try:
        key = _KINDS[members["kty"]].import_key(members)
        private_key = key.private_key
    except (JoseError, ValueError, TypeError, OverflowError):
        private_key = None
    if private_key is None:
        raise Error(
            Kind.MALFORMED,
            "the JWK has no private key, or one that is broken",
            hint="give the private half, as it was made",
        )
    if jwk_of(private_key.public_key()).public_key.thumbprint != public.public_key.thumbprint:
        raise Error(Kind.MALFORMED, "the private half of the JWK is of another key")
    return PrivateJWK(public, private_key)


def _canonical(members: dict[str, Any]) -> bytes:
    """Return the members of a public JWK that make its thumbprint (RFC 7638 §3)."""
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
    return msgspec.json.encode(public)


@lru_cache(maxsize=1024)  # strangers choose them: one of RSA with 8192 bits takes 15 kB
def parse_jwk(jwk: bytes) -> PublicKey:
    """Return the key of a canonical JWK, as `PublicKey.jwk` has it.

    Raises:
        Error: BAD_PUBLIC_KEY, MALFORMED.
    """
    return _key(jwk, _CURVES)


@lru_cache(maxsize=256)
def _token_key(jwk: bytes) -> PublicKey:
    return _key(jwk, _TOKEN_CURVES)


def _key(jwk: bytes, curves: dict[tuple[str, str], tuple[str, int]]) -> PublicKey:
    members = msgspec.json.decode(jwk, type=dict[str, str])
    kty = members["kty"]
    algorithm = _rsa(members) if kty == "RSA" else _curve(kty, members, curves)
    try:
        key: Any = _KINDS[kty].import_key(dict(members))
        spki = key.as_der(private=False)
    except (JoseError, ValueError, OverflowError) as error:
        raise _bad_key("the JWK holds no key of its kind") from error
    return PublicKey(jwk, hashlib.sha256(jwk).digest(), algorithm, spki, key)


def _curve(
    kty: str, members: dict[str, str], curves: dict[tuple[str, str], tuple[str, int]]
) -> str:
    found = curves.get((kty, members["crv"]))
    if found is None:
        raise _bad_key(f"a JWK on curve {members['crv'][:32]!r} is not accepted")
    algorithm, size = found
    for name in ("x", "y") if kty == "EC" else ("x",):
        if len(decode(members[name], name)) != size:  # RFC 7518 §6.2.1.2: the full size
            raise _bad_key(f"'{name}' of a JWK on {members['crv']} has {size} octets")
    return algorithm


def _rsa(members: dict[str, str]) -> str:
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
    return "RS256"


def _number(value: int) -> str:
    """Return a number in base64url (RFC 7518 §2, Base64urlUInt)."""
    return encode(value.to_bytes((value.bit_length() + 7) // 8))


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
        standard = text.encode("ascii").translate(_TO_STANDARD) + b"=" * (-len(text) % 4)
        octets = binascii.a2b_base64(standard, strict_mode=True)
        is_canonical = binascii.b2a_base64(octets, newline=False) == standard
    except ValueError:
        is_canonical = False
    if not is_canonical:
        raise Error(
            Kind.MALFORMED,
            f"'{what}' is not base64url without padding",
            hint="use the alphabet A-Z a-z 0-9 - _ and no '=' (RFC 7515 §2)",
        )
    return octets


_TO_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/!!!")  # '!' is in neither alphabet


def _bad_key(why: str) -> Error:
    low, high = RSA_BITS
    return Error(
        Kind.BAD_PUBLIC_KEY,
        why,
        hint=f"use an EC key on P-256 or P-384, Ed25519, or RSA of {low} to {high} bits",
    )
