"""SSH's nouns: keys, certificates and the authorities that sign them (PROTOCOL.certkeys).

OpenSSH's own words are used: a *principal* is a login name in a user certificate and a host
name in a host certificate; the *key id* is what sshd writes into its log; a *KRL* is a key
revocation list (PROTOCOL.krl).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from msgspec import Struct

from mintmark.model.certificate import Certificate
from mintmark.model.status import Reason
from mintmark.model.time import DAY, HOUR, MINUTE


class SSHCertificateType(Enum):
    """What a certificate speaks for; the values are those of the wire format."""

    USER = 1
    HOST = 2

    __hash__ = object.__hash__  # one object a member; Enum would hash its name anew each time

    @property
    def word(self) -> str:
        """The type as the API and the CLI write it: `user` or `host`."""
        return _WORDS[self]

    @classmethod
    def of(cls, word: str) -> SSHCertificateType | None:
        """Return the type of a word, None for one that is none."""
        return _OF_WORD.get(word)


_WORDS = {type_: type_.name.lower() for type_ in SSHCertificateType}
_OF_WORD = {word: type_ for type_, word in _WORDS.items()}


class SSHPublicKey(Struct, frozen=True, gc=False):
    """A bare public key; never a certificate (design rule 7).

    Args:
        type: its name on the wire, as `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`,
            `sk-ssh-ed25519@openssh.com`.
        blob: RFC 4253 §6.6 encoding, exactly as received and canonical.
        sha256: SHA-256 of `blob`; OpenSSH's fingerprint.
        spki_sha256: SHA-256 of its DER SubjectPublicKeyInfo, so that a key that X.509 blocked
            is blocked here; of `blob` for keys that have none (sk-*).
        public_key: the key as `cryptography` loaded it, None for sk-*.
        comment: what stood behind it in a file.
    """

    type: str
    blob: bytes
    sha256: bytes
    spki_sha256: bytes
    public_key: Any
    comment: str = ""


@dataclass(frozen=True, slots=True)
class SSHProfile:
    """One shape of SSH certificate.

    Args:
        name: its name in requests and in the inventory.
        type: user or host.
        extensions: (name, data), sorted by name when encoded; data is empty for flags.
        critical_options: (name, data), as `("force-command", "/usr/bin/backup")`.
        principals: globs that every principal must match one of; empty allows every one that
            policy allows.
        lifetime: seconds, used when the request names none and no provisioner says so.
        lifetime_min: seconds, inclusive.
        lifetime_max: seconds, inclusive.
    """

    name: str
    type: SSHCertificateType
    extensions: tuple[tuple[str, str], ...] = ()
    critical_options: tuple[tuple[str, str], ...] = ()
    principals: tuple[str, ...] = ()
    lifetime: int = 16 * HOUR
    lifetime_min: int = MINUTE
    lifetime_max: int = 7 * DAY


# PROTOCOL.certkeys, "Extensions": flags of user certificates, whose data is empty.
EXTENSIONS = (
    "no-touch-required",
    "permit-X11-forwarding",
    "permit-agent-forwarding",
    "permit-port-forwarding",
    "permit-pty",
    "permit-user-rc",
)

SSH_USER = SSHProfile(
    "ssh-user",
    SSHCertificateType.USER,
    extensions=tuple((name, "") for name in EXTENSIONS if name.startswith("permit-")),
)
SSH_HOST = SSHProfile("ssh-host", SSHCertificateType.HOST, lifetime=30 * DAY, lifetime_max=90 * DAY)
SSH_BUILT_IN = (SSH_USER, SSH_HOST)


class SSHRequest(Struct, frozen=True, gc=False):
    """One SSH certificate asked for, after parsing and before anybody said yes.

    Args:
        service: whose certificate it will be.
        profile: name of an `SSHProfile`; it says user or host.
        key: the subject's key.
        key_id: empty takes what the credential says.
        principals: empty takes what the credential says.
        lifetime: seconds, or None for the default.
        valid_after: Unix seconds asked for, or None for now (backdated).
        valid_before: Unix seconds asked for, in place of a lifetime, or None.
        replaces: serial of the certificate this renews or rekeys, or None.
        metadata: short texts by key, or None.
    """

    service: str
    profile: str
    key: SSHPublicKey
    key_id: str = ""
    principals: tuple[str, ...] = ()
    lifetime: int | None = None
    valid_after: int | None = None
    valid_before: int | None = None
    replaces: bytes | None = None
    metadata: dict[str, str] | None = None


class SSHCertificate(Certificate, frozen=True, gc=False, kw_only=True):
    """A signed SSH certificate; a row of the same inventory as X.509.

    As a `Certificate`: `serial` has 8 octets, `issuer` is `SSHAuthority.id`, `common_name` is
    the key id, `identifiers` is empty, `not_before` and `not_after` are `valid after` and
    `valid before` - 1 (SSH's end is exclusive, X.509's inclusive), `der` is the certificate's
    wire encoding, `spki_sha256` is `SSHPublicKey.spki_sha256` of its key.

    Args:
        type: user or host.
        principals: never empty.
        key_sha256: SHA-256 of the subject key's blob.
    """

    type: SSHCertificateType
    principals: tuple[str, ...]
    key_sha256: bytes

    @property
    def key_id(self) -> str:
        """What sshd logs when it is used."""
        return self.common_name

    @property
    def number(self) -> int:
        """The serial as OpenSSH writes it: an unsigned number of 64 bits."""
        return int.from_bytes(self.serial)


class Generation(Enum):
    """How far an SSH authority's key is on its way; all but RETIRED are trusted.

    next -> active -> previous -> retired. Only the active one signs.
    """

    NEXT = "next"
    ACTIVE = "active"
    PREVIOUS = "previous"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class SSHAuthority:
    """One user or host CA key as the world sees it.

    Args:
        id: first 16 hex digits of the SHA-256 of the key's blob.
        type: what it signs.
        key: its public key.
        generation: how far it is on its way.
    """

    id: str
    type: SSHCertificateType
    key: SSHPublicKey
    generation: Generation


class BanKind(Enum):
    """What a KRL can name beside serials (PROTOCOL.krl)."""

    KEY_ID = "key-id"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class SSHBan:
    """A key id or a key that no SSH certificate and no login may use any more; never undone.

    Args:
        kind: what it names.
        value: the key id in UTF-8, or the SHA-256 of the key's blob.
        banned_at: Unix seconds.
        reason: why.
    """

    kind: BanKind
    value: bytes
    banned_at: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class StoredKRL:
    """A published KRL, for user and host certificates together.

    Args:
        number: KRL version, rising by publication, never reused.
        generated_at: Unix seconds.
        entries: how many serials, key ids and keys it names.
        octets: the KRL; empty in histories.
    """

    number: int
    generated_at: int
    entries: int
    octets: bytes = b""
