"""A root made by openssl on another machine, as docs/how-to/offline-root.md has it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from tests.interop import pages
from tests.interop.authority import MINTMARK
from tests.interop.programs import Daemon, Result, environment, free_port, program, running

pytestmark = pytest.mark.interop
PAGE = "how-to/offline-root.md"


def test_the_offline_root_page_works_as_it_is_written(place: Path):
    program("openssl")
    https_port, http_port = free_port(), free_port()
    words = {
        "--name pki.example.internal": (
            f"--name localhost --https-port {https_port} --http-port {http_port}"
        ),
        "http://pki.example.internal:8080": f"http://127.0.0.1:{http_port}",
    }
    sandbox = pages.Sandbox(place / "offline-root", words)
    pki, vault = sandbox.host("pki"), sandbox.host("vault")
    medium = sandbox.root / "medium"
    medium.mkdir()
    for host in (pki, vault):
        (host / "medium").symlink_to(medium)
        (host / "passphrase").write_text("correct horse battery staple\n")
        (host / "passphrase").chmod(0o600)

    def systemctl(command: str) -> Result:
        assert command == "systemctl enable --now mintmark"
        arguments = ("serve", "--dir", "authority", "--passphrase-file", "passphrase")
        options = {"cwd": pki, "env": environment()}
        daemon = Daemon((str(MINTMARK), *arguments), sandbox.root / "served.log", options)
        stack.enter_context(running(daemon, lambda: "try next" in daemon.said()))
        return Result(0, "")

    sandbox.handlers = {"systemctl": systemctl}
    with ExitStack() as stack:
        sandbox.follow(PAGE)
    settings = yaml.safe_load((pki / "authority" / "mintmark.yaml").read_text())
    assert settings["server"]["https_port"] == https_port
    assert not (pki / "authority" / "root" / "key.pem").exists()
