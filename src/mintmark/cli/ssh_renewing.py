"""`mintmark ssh renew`: a certificate replaced before it ends, by whoever has its key.

A reload that failed or was cut short is made up for by the next run: a note beside the
certificate says that it is owed.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path
from typing import Final

from msgspec import to_builtins

from mintmark.authority.signer.files import write_secret
from mintmark.cli.asking import once
from mintmark.cli.options import Place, print_json
from mintmark.cli.output import moment, say
from mintmark.cli.reach import reach
from mintmark.cli.ssh_files import (
    SSHFiles,
    answered_certificate,
    certificate_id,
    read_certificate,
    read_private_key,
)
from mintmark.cli.ssh_issuing import tell
from mintmark.cli.ssh_tokens import possession_token
from mintmark.cli.ssh_trust import known
from mintmark.client.ssh_documents import SSHCertificateDocument, SSHRenewal
from mintmark.model.errors import Error, Kind
from mintmark.model.time import timestamp
from mintmark.wire.ssh.certificate import FOREVER, Fields, Parsed

RELOAD_SECONDS: Final = 90.0  # as long as systemd waits for a unit, by default


def renew(
    place: Place,
    certificate_file: Path,
    reload_command: str | None,
    provisioner: str | None,
    *,
    timer: bool,
    force: bool,
) -> None:
    """Replace a certificate by its successor, if it is time."""
    files = SSHFiles.of_certificate(certificate_file)
    parsed = read_certificate(files.certificate)
    due = due_at(parsed.fields)
    issued = None
    if force or time.time() >= due:
        issued = _successor(known(place), files, parsed, provisioner)
        if reload_command is not None:
            write_secret(_owed(files), b"")
        files.write_certificate(issued.certificate)
    if reload_command is not None and _owed(files).exists():
        _reload(reload_command)
        _owed(files).unlink(missing_ok=True)
    _tell(place, files, issued, due, quiet=timer)


def due_at(fields: Fields) -> int:
    """Return when two thirds of a certificate's life are over, Unix seconds."""
    if fields.valid_before == FOREVER:
        return FOREVER
    return fields.valid_after + (fields.valid_before - fields.valid_after) * 2 // 3


def _successor(
    place: Place, files: SSHFiles, parsed: Parsed, provisioner: str | None
) -> SSHCertificateDocument:
    key = read_private_key(files.private)
    token = possession_token(place, key, parsed, provisioner, "ssh/renew")
    id_ = certificate_id(parsed.fields.serial)
    with reach(place, token=token) as api:
        issued = once(lambda again: api.renew_ssh(id_, SSHRenewal(), idempotency_key=again))
    answered_certificate(issued.certificate, parsed.fields.key)
    return issued


def _owed(files: SSHFiles) -> Path:
    return files.certificate.with_name(f".{files.certificate.name}.reload")


def _reload(command: str) -> None:
    """Run what makes the certificate's user read it again; its words go where ours go."""
    hint = "the new certificate is in place; the next run tries this again"
    try:
        done = subprocess.run(  # noqa: S603 - what the operator wrote, and no shell
            shlex.split(command), check=False, stdin=subprocess.DEVNULL, timeout=RELOAD_SECONDS
        )
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired) as error:
        raise Error(Kind.CONFIGURATION, f"cannot run '{command}': {error}", hint=hint) from error
    if done.returncode:
        raise Error(
            Kind.CONFIGURATION, f"'{command}' ended with status {done.returncode}", hint=hint
        )


def _tell(
    place: Place,
    files: SSHFiles,
    issued: SSHCertificateDocument | None,
    due: int,
    *,
    quiet: bool,
) -> None:
    path = str(files.certificate)
    if place.as_json:
        document = None if issued is None else to_builtins(issued)
        print_json({"renewed": issued is not None, "file": path, "certificate": document})
    elif quiet:
        return
    elif issued is not None:
        tell(place, issued, [files.certificate])
    elif due == FOREVER:
        say(f"{path} never ends")
    else:
        say(f"{path} is not due before {moment(timestamp(due), time.time())}; --force renews it")
