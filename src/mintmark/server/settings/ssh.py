"""Section `ssh`: shapes of SSH certificates, and what none of them may be."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Annotated, Final, Literal, TypeVar

from msgspec import Meta, field

from mintmark.authority.policy.principals import rules_of
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import (
    EXTENSIONS,
    SSH_BUILT_IN,
    SSH_HOST,
    SSH_USER,
    SSHCertificateType,
    SSHProfile,
)
from mintmark.model.time import duration
from mintmark.server.sections import Section, at, key, unknown, wrong
from mintmark.server.settings.values import NAME, Lifetime, Texts

V = TypeVar("V")

Options = Annotated[tuple[str, ...], Meta(max_length=50)]

# PROTOCOL.certkeys, "Critical options": of user certificates too.
_FORCE_COMMAND: Final = "force-command"
_SOURCE_ADDRESS: Final = "source-address"
_VERIFY_REQUIRED: Final = "verify-required"
_CRITICAL_OPTIONS: Final = (_FORCE_COMMAND, _SOURCE_ADDRESS, _VERIFY_REQUIRED)
# RFC 4251 §6: names of one's own have a domain behind '@'.
_OWN: Final = re.compile(r"[!-+\--<>?A-~]{1,64}@[a-z0-9.-]{1,128}", re.ASCII)


class SSHProfileEntry(Section, frozen=True, kw_only=True):
    """A profile of your own; a key left out keeps the value of ssh-user or ssh-host."""

    type: Annotated[
        Literal["user", "host"] | None,
        key(
            "Whom its certificates speak for; null: as the built-in profile of its own name, "
            "else user.",
            "logins instead of hosts",
        ),
    ] = None
    extensions: Annotated[
        Options | None,
        key(
            "NAME, or NAME=DATA: permit-X11-forwarding, permit-agent-forwarding, "
            "permit-port-forwarding, permit-pty, permit-user-rc, no-touch-required, or one of "
            "your own, NAME@DOMAIN.",
            "more in a session",
        ),
    ] = None
    critical_options: Annotated[
        Options | None,
        key(
            "NAME, or NAME=DATA: force-command=COMMAND, source-address=NETWORK,NETWORK, "
            "verify-required, or one of your own, NAME@DOMAIN, which sshd has to know.",
            "sessions without these bounds",
        ),
    ] = None
    principals: Annotated[
        Texts | None,
        key(
            "Globs that every principal must match one of; empty leaves it to whitelist and "
            "provisioners.",
            "logins as other users",
        ),
    ] = None
    lifetime: Annotated[
        Lifetime | None,
        key("Used when neither request nor provisioner says one.", "a stolen key works longer"),
    ] = None
    lifetime_min: Annotated[
        Lifetime | None, key("The shortest that may be asked for.", "more certificates")
    ] = None
    lifetime_max: Annotated[
        Lifetime | None, key("The longest that may be asked for.", "a stolen key works longer")
    ] = None


class SSH(Section, frozen=True, kw_only=True):
    """Shapes of SSH certificates."""

    profiles: Annotated[
        Annotated[dict[str, SSHProfileEntry], Meta(max_length=1000)],
        key(
            "Profiles by name, beside or in place of the built-in ssh-user and ssh-host.",
            "certificates of other shapes",
        ),
    ] = field(default_factory=dict)


def ssh_profiles(section: SSH) -> dict[str, SSHProfile]:
    """Return all SSH profiles, the built-in ones included, by name.

    Raises:
        Error: CONFIGURATION for a profile that contradicts itself.
    """
    found = {profile.name: profile for profile in SSH_BUILT_IN}
    for name, entry in section.profiles.items():
        found[name] = _profile(name, entry)
    return found


def known_ssh_profiles(section: SSH) -> dict[str, SSHProfile]:
    """Return the SSH profiles that do not contradict themselves, by name."""
    found = {profile.name: profile for profile in SSH_BUILT_IN}
    for name, entry in section.profiles.items():
        try:
            found[name] = _profile(name, entry)
        except Error:  # which `problems` tells
            found.setdefault(name, SSH_USER)
    return found


def problems(section: SSH, x509_profiles: Collection[str]) -> Iterator[Error]:
    """Yield what is wrong although each key by itself is of its form.

    Args:
        section: the section.
        x509_profiles: names of X.509 profiles.
    """
    for name, entry in section.profiles.items():
        path = f"ssh.profiles.{name}"
        if name in x509_profiles:
            yield Error(
                Kind.CONFIGURATION,
                f"'{path}' has the name of an X.509 profile",
                hint="the inventory tells profiles apart by their names: choose another",
            )
        try:
            _profile(name, entry)
        except Error as error:
            yield at(path, error)


def _profile(name: str, entry: SSHProfileEntry) -> SSHProfile:
    """Return the profile that an entry makes of the built-in one of its type."""
    if not NAME.fullmatch(name):
        raise Error(
            Kind.CONFIGURATION,
            f"'{name}' cannot name a profile",
            hint="use 1 to 64 of a-z, 0-9 and '-'",
        )
    base = _base(name, entry)
    profile = SSHProfile(
        name,
        base.type,
        _or(_pairs(entry.extensions, "extension"), base.extensions),
        _or(_pairs(entry.critical_options, "critical option"), base.critical_options),
        _or(entry.principals, base.principals),
        _or(entry.lifetime, base.lifetime),
        _or(entry.lifetime_min, base.lifetime_min),
        _or(entry.lifetime_max, base.lifetime_max),
    )
    _check(profile)
    return profile


def _base(name: str, entry: SSHProfileEntry) -> SSHProfile:
    built_in = {profile.name: profile for profile in SSH_BUILT_IN}.get(name)
    if built_in is not None and entry.type not in (None, built_in.type.word):
        raise wrong(f"type is '{entry.type}'; that of '{name}' is '{built_in.type.word}'")
    if built_in is not None:
        return built_in
    return SSH_HOST if entry.type == "host" else SSH_USER


def _or(given: V | None, inherited: V) -> V:
    return inherited if given is None else given


def _pairs(texts: tuple[str, ...] | None, noun: str) -> tuple[tuple[str, str], ...] | None:
    """Return names and data of options, sorted by name as a certificate has them."""
    if texts is None:
        return None
    found: dict[str, str] = {}
    for text in texts:
        name, _, data = text.partition("=")
        if name in found:
            raise wrong(f"{noun} '{name}' is written twice")
        found[name] = data
    return tuple(sorted(found.items()))


def _check(profile: SSHProfile) -> None:
    """Refuse a profile that no certificate could satisfy, or that sshd would not understand."""
    low, usual, high = profile.lifetime_min, profile.lifetime, profile.lifetime_max
    if not low <= usual <= high:
        raise wrong(
            f"lifetime {duration(usual)} is not between lifetime_min {duration(low)} "
            f"and lifetime_max {duration(high)}"
        )
    is_host = profile.type is SSHCertificateType.HOST
    for name, data in profile.extensions:
        _check_option(name, data, "extension", () if is_host else EXTENSIONS)
    for name, data in profile.critical_options:
        _check_option(name, data, "critical option", () if is_host else _CRITICAL_OPTIONS)
    rules_of(profile.type, profile.principals)


def _check_option(name: str, data: str, noun: str, known: Collection[str]) -> None:
    if not data.isprintable() or len(data) > 4096:
        raise wrong(f"data of {noun} '{name}' is not 1 to 4096 printable characters")
    if name not in known:
        if _OWN.fullmatch(name):
            return
        if not known:
            raise Error(
                Kind.CONFIGURATION,
                f"{noun} '{name}' cannot be in a host certificate",
                hint="OpenSSH knows none there; one of your own is called NAME@DOMAIN",
            )
        raise unknown(f"unknown {noun} '{name}'", name, known)
    check = _DATA.get(name)
    if check is None and data:
        raise wrong(f"{noun} '{name}' is a flag and has no data")
    if check is not None:
        check(data)


def _check_command(data: str) -> None:
    if not data.strip():
        raise wrong(f"critical option '{_FORCE_COMMAND}' needs a command, as {_FORCE_COMMAND}=date")


def _check_networks(data: str) -> None:
    """Refuse what sshd would refuse at every login: it wants addresses or CIDR, by commas."""
    for text in data.split(","):
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise Error(
                Kind.CONFIGURATION,
                f"critical option '{_SOURCE_ADDRESS}' has '{text}', which is no network",
                hint="write addresses or networks, as 10.0.0.0/8,2001:db8::/32",
            ) from error


_DATA: Final[Mapping[str, Callable[[str], None]]] = {
    _FORCE_COMMAND: _check_command,
    _SOURCE_ADDRESS: _check_networks,
}
