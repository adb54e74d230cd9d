"""`mintmark ssh user` and `mintmark ssh host`: certificates for keys in files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import click
from msgspec import structs, to_builtins

from mintmark.authority.policy.whitelist import SERVICE_ID
from mintmark.authority.signer.file import SigningPrivateKey, generate
from mintmark.authority.signer.files import read_secret
from mintmark.cli.asking import once
from mintmark.cli.options import Place, print_json
from mintmark.cli.output import moment, say
from mintmark.cli.reach import asks_as_admin, reach
from mintmark.cli.ssh_files import SSHFiles, answered_certificate, read_public_key
from mintmark.cli.ssh_tokens import provisioner_token
from mintmark.cli.ssh_trust import known
from mintmark.client.api import APIClient
from mintmark.client.ssh_documents import SSHCertificateDocument, SSHCertificateRequest
from mintmark.model.errors import Error, Kind
from mintmark.model.keys import KeyType
from mintmark.model.ssh import SSHPublicKey
from mintmark.wire.ssh import key as keys

SSHType = Literal["user", "host"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options say of a new certificate, in the options' own words."""

    name: str
    public_key: Path | None
    out: Path | None
    force: bool
    key_type: str
    principals: tuple[str, ...]
    key_id: str | None
    profile: str | None
    lifetime: str | None
    service: str | None
    token_file: Path | None
    provisioner: str | None
    password_file: Path | None


def user(place: Place, *, fingerprint: str | None, **options: Any) -> None:
    """Have a key certified for logging in."""
    _issue(known(place, fingerprint), "user", Wish(**options))


def host(place: Place, *, fingerprint: str | None, **options: Any) -> None:
    """Have a host's key certified."""
    _issue(known(place, fingerprint), "host", Wish(**options))


def tell(place: Place, issued: SSHCertificateDocument, written: list[Path]) -> None:
    """Say what was issued and which files it is in."""
    if place.as_json:
        print_json({**to_builtins(issued), "files": [str(path) for path in written]})
        return
    say(f"certified {issued.key_id} for {', '.join(issued.principals)}")
    say(
        f"profile {issued.profile}, serial {issued.serial_number}, valid until "
        f"{moment(issued.valid_before, time.time())}"
    )
    for path in written:
        say(f"wrote {path}")


def _issue(place: Place, type_: SSHType, wish: Wish) -> None:
    files, key, private_key = _key(wish)
    with _asking(place, type_, wish, key) as (api, request):
        issued = once(lambda again: api.request_ssh_certificate(request, idempotency_key=again))
    answered_certificate(issued.certificate, key)
    files.private.parent.mkdir(parents=True, exist_ok=True)
    written = [] if private_key is None else files.write_key(private_key, key.comment)
    tell(place, issued, [*written, files.write_certificate(issued.certificate)])


def _key(wish: Wish) -> tuple[SSHFiles, SSHPublicKey, SigningPrivateKey | None]:
    """Return where the files go, the key to certify, and its private half if it is new."""
    if wish.public_key is not None:
        files = SSHFiles.of_public(wish.public_key) if wish.out is None else SSHFiles(wish.out)
        return files, read_public_key(wish.public_key), None
    files = SSHFiles(wish.out or Path(wish.name.replace("/", "_")))
    files.require_room(force=wish.force)
    private_key = generate(KeyType(wish.key_type))
    return files, keys.from_public_key(private_key.public_key(), wish.name), private_key


@contextmanager
def _asking(
    place: Place, type_: SSHType, wish: Wish, key: SSHPublicKey
) -> Iterator[tuple[APIClient, SSHCertificateRequest]]:
    """Yield the API with the credential that the options name, and what to ask it for."""
    if wish.token_file is not None and wish.provisioner is not None:
        raise click.UsageError("--token-file and --provisioner exclude each other")
    principals = list(wish.principals) or [wish.name]
    request = SSHCertificateRequest(
        public_key=keys.line(key),
        type=type_,
        profile=wish.profile,
        key_id=wish.key_id or "",
        principals=principals,
        lifetime=wish.lifetime,
        service_name=wish.service,
    )
    token: str | None = None
    if wish.token_file is not None:
        token = _token(wish.token_file)
        if token.count(".") == 2:  # a signed one vouches for principals of its own
            request = structs.replace(request, principals=list(wish.principals))
    elif wish.provisioner is not None:  # which will say whose certificate it is
        subject = wish.service or wish.name
        request = structs.replace(request, key_id=wish.key_id or wish.name, service_name=None)
        token = provisioner_token(
            place, wish.provisioner, wish.password_file, subject, request, key
        )
    elif asks_as_admin(place):
        service = wish.service or _service(wish.name)
        request = structs.replace(request, key_id=wish.key_id or wish.name, service_name=service)
    with reach(place, token=token) as api:
        yield api, request


def _service(name: str) -> str:
    """Return whose certificate an administrator asks for who does not say."""
    if not SERVICE_ID.fullmatch(name):
        raise Error(
            Kind.MALFORMED,
            f"'{name}' cannot be a service id",
            hint="say whose certificate it is with --service",
        )
    return name


def _token(path: Path) -> str:
    text = read_secret(path).strip()
    if not text or not text.isascii():
        raise Error(Kind.CONFIGURATION, f"'{path}' holds no token")
    return text.decode()
