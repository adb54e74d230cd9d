"""Tokens made on this machine: with a provisioner's password, or with an SSH key."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from mintmark.authority.signer.file import SigningPrivateKey
from mintmark.authority.signer.files import read_secret
from mintmark.cli.options import Place
from mintmark.cli.reach import server_url, trust_anchor
from mintmark.client import provisioners
from mintmark.client.provisioners import Act
from mintmark.client.ssh_documents import SSHCertificateRequest
from mintmark.client.transport import HTTPTransport
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHPublicKey
from mintmark.wire.ssh import key as keys
from mintmark.wire.ssh.certificate import Parsed


def provisioner_token(
    place: Place,
    name: str,
    password_file: Path | None,
    subject: str,
    request: SSHCertificateRequest,
    key: SSHPublicKey,
) -> str:
    """Return a token of a JWK provisioner for what a request asks for.

    Args:
        place: where the server is.
        name: of the provisioner.
        password_file: with its key's password; None asks a person.
        subject: whose certificate it will be.
        request: what will be asked for.
        key: the only one that the token is good for.

    Raises:
        Error: NOT_FOUND without such a provisioner, UNAUTHENTICATED for a wrong password.
    """
    with _transport(place) as transport:
        found = provisioners.find(transport, "JWK", name)
        password = _password(password_file, name)
        private_key = provisioners.private_key(transport, found, password)
    ssh = {"certType": request.type, "keyID": request.key_id, "principals": request.principals}
    act = _act(place, "ssh/sign")
    return provisioners.signing_token(private_key, found, act, subject, ssh, key)


def possession_token(
    place: Place, key: SigningPrivateKey, shown: Parsed, name: str | None, method: str
) -> str:
    """Return a token by which the holder of an SSH certificate's key asks.

    Raises:
        Error: CONFIGURATION when the key is another one, NOT_FOUND without an SSHPOP provisioner.
    """
    if keys.from_public_key(key.public_key()).blob != shown.fields.key.blob:
        raise Error(
            Kind.CONFIGURATION,
            "the certificate is for another key than the private key beside it",
            hint="NAME, NAME.pub and NAME-cert.pub belong together",
        )
    with _transport(place) as transport:
        found = provisioners.find(transport, "SSHPOP", name)
    return provisioners.possession_token(key, found, _act(place, method), shown)


def _act(place: Place, method: str) -> Act:
    return Act(server_url(place), method, time.time(), secrets.token_hex(32))


@contextmanager
def _transport(place: Place) -> Iterator[HTTPTransport]:
    """Yield the way to the server for what anybody may see."""
    if place.offline:
        raise Error(
            Kind.CONFIGURATION,
            "--offline is for the administrator, who needs no token",
            hint="leave --offline or the token's options out",
        )
    ca = trust_anchor(place)
    transport = HTTPTransport(server_url(place), ca=ca if place.ca or ca.exists() else None)
    try:
        yield transport
    finally:
        transport.close()


def _password(path: Path | None, provisioner: str) -> bytes:
    if path is not None:
        password = read_secret(path).rstrip(b"\r\n")
        if not password:
            raise Error(Kind.CONFIGURATION, f"password file '{path}' is empty")
        return password
    if not sys.stdin.isatty():
        raise Error(
            Kind.CONFIGURATION,
            f"the key of provisioner '{provisioner}' needs its password",
            hint="name a file that holds it with --password-file",
        )
    typed: str = click.prompt(f"Password of provisioner {provisioner}", hide_input=True, err=True)
    return typed.encode()
