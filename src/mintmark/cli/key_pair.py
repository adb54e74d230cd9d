"""The key pair of a JWK provisioner, made on this host; its password never stands in argv."""

from __future__ import annotations

import os
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from mintmark.authority.signer.files import read_secret
from mintmark.model.errors import Error, Kind
from mintmark.wire import jose, json, jwe

VARIABLE: Final = "MINTMARK_PROVISIONER_PASSWORD"
# Anybody may fetch the encrypted key and guess at leisure, unlike the CA keys' passphrase.
MIN_CHARACTERS: Final = 12
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "k"})


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair as the API takes it.

    Args:
        key: the public JWK.
        encrypted_key: the private one under the password; empty when it stays with its owners.
        password: that was made up, to be shown once; empty when somebody chose it.
    """

    key: dict[str, str]
    encrypted_key: str
    password: str = field(default="", repr=False)


def key_pair(key: Path | None, password_file: Path | None, *, generate_password: bool) -> KeyPair:
    """Return a key pair, a new one or that of a file.

    Args:
        key: a JWK, private or public; None makes one (P-256).
        password_file: with the password for the private half.
        generate_password: whether to make a password up.

    Raises:
        Error: CONFIGURATION without a password, or for one that is too short.
    """
    if password_file is not None and generate_password:
        raise Error(
            Kind.CONFIGURATION, "--password-file and --generate-password exclude each other"
        )
    private = jose.new_jwk()
    if key is not None:
        data = _read(key)
        members = json.decode(data, dict[str, Any])
        if not _PRIVATE & members.keys():
            return _public(members, given=password_file is not None or generate_password)
        private = jose.private_jwk(jose.parse_private_jwk(read_secret(key)).private_key)
    password = _password(password_file, generate_password=generate_password)
    encrypted = jwe.encrypt_key(private, password.encode(), secrets.token_bytes)
    public = jose.parse_private_jwk(private).jwk.document()
    return KeyPair(public, encrypted, password if generate_password else "")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Error(Kind.CONFIGURATION, f"cannot read '{path}': {error.strerror}") from error


def _public(members: dict[str, Any], *, given: bool) -> KeyPair:
    if given:
        raise Error(
            Kind.CONFIGURATION,
            "the key is a public one, so there is nothing that a password could protect",
            hint="leave the password away, or give the private JWK",
        )
    return KeyPair(jose.jwk(members).document(), "")


def _password(path: Path | None, *, generate_password: bool) -> str:
    """Return the password for a private key.

    Raises:
        Error: CONFIGURATION when there is none to be had, or it is too short.
    """
    if generate_password:
        return secrets.token_urlsafe(24)
    if path is not None:
        password = _text(read_secret(path).rstrip(b"\r\n"))
    elif (found := os.environ.pop(VARIABLE, None)) is not None:
        password = found  # taken out, so that no child process inherits it
    elif sys.stdin.isatty():
        password = click.prompt(
            "Password for the provisioner's key",
            hide_input=True,
            err=True,
            confirmation_prompt="Once more",
        )
    else:
        raise Error(
            Kind.CONFIGURATION,
            "the provisioner's key needs a password",
            hint=f"use --password-file, the environment's {VARIABLE}, --generate-password, or a "
            "terminal to type it",
        )
    if len(password) < MIN_CHARACTERS:
        raise Error(
            Kind.CONFIGURATION,
            f"the password has {len(password)} characters; it needs {MIN_CHARACTERS}",
            hint="everybody may fetch the encrypted key and try: use --generate-password, or "
            "four random words",
        )
    return password


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Error(Kind.CONFIGURATION, "the password is not UTF-8") from error
