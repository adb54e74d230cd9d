"""Private JWKs under a password: compact JWE with PBES2-HS256+A128KW and A256GCM.

The one form that the step protocol knows (RFC 7516 §7.1, RFC 7518 §4.8). Anybody may read such a
key, so that its password is all that protects it; and who sends one chooses how long its
reader works, so that the number of iterations has a limit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from mintmark.model.errors import Error, Kind
from mintmark.wire import jose, json

ALGORITHM: Final = "PBES2-HS256+A128KW"
ENCRYPTION: Final = "A256GCM"
CONTENT_TYPE: Final = "jwk+json"
ITERATIONS: Final = 600_000
MIN_ITERATIONS: Final = 1000  # RFC 7518 §4.8.1.2
MAX_ITERATIONS: Final = 1_000_000  # about a second
MAX_BYTES: Final = 64 * 1024
MIN_SALT: Final = 8  # octets: RFC 7518 §4.8.1.1
MAX_SALT: Final = 64
_SALT, _CONTENT_KEY, _NONCE, _TAG = 16, 32, 12, 16
_WRAPPED: Final = _CONTENT_KEY + 8  # RFC 3394


def encrypt_key(
    private_jwk: bytes,
    password: bytes,
    entropy: Callable[[int], bytes],
    *,
    iterations: int = ITERATIONS,
) -> str:
    """Return a private JWK encrypted under a password, as compact JWE.

    Args:
        private_jwk: JSON.
        password: not empty.
        entropy: returns so many random octets.
        iterations: `p2c`, what each guess at the password costs.

    Raises:
        Error: MALFORMED for an empty password, or a number of iterations out of bounds.
    """
    if not password:
        raise _bad("the password is empty", "choose one; it is all that protects the key")
    _check_iterations(iterations)
    salt, content_key, nonce = entropy(_SALT), entropy(_CONTENT_KEY), entropy(_NONCE)
    header = {
        "alg": ALGORITHM,
        "cty": CONTENT_TYPE,
        "enc": ENCRYPTION,
        "p2c": iterations,
        "p2s": jose.encode(salt),
    }
    protected = jose.encode(msgspec.json.encode(header))
    wrapped = aes_key_wrap(_wrapping_key(password, salt, iterations), content_key)
    sealed = AESGCM(content_key).encrypt(nonce, private_jwk, protected.encode("ascii"))
    parts = (wrapped, nonce, sealed[:-_TAG], sealed[-_TAG:])
    return ".".join((protected, *map(jose.encode, parts)))


def decrypt_key(compact: str, password: bytes) -> bytes:
    """Return the private JWK, JSON, of a compact JWE.

    Raises:
        Error: UNAUTHENTICATED when the password is wrong or the JWE was altered, which cannot
            be told apart; MALFORMED, TOO_LARGE for a JWE of another form.
    """
    if len(compact) > MAX_BYTES:
        raise _bad(f"the JWE has {len(compact)} characters, the limit is {MAX_BYTES}")
    parts = compact.strip().split(".")
    if len(parts) != 5:
        raise _bad(
            f"the JWE has {min(len(parts), 100)} parts, 5 are expected",
            "give a compact JWE (RFC 7516 §7.1)",
        )
    protected = parts[0]
    salt, iterations = _check_header(protected)
    wrapped, nonce, sealed, tag = (jose.decode(part, "JWE") for part in parts[1:])
    if (len(wrapped), len(nonce), len(tag)) != (_WRAPPED, _NONCE, _TAG):
        raise _bad(f"the JWE's parts have not the sizes of {ALGORITHM} and {ENCRYPTION}")
    try:
        content_key = aes_key_unwrap(_wrapping_key(password, salt, iterations), wrapped)
        return AESGCM(content_key).decrypt(nonce, sealed + tag, protected.encode("ascii"))
    except (InvalidUnwrap, InvalidTag) as error:
        raise Error(
            Kind.UNAUTHENTICATED,
            "the password does not open the encrypted key",
            hint="give the password that it was encrypted with",
        ) from error


def _wrapping_key(password: bytes, salt: bytes, iterations: int) -> bytes:
    """RFC 7518 §4.8: the salt begins with the algorithm's name and a zero octet."""
    return hashlib.pbkdf2_hmac(
        "sha256", password, ALGORITHM.encode("ascii") + b"\0" + salt, iterations, 16
    )


def _check_header(protected: str) -> tuple[bytes, int]:
    """Return salt and iterations."""
    header: dict[str, Any] = json.decode(
        jose.decode(protected, "header"), dict[str, Any], max_bytes=MAX_BYTES
    )
    found = header.get("alg"), header.get("enc")
    if found != (ALGORITHM, ENCRYPTION):
        shown = " and ".join(str(one)[:32] for one in found)
        raise _bad(
            f"the JWE is encrypted with {shown!a}",
            f"use {ALGORITHM} and {ENCRYPTION}",
        )
    if refused := sorted({"crit", "zip"} & header.keys()):
        raise _bad(f"the JWE has the header parameter '{refused[0]}', which is not used here")
    salt = header.get("p2s")
    octets = jose.decode(salt, "p2s") if isinstance(salt, str) else b""
    if not MIN_SALT <= len(octets) <= MAX_SALT:
        raise _bad(f"the JWE's 'p2s' has not {MIN_SALT} to {MAX_SALT} octets")
    iterations = header.get("p2c")
    return octets, _check_iterations(iterations)


def _check_iterations(iterations: object) -> int:
    if type(iterations) is not int or not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise _bad(
            f"the JWE's 'p2c' is no number from {MIN_ITERATIONS} to {MAX_ITERATIONS}",
            "more would keep whoever reads it busy, fewer protect nothing",
        )
    return iterations


def _bad(why: str, hint: str = "") -> Error:
    return Error(Kind.MALFORMED, why, hint=hint)
