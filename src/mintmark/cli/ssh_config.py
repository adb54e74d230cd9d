"""`mintmark ssh config`: what OpenSSH's clients and servers have to be told.

Files of a directory of its own; those that the CA changes (its keys, the KRL) are brought up to
date by another run. Nothing is written that would lock everybody out: no file without keys, no
list that is not one, none that is older than the one that is there.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from mintmark.authority.signer.files import write_public
from mintmark.cli.asking import anchors
from mintmark.cli.options import Place, print_json
from mintmark.cli.output import say
from mintmark.cli.reach import distant_url, reach
from mintmark.cli.ssh_trust import known
from mintmark.client.api import APIClient
from mintmark.client.ssh_documents import SSHAuthorityDocument
from mintmark.model.errors import Error, Kind
from mintmark.wire.ssh import krl
from mintmark.wire.ssh.krl import KRL

USER_CA: Final = "user_ca.pub"
REVOKED: Final = "revoked.krl"
KNOWN_HOSTS: Final = "known_hosts"
CA: Final = "ca.pem"
SERVER_CONFIG: Final = "mintmark.conf"
CLIENT_CONFIG: Final = "ssh_config"
UNIT: Final = "mintmark-ssh-trust"
PRINCIPALS: Final = "/etc/ssh/auth_principals/%u"
_DEFAULT: Final = {True: Path("/etc/ssh/mintmark"), False: Path("~/.ssh/mintmark")}

_SERVICE: Final = """\
[Unit]
Description=Fetch whom sshd trusts, and what is revoked
After=network-online.target
Wants=network-online.target

[Service]
Type=oneshot
ExecStart={command}
ProtectSystem=strict
ReadWritePaths={directory}
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
NoNewPrivileges=yes
CapabilityBoundingSet=
"""
_TIMER: Final = """\
[Unit]
Description=Fetch whom sshd trusts, and what is revoked

[Timer]
OnBootSec=10s
OnUnitActiveSec=5min
RandomizedDelaySec=30s

[Install]
WantedBy=timers.target
"""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the options say, in the options' own words."""

    host: bool
    hosts: tuple[str, ...]
    host_key: Path
    out: Path | None
    refresh: bool

    @property
    def directory(self) -> Path:
        """Where the files are, as the configuration names them."""
        return _DEFAULT[self.host] if self.out is None else self.out.absolute()


def config(place: Place, *, fingerprint: str | None, **options: object) -> None:
    """Show or write the configuration of clients or of a host."""
    wish = Wish(**options)  # type: ignore[arg-type] # by click, as the grammar says
    if wish.refresh and wish.out is None:
        raise click.UsageError("--refresh says what of --out DIR to write anew; name the directory")
    place = known(place, fingerprint)
    with reach(place) as api:
        authorities = api.ssh_authorities()
        changing = _of_host(authorities) if wish.host else _of_clients(authorities, wish)
        if wish.out is None:
            _show(place, {**changing, **_configuration(wish)})
            return
        written = _write(wish.out, changing)
        written += _write_krl(wish.out, api.krl())
        if not wish.refresh:
            written += _write(wish.out, _settled(place, wish, api))
    if place.as_json:
        print_json({"files": [str(path) for path in written]})
    elif not wish.refresh:
        for path in written:
            say(f"wrote {path}")


def _of_host(authorities: Iterable[SSHAuthorityDocument]) -> dict[str, str]:
    """Return the file of CA keys that a host trusts users by."""
    lines = [one.public_key.strip() for one in authorities if one.type == "user"]
    return {USER_CA: _lines(lines, "user")}


def _of_clients(authorities: Iterable[SSHAuthorityDocument], wish: Wish) -> dict[str, str]:
    """Return the file of CA keys that clients trust hosts by (sshd(8), SSH_KNOWN_HOSTS)."""
    patterns = ",".join(wish.hosts or ("*",))
    if any(character.isspace() for character in patterns):
        raise Error(
            Kind.MALFORMED,
            f"'{patterns}' cannot be a pattern of host names",
            hint="write --hosts '*.example.internal' and more of them with --hosts again",
        )
    lines = [
        f"@cert-authority {patterns} {one.public_key.strip()}"
        for one in authorities
        if one.type == "host"
    ]
    return {KNOWN_HOSTS: _lines(lines, "host")}


def _lines(lines: list[str], type_: str) -> str:
    if not lines:
        raise Error(
            Kind.NOT_FOUND,
            f"this authority has no SSH {type_} CA",
            hint="an operator makes one: mintmark ssh init",
        )
    return "".join(f"{line}\n" for line in lines)


def _configuration(wish: Wish) -> dict[str, str]:
    directory = wish.directory
    if wish.host:
        return {
            SERVER_CONFIG: (
                f"HostKey {wish.host_key}\n"
                f"HostCertificate {wish.host_key}-cert.pub\n"
                f"TrustedUserCAKeys {directory}/{USER_CA}\n"
                f"AuthorizedPrincipalsFile {PRINCIPALS}\n"
                f"RevokedKeys {directory}/{REVOKED}\n"
            )
        }
    patterns = " ".join(wish.hosts or ("*",))
    return {
        CLIENT_CONFIG: (
            f"Host {patterns}\n"
            f"    GlobalKnownHostsFile /etc/ssh/ssh_known_hosts {directory}/{KNOWN_HOSTS}\n"
            f"    RevokedHostKeys {directory}/{REVOKED}\n"
        )
    }


def _settled(place: Place, wish: Wish, api: APIClient) -> dict[str, str]:
    """Return the files that stay as they are: configuration, and on hosts the timer."""
    files = _configuration(wish)
    if not wish.host:
        return files
    directory = wish.directory
    command = shlex.join(
        (
            *_program(),
            *("ssh", "config", "--host", "--refresh", "--out", str(directory)),
            *("--server", distant_url(place), "--ca", f"{directory}/{CA}"),
        )
    )
    return {
        **files,
        CA: anchors(api),
        f"{UNIT}.service": _SERVICE.format(command=command, directory=directory),
        f"{UNIT}.timer": _TIMER,
    }


def _program() -> tuple[str, ...]:
    """Return how a unit calls this program again."""
    typed = shutil.which(sys.argv[0]) or sys.argv[0]
    if Path(typed).name == "mintmark":
        return (str(Path(typed).absolute()),)
    return (sys.executable, "-m", "mintmark")


def _show(place: Place, files: Mapping[str, str]) -> None:
    if place.as_json:
        print_json(dict(files))
        return
    say("\n".join(f"# {name}\n{text}" for name, text in files.items()).rstrip("\n"))


def _write(directory: Path, files: Mapping[str, str]) -> list[Path]:
    """Write the files that changed, and return all of them."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        if _read(directory / name) != text.encode():
            write_public(directory / name, text.encode())
    return [directory / name for name in files]


def _write_krl(directory: Path, octets: bytes) -> list[Path]:
    """Write the KRL, unless it is older than the one that is there.

    Raises:
        Error: CONFLICT when it is, MALFORMED when it is none.
    """
    path = directory / REVOKED
    fetched, found = krl.parse(octets), _read(path)
    if found is not None:
        there = _krl(found)
        if there is not None and there.number > fetched.number:
            raise Error(
                Kind.CONFLICT,
                f"the server's KRL has number {fetched.number}, the one in '{path}' "
                f"{there.number}: it would forget revocations",
                hint=f"is it the same authority? if so, who answers there? if not, remove '{path}'",
            )
    if found != octets:
        write_public(path, octets)
    return [path]


def _krl(octets: bytes) -> KRL | None:
    try:
        return krl.parse(octets)
    except Error:  # a broken one keeps everybody out; any good one is better
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Error(Kind.CONFIGURATION, f"cannot read '{path}': {error.strerror}") from error
