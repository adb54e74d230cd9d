"""Weak keys: public keys that somebody else could sign with, refused before they are certified.

EC and Ed25519 keys need only be of a named kind: `cryptography` loads no point off its curve.
RSA moduli have many ways to be weak, and each known one is looked for here.
"""

from __future__ import annotations

from functools import lru_cache
from math import gcd, isqrt, prod
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.request import SubjectKey
from mintmark.wire.spki import MAX_RSA_EXPONENT

MIN_RSA_BITS: Final = 2048
MIN_EXPONENT: Final = 65537  # NIST SP 800-56B §6.2: 2^16 < e < 2^256
FERMAT_ROUNDS: Final = 100

# An uncompressed point (RFC 5480 §2.2); TLS 1.3 knows no other form (RFC 8446 §4.2.8.2).
_EC_SPKI_OCTETS: Final = {KeyType.EC_P256: 91, KeyType.EC_P384: 120}


def check_key(key: SubjectKey, allowed: tuple[KeyType, ...]) -> None:
    """Check that a public key is strong and of an allowed type.

    Raises:
        Error: BAD_PUBLIC_KEY that says what is weak and what would be accepted.
    """
    if key.type not in allowed:
        raise Error(
            Kind.BAD_PUBLIC_KEY,
            f"a key of type '{key.type.value}' is not allowed by the profile "
            f"(allowed: {', '.join(each.value for each in allowed)})",
            hint="make a new key of an allowed type",
        )
    match key.public_key:
        case ec.EllipticCurvePublicKey():
            if len(key.spki) != _EC_SPKI_OCTETS.get(key.type):
                raise _weak("the EC point is not uncompressed (RFC 5480 §2.2)")
        case ed25519.Ed25519PublicKey():
            pass
        case rsa.RSAPublicKey() as public_key:
            check_rsa(public_key)
        case _:
            raise _weak("its kind is unknown")


def check_rsa(public_key: rsa.RSAPublicKey) -> None:
    """Check that an RSA key is strong.

    Raises:
        Error: BAD_PUBLIC_KEY that says what is weak.
    """
    numbers = public_key.public_numbers()
    if weakness := _rsa_weakness(numbers.n, numbers.e):
        raise _weak(weakness)


def _weak(why: str) -> Error:
    return Error(
        Kind.BAD_PUBLIC_KEY,
        f"the public key is refused: {why}",
        hint="make a new key with a current version of your tool",
    )


@lru_cache(maxsize=1024)
def _rsa_weakness(modulus: int, exponent: int) -> str:
    """Return what is weak about an RSA key, or an empty text; renewals ask again and again."""
    if modulus.bit_length() < MIN_RSA_BITS:
        return f"an RSA modulus of {modulus.bit_length()} bits, {MIN_RSA_BITS} are needed"
    if not MIN_EXPONENT <= exponent < MAX_RSA_EXPONENT or exponent % 2 == 0:
        shown = exponent if exponent < MAX_RSA_EXPONENT else f"of {exponent.bit_length()} bits"
        return f"the RSA exponent {shown} is not odd and at least {MIN_EXPONENT}"
    if gcd(modulus, _SMALL_PRIMES_PRODUCT) != 1:
        return "the RSA modulus has a small prime factor"
    if has_roca_fingerprint(modulus):
        return "the RSA modulus has the ROCA fingerprint (CVE-2017-15361)"
    if has_close_primes(modulus):
        return "the RSA primes are too close to each other (Fermat factorization)"
    return ""


def _primes_below(limit: int) -> tuple[int, ...]:
    return tuple(n for n in range(2, limit) if all(n % d for d in range(2, isqrt(n) + 1)))


_SMALL_PRIMES: Final = _primes_below(752)
_SMALL_PRIMES_PRODUCT: Final = prod(_SMALL_PRIMES)


def _powers_of_65537(prime: int) -> frozenset[int]:
    """Return the subgroup that 65537 generates modulo a prime."""
    powers, power = {1}, 65537 % prime
    while power not in powers:
        powers.add(power)
        power = power * 65537 % prime
    return frozenset(powers)


# The weak generator made primes k·M + (65537^a mod M), with M the product of the first primes;
# so its moduli are powers of 65537 modulo each of them. Primes where all residues are powers
# say nothing. A good modulus passes them all by chance once in 2^27 times.
_ROCA_RESIDUES: Final = tuple(
    (prime, powers)
    for prime in _primes_below(168)
    if prime > 2 and len(powers := _powers_of_65537(prime)) < prime - 1
)


def has_roca_fingerprint(modulus: int) -> bool:
    """Whether a modulus looks like one of the Infineon generator (CVE-2017-15361)."""
    return all(modulus % prime in powers for prime, powers in _ROCA_RESIDUES)


# Which residues modulo 4096 squares have; nine in ten numbers are no square at a glance.
_SQUARES_MOD_4096: Final = frozenset(n * n & 4095 for n in range(4096))


def has_close_primes(modulus: int) -> bool:
    """Whether Fermat's method factors a modulus within a hundred rounds (CVE-2022-26320)."""
    middle = isqrt(modulus)
    if middle * middle < modulus:
        middle += 1
    rest = middle * middle - modulus
    for _ in range(FERMAT_ROUNDS):
        if rest & 4095 in _SQUARES_MOD_4096 and isqrt(rest) ** 2 == rest:
            return True
        rest += 2 * middle + 1
        middle += 1
    return False
