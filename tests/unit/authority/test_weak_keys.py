"""Keys that somebody else could sign with are not certified."""

import hashlib
import math
import random
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mintmark.authority.policy import keys
from mintmark.authority.policy.keys import check_key
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import ALL_KEY_TYPES, KeyType
from mintmark.model.request import SubjectKey
from mintmark.wire.spki import subject_key
from tests import pki

RANDOM = random.Random(20_17)


def is_rough(number):
    """Whether no small prime divides a number: all that the checks can tell from a prime."""
    return math.gcd(number, keys._SMALL_PRIMES_PRODUCT) == 1


def rough_near(number):
    number |= 1
    while not is_rough(number):
        number += 2
    return number


def rough(bits):
    return rough_near(RANDOM.getrandbits(bits) | 3 << bits - 2)


def rsa_key(modulus, exponent=65537):
    public_key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SubjectKey(spki, hashlib.sha256(spki).digest(), KeyType.RSA_2048, public_key)


GOOD_MODULUS = pki.private_key(KeyType.RSA_2048).public_key().public_numbers().n


def refusal(key, allowed=ALL_KEY_TYPES):
    with pytest.raises(Error) as caught:
        check_key(key, allowed)
    assert caught.value.kind is Kind.BAD_PUBLIC_KEY
    assert caught.value.hint
    return caught.value.detail


@pytest.mark.parametrize(
    "key_type",
    [KeyType.EC_P256, KeyType.EC_P384, KeyType.ED25519, KeyType.RSA_2048, KeyType.RSA_3072],
    ids=lambda each: each.value,
)
def test_freshly_made_key_is_strong(key_type):
    check_key(pki.key(key_type), ALL_KEY_TYPES)


def test_type_outside_the_profile_is_refused_with_those_inside():
    detail = refusal(pki.key(KeyType.ED25519), (KeyType.EC_P256, KeyType.RSA_2048))

    assert detail == (
        "a key of type 'ed25519' is not allowed by the profile (allowed: ec-p256, rsa-2048)"
    )


def test_short_rsa_modulus_is_refused():
    modulus = rough(512) * rough(512)

    assert "modulus of 1024 bits, 2048 are needed" in refusal(rsa_key(modulus))


@pytest.mark.parametrize("exponent", [3, 17, 257, 65535])
def test_small_rsa_exponent_is_refused(exponent):
    assert f"exponent {exponent} is not odd" in refusal(rsa_key(GOOD_MODULUS, exponent))


def test_even_and_giant_rsa_exponents_are_weak():
    assert "exponent 65538" in keys._rsa_weakness(GOOD_MODULUS, 65538)
    assert "exponent of 257 bits" in keys._rsa_weakness(GOOD_MODULUS, 2**256 + 1)


@pytest.mark.parametrize("factor", [2, 3, 5, 677, 751])
def test_small_prime_factor_is_refused(factor):
    modulus = factor * rough(2049 - factor.bit_length())

    assert "small prime factor" in keys._rsa_weakness(modulus, 65537)


def test_smallest_prime_that_nobody_looks_for_is_above_the_limit():
    assert max(keys._SMALL_PRIMES) == 751


def roca_prime(bits):
    """Return a prime as the Infineon library made them: k·M + (65537^a mod M)."""
    modulus = math.prod(keys._primes_below(702))  # M of 1024-bit primes: the first 126 primes
    while True:
        power = pow(65537, RANDOM.getrandbits(64), modulus)
        candidate = RANDOM.getrandbits(bits - modulus.bit_length()) * modulus + power
        if candidate.bit_length() >= bits - 1 and is_rough(candidate):
            return candidate


def test_roca_key_is_refused():
    modulus = roca_prime(1026) * roca_prime(1026)

    assert "ROCA" in refusal(rsa_key(modulus))


def test_roca_fingerprint_spares_good_moduli():
    assert not any(keys.has_roca_fingerprint(RANDOM.getrandbits(2048) | 1) for _ in range(2_000))


@pytest.mark.parametrize("distance", [2, 1 << 64, 1 << 500], ids=["twins", "2^64", "2^500"])
def test_close_primes_are_refused(distance):
    one = rough(1025)
    modulus = one * rough_near(one + distance)

    assert "too close" in refusal(rsa_key(modulus))


def test_square_is_refused():
    assert keys.has_close_primes(rough(1024) ** 2)


def test_distant_primes_are_not_factored():
    assert not keys.has_close_primes(rough(1024) * rough(1024))


def test_compressed_point_is_refused():
    public_key = pki.private_key(KeyType.EC_P256).public_key()
    point = public_key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    key = SubjectKey(pki.key().spki[:26] + point, b"", KeyType.EC_P256, public_key)

    assert "not uncompressed" in refusal(key)


def test_point_off_the_curve_is_refused():
    spki = bytearray(pki.key().spki)
    spki[-1] ^= 1

    with pytest.raises(Error) as caught:
        subject_key(bytes(spki))
    assert caught.value.kind is Kind.BAD_PUBLIC_KEY


def test_point_at_infinity_is_refused():
    spki = pki.key().spki[:26] + b"\0" * 65

    with pytest.raises(Error) as caught:
        subject_key(spki)
    assert caught.value.kind is Kind.BAD_PUBLIC_KEY


def test_key_of_an_unknown_kind_is_refused():
    key = SubjectKey(b"", b"", KeyType.EC_P256, object())

    assert "kind is unknown" in refusal(key)


def test_other_curve_under_a_known_type_is_refused():
    public_key = ec.generate_private_key(ec.SECP521R1()).public_key()
    spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    assert "not uncompressed" in refusal(SubjectKey(spki, b"", KeyType.EC_P384, public_key))


def test_checks_of_an_rsa_key_take_no_noticeable_time():
    keys._rsa_weakness.cache_clear()
    started = time.process_time()
    check_key(rsa_key(GOOD_MODULUS), ALL_KEY_TYPES)

    assert time.process_time() - started < 0.05
