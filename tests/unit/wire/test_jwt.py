"""RFC 7515, 7519 and 8725: compact tokens, keys that sign them, and what forgers try."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwt as reference
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from mintmark.model.errors import Error, Kind
from mintmark.wire import jose, jwt
from mintmark.wire.ssh import key as ssh_key
from tests import openssh
from tests.openssh import ED25519, P256, P384, P521, RSA

quick = settings(max_examples=100, deadline=None)
KEYS = {"ES256": P256, "ES384": P384, "ES512": P521, "EdDSA": ED25519} | dict.fromkeys(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), RSA
)
KINDS = {"EC": ECKey, "OKP": OKPKey, "RSA": RSAKey}
CLAIMS = {"iss": "ci", "sub": "web.internal", "aud": "https://ca/1.0/sign", "exp": 1_700_000_300}
TOKEN = jwt.sign({"kid": "k"}, CLAIMS, P256)
KEY = jose.jwk_of(P256.public_key())


def made(header: object, claims: object = CLAIMS, signature: bytes = b"s" * 64) -> str:
    """Return a token with whatever header and claims."""
    parts = [
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, claims)
    ]
    return ".".join(map(jose.encode, (*parts, signature)))


def refusal(text: str, key: jose.JWK = KEY) -> Error:
    with pytest.raises(Error) as refused:
        jwt.verify(jwt.parse(text), key)
    assert refused.value.kind is Kind.BAD_TOKEN
    return refused.value


# --- good tokens ---------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", KEYS)
def test_token_reads_back_and_verifies(algorithm):
    text = jwt.sign({"alg": algorithm, "kid": "k1"}, CLAIMS, KEYS[algorithm])

    read = jwt.parse(text)
    jwt.verify(read, jose.jwk_of(KEYS[algorithm].public_key()))

    assert read.claims == CLAIMS
    assert read.header == {"alg": algorithm, "typ": "JWT", "kid": "k1"}
    assert (read.algorithm, read.key_id, read.text) == (algorithm, "k1", text)
    assert read.signing_input == text.rpartition(".")[0].encode()


def test_tokens_of_one_header_share_it_and_nobody_can_change_it():
    one, other = jwt.parse(TOKEN), jwt.parse(jwt.sign({"kid": "k"}, {}, P256))

    assert one.header is other.header
    with pytest.raises(TypeError):
        one.header["kid"] = "another"


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("algorithm", KEYS)
def test_token_is_one_to_the_reference_and_back(algorithm):
    key = jose.jwk_of(KEYS[algorithm].public_key())
    private = KINDS[key.document()["kty"]].import_key(KEYS[algorithm])
    text = reference.encode({"alg": algorithm}, CLAIMS, private, algorithms=[algorithm])

    jwt.verify(jwt.parse(text), key)
    ours = jwt.sign({"alg": algorithm}, CLAIMS, KEYS[algorithm])

    assert reference.decode(ours, private, algorithms=[algorithm]).claims == CLAIMS


def test_ordinary_key_signs_with_its_preferred_algorithm():
    found = {name: jwt.parse(jwt.sign({}, {}, key)).algorithm for name, key in KEYS.items()}

    assert found == dict.fromkeys(KEYS, "RS256") | {
        name: name for name in ("ES256", "ES384", "ES512", "EdDSA")
    }


def test_key_does_not_sign_with_the_algorithm_of_another():
    for algorithm in ("none", "HS256", "ES384", "RS256", 7):
        with pytest.raises(Error):
            jwt.sign({"alg": algorithm}, CLAIMS, P256)


@pytest.mark.parametrize("name", ["x5c", "x5cInsecure", "sshpop"])
def test_headers_with_certificates_are_kept_for_the_caller(name):
    read = jwt.parse(jwt.sign({name: ["MII"]}, CLAIMS, P256))

    jwt.verify(read, KEY)
    assert read.header[name] == ["MII"]


def test_holder_of_an_ssh_key_signs():
    for private in openssh.SUBJECTS.values():
        public = openssh.public(private).public_key
        jwt.verify(jwt.parse(jwt.sign({}, CLAIMS, private)), jose.jwk_of(public))


def test_security_key_signs_no_token():
    with pytest.raises(Error) as refused:
        jose.jwk_of(openssh.sk_key(ssh_key.SK_ECDSA).public_key)

    assert refused.value.kind is Kind.BAD_PUBLIC_KEY


def test_secrets_of_a_token_are_not_in_its_repr():
    read = jwt.parse(TOKEN)

    assert TOKEN.rpartition(".")[2] not in repr(read)
    assert TOKEN not in repr(read)


# --- forgeries -----------------------------------------------------------------------------------


def test_public_key_is_no_hmac_secret():
    """CVE-2015-9235: the verifier's public key as a secret that everybody knows."""
    public = RSA.public_key()
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        jose.jwk_of(public).public_key.jwk,
    ]
    for algorithm, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
        for secret in secrets:
            head = made({"alg": algorithm}, CLAIMS, b"").rpartition(".")[0]
            text = f"{head}.{jose.encode(hmac.digest(secret, head.encode(), digest))}"
            assert "not accepted" in refusal(text, jose.jwk_of(public)).detail


@pytest.mark.parametrize(
    "algorithm",
    ["none", "None", "NONE", "", "HS256", "ES256K", "Ed448", "es256", "RS1", None, 7, [], {}],
)
def test_token_with_an_algorithm_of_no_key_is_refused(algorithm):
    for signature in (b"", b"s" * 64):
        assert "algorithm" in refusal(made({"alg": algorithm}, signature=signature)).detail


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("other", KEYS)
def test_key_verifies_with_its_own_algorithms_only(algorithm, other):
    key = jose.jwk(jose.jwk_of(KEYS[other].public_key()).document() | {"alg": other})
    text = jwt.sign({"alg": algorithm}, CLAIMS, KEYS[algorithm])

    if algorithm == other:
        jwt.verify(jwt.parse(text), key)
    else:
        assert other in refusal(text, key).detail


@pytest.mark.parametrize("algorithm", KEYS)
def test_altered_token_does_not_verify(algorithm):
    key = jose.jwk_of(KEYS[algorithm].public_key())
    head, claims, signature = jwt.sign({"alg": algorithm}, CLAIMS, KEYS[algorithm]).split(".")
    octets = bytearray(jose.decode(signature, ""))
    for place in (0, len(octets) // 2, -1):
        altered = octets.copy()
        altered[place] ^= 1
        refusal(f"{head}.{claims}.{jose.encode(bytes(altered))}", key)
    for other in (b"", b"\0" * len(octets), bytes(octets) * 2, bytes(octets[:-1])):
        refusal(f"{head}.{claims}.{jose.encode(other)}", key)
    mallory = jose.encode(json.dumps(CLAIMS | {"sub": "mallory"}).encode())
    refusal(f"{head}.{mallory}.{signature}", key)


def test_token_of_another_key_does_not_verify():
    refusal(jwt.sign({"kid": "k"}, CLAIMS, ec.generate_private_key(ec.SECP256R1())))


def test_second_spelling_of_a_signature_does_not_make_another_token():
    """(r, n - s) is as good as (r, s): what tells tokens apart is what was signed."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    head, _, signature = TOKEN.rpartition(".")
    octets = jose.decode(signature, "")
    flipped = octets[:32] + (order - int.from_bytes(octets[32:])).to_bytes(32)
    second = jwt.parse(f"{head}.{jose.encode(flipped)}")

    jwt.verify(second, KEY)

    assert second.text != TOKEN
    assert second.signing_input == jwt.parse(TOKEN).signing_input


@pytest.mark.parametrize("name", ["crit", "b64", "jku", "jwk", "x5u", "zip", "enc"])
@pytest.mark.parametrize("value", [None, [], "x", {"kty": "oct", "k": "AA"}])
def test_header_that_brings_a_key_or_changes_what_is_signed_is_refused(name, value):
    assert name in refusal(jwt.sign({name: value}, CLAIMS, P256)).detail


@pytest.mark.parametrize("type_", ["at+jwt", "dpop+jwt", "logout+jwt", "JOSE", "", 7, None])
def test_token_that_says_it_is_another_kind_is_refused(type_):
    """RFC 8725 §3.11: an access token is no ID token."""
    assert "type" in refusal(jwt.sign({"typ": type_}, CLAIMS, P256)).detail


@pytest.mark.parametrize("type_", ["JWT", "jwt", "application/jwt"])
def test_token_may_say_that_it_is_one(type_):
    jwt.verify(jwt.parse(jwt.sign({"typ": type_}, CLAIMS, P256)), KEY)


@pytest.mark.parametrize("key_id", [7, None, ["k"], "k" * 1025])
def test_key_id_that_is_no_short_text_is_refused(key_id):
    assert "kid" in refusal(jwt.sign({"kid": key_id}, CLAIMS, P256)).detail


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b'{"alg":"none","alg":"ES256"}', id="algorithm twice"),
        pytest.param(b'{"alg":"ES256","kid":"a","kid":"b"}', id="key id twice"),
        pytest.param(b'{"alg":"ES256","\\u0061lg":"none"}', id="algorithm twice, once escaped"),
        pytest.param(b'{"alg":"ES256","x":{"a":1,"a":2}}', id="member twice inside"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"ES256"', id="text"),
        pytest.param(b"{", id="cut short"),
        pytest.param(b"", id="nothing"),
        pytest.param(b'\xef\xbb\xbf{"alg":"ES256"}', id="byte order mark"),
        pytest.param(b'{"alg":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"alg":"ES256","a":' + b"[" * 40 + b"]" * 40 + b"}", id="deep"),
    ],
)
def test_header_that_two_readers_could_read_differently_is_refused(header):
    refusal(made(header))


def test_claims_that_two_readers_could_read_differently_are_refused():
    for claims in (b'{"sub":"a","sub":"b"}', b"[]", b"7", b"", b"{", b'{"exp":NaN}'):
        assert "claims" in refusal(made({"alg": "ES256"}, claims)).detail


@pytest.mark.parametrize("name", ["exp", "nbf", "iat", "auth_time"])
@pytest.mark.parametrize(
    "value", [True, False, None, "1700000000", [], -1, -0.5, 2**53 + 1, 1e300, 10**30]
)
def test_date_that_is_none_is_refused(name, value):
    assert name in refusal(jwt_with({name: value})).detail


def jwt_with(claims: dict[str, object]) -> str:
    head = made({"alg": "ES256"}, CLAIMS | claims, b"").rpartition(".")[0]
    return f"{head}.{jose.encode(b's' * 64)}"


@pytest.mark.parametrize("value", [0, 1, 1_700_000_000, 1_700_000_000.25, 2**53])
def test_date_in_seconds_is_read(value):
    assert jwt.parse(jwt_with({"exp": value})).claims["exp"] == value


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param(".", id="two parts"),
        pytest.param("..", id="three empty parts"),
        pytest.param(TOKEN.rpartition(".")[0], id="no signature"),
        pytest.param(TOKEN + ".", id="four parts"),
        pytest.param("." * 70_000, id="dots"),
        pytest.param(TOKEN.rpartition(".")[0] + ".", id="empty signature"),
        pytest.param(TOKEN + "=", id="padding"),
        pytest.param(TOKEN + "A", id="a character more"),
        pytest.param(TOKEN[:-1], id="a character less"),
        pytest.param(" " + TOKEN, id="blank before"),
        pytest.param(TOKEN + "\n", id="line feed"),
        pytest.param(TOKEN.replace(".", ".\n", 1), id="line feed inside"),
        pytest.param(TOKEN.replace("e", "\N{CYRILLIC SMALL LETTER IE}"), id="not ASCII"),
        pytest.param("\ud800.a.a", id="no Unicode"),
        pytest.param("a" * (jwt.MAX_BYTES + 1), id="beyond the limit"),
        pytest.param(json.dumps({"payload": "", "signatures": []}), id="JSON"),
        pytest.param(".".join("aaaaa"), id="JWE"),
    ],
)
def test_text_that_is_no_compact_jws_is_refused(text):
    refusal(text)


def test_base64_with_bits_behind_its_end_is_refused():
    """Two spellings of one token would count as two."""
    last = TOKEN[-1]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    neighbor = alphabet[alphabet.index(last) ^ 1]

    assert "base64url" in refusal(TOKEN[:-1] + neighbor).detail


def test_token_cut_short_anywhere_is_refused():
    for end in range(len(TOKEN)):
        refusal(TOKEN[:end])


@quick
@given(st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9_-]{0,20}(\.[A-Za-z0-9_-]{0,20}){2}"))
def test_noise_is_refused_and_nothing_else(text):
    refusal(text)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@quick
@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "x5c", "sshpop", "jwk", "a"]), values),
    st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "sub", "aud", "a"]), values),
)
def test_whatever_json_a_stranger_signs_is_refused(header, claims):
    refusal(made({"alg": "ES256"} | header, claims))


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", KEYS)
def test_jwk_of_a_key_has_its_thumbprint_as_id(algorithm):
    key = jose.jwk_of(KEYS[algorithm].public_key())

    document = key.document()

    assert document["kid"] == key.key_id == key.public_key.thumbprint_text
    assert document["use"] == "sig"
    assert KINDS[document["kty"]].import_key(document).thumbprint() == key.key_id
    assert jose.jwk(document).public_key == key.public_key


def test_rsa_key_without_alg_is_for_all_of_rsa_and_with_one_for_that():
    document = jose.jwk_of(RSA.public_key()).document()
    loose = {name: value for name, value in document.items() if name != "alg"}

    assert jose.jwk(loose).algorithms == ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
    assert jose.jwk(loose | {"alg": "PS384"}).algorithms == ("PS384",)


def test_key_id_of_a_provider_is_kept():
    assert jose.jwk(KEY.document() | {"kid": "2026-11"}).key_id == "2026-11"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"use": "enc"}, id="for encryption"),
        pytest.param({"use": 7}, id="use is no text"),
        pytest.param({"key_ops": ["encrypt"]}, id="operations without verify"),
        pytest.param({"key_ops": "verify"}, id="operations no array"),
        pytest.param({"alg": "none"}, id="none"),
        pytest.param({"alg": "HS256"}, id="HMAC"),
        pytest.param({"alg": "ES384"}, id="algorithm of another curve"),
        pytest.param({"alg": "RS256"}, id="algorithm of another kind"),
        pytest.param({"alg": ["ES256"]}, id="algorithm no text"),
        pytest.param({"kid": ""}, id="empty id"),
        pytest.param({"kid": 7}, id="id no text"),
        pytest.param({"kid": "k" * 1025}, id="long id"),
        pytest.param({"kty": "oct", "k": "AAAA"}, id="symmetric"),
        pytest.param({"d": "AAAA"}, id="private"),
        pytest.param({"crv": "secp256k1"}, id="another curve"),
        pytest.param({"x": "AAAA"}, id="short"),
    ],
)
def test_jwk_that_may_verify_nothing_here_is_refused(changes):
    with pytest.raises(Error) as refused:
        jose.jwk(KEY.document() | changes)

    assert refused.value.kind in {Kind.BAD_PUBLIC_KEY, Kind.MALFORMED}


OTHER_KINDS = {
    "secp256k1": ec.generate_private_key(ec.SECP256K1()),
    "Ed448": ed448.Ed448PrivateKey.generate(),
    "X25519": x25519.X25519PrivateKey.generate(),
}


@pytest.mark.parametrize("private", OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_key_of_another_kind_has_no_jwk(private):
    with pytest.raises(Error) as refused:
        jose.jwk_of(private.public_key())

    assert refused.value.kind is Kind.BAD_PUBLIC_KEY


def test_account_of_acme_has_no_key_on_p_521():
    """RFC 8555's table of algorithms stays as it was."""
    document = jose.jwk_of(P521.public_key()).document()

    jose.jwk(document)
    with pytest.raises(Error):
        jose.public_key(document)


def test_new_key_signs_tokens_that_its_public_half_verifies():
    read = jose.parse_private_jwk(jose.new_jwk())
    text = jwt.sign({"kid": read.jwk.key_id}, CLAIMS, read.private_key)

    jwt.verify(jwt.parse(text), jose.jwk(read.jwk.document()))

    assert read.jwk.algorithms == ("ES256",)
    assert "d" not in read.jwk.document()


@pytest.mark.parametrize("algorithm", KEYS)
def test_private_key_reads_back(algorithm):
    data = jose.private_jwk(KEYS[algorithm])

    read = jose.parse_private_jwk(data)

    assert read.private_key.public_key() == KEYS[algorithm].public_key()
    assert str(read.private_key) not in repr(read)
    assert json.loads(data)["kid"] == read.jwk.key_id


def test_numbers_of_a_private_key_have_their_full_size():
    """RFC 7518 §6.2.2.1; other programs refuse a `d` without its leading zeros."""
    for number in range(1, 300):
        members = json.loads(jose.private_jwk(ec.derive_private_key(number, ec.SECP256R1())))
        assert {len(jose.decode(members[name], name)) for name in "xyd"} == {32}


def test_private_key_of_another_key_is_refused():
    members = json.loads(jose.new_jwk())
    for changes in (
        {"d": json.loads(jose.new_jwk())["d"]},
        {"d": "AA"},
        {"d": 7},
        {"d": ""},
        {"kty": "oct"},
        {"x": 7},
    ):
        with pytest.raises(Error) as refused:
            jose.parse_private_jwk(json.dumps(members | changes).encode())
        assert members["d"] not in refused.value.detail


def test_public_key_is_no_private_one():
    with pytest.raises(Error):
        jose.parse_private_jwk(json.dumps(KEY.document()).encode())


@quick
@given(
    st.dictionaries(st.sampled_from([*"dxynepq", "dp", "dq", "qi", "oth", "kid", "alg"]), values)
)
def test_odd_private_keys_raise_nothing_but_error(changes):
    for private in (P256, RSA):
        data = json.dumps(json.loads(jose.private_jwk(private)) | changes).encode()
        try:
            read = jose.parse_private_jwk(data)
        except Error:
            continue
        assert read.private_key.public_key() == private.public_key()


@quick
@given(st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "use", "key_ops", "kid"]), values))
def test_odd_keys_raise_nothing_but_error(changes):
    members = KEY.document() | changes
    try:
        read = jose.jwk(members)
    except Error:
        return
    assert read.public_key == KEY.public_key


def test_symmetric_key_of_the_reference_is_refused():
    with pytest.raises(Error):
        jose.jwk(OctKey.import_key(hashlib.sha256(b"").digest()).as_dict(private=True))
