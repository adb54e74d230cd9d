"""RFC 7515, 7517, 7638 as far as ACME goes, and what forgers try."""

from __future__ import annotations

import contextlib
import hmac
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from mintmark.model.errors import Error, Kind
from mintmark.wire import jose

EC, RSA = ECKey.generate_key("P-256"), RSAKey.generate_key(2048)
KEYS = {
    "ES256": EC,
    "ES384": ECKey.generate_key("P-384"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "RS256": RSA,
}


def signed(key, algorithm: str, payload: bytes = b"{}", **header: object) -> bytes:
    protected = jose.encode(json.dumps({"alg": algorithm} | header).encode())
    signing_input = f"{protected}.{jose.encode(payload)}".encode()
    signature = JWSRegistry.algorithms[algorithm].sign(signing_input, key)
    return json.dumps(
        {
            "protected": protected,
            "payload": jose.encode(payload),
            "signature": jose.encode(signature),
        }
    ).encode()


@pytest.mark.parametrize("algorithm", jose.ALGORITHMS)
def test_what_a_key_signed_verifies(algorithm):
    private = KEYS[algorithm]
    key = jose.public_key(private.as_dict(private=False))

    jws = jose.parse(signed(private, algorithm, b'{"a":1}', nonce="x"))
    jose.verify(jws, key)

    assert jws.payload == b'{"a":1}'
    assert jws.header["nonce"] == "x"


@pytest.mark.parametrize("algorithm", jose.ALGORITHMS)
def test_thumbprint_is_that_of_rfc_7638(algorithm):
    members = KEYS[algorithm].as_dict(private=False)

    key = jose.public_key(members | {"use": "sig", "kid": "1"})

    assert key.thumbprint_text == KEYS[algorithm].thumbprint()
    assert jose.parse_jwk(key.jwk) == key


def test_thumbprint_of_the_rfcs_example():
    """RFC 7638 §3.1."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
        "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
        "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI"
        "4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    key = jose.public_key({"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256"})

    assert key.thumbprint_text == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("algorithm", jose.ALGORITHMS)
@pytest.mark.parametrize("other", jose.ALGORITHMS)
def test_a_key_verifies_with_its_own_algorithm_only(algorithm, other):
    key = jose.public_key(KEYS[other].as_dict(private=False))
    jws = jose.parse(signed(KEYS[algorithm], algorithm))

    if algorithm == other:
        jose.verify(jws, key)
        return
    with pytest.raises(jose.AlgorithmError):
        jose.verify(jws, key)


@pytest.mark.parametrize("algorithm", jose.ALGORITHMS)
def test_one_altered_bit_anywhere_is_noticed(algorithm):
    key = jose.public_key(KEYS[algorithm].as_dict(private=False))
    whole = json.loads(signed(KEYS[algorithm], algorithm))

    for place in (0, 5, -1):
        octets = bytearray(jose.decode(whole["signature"], ""))
        octets[place] ^= 1
        altered = whole | {"signature": jose.encode(bytes(octets))}
        with pytest.raises(Error):
            jose.verify(jose.parse(json.dumps(altered).encode()), key)
    for signature in ("", "AAAA", whole["signature"] * 2):
        with pytest.raises(Error):
            jose.verify(jose.parse(json.dumps(whole | {"signature": signature}).encode()), key)


def test_signature_of_zeros_is_no_signature():
    """CVE-2022-21449: r and s of zero."""
    key = jose.public_key(EC.as_dict(private=False))
    whole = json.loads(signed(EC, "ES256")) | {"signature": jose.encode(bytes(64))}

    with pytest.raises(Error):
        jose.verify(jose.parse(json.dumps(whole).encode()), key)


RSA_JWK, EC_JWK = RSA.as_dict(private=False), EC.as_dict(private=False)


@pytest.mark.parametrize(
    "jwk",
    [
        pytest.param(None, id="none"),
        pytest.param([], id="array"),
        pytest.param({}, id="empty"),
        pytest.param({"kty": "oct", "k": "AAAA"}, id="symmetric"),
        pytest.param({"kty": ["EC"]}, id="kind is no text"),
        pytest.param({"kty": "EC", "crv": "P-256", "x": EC_JWK["x"]}, id="no y"),
        pytest.param(EC_JWK | {"crv": "secp256k1"}, id="another curve"),
        pytest.param(EC_JWK | {"crv": "P-384"}, id="wrong size"),
        pytest.param(EC_JWK | {"y": EC_JWK["x"]}, id="point off the curve"),
        pytest.param(EC_JWK | {"x": EC_JWK["x"] + "="}, id="padding"),
        pytest.param(EC_JWK | {"x": "AA" + EC_JWK["x"]}, id="leading zeros"),
        pytest.param(EC_JWK | {"d": "AA"}, id="private"),
        pytest.param({"kty": "OKP", "crv": "X25519", "x": "A" * 43}, id="key agreement"),
        pytest.param({"kty": "OKP", "crv": "Ed448", "x": "A" * 76}, id="Ed448"),
        pytest.param(RSA_JWK | {"n": jose.encode(b"\xc1" * 128)}, id="1024 bits"),
        pytest.param(RSA_JWK | {"n": jose.encode(b"\xc1" * 1025)}, id="8200 bits"),
        pytest.param(RSA_JWK | {"n": jose.encode(b"\xc0" * 256)}, id="even modulus"),
        pytest.param(RSA_JWK | {"n": "AA" + RSA_JWK["n"]}, id="zero before the modulus"),
        pytest.param(RSA_JWK | {"e": "Aw"}, id="exponent 3"),
        pytest.param(RSA_JWK | {"e": "AQAC"}, id="even exponent"),
        pytest.param(RSA_JWK | {"e": "_" * 40}, id="long exponent"),
        pytest.param(RSA_JWK | {"e": ""}, id="no exponent"),
    ],
)
def test_keys_that_are_none_or_weak_are_refused(jwk):
    with pytest.raises(Error) as refused:
        jose.public_key(jwk)

    assert refused.value.kind in {Kind.BAD_PUBLIC_KEY, Kind.MALFORMED}


@given(st.binary(max_size=300))
def test_base64url_reads_back(octets):
    assert jose.decode(jose.encode(octets), "x") == octets


@given(st.text(max_size=40))
@settings(max_examples=100)
def test_octets_have_one_spelling(text):
    with contextlib.suppress(Error):
        assert jose.encode(jose.decode(text, "x")) == text


@given(st.binary(max_size=400))
@settings(max_examples=100)
def test_arbitrary_octets_are_refused_and_nothing_else(octets):
    with pytest.raises(Error):
        jose.parse(octets)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=10,
    )
)
@settings(max_examples=100)
def test_arbitrary_json_is_no_key(value):
    with pytest.raises(Error):
        jose.public_key(value)


def test_mac_verifies_with_its_key_alone():
    key = b"k" * 32
    protected = jose.encode(b'{"alg":"HS256"}')
    mac = hmac.digest(key, f"{protected}.e30".encode(), "sha256")
    body = {"protected": protected, "payload": "e30", "signature": jose.encode(mac)}
    jws = jose.parse(json.dumps(body).encode())

    jose.verify_hmac(jws, key)
    with pytest.raises(Error):
        jose.verify_hmac(jws, b"x" * 32)
    with pytest.raises(jose.AlgorithmError):
        jose.verify_hmac(jose.parse(signed(EC, "ES256")), key)
