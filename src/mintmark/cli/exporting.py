"""`mintmark export`: the same certificate in the form that another program asks for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from mintmark.authority.signer.file import parse_private_key
from mintmark.authority.signer.files import read_secret, write_public, write_secret
from mintmark.cli.delivery import CERTIFICATE, CHAIN, KEY
from mintmark.cli.options import Place, print_json
from mintmark.cli.output import note, say
from mintmark.cli.reach import reach
from mintmark.model.errors import Error, Kind
from mintmark.server.directory import read_certificates
from mintmark.wire import pem, pkcs

BINARY = ("der", "pkcs12", "pkcs7")


def export(
    place: Place, target: str, form: str, out: Path | None, password_file: Path | None
) -> None:
    """Write a certificate in another format."""
    directory = Path(target)
    if directory.is_dir():
        data, secret = _from_directory(directory, form, password_file)
    else:
        password = None if password_file is None else _password(password_file).decode()
        with reach(place) as api:
            data, secret = api.download(target, form, password=password), False
    if out is not None:
        (write_secret if secret else write_public)(out, data)
        if place.as_json:
            print_json({"file": str(out), "format": form, "octets": len(data)})
        else:
            say(f"wrote {out}")
        return
    if form in BINARY and sys.stdout.isatty():
        raise Error(
            Kind.CONFIGURATION,
            f"format '{form}' is not for a terminal",
            hint="write it to a file with --out",
        )
    click.echo(data, nl=False)


def _from_directory(directory: Path, form: str, password_file: Path | None) -> tuple[bytes, bool]:
    """Return the certificate of a directory in a format, and whether that holds a secret."""
    if form == "ssh":
        raise Error(
            Kind.CONFLICT,
            f"'{directory}' holds an X.509 certificate, which has no form 'ssh'",
            hint="name an SSH certificate by its id: mintmark ssh list",
        )
    (certificate, *_) = read_certificates(directory / CERTIFICATE)
    chain = pem.decode(pem.CERTIFICATE, (directory / CHAIN).read_bytes())
    if form == "pkcs12":
        return _pkcs12(directory, certificate, tuple(chain), password_file)
    encoded: dict[str, Callable[[], bytes]] = {
        "pem": lambda: pem.certificate(certificate),
        "der": lambda: certificate,
        "chain": lambda: pem.certificates(chain),
        "fullchain": lambda: pem.certificates((certificate, *chain)),
        "pkcs7": lambda: pkcs.pkcs7((certificate, *chain)),
    }
    return encoded[form](), False


def _pkcs12(
    directory: Path, certificate: bytes, chain: tuple[bytes, ...], password_file: Path | None
) -> tuple[bytes, bool]:
    key_file = directory / KEY
    if not key_file.exists():
        note(f"'{key_file}' is not there: the PKCS #12 file holds certificates only")
        password = None if password_file is None else _password(password_file)
        return pkcs.pkcs12(directory.name, None, certificate, chain, password), False
    key = parse_private_key(read_secret(key_file), None, str(key_file))
    if password_file is not None:
        password = _password(password_file)
    elif sys.stdin.isatty():
        typed: str = click.prompt(
            "Password for the PKCS #12 file", hide_input=True, err=True, confirmation_prompt=True
        )
        password = typed.encode()
    else:
        raise Error(
            Kind.CONFIGURATION,
            "a PKCS #12 file with a private key needs a password",
            hint="name a file that holds it with --password-file",
        )
    return pkcs.pkcs12(directory.name, key, certificate, chain, password), True


def _password(path: Path) -> bytes:
    password = read_secret(path).rstrip(b"\r\n")
    if not password:
        raise Error(Kind.CONFIGURATION, f"password file '{path}' is empty")
    return password
