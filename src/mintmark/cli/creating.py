"""`mintmark init`: an authority comes to be; `mintmark up` uses the same."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from mintmark.authority.issuance.hierarchy import Subject
from mintmark.cli.options import Place, print_json
from mintmark.cli.output import colons, pairs, say
from mintmark.cli.passphrase import choose_passphrase, read_passphrase
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.ssh import Generation
from mintmark.model.time import parse_duration
from mintmark.server import ceremony, ssh_files
from mintmark.server.ceremony import Plan
from mintmark.server.directory import Directory, State
from mintmark.server.settings import ACMEEntry, Settings
from mintmark.server.settings import of as settings_of
from mintmark.wire.ssh import key as wire_key


def init(place: Place, **options: Any) -> None:
    """Create an authority, or one half of it."""
    directory = Directory(place.directory)
    chain: Path | None = options.pop("chain")
    no_root_key, resume = options.pop("no_root_key"), options.pop("resume")
    if resume != (chain is not None) or (resume and no_root_key):
        raise Error(
            Kind.CONFIGURATION,
            "--resume needs --chain FILE, and neither goes with --no-root-key",
            hint=f"first {place.command('init')} --no-root-key, then --resume --chain FILE",
        )
    with directory.lock():
        directory.recover()
        if chain is not None:
            _resume(place, directory, chain)
            return
        require_absent(place, directory)
        plan = plan_of(directory, options)
        passphrase = choose_passphrase(place, directory.passphrase_file)
        if no_root_key:
            ceremony.request_intermediate(directory, plan, passphrase)
        else:
            create(directory, plan, passphrase)
    if no_root_key:
        _tell_pending(place, directory)
    else:
        _tell(place, directory)


def create(directory: Directory, plan: Plan, passphrase: bytes) -> None:
    """Create an authority by a plan; the caller holds the directory's lock."""
    asyncio.run(ceremony.create(directory, plan, passphrase, clock=time.time, entropy=os.urandom))


def require_absent(place: Place, directory: Directory) -> None:
    """Refuse to make an authority where there is one, or half of one."""
    state = directory.state()
    if state is State.READY:
        raise Error(
            Kind.CONFLICT,
            f"there is an authority in '{directory.path}' already",
            hint=f"serve it with: {place.command('serve')}",
        )
    if state is State.PENDING:
        directory.require_ready()


@dataclass(frozen=True, slots=True)
class Shape:
    """What the options say of root and intermediate, in the options' own words."""

    organization: str = ""
    country: str = ""
    root_name: str = ""
    intermediate_name: str = ""
    root_key_type: str = KeyType.EC_P256.value
    key_type: str = KeyType.EC_P256.value
    ssh_key_type: str = KeyType.ED25519.value
    no_ssh: bool = False
    root_lifetime: str = "10y"
    intermediate_lifetime: str = "5y"


def plan_of(directory: Directory, options: dict[str, Any]) -> Plan:
    """Return what the options ask for; a configuration that lies there already stays."""
    given = {name: value for name, value in options.items() if value}
    shape = Shape(**{one.name: given.pop(one.name) for one in fields(Shape) if one.name in given})
    # Two authorities without a name of their own shall not have the same one.
    family = shape.organization or f"mintmark {os.urandom(2).hex()}"
    root, intermediate = (
        Subject(name, organization=shape.organization, country=shape.country)
        for name in (
            shape.root_name or f"{family} Root CA",
            shape.intermediate_name or f"{family} Intermediate CA",
        )
    )
    return Plan(
        settings=_settings(directory, **given),
        root=root,
        intermediate=intermediate,
        root_key_type=KeyType(shape.root_key_type),
        intermediate_key_type=KeyType(shape.key_type),
        root_lifetime=parse_duration(shape.root_lifetime),
        intermediate_lifetime=parse_duration(shape.intermediate_lifetime),
        ssh_key_type=None if shape.no_ssh else KeyType(shape.ssh_key_type),
    )


def facts(directory: Directory) -> list[tuple[str, str]]:
    """Return what a person has to know of an authority: what it is, and where."""
    settings = directory.settings()
    root = x509.load_der_x509_certificate(directory.root.certificate_der())
    urls = [
        f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        for scheme, port in (
            ("https", settings.server.https_port),
            ("http", settings.server.http_port),
        )
        for host in settings.server.names[:1]
    ]
    return [
        ("authority", str(directory.path)),
        ("root", root.subject.rfc4514_string()),
        ("root fingerprint", f"SHA256 {colons(root.fingerprint(hashes.SHA256()).hex())}"),
        ("API", f"{urls[0]}/api/v1"),
        *(
            ("ACME" if number == 0 else f"ACME {one.name}", f"{urls[0]}/acme/{one.name}/directory")
            for number, one in enumerate(_acme(settings))
        ),
        ("CRL, OCSP, issuers", urls[1]),
        *(
            (f"SSH {one.type.word} CA", wire_key.fingerprint(one.key.blob))
            for one in ssh_files.describe(directory)
            if one.generation is Generation.ACTIVE
        ),
    ]


def _acme(settings: Settings) -> list[ACMEEntry]:
    return [one for one in settings.provisioners if isinstance(one, ACMEEntry)]


def _settings(
    directory: Directory,
    *,
    names: tuple[str, ...] = (),
    listen: tuple[str, ...] = (),
    https_port: int | None = None,
    http_port: int | None = None,
    public_http_url: str | None = None,
    database: str | None = None,
    database_password_file: str | None = None,
) -> Settings:
    server = {
        "names": list(names),
        "listen": list(listen),
        "https_port": https_port,
        "http_port": http_port,
        "public_http_url": public_http_url,
    }
    storage = {"url": database, "password_file": database_password_file}
    given = {
        "server": {key: value for key, value in server.items() if value},
        "storage": {key: value for key, value in storage.items() if value},
    }
    if not directory.settings_file.exists():
        return settings_of(given)
    if any(given.values()):
        raise Error(
            Kind.CONFLICT,
            f"'{directory.settings_file}' exists, so options cannot say otherwise",
            hint="write them into that file",
        )
    return directory.settings()


def _resume(place: Place, directory: Directory, chain: Path) -> None:
    if directory.state() is not State.PENDING:
        raise Error(
            Kind.CONFLICT,
            f"nothing waits for a chain in '{directory.path}'",
            hint=f"begin with: {place.command('init')} --no-root-key",
        )
    passphrase = read_passphrase(place, directory.passphrase_file)
    asyncio.run(ceremony.resume(directory, chain, passphrase, clock=time.time))
    _tell(place, directory)


def _tell(place: Place, directory: Directory) -> None:
    found = facts(directory)
    if place.as_json:
        print_json({name.replace(" ", "_"): value for name, value in found})
        return
    say(pairs(found))
    if directory.root.key.exists():
        say(f"\nkeep {directory.root.key} offline: nothing needs it before the intermediate ends")
    say(f"serve it with: {place.command('serve')}")


def _tell_pending(place: Place, directory: Directory) -> None:
    request = directory.intermediate.csr
    if place.as_json:
        print_json({"csr": str(request)})
        return
    say(f"wrote {request}")
    say("have it signed as a CA with path length 0, key usage keyCertSign and cRLSign; then,")
    say("with its certificate, those above it and the root in one PEM file:")
    say(f"  {place.command('init')} --resume --chain FILE")
