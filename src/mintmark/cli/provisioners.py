"""`mintmark provisioner`: ways to ask that are added, changed and removed while servers run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import msgspec

from mintmark.authority.signer.files import read_secret
from mintmark.cli.key_pair import KeyPair, key_pair
from mintmark.cli.options import Place, print_json
from mintmark.cli.output import note, say, table
from mintmark.cli.reach import distant_url, reach
from mintmark.client.provisioner_documents import (
    NewProvisioner,
    ProvisionerDocument,
    ProvisionerRemoval,
    ProvisionerReplacement,
    ProvisionerRotation,
)
from mintmark.model.errors import Error, Kind
from mintmark.server import yaml

_JWK: Final = "jwk"
_OIDC: Final = frozenset({"oidc"})
_CLAIMED: Final = frozenset({_JWK, "oidc", "x5c", "sshpop", "token"})
_RULED: Final = frozenset({_JWK, "oidc", "x5c", "acme"})
_SIGNING: Final = frozenset({_JWK, "oidc", "x5c"})


@dataclass(frozen=True, slots=True)
class Options:
    """Keys of an entry as options, each empty when it was not given.

    Args:
        endpoint: of the provider.
        client_id: at the provider.
        client_secret_file: with its secret.
        provider_ca: PEM file.
        scopes: asked for at sign-in.
        groups: with entry.
        domains: with entry.
        admins: e-mail addresses or groups.
        roots: PEM file.
        names: globs.
        principals: globs.
        profiles: X.509 profiles.
        ssh_profiles: SSH profiles.
        tls_max: a duration.
        ssh_user_max: a duration.
        ssh_host_max: a duration.
        renewal_after_expiry: whether allowed.
        ssh_user_renewal: whether allowed.
    """

    endpoint: str | None
    client_id: str | None
    client_secret_file: Path | None
    provider_ca: Path | None
    scopes: tuple[str, ...]
    groups: tuple[str, ...]
    domains: tuple[str, ...]
    admins: tuple[str, ...]
    roots: Path | None
    names: tuple[str, ...]
    principals: tuple[str, ...]
    profiles: tuple[str, ...]
    ssh_profiles: tuple[str, ...]
    tls_max: str | None
    ssh_user_max: str | None
    ssh_host_max: str | None
    renewal_after_expiry: bool
    ssh_user_renewal: bool


def _itself(value: Any) -> Any:
    return value


def _secret(path: Path) -> str:
    return read_secret(path).rstrip(b"\r\n").decode()


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Error(Kind.CONFIGURATION, f"cannot read '{path}': {reason}") from error


@dataclass(frozen=True, slots=True)
class _Key:
    """Where an option stands in an entry.

    Args:
        option: as it is typed.
        path: of the key.
        types: of provisioners that have it.
        read: makes the key's value of the option's.
    """

    option: str
    path: tuple[str, ...]
    types: frozenset[str]
    read: Callable[[Any], Any] = _itself


_KEYS: Final[Mapping[str, _Key]] = {
    "endpoint": _Key("--endpoint", ("configuration_endpoint",), _OIDC),
    "client_id": _Key("--client-id", ("client_id",), _OIDC),
    "client_secret_file": _Key("--client-secret-file", ("client_secret",), _OIDC, _secret),
    "provider_ca": _Key("--provider-ca", ("ca_certificates",), _OIDC, _text),
    "scopes": _Key("--scope", ("scopes",), _OIDC),
    "groups": _Key("--group", ("groups",), _OIDC),
    "domains": _Key("--domain", ("domains",), _OIDC),
    "admins": _Key("--admin", ("admins",), _OIDC),
    "roots": _Key("--roots", ("roots",), frozenset({"x5c"}), _text),
    "names": _Key("--name", ("rules", "names"), _RULED),
    "principals": _Key("--principal", ("rules", "principals"), _SIGNING),
    "profiles": _Key("--profile", ("rules", "profiles"), _RULED),
    "ssh_profiles": _Key("--ssh-profile", ("rules", "ssh_profiles"), _SIGNING),
    "tls_max": _Key("--tls-max", ("claims", "tls", "max"), _CLAIMED),
    "ssh_user_max": _Key("--ssh-user-max", ("claims", "ssh_user", "max"), _CLAIMED),
    "ssh_host_max": _Key("--ssh-host-max", ("claims", "ssh_host", "max"), _CLAIMED),
    "renewal_after_expiry": _Key(
        "--renewal-after-expiry", ("claims", "renewal_after_expiry"), _CLAIMED | {"acme"}
    ),
    "ssh_user_renewal": _Key("--ssh-user-renewal", ("claims", "ssh_user_renewal"), _CLAIMED),
}


def add(
    place: Place,
    name: str,
    *,
    type_: str | None,
    file: Path | None,
    jwk: Path | None,
    password_file: Path | None,
    generate_password: bool,
    **given: Any,
) -> None:
    """Store a new provisioner and say what it is good for."""
    entry = _entry(name, type_, file)
    kind = str(entry["type"])
    _lay_over(entry, kind, Options(**given))
    pair = None
    wants_pair = jwk is not None or password_file is not None or generate_password
    if kind == _JWK and (wants_pair or "key" not in entry):
        pair = key_pair(jwk, password_file, generate_password=generate_password)
        entry |= {"key": pair.key, "encrypted_key": pair.encrypted_key}
    elif wants_pair:
        raise Error(
            Kind.CONFIGURATION,
            f"a provisioner of type '{kind}' has no key of its own",
            hint="leave --jwk and the password away, or say --type jwk",
        )
    with reach(place) as api:
        added = api.add_provisioner(NewProvisioner(provisioner=entry))
    if place.as_json:
        _print_json(added, pair)
        return
    say(f"added provisioner {added.name} ({added.type})")
    _tell_pair(added, pair)
    say("in force on all servers within a second")
    for line in _what_next(place, added):
        say(line)


def list_all(place: Place) -> None:
    """List provisioners."""
    with reach(place) as api:
        found = api.provisioners()
    if place.as_json:
        print_json({"provisioners": msgspec.to_builtins(found)})
        return
    rows = [
        (
            one.name,
            one.type,
            one.origin,
            str(one.version or ""),
            (one.updated_at or "").replace("T", " "),
        )
        for one in found
    ]
    say(table(("NAME", "TYPE", "ORIGIN", "VERSION", "CHANGED"), rows))
    for one in found:
        if one.problem:
            note(f"stored provisioner {one.name} is not in force: {one.problem}")


def show(place: Place, name: str) -> None:
    """Show a provisioner as an entry of the configuration."""
    with reach(place) as api:
        found = api.provisioner(name)
    if place.as_json:
        _print_json(found)
        return
    if found.origin == "stored":
        changed = (found.updated_at or "").replace("T", " ")
        say(f"# stored, version {found.version}, changed {changed}")
    else:
        say("# in the configuration")
    if found.problem:
        say(f"# not in force: {found.problem}")
    if found.provisioner is not None:
        say(yaml.write(found.provisioner).rstrip("\n"))


def replace(place: Place, name: str, file: Path, version: int | None) -> None:
    """Put another entry in the place of a stored one."""
    wish = ProvisionerReplacement(provisioner=_entry(name, None, file), version=version)
    with reach(place) as api:
        changed = api.replace_provisioner(name, wish)
    if place.as_json:
        _print_json(changed)
        return
    say(f"replaced provisioner {changed.name} ({changed.type}), now version {changed.version}")
    say("in force on all servers within a second")


def rotate(
    place: Place,
    name: str,
    *,
    jwk: Path | None,
    password_file: Path | None,
    generate_password: bool,
    version: int | None,
) -> None:
    """Give a JWK provisioner another key pair."""
    pair = key_pair(jwk, password_file, generate_password=generate_password)
    wish = ProvisionerRotation(key=pair.key, encrypted_key=pair.encrypted_key, version=version)
    with reach(place) as api:
        rotated = api.rotate_provisioner(name, wish)
    if place.as_json:
        _print_json(rotated, pair)
        return
    say(f"rotated provisioner {rotated.name}, now version {rotated.version}")
    _tell_pair(rotated, pair)
    say("tokens of the old key are refused, on all servers within a second")


def remove(place: Place, name: str, version: int | None) -> None:
    """Remove a stored provisioner."""
    with reach(place) as api:
        removed = api.remove_provisioner(name, ProvisionerRemoval(version=version))
    if place.as_json:
        _print_json(removed)
        return
    say(f"removed provisioner {removed.name} ({removed.type})")
    say("its tokens are refused, on all servers within a second")
    say("its certificates stay valid until they expire, and renew no more")


def _entry(name: str, type_: str | None, file: Path | None) -> dict[str, Any]:
    """Return the entry of a file, with the name and type that were typed.

    Raises:
        Error: CONFIGURATION when the two contradict each other, or neither says a type.
    """
    entry = {} if file is None else _read(file)
    for key, typed in (("name", name), ("type", type_)):
        written = entry.setdefault(key, typed)
        if typed is not None and written != typed:
            raise Error(
                Kind.CONFIGURATION,
                f"'{key}' in '{file}' is '{written}', and '{typed}' was typed",
                hint="say it in one place",
            )
    if entry["type"] is None:
        raise Error(
            Kind.CONFIGURATION,
            f"nothing says of which type '{name}' shall be",
            hint="say --type jwk, oidc, x5c, acme, sshpop or token, or 'type' in --file",
        )
    return entry


def _read(file: Path) -> dict[str, Any]:
    try:
        entry = yaml.read(_text(file))
    except Error as error:
        raise Error(error.kind, f"'{file}': {error.detail}", hint=error.hint) from error
    if not isinstance(entry, dict):
        raise Error(
            Kind.CONFIGURATION,
            f"'{file}' does not hold one entry: a mapping with name and type",
            hint="write it as mintmark provisioner show prints it",
        )
    return entry


def _lay_over(entry: dict[str, Any], kind: str, options: Options) -> None:
    """Put options into an entry.

    Raises:
        Error: CONFIGURATION for one that its type does not have.
    """
    for one in fields(options):
        value, key = getattr(options, one.name), _KEYS[one.name]
        if not value:
            continue
        if kind not in key.types:
            raise Error(
                Kind.CONFIGURATION,
                f"{key.option} means nothing to a provisioner of type '{kind}'",
                hint=f"it is for {', '.join(sorted(key.types))}",
            )
        # An ACME server has no sections of its own for these.
        *above, last = key.path[-1:] if kind == "acme" else key.path
        inside = entry
        for step in above:
            below = dict(inside.get(step) or {})
            inside[step] = below
            inside = below
        inside[last] = key.read(value)


def _print_json(document: ProvisionerDocument, pair: KeyPair | None = None) -> None:
    printed = msgspec.to_builtins(document)
    if pair is not None and pair.password:
        printed["password"] = pair.password
    print_json(printed)


def _tell_pair(document: ProvisionerDocument, pair: KeyPair | None) -> None:
    key = (document.provisioner or {}).get("key")
    if key:
        say(f"key id    {key['kid']}")
    if pair is not None and pair.password:
        say(f"password  {pair.password}")
        say("the password is shown only now")


def _what_next(place: Place, added: ProvisionerDocument) -> list[str]:
    """Return what a person does with a new provisioner."""
    name, entry = shlex.quote(added.name), added.provisioner or {}
    match added.type:
        case "jwk":
            return [
                "who has its password gets a certificate with a token:",
                f"  step ca token NAME --provisioner {name}",
                f"  {place.command(f'ssh user NAME --provisioner {name}')}",
            ]
        case "oidc":
            client, back = entry.get("client_id"), entry.get("listen_address", "")
            back = f"127.0.0.1{back}" if not back or back.startswith(":") else back
            return [
                f"at the provider, client {client} needs the redirect URI http://{back}",
                "people sign in with:",
                f"  {place.command(f'ssh login --provisioner {name}')}",
                f"  step ssh login --provisioner {name}",
            ]
        case "x5c":
            return [
                "who has a certificate under its roots gets others with a token:",
                f"  step ca token NAME --provisioner {name} --x5c-cert FILE --x5c-key FILE",
            ]
        case "acme":
            return [f"directory  {distant_url(place)}/acme/{added.name}/directory"]
        case "sshpop":
            return ["hosts renew their certificates with:", "  step ssh renew FILE-cert.pub FILE"]
        case _:
            return ["admins make tokens with:", f"  {place.command('token NAME')}"]
