"""Checkpoints as signed notes, so that other people's tools can read our log.

The text is a C2SP tlog-checkpoint, three lines and more: origin, tree size, root hash. Around it
stands a C2SP signed-note with Ed25519 signatures.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

_ED25519: Final = b"\x01"  # the algorithm's identifier in key ids and verifier keys
_SIGNATURE_START: Final = "— "
_KEY_ID_OCTETS: Final = 4
_SIGNATURE_OCTETS: Final = 64
_MAX_OCTETS: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class TreeHead:
    """What a checkpoint's text says.

    Args:
        origin: name of the log.
        tree_size: leaves in the tree.
        root: its root hash, 32 octets.
        extensions: further lines, which we write none of.
    """

    origin: str
    tree_size: int
    root: bytes
    extensions: tuple[str, ...] = ()


def encode(head: TreeHead) -> str:
    """Return the text of a checkpoint.

    Raises:
        ValueError: the origin or an extension is not one non-empty line.
    """
    for line in (head.origin, *head.extensions):
        if not line or "\n" in line:
            raise ValueError(f"{line!r} is not a line of a checkpoint")
    root = b64encode(head.root).decode()
    return "".join(f"{line}\n" for line in (head.origin, head.tree_size, root, *head.extensions))


def parse(text: str) -> TreeHead:
    """Return what a checkpoint's text says.

    Raises:
        ValueError: it is not a checkpoint.
    """
    lines = text.split("\n")
    if len(lines) < 4 or lines.pop() != "" or "" in lines:
        raise ValueError("a checkpoint has at least three lines, none of them empty")
    origin, size, root = lines[:3]
    if not (size.isascii() and size.isdecimal()) or (size[0] == "0" and size != "0"):
        raise ValueError(f"the checkpoint's tree size {size[:20]!r} is not a decimal number")
    if len(size) > 20:
        raise ValueError("the checkpoint's tree size has more than 20 digits")
    octets = _decode(root)
    if len(octets) != 32:
        raise ValueError("the checkpoint's root hash is not 32 octets")
    return TreeHead(origin, int(size), octets, tuple(lines[3:]))


def key_id(name: str, public_key: Ed25519PublicKey) -> bytes:
    """Return the four octets that point a verifier to the right key."""
    octets = name.encode() + b"\n" + _ED25519 + public_key.public_bytes_raw()
    return sha256(octets).digest()[:_KEY_ID_OCTETS]


def sign(text: str, name: str, private_key: Ed25519PrivateKey) -> str:
    """Return the note: the text, an empty line, and one signature line.

    Raises:
        ValueError: the text or the name cannot stand in a note.
    """
    if not text.endswith("\n") or not _sound(text):
        raise ValueError("a note's text ends in a newline and has no control characters")
    if not name or "+" in name or any(character.isspace() for character in name):
        raise ValueError(f"{name!r} cannot name a key: no space, no plus")
    signature = private_key.sign(text.encode())
    encoded = b64encode(key_id(name, private_key.public_key()) + signature).decode()
    return f"{text}\n{_SIGNATURE_START}{name} {encoded}\n"


def verify(note: str, name: str, public_key: Ed25519PublicKey) -> str:
    """Return the text of a note that this key signed; other signatures are passed over.

    Raises:
        ValueError: it is not a note, or it carries no valid signature of the key.
    """
    if len(note) > _MAX_OCTETS or not note.endswith("\n") or not _sound(note):
        raise ValueError("this is not a signed note")
    text, separator, signatures = note[:-1].rpartition("\n\n")
    if not separator:
        raise ValueError("the note has no signature")
    text += "\n"
    expected = key_id(name, public_key)
    found = False
    for line in signatures.split("\n"):
        signer, octets = _signature(line)
        if signer != name or octets[:_KEY_ID_OCTETS] != expected:
            continue
        if len(octets) != _KEY_ID_OCTETS + _SIGNATURE_OCTETS:
            raise ValueError(f"the signature of '{name}' has a wrong length")
        try:
            public_key.verify(octets[_KEY_ID_OCTETS:], text.encode())
        except InvalidSignature:
            raise ValueError(f"the signature of '{name}' is not valid") from None
        found = True
    if not found:
        raise ValueError(f"the note is not signed by '{name}'")
    return text


def _signature(line: str) -> tuple[str, bytes]:
    signer, separator, encoded = line.removeprefix(_SIGNATURE_START).partition(" ")
    if not line.startswith(_SIGNATURE_START) or not separator or not signer:
        raise ValueError("the note has a line that is not a signature")
    octets = _decode(encoded)
    if len(octets) <= _KEY_ID_OCTETS:
        raise ValueError("the note has a signature that is too short")
    return signer, octets


def _sound(text: str) -> bool:
    """Whether a text has no control characters but newlines, and can be UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return all(character >= " " or character == "\n" for character in text)


def _decode(encoded: str) -> bytes:
    try:
        octets = b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    if b64encode(octets).decode() != encoded:
        raise ValueError("not base64 in its one canonical form")
    return octets
