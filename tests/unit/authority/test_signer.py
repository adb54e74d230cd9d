"""Signing keys: how they sign, what they refuse to sign, and how they rest."""

import copy
import pickle
import subprocess

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, padding, rsa

from mintmark.authority.signer import pkcs8
from mintmark.authority.signer.draft import Draft
from mintmark.authority.signer.file import FileSigner, generate, load
from mintmark.authority.signer.files import write_secret
from mintmark.authority.signer.pkcs8 import encrypted_pkcs8, parse_private_key, plain_pkcs8
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.wire import pem
from tests import pki

QUICK = (KeyType.EC_P256, KeyType.EC_P384, KeyType.ED25519, KeyType.RSA_2048)


def verify(signer, signature, message):
    key = serialization.load_der_public_key(signer.spki)
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePublicKey):
        digest = hashes.SHA384() if key.key_size == 384 else hashes.SHA256()
        key.verify(signature, message, ec.ECDSA(digest))
    else:
        key.verify(signature, message)


@pytest.mark.parametrize("key_type", QUICK, ids=lambda each: each.value)
def test_signature_verifies_with_the_published_key(key_type):
    signer = pki.signer(key_type)

    verify(signer, signer.sign(Draft(b"to be signed")), b"to be signed")


@pytest.mark.parametrize(
    ("key_type", "name", "identifier"),
    [
        (KeyType.EC_P256, "ecdsa-with-SHA256", "300a06082a8648ce3d040302"),
        (KeyType.EC_P384, "ecdsa-with-SHA384", "300a06082a8648ce3d040303"),
        (KeyType.ED25519, "Ed25519", "300506032b6570"),
        (KeyType.RSA_2048, "sha256WithRSAEncryption", "300d06092a864886f70d01010b0500"),
    ],
    ids=[each.value for each in QUICK],
)
def test_algorithm_identifier_is_exactly_the_rfcs(key_type, name, identifier):
    algorithm = pki.signer(key_type).algorithm

    assert (algorithm.name, algorithm.identifier.hex()) == (name, identifier)


def test_only_keys_that_take_their_time_are_slow():
    slow = {key_type for key_type in (*QUICK, KeyType.RSA_3072) if pki.signer(key_type).slow}

    assert slow == {KeyType.EC_P384, KeyType.RSA_3072}


@pytest.mark.parametrize(
    "thing", [b"octets", "text", None, object()], ids=lambda value: type(value).__name__
)
def test_signer_refuses_what_is_not_a_draft(thing):
    with pytest.raises(TypeError, match="a signer signs drafts"):
        pki.signer().sign(thing)


def test_draft_cannot_be_redeemed_twice():
    draft = Draft(b"once")
    pki.signer().sign(draft)

    with pytest.raises(RuntimeError, match="redeemed once"):
        pki.signer().sign(draft)


def test_draft_of_a_failed_signature_is_spent_too():
    draft = Draft(b"once")
    signer = FileSigner(pki.private_key())
    object.__setattr__(signer, "_sign", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        signer.sign(draft)

    with pytest.raises(RuntimeError, match="redeemed once"):
        signer.sign(draft)


def test_wrong_rsa_signature_never_leaves(monkeypatch):
    class Faulty:
        """An RSA key whose computation went wrong once."""

        def __init__(self, key):
            self._key = key

        def sign(self, data, scheme, digest):
            return self._key.sign(data + b"?", scheme, digest)

        def public_key(self):
            return self._key.public_key()

    from mintmark.authority.signer import file

    sign = file._rsa_sign(Faulty(pki.private_key(KeyType.RSA_2048)))

    with pytest.raises(RuntimeError, match="wrong signature"):
        sign(b"message")


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
        "no key",
    ],
    ids=["P-521", "secp256k1", "Ed448", "text"],
)
def test_key_of_another_kind_is_refused(key):
    with pytest.raises(Error, match="cannot sign certificates") as caught:
        FileSigner(key)

    assert caught.value.kind is Kind.CONFIGURATION


def test_signer_tells_nothing_of_its_key():
    signer = pki.signer(KeyType.ED25519)

    assert repr(signer) == "FileSigner(Ed25519)"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_signer_is_not_copied(duplicate):
    with pytest.raises(TypeError, match="not copied"):
        duplicate(pki.signer())


@pytest.mark.parametrize("key_type", QUICK, ids=lambda each: each.value)
def test_encrypted_key_comes_back_from_its_file(tmp_path, key_type):
    path = tmp_path / "key.pem"
    write_secret(path, encrypted_pkcs8(pki.private_key(key_type), b"horse battery"))

    assert load(path, b"horse battery").spki == pki.signer(key_type).spki


def test_openssl_reads_the_encrypted_key(tmp_path):
    path = tmp_path / "key.pem"
    write_secret(path, encrypted_pkcs8(pki.private_key(), b"horse battery"))

    result = subprocess.run(
        ["openssl", "pkey", "-in", path, "-passin", "pass:horse battery", "-outform", "DER"],
        capture_output=True,
        check=True,
    )

    assert serialization.load_der_private_key(result.stdout, None) is not None


def test_encrypted_key_names_scrypt_and_aes():
    (der,) = pem.decode("ENCRYPTED PRIVATE KEY", encrypted_pkcs8(pki.private_key(), b"x"))

    assert bytes.fromhex("2b06010401da470 40b".replace(" ", "")) in der  # scrypt
    assert bytes.fromhex("60864801650304012a") in der  # aes256-CBC


def test_two_encryptions_of_one_key_differ():
    one, other = (encrypted_pkcs8(pki.private_key(), b"same") for _ in range(2))

    assert one != other


def test_empty_passphrase_encrypts_nothing():
    with pytest.raises(Error, match="passphrase for the private key is empty"):
        encrypted_pkcs8(pki.private_key(), b"")


@pytest.mark.parametrize(
    ("passphrase", "message"),
    [(b"wrong", "cannot be decrypted"), (None, "no passphrase was given"), (b"", "no passphrase")],
)
def test_wrong_or_missing_passphrase_is_named(tmp_path, passphrase, message):
    path = tmp_path / "key.pem"
    write_secret(path, encrypted_pkcs8(pki.private_key(), b"right"))

    with pytest.raises(Error, match=message) as caught:
        load(path, passphrase)

    assert caught.value.kind is Kind.CONFIGURATION
    assert caught.value.hint
    assert "right" not in caught.value.detail


def test_wrong_passphrase_that_leaves_plausible_padding_is_named_as_any_other(monkeypatch):
    monkeypatch.setattr(pkcs8, "SCRYPT_N", 2)  # one in 256 does: a thousand have to be cheap
    data = encrypted_pkcs8(pki.private_key(), b"right")

    for number in range(1000):
        with pytest.raises(Error, match="cannot be decrypted with this passphrase"):
            parse_private_key(data, b"wrong %d" % number, "k")


def test_plain_key_does_not_look_at_the_passphrase():
    plain = pem.private_key(plain_pkcs8(pki.private_key()))

    assert parse_private_key(plain, b"unused", "k").public_key() == pki.private_key().public_key()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no PEM",
        pem.certificate(b"\x30\x00"),
        pem.encode("ENCRYPTED PRIVATE KEY", b"\x30\x00"),
    ],
    ids=["empty", "text", "certificate", "cut"],
)
def test_file_without_a_private_key_is_named(data):
    with pytest.raises(Error, match="'k' holds no private key") as caught:
        parse_private_key(data, b"x", "k")

    assert caught.value.kind is Kind.CONFIGURATION


@pytest.mark.parametrize("key_type", QUICK, ids=lambda each: each.value)
def test_generated_keys_are_new_and_of_their_type(key_type):
    made = generate(key_type)

    assert pki.subject_key(FileSigner(made).spki).type is key_type
    assert made.public_key() != pki.private_key(key_type).public_key()


def test_altered_signature_does_not_verify():
    signer = pki.signer()
    signature = signer.sign(Draft(b"one"))

    with pytest.raises(InvalidSignature):
        verify(signer, signature, b"other")
