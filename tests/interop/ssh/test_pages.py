"""The how-to pages of SSH, carried out with an sshd, an agent and a provider."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop import pages
from tests.interop.authority import MINTMARK, Authority
from tests.interop.oidc.provider import OpenIDProvider
from tests.interop.programs import Daemon, Result, free_port, listens, program, run, running, until
from tests.interop.ssh.host import ME, keygen, reload, require_openssh
from tests.interop.ssh.people import Person, fingerprint

pytestmark = pytest.mark.interop
HOSTS = "how-to/ssh-hosts.md"
LOGIN = "how-to/ssh-login.md"
SERVICES = "how-to/ssh-service-accounts.md"
JOBS = "how-to/ssh-jobs.md"
UNITS = {
    HOSTS: ("mintmark-ssh-host.service", "mintmark-ssh-host.timer"),
    SERVICES: ("mintmark-ssh-renew@.service", "mintmark-ssh-renew@.timer"),
}
WEB = "web01.example.internal"
_SSHD = """\
Port {port}
ListenAddress 127.0.0.1
PidFile none
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
LogLevel VERBOSE
Include {etc}/sshd_config.d/*.conf
"""


class Stage:
    """The hosts of a page: `pki` with its authority, `web` with its sshd, and others.

    Args:
        path: where they are.
        name: of the page's own directory.
    """

    def __init__(self, path: Path, name: str) -> None:
        require_openssh()
        self.authority = Authority.create(path / f"{name}-authority")
        self.port = free_port()
        url = f"https://localhost:{self.authority.https_port}"
        self.sandbox = pages.Sandbox(
            path / name,
            {
                "https://pki.example.internal:8443": url,
                # One account is all that a test has; the principals stay what they are.
                "auth_principals/deploy": f"auth_principals/{ME}",
                "auth_principals/transfer": f"auth_principals/{ME}",
                f"deploy@{WEB}": f"{ME}@{WEB}",
            },
        )
        (self.sandbox.host("pki") / "mintmark").symlink_to(self.authority.directory)
        self.etc = self.sandbox.path("/etc/ssh")
        for directory in ("sshd_config.d", "ssh_config.d", "auth_principals"):
            (self.etc / directory).mkdir(parents=True)
        self.sandbox.path("/etc/systemd/system").mkdir(parents=True)
        bin_ = self.sandbox.path("/usr/local/bin")
        bin_.mkdir(parents=True)
        (bin_ / "mintmark").symlink_to(MINTMARK)
        self.sshd: Daemon | None = None
        self.timers: list[str] = []
        self.sandbox.handlers = {
            "cat": self._cat, "scp": self._scp, "ssh": self._ssh, "sshd": self._check,
            "systemctl": self._systemctl,
        }  # fmt: skip

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Run authority and sshd for the length of a block."""
        keygen("-t", "ed25519", "-f", self.etc / "ssh_host_ed25519_key").succeeded()
        settings = self.etc / "sshd_config"
        key = f"HostKey {self.etc}/ssh_host_ed25519_key\n"  # until the page names one
        settings.write_text(_SSHD.format(port=self.port, etc=self.etc) + key)
        Path("/run/sshd").mkdir(exist_ok=True)
        command = (program("sshd"), "-D", "-e", "-f", str(settings))
        self.sshd = Daemon(command, self.etc / "sshd.log")
        with self.authority.serving(), running(self.sshd, lambda: listens(self.port)):
            yield

    def follow(self, page: str) -> None:
        """Carry out a whole page."""
        self.sandbox.follow(page)

    def ssh(self, command: str) -> Result:
        """Log in as the page says it, with what it has told the client."""
        told = f"-F {self.etc}/ssh_config.d/mintmark.conf -p {self.port} -o HostName=127.0.0.1 "
        told += f"-o HostKeyAlias={WEB} -o BatchMode=yes -o StrictHostKeyChecking=yes"
        return run(
            "bash", "-c", command.replace("ssh ", f"{program('ssh')} {told} ", 1),
            cwd=self.sandbox.host("laptop"),
        )  # fmt: skip

    def trust(self) -> None:
        """Do what the page about hosts does, shortly."""
        mintmark = self.authority.mintmark
        key = self.etc / "ssh_host_ed25519_key"
        mintmark("ssh", "host", WEB, "--public-key", f"{key}.pub").succeeded()
        told = self.etc / "mintmark"
        mintmark("ssh", "config", "--host", "--host-key", key, "--out", told).succeeded()
        mintmark("ssh", "config", "--out", told).succeeded()
        conf = (told / "mintmark.conf").read_text()
        conf = conf.replace("/etc/ssh/auth_principals", f"{self.etc}/auth_principals")
        (self.etc / "sshd_config.d" / "mintmark.conf").write_text(conf)
        (self.etc / "ssh_config.d" / "mintmark.conf").symlink_to(told / "ssh_config")
        assert self.sshd is not None
        reload(self.sshd)

    def _cat(self, command: str) -> Result:
        """Show a file that mintmark wrote, in which some paths are still the page's."""
        done = run("bash", "-c", command)
        return Result(done.status, self.sandbox.here(done.text))

    def _scp(self, command: str) -> Result:
        *files, host = command.split()[1:]
        for file in files:
            shutil.copy2(self.sandbox.host("pki") / file, self.sandbox.host(host.rstrip(":")))
        return Result(0, "")

    def _ssh(self, command: str) -> Result:
        result = self.ssh(command)
        return Result(result.status, result.text)

    def _check(self, command: str) -> Result:
        assert command == "sshd -t"
        return run(program("sshd"), "-t", "-f", self.etc / "sshd_config")

    def _systemctl(self, command: str) -> Result:
        match command.split()[1:]:
            case ["reload", "ssh"]:
                conf = self.etc / "mintmark" / "mintmark.conf"
                # What mintmark wrote has paths of its own, which mean another place here.
                text = conf.read_text()
                assert "/etc/ssh/auth_principals/%u" in text
                link = self.etc / "sshd_config.d" / "mintmark.conf"
                link.unlink()
                link.write_text(self.sandbox.here(text))
                assert self.sshd is not None
                reload(self.sshd)
            case ["enable", "--now", timer]:
                self.timers.append(timer)
                template, _, instance = timer.removesuffix(".timer").partition("@")
                unit = f"/etc/systemd/system/{template}{'@' if instance else ''}.service"
                text = self.sandbox.path(unit).read_text()
                (start,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
                home = self.sandbox.root / "home" / instance
                run("bash", "-c", start, cwd=home).succeeded()
            case _:
                pytest.fail(f"a page says {command}")
        return Result(0, "")


def test_the_page_about_hosts_works_as_it_is_written(place: Path):
    stage = Stage(place, "ssh-hosts-page")
    stage.sandbox.words = {
        **stage.sandbox.words,
        # What is left out is a file of the page, not of this machine.
        f"--host --out {stage.etc}": f"--host --host-key {stage.etc}/ssh_host_ed25519_key "
        f"--out {stage.etc}",
    }
    with stage.serving():
        stage.follow(HOSTS)
    assert stage.timers == ["mintmark-ssh-trust.timer", "mintmark-ssh-host.timer"]


def test_the_page_about_services_works_as_it_is_written(place: Path):
    stage = Stage(place, "ssh-services-page")
    home = stage.sandbox.root / "home" / "transfer"
    stage.sandbox.words = {
        **stage.sandbox.words,
        "/home/transfer": str(home),
        "transfer:transfer": f"{ME}:",
        "-o transfer -g transfer": f"-o {ME}",
    }
    home.mkdir()
    with stage.serving():
        stage.trust()
        stage.follow(SERVICES)
        assert stage.timers == ["mintmark-ssh-renew@transfer.timer"]


def test_a_service_renews_its_certificate_by_its_key_alone(place: Path):
    """What the unit does when it is due, and that a ban ends it."""
    stage = Stage(place, "ssh-services-renewal")
    with stage.serving():
        stage.trust()
        mintmark, home = stage.authority.mintmark, stage.authority.home
        password = home / "password"
        password.write_text("correct horse battery staple")
        password.chmod(0o600)
        add = ("provisioner", "add", "--type", "jwk", "--password-file", password)
        mintmark(*add, "services", "--ssh-user-renewal").succeeded()
        mintmark(*add, "people").succeeded()
        (stage.etc / "auth_principals" / ME).write_text("transfer\n")
        server = ("--server", f"https://localhost:{stage.authority.https_port}")
        own = (*server, "--ca", str(stage.authority.root))
        node = stage.sandbox.host("node")

        def certified(provisioner: str) -> None:
            def made() -> bool:
                asked = mintmark(
                    "ssh", "user", "transfer", "--out", node / "id", "--force",
                    "--provisioner", provisioner, "--password-file", password,
                )  # fmt: skip
                return asked.status == 0

            until(made, f"provisioner {provisioner} is in force")

        def renewed() -> Result:
            line = ("ssh", "renew", "--force", "id-cert.pub", *own)
            return run(MINTMARK, *line, cwd=node)

        certified("services")
        before = (node / "id-cert.pub").read_text()
        renewed().succeeded()
        assert (node / "id-cert.pub").read_text() != before
        login = f"ssh -i {node}/id {ME}@{WEB} echo let in"
        assert "let in" in stage.ssh(login).succeeded()
        certified("people")
        renewed().refused("renew")
        certified("services")
        mintmark("ssh", "revoke", "--key-id", "transfer").succeeded()
        renewed().refused("banned", "revoked")


def test_the_page_about_jobs_works_as_it_is_written(place: Path):
    stage = Stage(place, "ssh-jobs-page")
    ssh = stage.sandbox.path("/usr/local/bin/ssh")
    with stage.serving():
        stage.trust()
        (stage.etc / "auth_principals" / ME).write_text("deploy\n")
        ssh.write_text(
            f"#!/bin/sh\nexec {program('ssh')} -F {stage.etc}/ssh_config.d/mintmark.conf "
            f'-p {stage.port} -o HostName=127.0.0.1 -o HostKeyAlias={WEB} "$@"\n'
        )
        ssh.chmod(0o755)
        path = f"{ssh.parent}:{pages.environment()['PATH']}"
        stage.sandbox.variables = {"PATH": path}
        for name in ("deploy.sh", "mintmark.yaml"):
            stage.sandbox.words = {**stage.sandbox.words, name: name}
        script = pages.file(JOBS, "deploy.sh")
        (stage.sandbox.host("runner") / "deploy.sh").write_text(stage.sandbox.here(script))
        runner, pki = stage.sandbox.host("runner"), stage.sandbox.host("pki")
        (runner / "jobs.password").symlink_to(pki / "jobs.password")
        (runner / "ca.pem").symlink_to(stage.authority.root)
        stage.follow(JOBS)
    assert not list(Path("/dev/shm").glob("deploy.*"))


def test_the_page_about_signing_in_works_as_it_is_written(place: Path, provider: OpenIDProvider):
    stage = Stage(place, "ssh-login-page")
    path = stage.sandbox.root
    with stage.serving():
        stage.trust()
        provider.says(groups=["example:datacenter"], email="alice@example.org")
        person = Person(place / "h-login", stage.authority, provider)
        person.home.mkdir()
        stage.sandbox.host("laptop").rmdir()
        (path / "laptop").symlink_to(person.home)
        stage.sandbox.words = {
            **stage.sandbox.words,
            "https://auth.example.internal/auth": f"{provider.issuer}/auth",
            "https://auth.example.internal": provider.issuer,
            "mintmark-cli": "mintmark",
            "6C:5A:…": fingerprint(stage.authority),
        }
        (stage.sandbox.host("pki") / "staff.yaml").symlink_to(stage.sandbox.home / "staff.yaml")
        _tell_roots(stage, provider.root)
        stage.sandbox.variables = person.environment
        with person.agent():
            stage.follow(LOGIN)
            (stage.etc / "auth_principals" / ME).write_text("deploy\n")
            done = run(
                "bash", "-c", f"SSH_AUTH_SOCK={person.socket} ssh-add -l", env=person.environment
            )
            assert "mintmark alice@example.org" in done.succeeded()


def _tell_roots(stage: Stage, root: Path) -> None:
    """Have both sides of the page trust the provider of the test, which the page's own is by."""

    def mintmark(command: str) -> Result:
        if "provisioner add" in command:
            command += f" --provider-ca {root}"
            where = "pki"
        elif "ssh login" in command:
            command += f" --provider-ca {root}"
            where = "laptop"
        else:
            where = "pki"
        return run(
            "bash", "-eu", "-c", command, cwd=stage.sandbox.host(where),
            env=pages.environment(**stage.sandbox.variables),
        )  # fmt: skip

    stage.sandbox.handlers = {**stage.sandbox.handlers, "mintmark": mintmark}


@pytest.mark.parametrize(
    ("name", "unit"), [(name, unit) for name, units in UNITS.items() for unit in units]
)
def test_systemd_accepts_the_unit(name: str, unit: str, tmp_path: Path):
    accept(tmp_path, unit, pages.file(name, f"/etc/systemd/system/{unit}"))


@pytest.mark.parametrize("unit", ["mintmark-ssh-trust.service", "mintmark-ssh-trust.timer"])
def test_systemd_accepts_the_unit_that_mintmark_writes(place: Path, unit: str, tmp_path: Path):
    authority = _made_once(place)
    with contextlib.suppress(FileExistsError):
        (authority.home / "told").mkdir()
    text = (authority.home / "told" / unit).read_text()
    assert " ssh config --host --refresh --out " in text or unit.endswith(".timer")
    accept(tmp_path, unit, text)


def _made_once(place: Path) -> Authority:
    path = place / "ssh-units"
    if not path.exists():
        authority = Authority.create(path)
        with authority.serving():
            authority.mintmark("ssh", "config", "--host", "--out", "told").succeeded()
        return authority
    return Authority(path / "mintmark", 0, 0)


def accept(directory: Path, unit: str, text: str) -> None:
    """Assert that systemd-analyze finds nothing wrong with a unit."""
    program("systemd-analyze")
    text = re.sub(r"(?m)^(ExecStart=)\S+", r"\1/bin/true", text)
    instance = unit.replace("@.", "@root.")
    (directory / unit).write_text(text)
    if unit.endswith(".timer"):
        service = unit.replace(".timer", ".service")
        (directory / service).write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    answer = run(program("systemd-analyze"), "verify", "--man=no", directory / instance)
    complaints = [line for line in answer.text.splitlines() if unit.partition("@")[0] in line]
    assert not complaints
    assert answer.status == 0, answer.text
