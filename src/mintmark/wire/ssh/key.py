"""SSH public keys: blobs (RFC 4253 §6.6), the lines of .pub files, and their signatures.

A certificate carries its key's fields too and is presented at the same places, which is how one
came to be signed as if it were a key elsewhere (design rule 7); nothing here accepts one. Each
key has one encoding, so that one fingerprint, one ban and one KRL entry hold for it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import structs

from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHPublicKey
from mintmark.wire import der
from mintmark.wire.ssh.encoding import Reader, base64_octets, base64_text, mpint, string

ED25519: Final = "ssh-ed25519"
RSA: Final = "ssh-rsa"
SK_ED25519: Final = "sk-ssh-ed25519@openssh.com"
SK_ECDSA: Final = "sk-ecdsa-sha2-nistp256@openssh.com"
RSA_BITS: Final = (2048, 8192)
MAX_BLOB: Final = 4096  # RSA of 8192 bits takes 1050
MAX_APPLICATION: Final = 255
CERTIFICATE_SUFFIX: Final = "-cert-v01@openssh.com"

# RFC 5656 §3.1 and §6.2.1: curve by key type, and the hash of its size.
_CURVES: Final[dict[str, tuple[str, ec.EllipticCurve, ec.ECDSA]]] = {
    "ecdsa-sha2-nistp256": ("nistp256", ec.SECP256R1(), ec.ECDSA(hashes.SHA256())),
    "ecdsa-sha2-nistp384": ("nistp384", ec.SECP384R1(), ec.ECDSA(hashes.SHA384())),
    "ecdsa-sha2-nistp521": ("nistp521", ec.SECP521R1(), ec.ECDSA(hashes.SHA512())),
}
# RFC 8332 §3; `ssh-rsa` as a signature is SHA-1 and not there.
_RSA_HASHES: Final[dict[bytes, hashes.HashAlgorithm]] = {
    b"rsa-sha2-256": hashes.SHA256(),
    b"rsa-sha2-512": hashes.SHA512(),
}


def _spki(size: int, *algorithm: str) -> tuple[bytes, int]:
    """Return what stands before a key in its SubjectPublicKeyInfo, and how long the key is."""
    identifier = der.sequence(*map(der.oid, algorithm))
    return der.sequence(identifier, der.bit_string(bytes(size)))[:-size], size


# RFC 8410 §4 and RFC 5480 §2.1.1. The key itself is the last field of SSH's form, too.
_EC: Final = "1.2.840.10045.2.1"
_SPKI: Final = {
    ED25519: _spki(32, "1.3.101.112"),
    "ecdsa-sha2-nistp256": _spki(65, _EC, "1.2.840.10045.3.1.7"),
    "ecdsa-sha2-nistp384": _spki(97, _EC, "1.3.132.0.34"),
    "ecdsa-sha2-nistp521": _spki(133, _EC, "1.3.132.0.35"),
}
RSA_SIGNATURE: Final = b"rsa-sha2-256"
_ALGORITHMS: Final = {
    **{type_: string(type_.encode()) for type_ in (ED25519, *_CURVES)},
    RSA: string(RSA_SIGNATURE),
}
TYPES: Final = (ED25519, *_CURVES, RSA, SK_ED25519, SK_ECDSA)
_ACCEPTED: Final = f"accepted: {', '.join(TYPES)}; ssh-rsa of {RSA_BITS[0]} to {RSA_BITS[1]} bits"


def parse_blob(blob: bytes, comment: str = "") -> SSHPublicKey:
    """Return the key that a blob holds.

    Args:
        blob: as it stands, base64 decoded, in the middle of a .pub file's line.
        comment: what stands behind it there.

    Raises:
        Error: BAD_PUBLIC_KEY for a certificate, a key of another type or size, one that is not
            a key of its type, and for every encoding but the one.
    """
    key = _parsed(blob)
    return structs.replace(key, comment=comment) if comment else key


@lru_cache(maxsize=256)  # an authority's own few, and what is read again before it is signed
def _parsed(blob: bytes) -> SSHPublicKey:
    if len(blob) > MAX_BLOB:
        raise _bad(f"SSH public key has {len(blob)} octets, the limit is {MAX_BLOB}")
    reader = Reader(blob, "SSH public key", Kind.BAD_PUBLIC_KEY)
    type_ = reader.text("type")
    public_key = _read_fields(type_, reader)
    reader.end()
    sha256 = hashlib.sha256(blob).digest()
    if is_security_key(type_):
        return SSHPublicKey(type_, blob, sha256, sha256, None)
    if type_ == RSA:
        spki = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    else:
        head, size = _SPKI[type_]
        spki = head + blob[-size:]
    return SSHPublicKey(type_, blob, sha256, hashlib.sha256(spki).digest(), public_key)


def skip_fields(type_: str, reader: Reader) -> None:
    """Read over what stands between a key's type and its end.

    In a certificate the same fields stand behind the nonce.

    Raises:
        Error: they end too soon.
    """
    for _ in range(_STRINGS[type_]):
        reader.string()


def is_security_key(type_: str) -> bool:
    """Whether keys of a type live on an authenticator (PROTOCOL.u2f)."""
    return type_.startswith("sk-")


def parse_line(text: str) -> SSHPublicKey:
    """Return the key of a .pub file's one line: type, base64, and a comment if it has one.

    Raises:
        Error: BAD_PUBLIC_KEY, also for a certificate, for options before the type, for a
            private key and for more lines than one.
    """
    type_, blob, comment = split_line(text, "SSH public key", Kind.BAD_PUBLIC_KEY)
    if type_ not in _FIELDS:
        raise _refused_type(type_)
    key = parse_blob(blob, comment)
    if key.type != type_:
        raise _bad(f"SSH public key says '{type_}' before it and '{key.type}' in it")
    return key


def split_line(text: str, what: str, kind: Kind) -> tuple[str, bytes, str]:
    """Return type, blob and comment of a line; the type is not compared with the blob.

    Raises:
        Error: of that kind.
    """
    line = text.strip()
    if line.startswith("-----BEGIN"):
        raise Error(
            kind,
            f"{what} expected, a PEM file came",
            hint="give the file that ends in .pub; a private key that left its place is a lost one",
        )
    if not line.isprintable():
        raise Error(
            kind,
            f"{what} is not one line of text",
            hint="give one line as it stands in a .pub file",
        )
    type_, _, rest = line.partition(" ")
    word, _, comment = rest.lstrip(" ").partition(" ")
    if not word:
        raise Error(
            kind,
            f"{what} is not a type and base64 with a blank between them",
            hint="give one line as it stands in a .pub file",
        )
    return type_, base64_octets(word, what, kind), comment.strip()


def line(key: SSHPublicKey) -> str:
    """Return a key as one line of a .pub file, without a line feed."""
    return f"{key.type} {base64_text(key.blob)}{' ' if key.comment else ''}{key.comment}"


def from_public_key(public_key: object, comment: str = "") -> SSHPublicKey:
    """Return the SSH form of a key that `cryptography` holds.

    Raises:
        Error: BAD_PUBLIC_KEY when SSH has none, or as `parse_blob`.
    """
    match public_key:
        case ed25519.Ed25519PublicKey():
            blob = string(ED25519.encode()) + string(public_key.public_bytes_raw())
        case rsa.RSAPublicKey():
            numbers = public_key.public_numbers()
            blob = string(RSA.encode()) + mpint(numbers.e) + mpint(numbers.n)
        case ec.EllipticCurvePublicKey():
            blob = _ecdsa_blob(public_key)
        case _:
            raise _bad(f"a key of type {type(public_key).__name__} has no SSH form")
    return parse_blob(blob, comment)


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as OpenSSH writes it: `SHA256:` and base64 without padding."""
    return fingerprint_text(hashlib.sha256(blob).digest())


def fingerprint_text(sha256: bytes) -> str:
    """Return the fingerprint that a key's SHA-256 is."""
    return f"SHA256:{base64.b64encode(sha256).rstrip(b'=').decode('ascii')}"


def signature(key_type: str, raw: bytes) -> bytes:
    """Return the SSH form of a signature that a CA key made with SHA-256 or its curve's hash.

    Args:
        key_type: of the key that signed.
        raw: DER of ECDSA, 64 octets of Ed25519, or PKCS #1 v1.5 with SHA-256.

    Raises:
        Error: BAD_PUBLIC_KEY for a key that signs nothing here.
    """
    if key_type in _CURVES:  # RFC 5656 §3.1.2
        r, s = decode_dss_signature(raw)
        raw = mpint(r) + mpint(s)
    if (algorithm := _ALGORITHMS.get(key_type)) is not None:
        return algorithm + string(raw)
    raise _bad(f"a key of type '{key_type[:64]}' signs nothing here")


def verify(key: SSHPublicKey, signature_blob: bytes, message: bytes) -> None:
    """Verify a signature in SSH's form: the key decides its algorithm.

    Raises:
        Error: MALFORMED when it is not good, of another algorithm, by SHA-1, or by a security
            key, whose signatures say more than that (PROTOCOL.u2f).
    """
    reader = Reader(signature_blob, "SSH signature")
    algorithm, value = reader.string(), reader.string()
    reader.end()
    try:
        if key.type == RSA and (hash_ := _RSA_HASHES.get(algorithm)) is not None:
            # RFC 8332 §3: as long as the modulus; shorter ones are not padded for anybody.
            key.public_key.verify(value, message, padding.PKCS1v15(), hash_)
        elif algorithm != key.type.encode() or key.type == RSA or is_security_key(key.type):
            raise Error(
                Kind.MALFORMED,
                f"SSH signature of algorithm {ascii(algorithm[:64])[1:]} is not accepted from a "
                f"key of type '{key.type}'",
                hint="accepted: ssh-ed25519, ecdsa-sha2-nistp256, -384, -521, rsa-sha2-256, -512",
            )
        elif key.type == ED25519:
            key.public_key.verify(value, message)
        else:
            key.public_key.verify(_dss(value), message, _CURVES[key.type][2])
    except InvalidSignature as error:
        raise Error(
            Kind.MALFORMED, f"SSH signature does not verify with key {fingerprint(key.blob)}"
        ) from error


def _dss(value: bytes) -> bytes:
    """Return the DER form of an ECDSA signature (RFC 5656 §3.1.2)."""
    reader = Reader(value, "SSH signature")
    r, s = reader.mpint(), reader.mpint()
    reader.end()
    return encode_dss_signature(r, s)


def _ecdsa_blob(public_key: ec.EllipticCurvePublicKey) -> bytes:
    for type_, (name, curve, _) in _CURVES.items():
        if public_key.curve.name == curve.name:
            point = public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
            return string(type_.encode()) + string(name.encode()) + string(point)
    raise _bad(f"an EC key on curve {public_key.curve.name} has no SSH form")


def _read_fields(type_: str, reader: Reader) -> Any:
    """Read what stands between a key's type and its end, and return the key it makes.

    Raises:
        Error: BAD_PUBLIC_KEY.
    """
    read = _FIELDS.get(type_)
    if read is None:
        raise _refused_type(type_)
    try:
        return read(type_, reader)
    except (ValueError, UnsupportedAlgorithm) as error:
        # For ECDSA this is the check that the point lies on its curve (RFC 5656 §3.1).
        raise _bad(f"SSH public key is no valid key of its type, {type_}") from error


def _ed25519(type_: str, reader: Reader) -> Any:
    """RFC 8709 §4."""
    del type_
    return ed25519.Ed25519PublicKey.from_public_bytes(reader.string())


def _ecdsa(type_: str, reader: Reader) -> Any:
    """RFC 5656 §3.1; points uncompressed, as OpenSSH alone reads them."""
    name, curve, _ = _CURVES[type_]
    if reader.string() != name.encode():
        raise _bad(f"SSH public key of type '{type_}' is not on curve {name}")
    point = reader.string()
    if point[:1] != b"\x04":
        raise _bad("SSH public key has a point that is not uncompressed")
    return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)


def _rsa(type_: str, reader: Reader) -> Any:
    """RFC 4253 §6.6."""
    del type_
    exponent, modulus = reader.mpint(), reader.mpint()
    low, high = RSA_BITS
    bits = modulus.bit_length()
    if not low <= bits <= high:
        raise _bad(f"RSA key of {bits} bits is not accepted, the limits are {low} and {high}")
    if not 65537 <= exponent < 1 << 32 or not exponent & 1 or not modulus & 1:
        raise _bad("RSA key has an exponent below 65537 or above 2^32, or an even number")
    return rsa.RSAPublicNumbers(exponent, modulus).public_key()


def _sk_ed25519(type_: str, reader: Reader) -> Any:
    """PROTOCOL.u2f: the key, and the application it is for."""
    key = _ed25519(type_, reader)
    _application(reader)
    return key


def _sk_ecdsa(type_: str, reader: Reader) -> Any:
    """PROTOCOL.u2f."""
    del type_
    key = _ecdsa("ecdsa-sha2-nistp256", reader)
    _application(reader)
    return key


def _application(reader: Reader) -> None:
    application = reader.text("application")
    if not 0 < len(application) <= MAX_APPLICATION:
        raise reader.refusal(
            f"has an application of {len(application)} characters, 1 to {MAX_APPLICATION} are "
            "accepted",
            hint="security keys of OpenSSH say 'ssh:'",
        )


_STRINGS: Final = {ED25519: 1, **dict.fromkeys(_CURVES, 2), RSA: 2, SK_ED25519: 2, SK_ECDSA: 3}
_FIELDS: Final[dict[str, Callable[[str, Reader], Any]]] = {
    ED25519: _ed25519,
    **dict.fromkeys(_CURVES, _ecdsa),
    RSA: _rsa,
    SK_ED25519: _sk_ed25519,
    SK_ECDSA: _sk_ecdsa,
}


def _refused_type(type_: str) -> Error:
    if "-cert-v0" in type_:
        return Error(
            Kind.BAD_PUBLIC_KEY,
            f"a certificate ('{_shown(type_)}') stands where a bare public key is expected",
            hint="give the key's own .pub file, not the one that ends in -cert.pub",
        )
    return _bad(f"SSH public key of type '{_shown(type_)}' is not accepted")


def _shown(type_: str) -> str:
    """Return a type from strangers as a message may show it."""
    return ascii(type_[:64])[1:-1]


def _bad(why: str) -> Error:
    return Error(Kind.BAD_PUBLIC_KEY, why, hint=_ACCEPTED)
