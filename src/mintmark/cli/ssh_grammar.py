"""The grammar of `mintmark ssh`."""

from __future__ import annotations

from typing import Final

import click

from mintmark.cli.options import Command
from mintmark.cli.parameters import (
    DIRECTORY,
    DURATION,
    FILE,
    KEY_TYPE,
    SSH_CA_KEY_TYPE,
    argument,
    group,
    limit,
    option,
    reason,
)
from mintmark.model.status import Status

_TYPES: Final = click.Choice(["user", "host"])


def _principals(what: str) -> click.Parameter:
    return option("--principal", "principals", multiple=True, metavar="NAME", help=what)


def _lifetime() -> click.Parameter:
    return option("--lifetime", type=DURATION, help="How long it is valid, as 8h.")


def _provisioner(what: str) -> click.Parameter:
    return option("--provisioner", metavar="NAME", help=what)


def _bootstrap() -> click.Parameter:
    return option(
        "--fingerprint",
        metavar="HEX",
        help="SHA-256 of the authority's root: trust the server by it, and remember both.",
    )


def _new_certificate(principals: str) -> list[click.Parameter]:
    """Options of a certificate for a key in a file."""
    return [
        argument("name", metavar="NAME"),
        option("--public-key", type=FILE, help="Certify this key instead of making one."),
        option(
            "--out", type=FILE, help="The private key's file.  [default: NAME, or beside the key]"
        ),
        option("--force", is_flag=True, help="Overwrite a key that is there."),
        option(
            "--key-type", type=KEY_TYPE, default="ed25519", show_default=True, help="Of a new key."
        ),
        _principals(principals),
        option("--key-id", metavar="TEXT", help="What sshd logs.  [default: NAME]"),
        option("--profile", help="Its shape: ssh-user, ssh-host, or one of yours."),
        _lifetime(),
        option("--service", help="Whose certificate it is.  [default: NAME]"),
        option("--token-file", type=FILE, help="Ask with the token in this file."),
        _provisioner("Ask with a token made here with this JWK provisioner's key."),
        option("--password-file", type=FILE, help="File with the password of that key."),
        _bootstrap(),
    ]


SSH: Final = group(
    "ssh",
    "SSH certificates, for people and for hosts.",
    Command(
        "ssh_login:login",
        name="login",
        short_help="Sign in, and get a certificate into ssh-agent.",
        help="Sign in at an OpenID provider and put a fresh key and its certificate into "
        "ssh-agent, for as long as the certificate lives. The key never touches a disk. "
        "Certificates of earlier sign-ins at this authority leave the agent.\n\n"
        "The first time, name the server and its root's fingerprint; both are remembered in "
        "~/.config/mintmark.",
        params=[
            _provisioner("Sign in there.  [default: the only one]"),
            option("--device", is_flag=True, help="Show a code to type on another device."),
            option(
                "--provider-ca",
                type=FILE,
                help="Trust anchors of the OpenID provider, beside those of the system.",
            ),
            _principals("A login name to ask for.  [default: all that sign-in gives]"),
            _lifetime(),
            option("--profile", help="Its shape: ssh-user, or one of yours."),
            option(
                "--key-type",
                type=KEY_TYPE,
                default="ed25519",
                show_default=True,
                help="Of the key.",
            ),
            option("--no-agent", is_flag=True, help="Write files instead; --out says which."),
            option("--out", type=FILE, help="With --no-agent: the private key's file."),
            option("--force", is_flag=True, help="With --no-agent: overwrite a key."),
            _bootstrap(),
        ],
        reach=True,
    ),
    Command(
        "ssh_issuing:user",
        name="user",
        short_help="Have a key certified for logging in.",
        help="Make a key, or take one, and have it certified for logging in; writes NAME, "
        "NAME.pub and NAME-cert.pub.\n\n"
        "Without a token or a provisioner, the client certificate asks.",
        params=_new_certificate("A login name it is good for.  [default: NAME, or the token's]"),
        reach=True,
    ),
    Command(
        "ssh_issuing:host",
        name="host",
        short_help="Have a host's key certified.",
        help="Make a host key, or take one, and have it certified; with --public-key "
        "/etc/ssh/ssh_host_ed25519_key.pub the certificate is written beside it.",
        params=_new_certificate("A name people call the host by.  [default: NAME, or the token's]"),
        reach=True,
    ),
    Command(
        "ssh_renewing:renew",
        name="renew",
        short_help="Replace a certificate before it ends.",
        help="Replace a certificate by a successor for the same key, names and lifetime. The "
        "private key beside it proves who asks; no other credential is needed. Nothing happens "
        "before two thirds of its life are over.",
        params=[
            argument("certificate_file", metavar="CERT", type=FILE),
            option("--timer", is_flag=True, help="Say nothing unless something is wrong."),
            option("--force", is_flag=True, help="Even if it is not due."),
            option("--reload", "reload_command", metavar="COMMAND", help="Run after a renewal."),
            _provisioner("Of type SSHPOP.  [default: the first one]"),
        ],
        reach=True,
    ),
    Command(
        "ssh_revoking:revoke",
        name="revoke",
        short_help="Revoke a certificate, a key id or a key, for good.",
        help="Revoke a certificate by its file, serial or id, or ban a key id or a key; the KRL "
        "says so at once.",
        params=[
            argument("target", metavar="[CERT|SERIAL|ID]", required=False),
            option("--key-id", metavar="TEXT", help="Ban every certificate of this key id."),
            option("--public-key", type=FILE, help="Ban this key, whoever certified it."),
            reason(),
        ],
        reach=True,
    ),
    Command(
        "ssh_inventory:list_certificates",
        name="list",
        short_help="List SSH certificates.",
        help="List SSH certificates, newest first.",
        params=[
            option("--service", help="Of this service."),
            option("--type", "type_", type=_TYPES, help="Of this type."),
            option("--principal", metavar="NAME", help="That carry this principal."),
            option("--key-id", metavar="TEXT", help="Of this key id."),
            option("--status", type=click.Choice([status.value for status in Status]), help="Now."),
            option("--expiring", type=DURATION, help="That end within this time, as 8h."),
            limit(),
        ],
        reach=True,
    ),
    Command(
        "ssh_inventory:inspect",
        name="inspect",
        short_help="Say what a certificate says.",
        help="Say what the certificate in a file says; '-' reads the standard input, as in "
        "`ssh-add -L | mintmark ssh inspect -`. When the server answers: whether it is trusted "
        "and not revoked.",
        params=[argument("file", metavar="FILE", type=click.File("rb"))],
        reach=True,
    ),
    Command(
        "ssh_config:config",
        name="config",
        short_help="What clients and hosts have to be told.",
        help="Show what OpenSSH clients have to be told to trust hosts of this authority; with "
        "--host, what a host has to be told to show its certificate and to trust users. With "
        "--out, the files are written, and another run brings those of the CA up to date.",
        params=[
            option("--host", is_flag=True, help="For sshd."),
            option(
                "--hosts",
                multiple=True,
                metavar="PATTERN",
                help="Hosts that certificates are trusted for.  [default: *]",
            ),
            option(
                "--host-key",
                type=FILE,
                default="/etc/ssh/ssh_host_ed25519_key",
                show_default=True,
                help="With --host: the certified key.",
            ),
            option("--out", type=DIRECTORY, help="Write the files to this directory."),
            option(
                "--refresh",
                is_flag=True,
                help="With --out: only the CA's keys and the KRL, without a word; for a timer.",
            ),
            _bootstrap(),
        ],
        reach=True,
    ),
    Command(
        "ssh_authority:show",
        name="ca",
        short_help="List the SSH CA keys.",
        help="List the SSH CA keys that clients and hosts have to trust now.",
        params=[],
        reach=True,
    ),
    Command(
        "ssh_authority:init",
        name="init",
        short_help="Make the SSH CA keys.",
        help="Make the SSH CA keys of users and hosts in the authority's directory. Running "
        "servers take them up within seconds.",
        params=[
            option(
                "--key-type",
                type=SSH_CA_KEY_TYPE,
                default="ed25519",
                show_default=True,
                help="Of both keys.",
            )
        ],
        passphrase=True,
    ),
    Command(
        "ssh_authority:rollover",
        name="rollover",
        short_help="Replace an SSH CA key, in three steps.",
        help="Replace an SSH CA key without locking anybody out: make the next one, which is "
        "trusted and does not sign yet; once all hosts or clients trust it, --activate it; once "
        "the last certificate of the previous one has ended, --retire that.",
        params=[
            argument("type_", metavar="user|host", type=_TYPES),
            option("--activate", is_flag=True, help="The next key signs from now on."),
            option("--retire", is_flag=True, help="The previous key is not trusted any more."),
            option("--force", is_flag=True, help="With --retire: even while certificates need it."),
            option(
                "--key-type", type=SSH_CA_KEY_TYPE, help="Of the next key.  [default: as before]"
            ),
        ],
        passphrase=True,
    ),
)
