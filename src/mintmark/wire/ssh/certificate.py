"""SSH certificates as OpenSSH's PROTOCOL.certkeys writes them.

What is read here is read whole or not at all: every list ends where it says, options are sorted
and unique, and neither the subject's key nor the authority's is a certificate itself. What a
certificate may *say* (principals, lifetimes) is judged by policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct as Layout
from typing import Final

from msgspec import Struct

from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHCertificateType, SSHPublicKey
from mintmark.wire.ssh import key as keys
from mintmark.wire.ssh.encoding import Reader, base64_text, string

MAX_BYTES: Final = 64 * 1024
MAX_PRINCIPALS: Final = 256  # SSHKEY_CERT_MAX_PRINCIPALS of OpenSSH
MAX_OPTIONS: Final = 256
FOREVER: Final = (1 << 64) - 1

Options = tuple[tuple[str, str], ...]

# rsa-sha2-256-cert-v01@openssh.com and its like name algorithms of the handshake; the octets of
# every RSA certificate say ssh-rsa-cert-v01@openssh.com.
_TYPE_NAMES: Final = {
    type_: f"{type_.removesuffix('@openssh.com')}{keys.CERTIFICATE_SUFFIX}" for type_ in keys.TYPES
}
_KEY_TYPES: Final = {name: type_ for type_, name in _TYPE_NAMES.items()}
_TYPE_STRINGS: Final = {type_: string(name.encode()) for type_, name in _TYPE_NAMES.items()}
_WHAT: Final = "SSH certificate"
_PRINCIPALS: Final = f"{_WHAT}'s list of principals"
_KINDS: Final = {kind.value: kind for kind in SSHCertificateType}
_KEY_TYPE_STRINGS: Final = {type_: string(type_.encode()) for type_ in _TYPE_NAMES}
_SERIAL_AND_TYPE: Final = Layout(">QI")
_VALIDITY: Final = Layout(">QQ")


class Fields(Struct, frozen=True, gc=False):
    """What a certificate says.

    Args:
        type: user or host.
        key: the subject's.
        serial: below 2^64.
        key_id: what sshd logs.
        principals: in the order given.
        valid_after: Unix seconds, inclusive.
        valid_before: Unix seconds, exclusive; `FOREVER` has no end.
        critical_options: (name, value), sorted by name; the value is empty for flags.
        extensions: the same.
        authority: the key that signed or will sign.
        nonce: random octets, so that nobody foresees what is signed.
    """

    type: SSHCertificateType
    key: SSHPublicKey
    serial: int
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical_options: Options
    extensions: Options
    authority: SSHPublicKey
    nonce: bytes


class Parsed(Struct, frozen=True, gc=False):
    """A certificate, read and not verified.

    Args:
        fields: what it says.
        tbs: the octets that are signed.
        signature: in SSH's form: algorithm and value.
    """

    fields: Fields
    tbs: bytes
    signature: bytes

    @property
    def blob(self) -> bytes:
        """The whole certificate."""
        return self.tbs + string(self.signature)


def type_name(key: SSHPublicKey) -> str:
    """Return the name on the wire of a certificate for a key."""
    return _TYPE_NAMES[key.type]


def encode_tbs(fields: Fields) -> bytes:
    """Return the octets to be signed; options are sorted by name.

    Raises:
        Error: MALFORMED for a number, text or list that a certificate cannot carry.
    """
    _check(fields)
    key = fields.key
    type_length = 4 + len(key.type)
    return b"".join(
        (
            _TYPE_STRINGS[key.type],
            string(fields.nonce),
            key.blob[type_length:],  # the key's own fields, without its type
            _SERIAL_AND_TYPE.pack(fields.serial, fields.type.value),
            string(fields.key_id.encode()),
            string(b"".join([string(one.encode()) for one in fields.principals])),
            _VALIDITY.pack(fields.valid_after, fields.valid_before),
            _encode_options(fields.critical_options),
            _encode_options(fields.extensions),
            b"\0\0\0\0",  # reserved
            string(fields.authority.blob),
        )
    )


def encode(tbs: bytes, authority_blob: bytes, raw_signature: bytes) -> bytes:
    """Return a certificate.

    Args:
        tbs: what was signed.
        authority_blob: the key that signed it.
        raw_signature: DER of ECDSA, 64 octets of Ed25519, or PKCS #1 v1.5 with SHA-256.

    Raises:
        Error: BAD_PUBLIC_KEY when the authority's key is of a type that signs nothing here.
    """
    return tbs + string(keys.signature(keys.parse_blob(authority_blob).type, raw_signature))


def parse(blob: bytes) -> Parsed:
    """Read a certificate; its signature is not verified.

    Raises:
        Error: MALFORMED or TOO_LARGE; BAD_PUBLIC_KEY for a key in it that is not accepted.
    """
    _check_size(blob)
    reader = Reader(blob, _WHAT)
    key_type = _key_type(reader)
    nonce = reader.string()
    before = reader.position
    keys.skip_fields(key_type, reader)
    key = keys.parse_blob(_KEY_TYPE_STRINGS[key_type] + blob[before : reader.position])
    serial, kind = _SERIAL_AND_TYPE.unpack(reader.octets(_SERIAL_AND_TYPE.size))
    if kind not in _KINDS:
        raise reader.refusal(f"is of type {kind}, 1 (user) and 2 (host) are known")
    key_id = reader.text("key id")
    principals = _principals(reader.string())
    valid_after, valid_before = _VALIDITY.unpack(reader.octets(_VALIDITY.size))
    if valid_after >= valid_before:
        raise reader.refusal(f"is valid after {valid_after} and before {valid_before}: never")
    critical_options = _options(reader.string(), "critical option")
    extensions = _options(reader.string(), "extension")
    reader.string()  # reserved, to be ignored
    authority = keys.parse_blob(reader.string())
    tbs = blob[: reader.position]
    signature = reader.string()
    reader.end()
    fields = Fields(
        _KINDS[kind],
        key,
        serial,
        key_id,
        principals,
        valid_after,
        valid_before,
        critical_options,
        extensions,
        authority,
        nonce,
    )
    return Parsed(fields, tbs, signature)


def signature_at(blob: bytes, position: int) -> bytes:
    """Return the signature of a certificate that was read up to it.

    Args:
        blob: the certificate.
        position: where it ends what is signed.

    Raises:
        Error: MALFORMED when there is not one signature and nothing else; TOO_LARGE.
    """
    _check_size(blob)
    reader = Reader(blob[position:], _WHAT)
    signature = reader.string()
    reader.end()
    return signature


def verify(parsed: Parsed) -> None:
    """Verify a certificate with the authority's key that it names.

    Whether that key is one to trust is for the caller to say.

    Raises:
        Error: MALFORMED when the signature is not good, or by SHA-1.
    """
    keys.verify(parsed.fields.authority, parsed.signature, parsed.tbs)


def parse_line(text: str) -> Parsed:
    """Read the one line of a -cert.pub file.

    Raises:
        Error: as `parse`.
    """
    type_, blob, _ = keys.split_line(text, _WHAT, Kind.MALFORMED)
    parsed = parse(blob)
    if type_ != type_name(parsed.fields.key):
        raise Error(
            Kind.MALFORMED,
            f"{_WHAT} has another type before it than in it",
            hint="give one line as it stands in a -cert.pub file",
        )
    return parsed


def line(blob: bytes, comment: str = "") -> str:
    """Return a certificate as one line of a -cert.pub file, without a line feed."""
    type_ = Reader(blob, _WHAT).text("type")
    return f"{type_} {base64_text(blob)}{' ' if comment else ''}{comment}"


def _check_size(blob: bytes) -> None:
    if len(blob) > MAX_BYTES:
        raise Error(Kind.TOO_LARGE, f"{_WHAT} has {len(blob)} octets, the limit is {MAX_BYTES}")


def _key_type(reader: Reader) -> str:
    name = reader.text("type")
    key_type = _KEY_TYPES.get(name)
    if key_type is None:
        shown = ascii(name[:64])[1:-1]
        raise reader.refusal(
            f"expected, a bare public key of type '{shown}' came"
            if name in _TYPE_NAMES
            else f"of type '{shown}' is not accepted",
            hint=f"accepted: {', '.join(_KEY_TYPES)}",
        )
    return key_type


def _principals(data: bytes) -> tuple[str, ...]:
    reader = Reader(data, _PRINCIPALS)
    found: list[str] = []
    while reader.more:
        found.append(reader.text("principal"))
        if len(found) > MAX_PRINCIPALS:
            raise reader.refusal(f"is longer than {MAX_PRINCIPALS}")
    return tuple(found)


@lru_cache(maxsize=64)  # those of a profile come with every certificate of it
def _options(data: bytes, what: str) -> Options:
    """Read (name, data) pairs; data is empty, or one string with a value in it."""
    reader = Reader(data, f"{_WHAT}'s list of {what}s")
    found: list[tuple[str, str]] = []
    last = b""
    while reader.more:
        name = reader.text("name")
        octets = name.encode()
        if octets <= last:  # PROTOCOL.certkeys: ordered by name, each at most once
            raise reader.refusal("has one without a name, twice, or not in order")
        last = octets
        found.append((name, _value(reader.string(), what)))
        if len(found) > MAX_OPTIONS:
            raise reader.refusal(f"is longer than {MAX_OPTIONS}")
    return tuple(found)


def _value(data: bytes, what: str) -> str:
    if not data:
        return ""
    reader = Reader(data, f"{_WHAT}'s {what}")
    value = reader.text("value")
    reader.end()
    if not value:
        raise reader.refusal("has a value without octets, which reads as a flag")
    return value


@lru_cache(maxsize=64)  # a profile's options are encoded once
def _encode_options(options: Options) -> bytes:
    """Return a list of options, sorted by name, as a string.

    Raises:
        Error: MALFORMED for one that a certificate cannot carry.
    """
    names = {name for name, _ in options}
    if len(names) != len(options) or "" in names:
        raise _cannot("an option or extension twice, or one without a name")
    _check_texts(text for pair in options for text in pair)
    pairs = sorted((name.encode(), value.encode()) for name, value in options)
    return string(
        b"".join(string(name) + string(string(value) if value else b"") for name, value in pairs)
    )


def _check(fields: Fields) -> None:
    """Refuse what could not be read back, before anybody signs it."""
    if not 0 <= fields.serial <= FOREVER:
        raise _cannot(f"a serial of {fields.serial}: 0 to 2^64-1 can be written")
    if not 0 <= fields.valid_after < fields.valid_before <= FOREVER:
        raise _cannot(
            f"validity from {fields.valid_after} to {fields.valid_before}: it begins and ends "
            "between 0 and 2^64-1"
        )
    if not 0 < len(fields.principals) <= MAX_PRINCIPALS or "" in fields.principals:
        # Without principals a certificate is good for every login (design rule 7).
        raise _cannot(
            f"{len(fields.principals)} principals, an empty one among them or none: "
            f"1 to {MAX_PRINCIPALS} non-empty ones can be written"
        )
    _check_texts((fields.key_id, *fields.principals))


def _check_texts(texts: Iterable[str]) -> None:
    try:
        octets = "".join(texts).encode()
    except UnicodeEncodeError as error:
        raise _cannot("a text that is not Unicode") from error
    if b"\0" in octets:
        raise _cannot("a text with a NUL in it")


def _cannot(what: str) -> Error:
    return Error(Kind.MALFORMED, f"an SSH certificate cannot carry {what}")
