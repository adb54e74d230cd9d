"""`mintmark ssh ca`, `init` and `rollover`: the keys that sign SSH certificates."""

from __future__ import annotations

import asyncio
from typing import Any

import click
import msgspec

from mintmark.cli.options import Place, print_json
from mintmark.cli.output import say, table
from mintmark.cli.passphrase import read_passphrase
from mintmark.cli.reach import reach
from mintmark.cli.ssh_trust import known
from mintmark.model.keys import KeyType
from mintmark.model.ssh import Generation, SSHAuthority, SSHCertificateType
from mintmark.server import ssh_keys
from mintmark.server.directory import Directory
from mintmark.wire.ssh import key as keys


def show(place: Place) -> None:
    """List the CA keys to trust now."""
    with reach(known(place)) as api:
        found = api.ssh_authorities()
    if place.as_json:
        print_json({"authorities": msgspec.to_builtins(found)})
        return
    rows = [(one.type, one.generation, one.public_key.split()[0], one.fingerprint) for one in found]
    say(table(("TYPE", "GENERATION", "KEY", "FINGERPRINT"), rows))


def init(place: Place, key_type: str) -> None:
    """Make the keys that are lacking."""
    directory = Directory(place.directory)
    directory.require_ready()
    passphrase = read_passphrase(place, directory.passphrase_file)
    made = asyncio.run(ssh_keys.init(directory, passphrase, KeyType(key_type)))
    if place.as_json:
        print_json({"authorities": [_document(one) for one in made]})
        return
    for one in made:
        say(f"made the SSH {one.type.word} CA key {_fingerprint(one)}")
    say("running servers take it up within seconds")


def rollover(
    place: Place,
    type_: str,
    key_type: str | None,
    *,
    activate: bool,
    retire: bool,
    force: bool,
) -> None:
    """Take one step of the replacement of a CA key."""
    if activate and retire:
        raise click.UsageError("--activate and --retire are two steps; take them one by one")
    directory = Directory(place.directory)
    directory.require_ready()
    kind = SSHCertificateType[type_.upper()]
    if retire:
        changed = asyncio.run(ssh_keys.retire(directory, kind, force=force))
    else:
        passphrase = read_passphrase(place, directory.passphrase_file)
        if activate:
            changed = asyncio.run(ssh_keys.activate(directory, passphrase, kind))
        else:
            wanted = None if key_type is None else KeyType(key_type)
            changed = asyncio.run(ssh_keys.prepare(directory, passphrase, kind, wanted))
    if place.as_json:
        print_json(_document(changed))
        return
    for line in _said(place, changed):
        say(line)


def _said(place: Place, changed: SSHAuthority) -> tuple[str, str]:
    word, fingerprint = changed.type.word, _fingerprint(changed)
    who = "hosts trust" if changed.type is SSHCertificateType.USER else "clients trust"
    step = "--activate" if changed.generation is Generation.NEXT else "--retire"
    then = place.command(f"ssh rollover {word} {step}")
    match changed.generation:
        case Generation.NEXT:
            return (
                f"made the next SSH {word} CA key {fingerprint}; it is trusted and signs nothing",
                f"when all {who} it: {then}",
            )
        case Generation.ACTIVE:
            return (
                f"the SSH {word} CA key {fingerprint} signs from now on",
                f"when what the previous one signed has ended: {then}",
            )
        case _:
            return (
                f"the SSH {word} CA key {fingerprint} is not trusted any more",
                f"{who.split(maxsplit=1)[0]} forget it when they next fetch the keys",
            )


def _document(authority: SSHAuthority) -> dict[str, Any]:
    return {
        "id": authority.id,
        "type": authority.type.word,
        "generation": authority.generation.value,
        "public_key": keys.line(authority.key),
        "fingerprint": _fingerprint(authority),
    }


def _fingerprint(authority: SSHAuthority) -> str:
    return keys.fingerprint(authority.key.blob)
