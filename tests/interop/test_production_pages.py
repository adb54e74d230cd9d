"""The service, its unit, its proxy and its backup, as docs/how-to/production.md has them."""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.interop import pages
from tests.interop.authority import MINTMARK, Authority, Files
from tests.interop.programs import (
    Account,
    Daemon,
    Result,
    environment,
    free_port,
    listens,
    program,
    run,
    running,
    until,
)

pytestmark = pytest.mark.interop
PAGE = "how-to/production.md"
UNIT = "/etc/systemd/system/mintmark.service"
UNITS = {
    "how-to/production.md": ("mintmark.service",),
    "how-to/enroll-a-service.md": ("mintmark-renew.service", "mintmark-renew.timer"),
    "how-to/postgresql.md": ("postgresql-crl.service", "postgresql-crl.timer"),
    "how-to/nginx.md": ("nginx-crl.service", "nginx-crl.timer"),
    "how-to/haproxy.md": ("haproxy-crl.service", "haproxy-crl.timer"),
}


def words() -> dict[str, str]:
    """Return what the page's words mean in a test."""
    https_port, http_port = free_port(), free_port()
    return {
        # Everything but loopback stays out of tests; the names resolve to it.
        "--name pki.example.internal --listen 0.0.0.0": (
            f"--name localhost --listen 127.0.0.1 --https-port {https_port} --http-port {http_port}"
        ),
        "https://pki.example.internal:8443": f"https://localhost:{https_port}",
        "http://pki.example.internal:8080": f"http://localhost:{http_port}",
        "mintmark:mintmark": "root:root",
        "/media/safe": "safe",
    }


def serve(sandbox: pages.Sandbox) -> Daemon:
    """Return the unit's process, as systemd would start it."""
    unit = sandbox.path(UNIT).read_text()
    (start,) = re.findall(r"^ExecStart=(.+)$", unit, re.MULTILINE)
    (credential,) = re.findall(r"^LoadCredential=passphrase:(.+)$", unit, re.MULTILINE)
    credentials = sandbox.root / "credentials"
    credentials.mkdir(exist_ok=True)
    secret = credentials / "passphrase"
    secret.write_bytes(Path(credential).read_bytes())
    secret.chmod(0o400)
    command = start.replace("${CREDENTIALS_DIRECTORY}", str(credentials))
    notify = sandbox.root / "notify"
    variables = environment(NOTIFY_SOCKET=str(notify))
    return Daemon(shlex.split(command), sandbox.root / "served.log", {"env": variables})


@pytest.fixture
def notified(place: Path) -> Iterator[socket.socket]:
    """The socket on which systemd waits for READY=1."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as waiting:
        waiting.setblocking(False)
        yield waiting


def test_the_production_page_works_as_it_is_written(place: Path, notified: socket.socket):
    program("systemd-analyze")
    sandbox = pages.Sandbox(place / "production-page", words())
    (sandbox.home / "safe").mkdir()
    notified.bind(str(sandbox.root / "notify"))
    programs = sandbox.path("/opt/mintmark/bin")
    programs.mkdir(parents=True)
    for name in ("mintmark", "python"):
        (programs / name).symlink_to(MINTMARK.with_name(name))
    done: list[str] = []

    def ready() -> bool:
        try:
            return b"READY=1" in notified.recv(4096)
        except BlockingIOError:
            return False

    def systemctl(command: str) -> Result:
        assert command == "systemctl enable --now mintmark"
        stack.enter_context(running(serve(sandbox), ready))
        return Result(0, "")

    def as_root(command: str) -> Result:
        done.append(command.split(maxsplit=1)[0])
        return Result(0, "")

    sandbox.handlers = {
        "systemctl": systemctl,
        # What needs a network, or would change this machine, has no place in a test.
        "useradd": as_root, "chown": as_root, "ln": as_root, "python3": as_root,
        str(programs / "pip"): as_root,
    }  # fmt: skip
    with ExitStack() as stack:
        sandbox.follow(PAGE)
    assert done == ["python3", *[str(programs / "pip")] * 2, "ln", "useradd", "chown"]


@pytest.mark.parametrize(
    ("name", "unit"), [(name, unit) for name, units in UNITS.items() for unit in units]
)
def test_systemd_accepts_the_unit(name: str, unit: str, tmp_path: Path):
    program("systemd-analyze")
    text = pages.file(name, f"/etc/systemd/system/{unit}")
    text = re.sub(r"/(opt/mintmark|usr/local|usr)/bin/[\w-]+", "/bin/true", text)
    (tmp_path / unit).write_text(text)
    if unit.endswith(".timer"):
        service = unit.replace(".timer", ".service")
        (tmp_path / service).write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    answer = run(program("systemd-analyze"), "verify", "--man=no", tmp_path / unit)
    complaints = [line for line in answer.text.splitlines() if unit in line]
    assert not complaints
    assert answer.status == 0, answer.text


def test_the_unit_is_as_closed_as_it_can_be(tmp_path: Path):
    unit = tmp_path / "mintmark.service"
    unit.write_text(pages.file(PAGE, UNIT))
    answer = run(program("systemd-analyze"), "security", "--offline=true", "--threshold=20", unit)
    assert "OK" in answer.succeeded().splitlines()[-1]


def test_haproxy_passes_the_clients_certificate_through(
    authority: Authority, good: Files, nobody: Account, place: Path
):
    https_port, http_port = free_port(), free_port()
    here = {
        "pki1.example.internal:8443": f"127.0.0.1:{authority.https_port}",
        "pki2.example.internal:8443": f"127.0.0.1:{authority.https_port}",
        "pki1.example.internal:8080": f"127.0.0.1:{authority.http_port}",
        "pki2.example.internal:8080": f"127.0.0.1:{authority.http_port}",
        "port 8080": f"port {authority.http_port}",
        "bind :8443": f"bind 127.0.0.1:{https_port}",
        "bind :8080": f"bind 127.0.0.1:{http_port}",
    }
    sandbox = pages.Sandbox(place / "proxy", here)
    title = "/etc/haproxy/mintmark.cfg"
    settings = sandbox.write(title, pages.file(PAGE, title))
    log = sandbox.root / "haproxy.log"
    daemon = Daemon((program("haproxy"), "-db", "-f", str(settings)), log, nobody.popen)
    curl = (program("curl"), "--silent", "--show-error", "--fail", "--max-time", "10")

    def api(*shown: str | Path) -> Result:
        url = f"https://localhost:{https_port}/api/v1/certificates/"
        return run(*curl, "--cacert", authority.root, *shown, url)

    with running(daemon, lambda: listens(https_port) and listens(http_port)):
        until(lambda: api("--cert", good.fullchain, "--key", good.key).status == 0, "a list")
        api().refused("401")
        assert run(*curl, f"http://127.0.0.1:{http_port}/health").succeeded() == "ok\n"
