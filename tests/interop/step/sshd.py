"""An sshd that `step` has told whom to trust, and the way into it."""

from __future__ import annotations

import contextlib
import getpass
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.programs import Daemon, Result, free_port, listens, program, run, running
from tests.interop.step.service import Host

ME = getpass.getuser()
NAME = "localhost"


def certified(host: Host, name: str = "web01.example.internal", *more: str) -> Host:
    """Get a host certificate as `host` and `host-cert.pub`."""
    host.step(
        "ssh", "certificate", name, "host", "--host", "--no-password", "--insecure", "--force",
        *more, *host.by_password(),
    ).succeeded()  # fmt: skip
    return host


@contextlib.contextmanager
def sshd(host: Host, principals: str = "") -> Iterator[tuple[int, Daemon]]:
    """Run an sshd with what `step ssh certificate --host` and `step ssh config --host` gave.

    Args:
        host: on which it runs.
        principals: who may log in as anybody; empty for those who have an account's name.
    """
    server, port = program("sshd"), free_port()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks up what it has not let in
    elif not Path("/run/sshd").is_dir():
        pytest.skip("sshd wants /run/sshd, which only root makes")
    certified(host, NAME)
    told = host.step(
        "ssh", "config", "--host", "--dry-run", "--set", "Certificate=host-cert.pub",
        "--set", "Key=host",
    ).succeeded()  # fmt: skip
    keys = [line for line in told.splitlines() if line.startswith(("ecdsa-", "ssh-ed25519 "))]
    directives = [line.strip() for line in told.splitlines() if "/etc/ssh/" in line]
    host.file("ca.pub").write_text("".join(f"{line}\n" for line in keys))
    allowed = host.file("principals")
    allowed.write_text(f"{principals}\n")
    settings = host.file("sshd_config")
    settings.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nPidFile none\nStrictModes no\nUsePAM no\n"
        "LogLevel VERBOSE\nAuthorizedKeysFile none\nPasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        f"AuthorizedPrincipalsFile {allowed if principals else 'none'}\n"
        + "".join(
            f"{line.replace('/etc/ssh', str(host.home))}\n"
            for line in directives
            if line.startswith(("TrustedUserCAKeys ", "HostCertificate ", "HostKey "))
        )
    )
    daemon = Daemon((server, "-D", "-e", "-f", str(settings)), host.home / "sshd.log")
    with running(daemon, lambda: listens(port)):
        yield port, daemon


def ssh(host: Host, port: int, command: str) -> Result:
    """Type a command on the host that `sshd` runs on, as `step ssh config` tells ssh to."""
    return run(
        program("ssh"), "-F", host.home / ".ssh" / "config", "-p", str(port),
        "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
        "-o", "GlobalKnownHostsFile=/dev/null", NAME, command,
        env=host.environment, cwd=host.home,
    )  # fmt: skip
