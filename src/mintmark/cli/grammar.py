"""The command line: every command and option, on one page, importing none of the work.

`docs/reference/cli.md` is made from this page, and a test compares the two.
"""

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
from mintmark.cli.provisioner_grammar import PROVISIONER
from mintmark.cli.ssh_grammar import SSH
from mintmark.model.status import CertificateKind, Status

_PORT: Final = click.IntRange(1, 65535)
_FORMATS: Final = ("pem", "der", "chain", "fullchain", "pkcs12", "pkcs7", "ssh")


def _listing() -> list[click.Parameter]:
    """Options of a list of what ACME provisioners have."""
    return [option("--provisioner", metavar="NAME", help="Of this one."), limit()]


def _new_certificate() -> list[click.Parameter]:
    """Options that shape a certificate asked for."""
    return [
        option("--service", help="Whose certificate it is.  [default: the first NAME]"),
        option("--profile", help="Its shape: server, client, peer, or one of yours."),
        option("--san", "sans", multiple=True, metavar="NAME", help="Another name it carries."),
        option("--lifetime", type=DURATION, help="How long it is valid, as 90d."),
        option(
            "--metadata",
            multiple=True,
            metavar="KEY=VALUE",
            help="Owner, environment and the like.",
        ),
    ]


def _listening() -> list[click.Parameter]:
    """Options for the configuration of a new authority."""
    return [
        option("--organization", help="Organization in the names of root and intermediate."),
        option(
            "--name",
            "names",
            multiple=True,
            help="DNS name or address of the server.  [default: localhost, 127.0.0.1, ::1]",
        ),
        option(
            "--listen", multiple=True, metavar="ADDRESS", help="Listen on it.  [default: 127.0.0.1]"
        ),
        option("--https-port", type=_PORT, metavar="PORT", help="Of the API.  [default: 8443]"),
        option("--http-port", type=_PORT, metavar="PORT", help="Of CRL and OCSP.  [default: 8080]"),
        option("--key-type", type=KEY_TYPE, help="Of the intermediate's key.  [default: ec-p256]"),
        option("--root-key-type", type=KEY_TYPE, help="Of the root's key.  [default: ec-p256]"),
        option(
            "--ssh-key-type",
            type=SSH_CA_KEY_TYPE,
            help="Of the SSH CA keys for users and hosts.  [default: ed25519]",
        ),
        option("--no-ssh", is_flag=True, help="Make no SSH CA keys; mintmark ssh init does later."),
    ]


UP: Final = Command(
    "serving:up",
    name="up",
    short_help="Create an authority if there is none, and serve it.",
    help="Create an authority if there is none, and serve it.\n\n"
    "Without a passphrase from a file or the environment, one is made up and kept in "
    "DIR/passphrase. The options below shape a new authority; one that exists has "
    "DIR/mintmark.yaml.",
    params=_listening(),
    passphrase=True,
)
INIT: Final = Command(
    "creating:init",
    name="init",
    short_help="Create an authority.",
    help="Create an authority: root, intermediate, SSH CA keys, configuration, database, and "
    "the certificates of the server and of its administrator.\n\n"
    "A mintmark.yaml that already lies in DIR is taken as it is.",
    params=[
        *_listening(),
        option("--country", metavar="CC", help="Country in the names, two letters."),
        option("--root-name", help="Common name of the root."),
        option("--intermediate-name", help="Common name of the intermediate."),
        option("--root-lifetime", type=DURATION, help="[default: 10y]"),
        option("--intermediate-lifetime", type=DURATION, help="[default: 5y]"),
        option("--public-http-url", metavar="URL", help="Where everybody reaches the HTTP port."),
        option("--database", metavar="URL", help="sqlite:FILE or postgresql://USER@HOST/DATABASE."),
        option("--database-password-file", metavar="FILE", help="File with its password."),
        option(
            "--no-root-key",
            is_flag=True,
            help="Make no root: write a CSR for an intermediate signed elsewhere.",
        ),
        option("--resume", is_flag=True, help="Go on with the intermediate signed elsewhere."),
        option("--chain", type=FILE, help="With --resume: its certificate up to the root, PEM."),
    ],
    passphrase=True,
)
SERVE: Final = Command(
    "serving:serve",
    name="serve",
    short_help="Serve an authority.",
    help="Serve an authority until SIGTERM or SIGINT; SIGHUP takes up the configuration anew.",
    params=[
        option(
            "--workers",
            type=click.IntRange(1, 256),
            metavar="N",
            help="Processes, instead of server.workers.",
        )
    ],
    passphrase=True,
)
ISSUE: Final = Command(
    "issuing:issue",
    name="issue",
    short_help="Make a key here and have it certified.",
    help="Make a key here, have it certified for NAME…, and write cert.pem, chain.pem, "
    "fullchain.pem, privkey.pem and ca.pem.\n\n"
    "The first NAME is the common name. Names are DNS names, IP addresses, e-mail addresses "
    "or URIs.",
    params=[
        argument("names", nargs=-1, required=True, metavar="NAME..."),
        *_new_certificate(),
        option(
            "--key-type", type=KEY_TYPE, default="ec-p256", show_default=True, help="Of the key."
        ),
        option("--out", type=DIRECTORY, help="Write the files here.  [default: ./NAME]"),
        option("--force", is_flag=True, help="Overwrite a certificate with other names."),
        option("--token-file", type=FILE, help="Ask with the one-time token in this file."),
    ],
    reach=True,
)
SIGN: Final = Command(
    "issuing:sign",
    name="sign",
    short_help="Have a CSR certified.",
    help="Have the key of a CSR certified; '-' reads it from the standard input. Only its key "
    "and its names count, never its extensions. Certificate and chain are printed as PEM.",
    params=[
        argument("csr", type=click.File("rb"), metavar="CSR"),
        *_new_certificate(),
        option("--out", type=FILE, help="Write certificate and chain to this file."),
        option("--token-file", type=FILE, help="Ask with the one-time token in this file."),
    ],
    reach=True,
)
RENEW: Final = Command(
    "renewing:renew",
    name="renew",
    short_help="Certify the same key again.",
    help="Certify the same key and names again. Files in a directory are replaced; for an id, "
    "certificate and chain are printed as PEM.",
    params=[
        argument("target", metavar="DIR|FILE|ID"),
        option("--lifetime", type=DURATION, help="How long it is valid, as 90d."),
        option("--out", type=DIRECTORY, help="Write the files here."),
    ],
    reach=True,
)
REKEY: Final = Command(
    "renewing:rekey",
    name="rekey",
    short_help="Replace a certificate and its key.",
    help="Make a new key here and have it certified for the same names. Files in a directory "
    "are replaced; for an id, --out says where they go.",
    params=[
        argument("target", metavar="DIR|FILE|ID"),
        option("--lifetime", type=DURATION, help="How long it is valid, as 90d."),
        option("--key-type", type=KEY_TYPE, help="Of the new key.  [default: as before]"),
        option("--out", type=DIRECTORY, help="Write the files here."),
    ],
    reach=True,
)
REVOKE: Final = Command(
    "revoking:revoke",
    name="revoke",
    short_help="Revoke a certificate, for good.",
    help="Revoke a certificate, for good. A key revoked for key-compromise is never certified "
    "again.",
    params=[
        argument("target", metavar="DIR|FILE|ID"),
        reason(),
    ],
    reach=True,
)
LIST: Final = Command(
    "inventory:list_certificates",
    name="list",
    short_help="List certificates.",
    help="List certificates, newest first.",
    params=[
        option("--service", help="Of this service."),
        option("--profile", help="Of this profile."),
        option("--status", type=click.Choice([status.value for status in Status]), help="Now."),
        option("--name", help="That carry this name."),
        option("--expiring", type=DURATION, help="That end within this time, as 30d."),
        option(
            "--kind",
            type=click.Choice([kind.value for kind in CertificateKind]),
            help="X.509, or SSH certificates of users or hosts.  [default: all]",
        ),
        limit(),
    ],
    reach=True,
)
SHOW: Final = Command(
    "inventory:show",
    name="show",
    short_help="Show a certificate, on record or in a file.",
    help="Show a certificate: one on record by id or service, or the one in a file or "
    "directory, without asking anybody.",
    params=[argument("target", metavar="DIR|FILE|ID")],
    reach=True,
)
EXPORT: Final = Command(
    "exporting:export",
    name="export",
    short_help="Write a certificate in another format.",
    help="Write a certificate in another format. PKCS #12 of a directory includes its private "
    "key, under the password that --password-file or the terminal gives.",
    params=[
        argument("target", metavar="DIR|ID"),
        option(
            "--format",
            "form",
            type=click.Choice(_FORMATS),
            default="pem",
            show_default=True,
            help="Which format.",
        ),
        option("--out", type=FILE, help="Write to this file instead of the standard output."),
        option("--password-file", type=FILE, help="Password of a PKCS #12 file."),
    ],
    reach=True,
)
VERIFY: Final = Command(
    "verifying:verify",
    name="verify",
    short_help="Check a certificate's files, or a server that uses it.",
    help="Check a certificate: path to our root, dates, key, purpose, names, revocation, file "
    "modes. TARGET is a directory, a file, or HOST:PORT of a TLS server.",
    params=[
        argument("target", metavar="DIR|FILE|HOST:PORT"),
        option("--name", help="A name it has to be valid for."),
        option(
            "--purpose",
            type=click.Choice(["server", "client"]),
            help="What it is used for.  [default: whatever it allows]",
        ),
        option("--starttls", type=click.Choice(["postgresql"]), help="How TLS begins there."),
        option("--no-revocation", is_flag=True, help="Do not ask whether it is revoked."),
    ],
    reach=True,
)
TOKEN: Final = Command(
    "enrolling:token",
    name="token",
    short_help="Make a one-time enrolment token.",
    help="Make a one-time token for the first certificate of service NAME, and print the "
    "command that uses it.",
    params=[
        argument("service", metavar="NAME"),
        option(
            "--san", "sans", multiple=True, metavar="NAME", help="A name its certificate may carry."
        ),
        option(
            "--principal",
            "principals",
            multiple=True,
            metavar="LOGIN",
            help="A login name its SSH user certificate may carry.",
        ),
        option("--profile", help="The only profile it is good for, of X.509 or of SSH."),
        option(
            "--lifetime",
            type=DURATION,
            default="1h",
            show_default=True,
            help="How long it can be used.",
        ),
        option("--out", type=FILE, help="Write the token to this file, mode 0600."),
    ],
    reach=True,
)
HEALTH: Final = Command(
    "inventory:health",
    name="health",
    short_help="Ask whether the server and its storage work.",
    help="Ask whether the server and its storage work.",
    params=[],
    reach=True,
)


AUDIT: Final = group(
    "audit",
    "Prove and read the audit log.",
    Command(
        "auditing:verify",
        name="verify",
        short_help="Prove that the log is whole.",
        help="Prove that the log is whole: every record hashed, every checkpoint's signature "
        "and root, every certificate vouched for. Reads the database itself, with nothing but "
        "the public key of the log.",
        params=[
            option("--offline", is_flag=True, help="Said for clearness: it never asks a server.")
        ],
    ),
    Command(
        "auditing:list_records",
        name="list",
        short_help="List records.",
        help="List records, newest first.",
        params=[
            option("--service", help="Done by this service."),
            option("--action", help="As certificate.request or token.create."),
            option(
                "--limit",
                type=click.IntRange(1),
                metavar="N",
                default=50,
                show_default=True,
                help="How many at most.",
            ),
        ],
        reach=True,
    ),
)
ACME: Final = group(
    "acme",
    "Look after ACME accounts.",
    group(
        "eab",
        "External account keys, for accounts that somebody vouches for.",
        Command(
            "acme:add_key",
            name="add",
            short_help="Make a key for one new account.",
            help="Make an external account key (RFC 8555 §7.3.4), good for one new account, and "
            "print the certbot command that uses it. The HMAC key is shown only now.",
            params=[
                option(
                    "--provisioner",
                    metavar="NAME",
                    default="acme",
                    show_default=True,
                    help="Where it is good.",
                ),
                option("--name", default="", metavar="TEXT", help="What you call it."),
            ],
            reach=True,
        ),
        Command(
            "acme:list_keys",
            name="list",
            short_help="List external account keys.",
            help="List external account keys, without their secrets.",
            params=_listing(),
            reach=True,
        ),
        Command(
            "acme:revoke_key",
            name="revoke",
            short_help="Make a key worthless.",
            help="Make an external account key worthless. An account that was made with it stays.",
            params=[argument("key_id", metavar="KEYID")],
            reach=True,
        ),
    ),
    Command(
        "acme:list_accounts",
        name="accounts",
        short_help="List accounts.",
        help="List accounts.",
        params=_listing(),
        reach=True,
    ),
    Command(
        "acme:revoke_account",
        name="revoke-account",
        short_help="Lock an account out, for good.",
        help="Lock an account out, for good. Its certificates stay valid.",
        params=[argument("account", metavar="ACCOUNT")],
        reach=True,
    ),
    Command(
        "acme:list_paused",
        name="paused",
        short_help="List accounts and identifiers that are paused.",
        help="List accounts and identifiers that are paused, because validation failed too "
        "often within a day (failures_until_pause).",
        params=[limit()],
        reach=True,
    ),
    Command(
        "acme:unpause",
        name="unpause",
        short_help="Let an account order again.",
        help="Forget the failed validations of an account, for IDENTIFIER or for all, so that it "
        "may order again.",
        params=[
            argument("account", metavar="ACCOUNT"),
            argument("identifier", required=False, metavar="[IDENTIFIER]"),
        ],
        reach=True,
    ),
)
CA: Final = group(
    "ca",
    "Act on all that an issuer has signed.",
    Command(
        "ca:renew_now",
        name="renew-now",
        short_help="Ask for the renewal of certificates.",
        help="Ask for the renewal of certificates earlier than planned, by moving their renewal "
        "windows (ACME renewal information, RFC 9773). All conditions given have to hold; "
        "certificates that are revoked, expired or replaced are passed over.",
        params=[
            option("--service", help="Of this service."),
            option("--name", help="That carry this name."),
            option("--profile", help="Of this profile."),
            option("--issuer", metavar="ID", help="Signed by this issuer."),
            option(
                "--issued-before", metavar="TIME", help="As 2026-11-22 or 2026-11-22T10:00:00Z."
            ),
            option("--all", "all_", is_flag=True, help="All there are."),
            option(
                "--over",
                type=DURATION,
                default="1h",
                show_default=True,
                help="Spread over this time, so that not everybody comes at once.",
            ),
            option(
                "--reason",
                metavar="URL|TEXT",
                help="For the audit log; a URL is also what clients are told to read.",
            ),
        ],
        reach=True,
    ),
)
DB: Final = group(
    "db",
    "Look after the database.",
    Command(
        "storage:migrate",
        name="migrate",
        short_help="Bring the schema up to date.",
        help="Bring the schema up to date; harmless when it is.",
        params=[],
    ),
    Command(
        "storage:check",
        name="check",
        short_help="Look for what is wrong with it.",
        help="Look for what is wrong with the database: its own integrity, certificates without "
        "audit record, CRL numbers that do not rise.",
        params=[],
    ),
)
CONFIG: Final = group(
    "config",
    "Check and show the configuration.",
    Command(
        "configuration:check",
        name="check",
        short_help="Look for mistakes in it.",
        help="Look for mistakes in DIR/mintmark.yaml, or in FILE.",
        params=[argument("file", type=FILE, required=False)],
    ),
    Command(
        "configuration:show",
        name="show",
        short_help="Show what is in force.",
        help="Show what is in force, defaults filled in; --template shows the commented file.",
        params=[option("--template", is_flag=True, help="Show the commented file of defaults.")],
    ),
)
COMMANDS: Final[tuple[click.Command, ...]] = (
    UP,
    INIT,
    SERVE,
    ISSUE,
    SIGN,
    RENEW,
    REKEY,
    REVOKE,
    LIST,
    SHOW,
    EXPORT,
    VERIFY,
    TOKEN,
    PROVISIONER,
    SSH,
    ACME,
    CA,
    AUDIT,
    DB,
    CONFIG,
    HEALTH,
)
