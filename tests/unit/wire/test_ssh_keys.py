"""RFC 4253 §6.6, 5656, 8709 and PROTOCOL.u2f: SSH public keys, and what stands in their place."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from mintmark.model.errors import Error, Kind
from mintmark.wire.ssh import key
from mintmark.wire.ssh.encoding import Reader, base64_text, mpint, string, uint32, uint64
from tests import openssh

quick = settings(max_examples=100, deadline=None)
ONE_OF_EACH = [pytest.param(one, id=one.type) for one in openssh.every_key()]
BLOB = openssh.public(openssh.ED25519).blob
EC_BLOB = openssh.public(openssh.P256).blob
RSA_NUMBERS = openssh.RSA.public_key().public_numbers()
# A point of order two at infinity, and one that lies on no curve.
POINT = EC_BLOB[-65:]


def ec_blob(point: bytes, *, type_: str = "ecdsa-sha2-nistp256", curve: str = "nistp256") -> bytes:
    return string(type_.encode()) + string(curve.encode()) + string(point)


def rsa_blob(exponent: bytes, modulus: bytes) -> bytes:
    return string(b"ssh-rsa") + exponent + modulus


# --- numbers and texts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "octets"),
    [
        (0, "00000000"),
        (1, "0000000101"),
        (0x7F, "000000017f"),
        (0x80, "000000020080"),
        (0x9A378F9B2E332A7, "0000000809a378f9b2e332a7"),
    ],
)
def test_mpints_are_those_of_rfc_4251(number, octets):
    assert mpint(number).hex() == octets
    assert Reader(bytes.fromhex(octets)).mpint() == number


@pytest.mark.parametrize("octets", ["0000000100", "000000020001", "00000002edcc", "00000001ff"])
def test_mpints_that_are_long_or_negative_are_refused(octets):
    with pytest.raises(Error) as refused:
        Reader(bytes.fromhex(octets)).mpint()

    assert refused.value.kind is Kind.MALFORMED


@quick
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0), st.binary())
def test_what_is_written_reads_back(small, large, number, octets):
    reader = Reader(uint32(small) + uint64(large) + mpint(number) + string(octets))

    read = (reader.uint32(), reader.uint64(), reader.mpint(), reader.string())

    assert read == (small, large, number, octets)
    assert not reader.more
    reader.end()


def test_length_beyond_the_end_reads_nothing():
    for data in (b"", b"\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\2a"):
        with pytest.raises(Error, match="ends in the middle"):
            Reader(data).string()


def test_octets_behind_the_end_are_counted():
    with pytest.raises(Error, match="3 octets behind its end"):
        Reader(b"abc").end()


@pytest.mark.parametrize("octets", [b"\xff", b"a\0b", b"\xed\xa0\x80", b"\xc0\x80"])
def test_texts_with_nul_or_without_utf_8_are_refused(octets):
    with pytest.raises(Error):
        Reader(string(octets)).text("name")


# --- keys ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("one", ONE_OF_EACH)
def test_key_of_each_type_reads_back(one):
    assert key.parse_blob(one.blob, one.comment) == one
    assert key.parse_line(key.line(one)) == one
    assert key.parse_line(key.line(one) + "\r\n") == one


@pytest.mark.parametrize("one", ONE_OF_EACH)
def test_fingerprint_is_that_of_openssh(one, tmp_path):
    path = tmp_path / "key.pub"
    path.write_text(key.line(one) + "\n")

    assert key.fingerprint(one.blob) in openssh.keygen("-lf", path).split()
    assert one.sha256 == hashlib.sha256(one.blob).digest()


@pytest.mark.parametrize("private", openssh.SUBJECTS.values(), ids=openssh.SUBJECTS)
def test_keys_are_those_of_the_reference(private):
    public = private.public_key()

    made = key.from_public_key(public, "me@here")

    assert key.line(made) == (
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " me@here"
    )
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert made.spki_sha256 == hashlib.sha256(spki).digest()
    assert made.public_key == public == load_ssh_public_key(key.line(made).encode())


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_keys_of_ssh_keygen_are_read(kind, tmp_path):
    openssh.keygen("-q", "-t", kind, "-N", "", "-C", "alice at work", "-f", tmp_path / "key")

    read = key.parse_line((tmp_path / "key.pub").read_text())

    assert read.comment == "alice at work"
    assert key.line(read) + "\n" == (tmp_path / "key.pub").read_text()


def test_security_keys_are_known_by_their_blob():
    one = openssh.sk_key(key.SK_ED25519)

    assert one.public_key is None
    assert one.spki_sha256 == one.sha256
    assert key.is_security_key(one.type)


def test_key_without_an_ssh_form_is_refused():
    for public in (
        ed448.Ed448PrivateKey.generate().public_key(),
        ec.generate_private_key(ec.SECP256K1()).public_key(),
        None,
    ):
        with pytest.raises(Error) as refused:
            key.from_public_key(public)
        assert refused.value.kind is Kind.BAD_PUBLIC_KEY


# --- what stands in a key's place ----------------------------------------------------------------


@pytest.mark.parametrize("one", ONE_OF_EACH)
def test_certificate_is_no_key(one):
    """Design rule 7: signed as a key, it would carry fields that nobody looked at."""
    blob = openssh.signed(openssh.P256, key=one)
    type_ = one.type.removesuffix("@openssh.com") + "-cert-v01@openssh.com"

    for attempt in (
        lambda: key.parse_blob(blob),
        lambda: key.parse_line(f"{type_} {base64_text(blob)}"),
        lambda: key.parse_line(f"{one.type} {base64_text(blob)}"),
        lambda: key.parse_line(f"{type_} {base64_text(one.blob)}"),
    ):
        with pytest.raises(Error) as refused:
            attempt()
        assert refused.value.kind is Kind.BAD_PUBLIC_KEY
        assert "certificate" in refused.value.detail


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(string(b""), id="empty type"),
        pytest.param(string(b"ssh-dss") + mpint(7) * 4, id="DSA"),
        pytest.param(string(b"ssh-ed448") + string(b"a" * 57), id="Ed448"),
        pytest.param(string(b"ssh-ed25519\0"), id="NUL in the type"),
        pytest.param(string(b"ssh-\xff"), id="type that is not UTF-8"),
        pytest.param(string(b"ssh-ed25519") + string(b"a" * 31), id="short Ed25519"),
        pytest.param(BLOB + b"\0", id="octets behind"),
        pytest.param(BLOB[:-1], id="cut short"),
        pytest.param(ec_blob(POINT, curve="nistp384"), id="another curve's name"),
        pytest.param(ec_blob(POINT, type_="ecdsa-sha2-nistp384"), id="another curve's type"),
        pytest.param(ec_blob(POINT, type_="ecdsa-sha2-nistp192"), id="P-192"),
        pytest.param(ec_blob(b"\4" + b"\1" * 64), id="point off the curve"),
        pytest.param(ec_blob(b"\0"), id="point at infinity"),
        pytest.param(ec_blob(b"\2" + POINT[1:33]), id="compressed point"),
        pytest.param(ec_blob(b""), id="no point"),
        pytest.param(rsa_blob(mpint(65537), mpint(2**1024 - 1)), id="RSA of 1024 bits"),
        pytest.param(rsa_blob(mpint(65537), mpint(2**2047 - 1)), id="RSA of 2047 bits"),
        pytest.param(rsa_blob(mpint(65537), mpint(2**8193 - 1)), id="RSA of 8193 bits"),
        pytest.param(rsa_blob(mpint(65537), mpint(2**40000 - 1)), id="RSA of 40000 bits"),
        pytest.param(rsa_blob(mpint(3), mpint(RSA_NUMBERS.n)), id="exponent 3"),
        pytest.param(rsa_blob(mpint(65538), mpint(RSA_NUMBERS.n)), id="even exponent"),
        pytest.param(rsa_blob(mpint(2**64 + 1), mpint(RSA_NUMBERS.n)), id="long exponent"),
        pytest.param(rsa_blob(mpint(65537), mpint(RSA_NUMBERS.n - 1)), id="even modulus"),
        pytest.param(
            rsa_blob(string(b"\0" + b"\1\0\1"), mpint(RSA_NUMBERS.n)), id="zeros before a number"
        ),
        pytest.param(rsa_blob(mpint(65537), string(b"\xff" * 256)), id="modulus that is negative"),
        pytest.param(
            string(b"sk-ssh-ed25519@openssh.com") + BLOB[15:] + string(b""), id="no application"
        ),
        pytest.param(
            string(b"sk-ssh-ed25519@openssh.com") + BLOB[15:] + string(b"a" * 256),
            id="long application",
        ),
        pytest.param(
            string(b"sk-ssh-ed25519@openssh.com") + BLOB[15:] + string(b"ssh:\0"),
            id="NUL in the application",
        ),
    ],
)
def test_what_is_no_key_or_a_weak_one_is_refused(blob):
    with pytest.raises(Error) as refused:
        key.parse_blob(blob)

    assert refused.value.kind is Kind.BAD_PUBLIC_KEY


@pytest.mark.parametrize("one", ONE_OF_EACH)
def test_key_that_is_cut_short_anywhere_is_refused(one):
    for end in range(len(one.blob)):
        with pytest.raises(Error):
            key.parse_blob(one.blob[:end])


LINE = key.line(openssh.public(openssh.ED25519))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("ssh-ed25519", id="type alone"),
        pytest.param("ssh-ed25519 ", id="type and a blank"),
        pytest.param("ssh-ed25519 ====", id="no base64"),
        pytest.param(LINE + "=", id="padding"),
        pytest.param(LINE.replace(" ", " -"), id="base64url"),
        pytest.param(LINE.replace("AAAAC3", "AAAAC3\0"), id="NUL"),
        pytest.param(LINE.replace(" ", "\t"), id="tabulator"),
        pytest.param(f"{LINE}\n{LINE}", id="two lines"),
        pytest.param(f'command="x" {LINE}', id="options before it"),
        pytest.param(f"# {LINE}", id="comment before it"),
        pytest.param(LINE.replace("ssh-ed25519", "ssh-rsa"), id="another type before it"),
        pytest.param(LINE + " me\x1b[2J", id="escape in the comment"),
        pytest.param(LINE + " me\u2028x", id="line separator in the comment"),
        pytest.param(LINE + " me\ud800", id="no Unicode in the comment"),
        pytest.param("ssh-ed25519 \N{FULLWIDTH LATIN CAPITAL LETTER A}AAA", id="not ASCII"),
    ],
)
def test_lines_that_are_no_pub_file_are_refused(text):
    with pytest.raises(Error) as refused:
        key.parse_line(text)

    assert refused.value.kind is Kind.BAD_PUBLIC_KEY


def test_private_key_is_refused_and_not_repeated():
    private = openssh.ED25519.private_bytes(
        Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
    ).decode()

    with pytest.raises(Error) as refused:
        key.parse_line(private)

    assert ".pub" in refused.value.hint
    assert private[60:80] not in refused.value.detail


# --- signatures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("private", openssh.AUTHORITIES.values(), ids=openssh.AUTHORITIES)
def test_signature_verifies_with_its_key_and_message_alone(private):
    public = openssh.public(private)
    made = key.signature(public.type, openssh.raw_signature(private, b"message"))

    key.verify(public, made, b"message")

    for other, signature, message in (
        (public, made, b"massage"),
        (public, made[:-1] + bytes((made[-1] ^ 1,)), b"message"),
        (public, made + b"\0", b"message"),
        (public, made[:-1], b"message"),
        (openssh.public(openssh.P521), made, b"message"),
        (key.from_public_key(ed25519.Ed25519PrivateKey.generate().public_key()), made, b"message"),
    ):
        with pytest.raises(Error) as refused:
            key.verify(other, signature, message)
        assert refused.value.kind is Kind.MALFORMED


def test_signature_by_sha_1_is_refused():
    value = openssh.RSA.sign(b"message", padding.PKCS1v15(), hashes.SHA1())

    with pytest.raises(Error, match="ssh-rsa"):
        key.verify(openssh.public(openssh.RSA), string(b"ssh-rsa") + string(value), b"message")


def test_rsa_signature_by_sha_512_verifies_under_its_own_name_only():
    public = openssh.public(openssh.RSA)
    value = openssh.RSA.sign(b"message", padding.PKCS1v15(), hashes.SHA512())

    key.verify(public, string(b"rsa-sha2-512") + string(value), b"message")

    with pytest.raises(Error):
        key.verify(public, string(b"rsa-sha2-256") + string(value), b"message")


def test_security_key_signs_nothing_here():
    one = openssh.sk_key(key.SK_ED25519)

    with pytest.raises(Error):
        key.verify(one, string(one.type.encode()) + string(b"a" * 64), b"message")
    with pytest.raises(Error):
        key.signature(one.type, b"a" * 64)


@pytest.mark.parametrize("numbers", [(0, 0), (0, 1), (1, 0), (2**256, 2**256), (2**4000, 1)])
def test_ecdsa_signature_of_odd_numbers_is_no_signature(numbers):
    """CVE-2022-21449: r and s of zero."""
    value = b"".join(map(mpint, numbers))

    with pytest.raises(Error):
        key.verify(
            openssh.public(openssh.P256), string(b"ecdsa-sha2-nistp256") + string(value), b""
        )
