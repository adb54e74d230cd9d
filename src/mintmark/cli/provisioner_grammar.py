"""The grammar of `mintmark provisioner`."""

from __future__ import annotations

from typing import Final

import click

from mintmark.cli.options import Command
from mintmark.cli.parameters import DURATION, FILE, argument, group, option

_TYPES: Final = click.Choice(["acme", "jwk", "oidc", "x5c", "sshpop", "token"])


def _name() -> click.Parameter:
    return argument("name", metavar="NAME")


def _version() -> click.Parameter:
    return option(
        "--version",
        "version",
        type=click.IntRange(1),
        metavar="N",
        help="Only if it still has this version, as show told it.",
    )


def _key_pair() -> list[click.Parameter]:
    """Options of a JWK provisioner's key pair."""
    return [
        option(
            "--jwk",
            type=FILE,
            help="A JWK instead of a new key pair; of a public one the private half stays "
            "with you.",
        ),
        option("--password-file", type=FILE, help="Password for the private key."),
        option("--generate-password", is_flag=True, help="Make a password up, and show it once."),
    ]


def _several(name: str, parameter: str, metavar: str, words: str) -> click.Parameter:
    return option(name, parameter, multiple=True, metavar=metavar, help=words)


PROVISIONER: Final = group(
    "provisioner",
    "Ways to ask that need no entry in the whitelist: keys, sign-ins, ACME.",
    Command(
        "provisioners:add",
        name="add",
        short_help="Store a new one.",
        help="Store a new provisioner, in force on all servers within a second. --file has an "
        "entry as it stands in mintmark.yaml, YAML or JSON; the options go over it.\n\n"
        "Of type jwk a key pair is made here, and its private half leaves this host only under "
        "the password that --password-file, the environment's MINTMARK_PROVISIONER_PASSWORD, "
        "--generate-password or a terminal gives.",
        params=[
            _name(),
            option("--type", "type_", type=_TYPES, help="What it asks for."),
            option("--file", type=FILE, help="Entry with more keys than there are options."),
            *_key_pair(),
            option(
                "--endpoint",
                metavar="URL",
                help="oidc: the provider's issuer, or its discovery document.",
            ),
            option("--client-id", metavar="ID", help="oidc: our client at the provider."),
            option(
                "--client-secret-file",
                type=FILE,
                help="oidc: its secret, which is told to every client.",
            ),
            option("--provider-ca", type=FILE, help="oidc: roots to reach the provider with, PEM."),
            _several("--scope", "scopes", "SCOPE", "oidc: asked for at sign-in."),
            _several("--group", "groups", "GROUP", "oidc: who is in none of these has no entry."),
            _several("--domain", "domains", "DOMAIN", "oidc: e-mail domain with entry."),
            _several("--admin", "admins", "EMAIL|GROUP", "oidc: may ask for any names."),
            option(
                "--roots",
                type=FILE,
                help="x5c: roots of its certificates, PEM.  [default: this authority's]",
            ),
            _several("--name", "names", "GLOB", "Names that certificates may carry."),
            _several("--principal", "principals", "GLOB", "Principals of SSH user certificates."),
            _several("--profile", "profiles", "PROFILE", "X.509 profile; the default first."),
            _several("--ssh-profile", "ssh_profiles", "PROFILE", "SSH profile; the default first."),
            option("--tls-max", type=DURATION, help="Longest life of X.509 certificates."),
            option("--ssh-user-max", type=DURATION, help="Longest life of SSH user certificates."),
            option("--ssh-host-max", type=DURATION, help="Longest life of SSH host certificates."),
            option(
                "--renewal-after-expiry",
                is_flag=True,
                help="Let certificates be renewed by their keys when they have expired.",
            ),
            option(
                "--ssh-user-renewal",
                is_flag=True,
                help="Let SSH user certificates be renewed by their keys: for services.",
            ),
        ],
        reach=True,
    ),
    Command(
        "provisioners:list_all",
        name="list",
        short_help="List them.",
        help="List provisioners: those of mintmark.yaml, and stored ones.",
        params=[],
        reach=True,
    ),
    Command(
        "provisioners:show",
        name="show",
        short_help="Show one.",
        help="Show a provisioner as an entry of mintmark.yaml, without what is the default; "
        "replace --file takes it again.",
        params=[_name()],
        reach=True,
    ),
    Command(
        "provisioners:replace",
        name="replace",
        short_help="Change a stored one.",
        help="Put another entry in the place of a stored one. Name and type stay.",
        params=[
            _name(),
            option(
                "--file",
                type=FILE,
                required=True,
                help="Entry as show prints it, YAML or JSON.",
            ),
            _version(),
        ],
        reach=True,
    ),
    Command(
        "provisioners:rotate",
        name="rotate",
        short_help="Give one of type jwk another key.",
        help="Give a stored provisioner of type jwk another key pair. Tokens of the old one are "
        "refused at once; certificates stay valid.",
        params=[_name(), *_key_pair(), _version()],
        reach=True,
    ),
    Command(
        "provisioners:remove",
        name="remove",
        short_help="Remove a stored one.",
        help="Remove a stored provisioner. Its tokens are refused at once; its certificates stay "
        "valid until they expire, and renew no more.",
        params=[_name(), _version()],
        reach=True,
    ),
)
