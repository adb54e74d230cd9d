"""A host whose sshd trusts an authority, on loopback, and people who log in there."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from tests.interop.authority import Authority
from tests.interop.programs import (
    Daemon,
    Result,
    free_port,
    listens,
    program,
    run,
    running,
    until,
)

ME = getpass.getuser()
_PRINCIPALS = "/etc/ssh/auth_principals"
# PerSourcePenalties: from 9.8 on sshd shuts out whoever is refused a few times, as tests are.
_SETTINGS = """\
Port {port}
ListenAddress 127.0.0.1
PidFile none
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile {home}/authorized_keys
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
LogLevel VERBOSE
"""


@dataclass
class Host:
    """A host; it is called localhost.

    Args:
        path: its /etc/ssh.
        authority: whom it trusts.
        port: of its sshd.
    """

    path: Path
    authority: Authority
    port: int

    @classmethod
    def create(cls, path: Path, authority: Authority) -> Host:
        """Make a host with a key that nobody has certified yet."""
        path.mkdir()
        path.chmod(0o755)
        (path / "principals").mkdir()
        made = cls(path, authority, free_port())
        keygen("-t", "ed25519", "-f", made.key).succeeded()
        return made

    @property
    def key(self) -> Path:
        """Its private key."""
        return self.path / "ssh_host_ed25519_key"

    @property
    def certificate(self) -> Path:
        """The certificate that it shows."""
        return self.path / "ssh_host_ed25519_key-cert.pub"

    @property
    def trust(self) -> Path:
        """Where `mintmark ssh config --host` writes."""
        return self.path / "mintmark"

    def certify(self, *more: str, late_by: str = "") -> None:
        """Have its key certified by an administrator."""
        local = ("--offline", "--passphrase-file", self.authority.passphrase) if late_by else ()
        self.authority.mintmark(
            "ssh", "host", "localhost", "--public-key", f"{self.key}.pub", *more, *local,
            late_by=late_by,
        ).succeeded()  # fmt: skip

    def refresh(self) -> None:
        """Do what its timer does."""
        answer = self.authority.mintmark(
            "ssh", "config", "--host", "--refresh", "--out", self.trust
        )
        assert answer.succeeded() == ""

    def allow(self, *principals: str, account: str = ME) -> None:
        """Say who may log in as an account."""
        text = "".join(f"{one}\n" for one in principals)
        (self.path / "principals" / account).write_text(text)

    @contextlib.contextmanager
    def serving(self) -> Iterator[Daemon]:
        """Run its sshd, told what `mintmark ssh config` says."""
        sshd = program("sshd")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where sshd locks up what it has not let in
        self.authority.mintmark(
            "ssh", "config", "--host", "--host-key", self.key, "--out", self.trust
        ).succeeded()
        told = (self.trust / "mintmark.conf").read_text()
        assert _PRINCIPALS in told
        told = told.replace(_PRINCIPALS, str(self.path / "principals"))
        settings = self.path / "sshd_config"
        settings.write_text(_SETTINGS.format(port=self.port, home=self.path) + told + _unpunished())
        run(sshd, "-t", "-f", settings).succeeded()
        daemon = Daemon((sshd, "-D", "-e", "-f", str(settings)), self.path / "sshd.log")
        with running(daemon, lambda: listens(self.port)):
            yield daemon

    @cached_property
    def known_hosts(self) -> Path:
        """What a client has to know to trust it, as `mintmark ssh config` writes it."""
        directory = self.path / "client"
        self.authority.mintmark("ssh", "config", "--out", directory).succeeded()
        return directory / "known_hosts"

    def ssh(
        self,
        *identity: str | Path,
        command: str = "echo let in",
        name: str = "localhost",
        known_hosts: Path | None = None,
        account: str = ME,
        agent: str = "none",
    ) -> Result:
        """Log in and run a command."""
        options = {
            "UserKnownHostsFile": known_hosts or self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "IdentityAgent": agent,
            "IdentitiesOnly": "no" if agent != "none" else "yes",
            "ConnectTimeout": "10",
        }
        return run(
            program("ssh"), "-v", "-F", "none", "-p", str(self.port),
            *(part for key in identity for part in ("-i", key)),
            *(part for name_, value in options.items() for part in ("-o", f"{name_}={value}")),
            f"{account}@{name}", command,
        )  # fmt: skip


def reload(daemon: Daemon) -> None:
    """Have sshd read its files again; it begins anew under the same process id."""
    before = daemon.said().count("Server listening on")
    daemon.signal(signal.SIGHUP)
    until(lambda: daemon.said().count("Server listening on") > before, "sshd listens again")


def keygen(*arguments: str | Path) -> Result:
    """Run ssh-keygen; new keys have no passphrase."""
    return run(program("ssh-keygen"), "-q", "-N", "", *arguments)


def shown(path: Path) -> str:
    """Return what ssh-keygen shows of a certificate."""
    return run(program("ssh-keygen"), "-L", "-f", path).succeeded()


def let_in(result: Result, said: str = "let in") -> str:
    """Assert that a login succeeded, and return what ssh said about it."""
    text = result.succeeded()
    assert said in text.splitlines()
    return text


def _unpunished() -> str:
    version = run(program("ssh"), "-V").text
    major, minor = version.removeprefix("OpenSSH_").split("p")[0].split(".")[:2]
    known = (int(major), int(minor[:1])) >= (9, 8)
    return "PerSourcePenalties no\n" if known else ""


def require_openssh() -> None:
    """Skip where OpenSSH is not installed."""
    for name in ("ssh", "sshd", "ssh-keygen", "ssh-agent", "ssh-add"):
        program(name)
    if os.geteuid() != 0 and not Path("/run/sshd").is_dir():
        pytest.skip("sshd wants /run/sshd, which only root makes")
