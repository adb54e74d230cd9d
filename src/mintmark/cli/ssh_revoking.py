"""`mintmark ssh revoke`: for good, and on the KRL at once."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
import msgspec

from mintmark.cli.options import Place, print_json
from mintmark.cli.output import say
from mintmark.cli.reach import asks_as_admin, reach
from mintmark.cli.ssh_files import (
    SSHFiles,
    certificate_id,
    read_certificate,
    read_private_key,
    read_public_key,
)
from mintmark.cli.ssh_tokens import possession_token
from mintmark.cli.ssh_trust import known
from mintmark.client.documents import ReasonWord
from mintmark.client.ssh_documents import SSHBanRequest
from mintmark.model.errors import Error, Kind
from mintmark.wire.ssh import key as keys
from mintmark.wire.ssh.encoding import UINT64_END


def revoke(
    place: Place, target: str | None, key_id: str | None, public_key: Path | None, reason: str
) -> None:
    """Revoke a certificate, or ban a key id or a key."""
    if sum(one is not None for one in (target, key_id, public_key)) != 1:
        raise click.UsageError("name one of CERT, SERIAL or ID, --key-id and --public-key")
    word = cast("ReasonWord", reason)
    if target is not None:
        _revoke(known(place), target, word)
        return
    line = None if public_key is None else keys.line(read_public_key(public_key))
    with reach(known(place)) as api:
        ban = api.ban_ssh(SSHBanRequest(key_id=key_id, public_key=line, reason=word))
    if place.as_json:
        print_json(msgspec.to_builtins(ban))
        return
    say(f"banned {ban.kind.replace('-', ' ')} {ban.value} ({ban.reason})")
    _tell_when(place)


def find_certificate(text: str) -> str:
    """Return the id of the certificate that a file, a serial or an id names.

    Raises:
        Error: CONFIGURATION or MALFORMED for a file that holds none, NOT_FOUND for what cannot
            be one.
    """
    path = Path(text)
    if path.is_file():
        return certificate_id(read_certificate(path).fields.serial)
    if "/" in text:
        raise Error(Kind.NOT_FOUND, f"there is no file '{text}'")
    if text.isascii() and text.isdigit() and int(text) < UINT64_END:
        return certificate_id(int(text))
    return text


def _revoke(place: Place, target: str, reason: ReasonWord) -> None:
    certificate = find_certificate(target)
    with reach(place, token=_proof(place, Path(target))) as api:
        revocation = api.revoke_ssh(certificate, reason)
    if place.as_json:
        print_json(msgspec.to_builtins(revocation))
        return
    say(f"revoked {revocation.certificate_id} ({revocation.revocation_reason})")
    _tell_when(place)


def _proof(place: Place, path: Path) -> str | None:
    """Return a token of the key beside a certificate, where nobody else asks."""
    if asks_as_admin(place) or place.certificate is not None or not path.is_file():
        return None
    files = SSHFiles.of_certificate(path)
    key = read_private_key(files.private)
    return possession_token(place, key, read_certificate(path), None, "ssh/revoke")


def _tell_when(place: Place) -> None:
    if place.offline:
        say("the KRL says so as soon as the server runs")
    else:
        say("the KRL says so within seconds, each host when it has pulled that")
