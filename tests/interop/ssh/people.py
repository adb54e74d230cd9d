"""People who sign in: a browser, an ssh-agent of their own, a home."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from tests.interop.authority import MINTMARK, Authority
from tests.interop.oidc.provider import OpenIDProvider
from tests.interop.programs import Daemon, Result, environment, program, run, running


def entry(provider: OpenIDProvider) -> str:
    """Return a provisioner for whoever is among the operators of a provider."""
    return f"""
name: staff
type: oidc
configuration_endpoint: {provider.issuer}
client_id: mintmark-secret
client_secret: public by protocol
scopes: [openid, email, groups]
groups: [operators]
mappings:
  - groups: [operators]
    principals: ['{{email.local}}', deploy]
    ssh_profiles: [ssh-user]
    lifetime: 16h
ca_certificates: |
{"".join(f"  {line}" + chr(10) for line in provider.root.read_text().splitlines())}"""


def fingerprint(authority: Authority) -> str:
    """Return what `mintmark init` printed of the root."""
    root = x509.load_pem_x509_certificate(authority.root.read_bytes())
    return root.fingerprint(SHA256()).hex(":").upper()


@dataclass(frozen=True)
class Person:
    """Somebody with a machine that knows the authority by nothing yet.

    Args:
        home: its home directory.
        authority: where it asks.
        provider: where it signs in.
    """

    home: Path
    authority: Authority
    provider: OpenIDProvider

    @property
    def socket(self) -> Path:
        """Its agent's."""
        return self.home / "agent"

    @property
    def environment(self) -> dict[str, str]:
        """What its programs see."""
        return environment(
            HOME=str(self.home),
            XDG_CONFIG_HOME=str(self.home / ".config"),
            SSH_AUTH_SOCK=str(self.socket),
            BROWSER=f"{self.provider.browser} %s",
        )

    @property
    def first(self) -> tuple[str, ...]:
        """What is named the first time."""
        server = f"https://localhost:{self.authority.https_port}"
        return ("--server", server, "--fingerprint", fingerprint(self.authority))

    def mintmark(self, *arguments: str | Path) -> Result:
        """Type a command."""
        return run(MINTMARK, *arguments, cwd=self.home, env=self.environment)

    def login(self, *more: str | Path) -> Result:
        """Sign in."""
        return self.mintmark("ssh", "login", "--provider-ca", self.provider.root, *more)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Type a command that waits for something."""
        return subprocess.Popen(
            [MINTMARK, *arguments], cwd=self.home, env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def held(self) -> str:
        """Return what the agent holds, as `ssh-add -L` prints it."""
        return run(program("ssh-add"), "-L", env=self.environment).text

    @contextlib.contextmanager
    def agent(self, speed: int = 1) -> Iterator[Daemon]:
        """Run the agent for the length of a block.

        Args:
            speed: how many seconds pass for it in one.
        """
        agent, fast = Path(program("ssh-agent")), ()
        if speed > 1:
            # Debian's is setgid, and what is setgid preloads nothing; a copy is not.
            agent = Path(shutil.copy(agent, self.home / "ssh-agent"))
            fast = (program("faketime"), "-f", f"+0 x{speed}")
        command = (*fast, str(agent), "-D", "-a", str(self.socket))
        with running(Daemon(command, self.home / "agent.log"), self.socket.exists) as daemon:
            yield daemon
