"""The whole file: reading it, checking it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from mintmark.model.errors import Error, Kind
from mintmark.model.profile import Profile
from mintmark.server import yaml
from mintmark.server.sections import Section, decode, key
from mintmark.server.settings import acme, profile, provisioner, server, ssh, storage, whitelist
from mintmark.server.settings.acme import ACME
from mintmark.server.settings.claims import Known
from mintmark.server.settings.issuing import Issuing, Limits
from mintmark.server.settings.profile import ProfileEntry
from mintmark.server.settings.provisioner import ProvisionerEntry
from mintmark.server.settings.server import Server
from mintmark.server.settings.ssh import SSH
from mintmark.server.settings.storage import Storage
from mintmark.server.settings.whitelist import Whitelist


class Settings(Section, frozen=True, kw_only=True):
    """The whole file."""

    server: Server = Server()
    storage: Storage = Storage()
    issuer: Issuing = Issuing()
    whitelist: Whitelist = Whitelist()
    profiles: Annotated[
        dict[str, ProfileEntry],
        key(
            "Profiles by name, beside or in place of the built-in server, client and peer.",
            "certificates of other shapes",
        ),
    ] = field(default_factory=dict)
    limits: Limits = Limits()
    provisioners: Annotated[
        Annotated[tuple[ProvisionerEntry, ...], Meta(max_length=100)],
        key(
            "Who may ask without being in the whitelist, one entry for each way to show it, "
            "beside those of mintmark provisioner add; an empty list: none.",
            "certificates for everything that such a way can show",
        ),
    ] = provisioner.DEFAULT
    acme: ACME = ACME()
    ssh: SSH = SSH()


def load(path: Path) -> Settings:
    """Read and check a configuration file.

    Raises:
        Error: CONFIGURATION, with the file, the key and what it has to be.
    """
    text = _text(path)
    try:
        return of(yaml.read(text))
    except Error as error:
        raise Error(error.kind, f"{path}: {error.detail}", hint=error.hint) from error


def of(values: object) -> Settings:
    """Return the settings that plain values say, as a file would.

    Raises:
        Error: CONFIGURATION, with the key and what it has to be.
    """
    settings = decode(Settings, values)
    for problem in _contradictions(settings):
        raise problem
    return settings


def check(path: Path) -> list[str]:
    """Return what is wrong with a configuration file, as sentences; empty when all is well."""
    try:
        problems = list(_contradictions(decode(Settings, yaml.read(_text(path)))))
    except Error as error:
        problems = [error]
    return [f"{one.detail} ({one.hint})" if one.hint else one.detail for one in problems]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise Error(
            Kind.CONFIGURATION,
            f"there is no file '{path}'",
            hint="make an authority with mintmark init, or name its directory with --dir",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Error(Kind.CONFIGURATION, f"cannot read '{path}': {reason}") from error


def _contradictions(settings: Settings) -> Iterator[Error]:
    """Yield what is wrong although each key by itself is of its form."""
    validation = settings.acme.validation
    yield from server.problems(settings.server)
    yield from storage.problems(settings.storage)
    yield from whitelist.problems(
        settings.whitelist,
        profile.profile_names(settings.profiles) | ssh.known_ssh_profiles(settings.ssh).keys(),
    )
    yield from provisioner.problems(settings.provisioners, _known(settings))
    yield from acme.problems(validation)
    yield from profile.problems(settings.profiles)
    yield from ssh.problems(settings.ssh, profile.profile_names(settings.profiles))


def _known(settings: Settings) -> Known:
    """Return what entries may refer to; what contradicts itself is told elsewhere."""
    try:
        profiles: Mapping[str, Profile | None] = profile.profiles(settings.profiles)
    except Error:
        profiles = dict.fromkeys(profile.profile_names(settings.profiles))
    return Known(
        profiles,
        ssh.known_ssh_profiles(settings.ssh),
        settings.acme.validation.issuer_domain_names,
    )
