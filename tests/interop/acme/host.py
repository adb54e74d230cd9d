"""A host on which an ACME client of a how-to page runs.

The page is carried out as it is written. What a test cannot have, the ports 80 and 443 and the
system's own directories, is put right by a wrapper of the client's name that is found first.
"""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Iterator
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

from tests.interop import pages
from tests.interop.acme.nameserver import KEY_NAME, SECRET
from tests.interop.acme.service import Service
from tests.interop.programs import Result, environment

_RECORD = """#!/bin/sh
printf '%s\\n' "$*" >> {log}
"""


class Host(pages.Sandbox):
    """A host with wrapped programs, where `export` lasts and `systemctl` keeps a record.

    Args:
        root: holds everything that belongs to it.
        service: the authority that its clients use.
    """

    def __init__(self, root: Path, service: Service) -> None:
        words = {
            **service.words,
            "10.0.0.53 53": f"127.0.0.1 {service.nameserver.port}",
            "10.0.0.53:53": service.nameserver.address,
            "10.0.0.53": "127.0.0.1",
            "dns_rfc2136_port = 53": f"dns_rfc2136_port = {service.nameserver.port}",
            "the-secret-of-the-key": SECRET,
            "the-name-of-the-key": KEY_NAME,
        }
        super().__init__(root, words, {}, {})
        self.service = service
        self.programs = self.path("/usr/local/bin")
        self.programs.mkdir(parents=True)
        self.variables = {"PATH": f"{self.programs}:{environment()['PATH']}"}
        self.handlers = {
            "export": self._export,
            "systemctl": self._systemctl,
            "mintmark": self._mintmark,
        }
        self._script("systemctl", _RECORD.format(log=self._record))
        ca = self.home / "ca.pem"
        ca.write_bytes(service.root.read_bytes())

    @property
    def _record(self) -> Path:
        return self.root / "systemctl.log"

    def wrap(self, name: str, *command: str | Path, **variables: str) -> None:
        """Have a program's name mean this command, with this in its environment."""
        assigned = "".join(f"export {key}={shlex.quote(text)}\n" for key, text in variables.items())
        line = shlex.join(str(part) for part in command)
        self._script(name, f'#!/bin/sh\n{assigned}exec {line} "$@"\n')

    def trust(self) -> Path:
        """Do what the pages begin with, and return where the root is then."""
        target = self.path("/etc/mintmark/ca.pem")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.service.root.read_bytes())
        return target

    def did(self) -> list[str]:
        """Return what programs of the page told `systemctl`."""
        return self._record.read_text().splitlines() if self._record.exists() else []

    def start_unit(self, name: str) -> None:
        """Do what systemd does for a `oneshot` service, with its environment."""
        for line in self.path(name).read_text().splitlines():
            if line.startswith("Environment="):
                self._export(line.removeprefix("Environment="))
        super().start_unit(name)

    def _script(self, name: str, text: str) -> None:
        target = self.programs / name
        target.write_text(text)
        target.chmod(0o755)

    def _export(self, command: str) -> Result:
        name, _, text = command.removeprefix("export ").partition("=")
        self.variables = {**self.variables, name: text}
        return Result(0, "")

    def _mintmark(self, command: str) -> Result:
        """Do what the authority's administrator types, and remember keys that he is told."""
        result = self.service.authority.mintmark(*shlex.split(command)[1:])
        for line in result.text.splitlines():
            for told, word in (("key id ", "the-key-id"), ("HMAC key ", "the-hmac-key")):
                if line.startswith(told):
                    self.words = {**self.words, word: line.removeprefix(told).strip()}
        return result

    def _systemctl(self, command: str) -> Result:
        match command.split()[1:]:
            case ["enable", "--now", timer] if timer.endswith(".timer"):
                self.start_unit(f"/etc/systemd/system/{timer.removesuffix('.timer')}.service")
            case words:
                with self._record.open("a") as record:
                    record.write(" ".join(words) + "\n")
        return Result(0, "")


@contextlib.contextmanager
def webroot(path: Path, port: int) -> Iterator[None]:
    """Serve a directory over HTTP for the length of a block, as the host's web server does."""
    path.mkdir(parents=True, exist_ok=True)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own name
            """Say nothing."""

    HTTPServer.allow_reuse_address = True
    with HTTPServer(("127.0.0.1", port), partial(Quiet, directory=str(path))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
