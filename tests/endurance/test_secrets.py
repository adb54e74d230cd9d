"""Known secrets, used everywhere they can be used, and then looked for where they must not be.

Design rule 10: not in logs, answers to others, the database, the audit log, or argv.
"""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tests.endurance.servers import SETTINGS, Server, make, serving

pytestmark = pytest.mark.endurance
PASSPHRASE = "correct horse battery staple"
PASSWORD = "p12-Hu5h-hUsh-3141"


class Processes(threading.Thread):
    """Looks at the command line and environment of every process, again and again."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[bytes] = set()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(file.read_bytes())

    def end(self) -> None:
        self._ended.set()
        self.join()


@pytest.fixture
def processes() -> Iterator[Processes]:
    watching = Processes()
    watching.start()
    yield watching
    watching.end()


def forms(secret: bytes) -> list[bytes]:
    """Return the ways in which octets may have been written."""
    text = base64.b64encode(secret)
    inner = text[4:-4]  # whatever stands before and after it
    return [secret, secret.hex().encode(), secret.hex().upper().encode(), text, inner]


def key_forms(pem: str) -> list[bytes]:
    """Return the ways in which a private key may have been written."""
    key = load_pem_private_key(pem.encode(), None)
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    lines = [line.encode() for line in pem.splitlines()[1:-2]]
    return [*forms(der), *forms(scalar), *lines]


def use_every_secret(server: Server, place: Path) -> tuple[list[bytes], str]:
    """Use passphrase, tokens, passwords and keys in every way, right and wrong.

    Returns:
        The octets to look for, and what commands and refusals said meanwhile.
    """
    home = server.authority.home
    (place / "password").write_text(PASSWORD)
    (place / "password").chmod(0o600)
    (place / "wrong").write_text(f"{PASSPHRASE} but wrong\n")
    (place / "wrong").chmod(0o600)
    said = [
        server.mintmark("token", "web", "--san", "web.secret.internal", "--out", place / "token"),
        server.mintmark("token", "app", "--san", "app.secret.internal", "--out", place / "other"),
    ]
    token, other = ((place / name).read_text().strip() for name in ("token", "other"))
    url = f"https://localhost:{server.authority.https_port}"
    said.append(
        server.mintmark(
            "issue", "web.secret.internal", "--service", "web", "--token-file", place / "token",
            "--server", url, "--ca", server.authority.root, "--out", home / "web",
        )
    )  # fmt: skip
    again = ("issue", "web.secret.internal", "--token-file", place / "token", "--server", url)
    said.append(server.authority.mintmark(*again, "--ca", server.authority.root).text)
    wrong = ("issue", "x.secret.internal", "--offline", "--passphrase-file", place / "wrong")
    said.append(server.authority.mintmark(*wrong).text)
    said.append(
        server.mintmark(
            "export", home / "web", "--format", "pkcs12", "--password-file", place / "password",
            "--out", home / "web.p12",
        )
    )  # fmt: skip
    made = []
    with server.connect(server.files) as client:
        for number in range(3):
            answer = client.issue(f"made{number}.storm.internal")
            assert answer.status == 201
            made.append(answer.json["private_key"])
        password = {"X-PKCS12-Password": PASSWORD}
        downloaded = client.ask(
            "GET", "/certificates/storm/download?format=pkcs12", headers=password
        )
        assert downloaded.status == 200
        refused = client.ask("GET", "/certificates/nobody/download", headers=password)
        said.append(refused.body.decode())
    with server.connect() as client:
        bearer = {"Authorization": f"Bearer {other}"}
        body = {"san_dns": ["not-allowed.example.internal"]}
        for headers, sent in (
            (bearer, body),
            (bearer, b"{"),
            ({"Authorization": f"Basic {other}"}, body),
            ({"Authorization": f"Bearer {token}"}, body),
            ({**bearer, "Idempotency-Key": " "}, body),
        ):
            answer = client.ask("POST", "/certificates/request", sent, headers)
            assert answer.status >= 400
            said.append(answer.body.decode())
        assert client.ask("GET", "/audit", headers=bearer).status == 401
    keys = [*made, (home / "web" / "privkey.pem").read_text()]
    octets = [form for key in keys for form in key_forms(key)]
    for secret in (PASSPHRASE, PASSWORD, token, other):
        octets += forms(secret.encode())
    return octets, "\n".join(said)


def test_secrets_are_nowhere_but_where_they_belong(place, processes):
    server = make(place / "ours", settings=SETTINGS)
    with serving(server):
        secrets, said = use_every_secret(server, place)
        audit = server.mintmark("audit", "list", "--limit", "1000", "--json")
        whole = server.mintmark("list", "--json")
        environment = Path(f"/proc/{server.pid}/environ").read_bytes()
        running = {file: file.read_bytes() for file in server.authority.directory.rglob("mint*")}
    processes.end()
    assert "certificate.request" in audit
    assert any(b"--passphrase-file" in line for line in processes.seen)
    places = {
        "argv": b"\n".join(processes.seen),
        "environment": environment,
        "log": server.log.read_bytes(),
        "answers": said.encode(),
        "audit log": audit.encode(),
        "inventory": whole.encode(),
        **{f"{file.name}, running": octets for file, octets in running.items()},
        **{
            str(file.relative_to(place)): file.read_bytes()
            for file in server.authority.directory.rglob("*")
            if file.is_file()
        },
    }
    assert any(name.startswith("mintmark.db-wal") for name in places)
    found = [name for name, octets in places.items() if any(one in octets for one in secrets)]
    assert found == []


def test_keys_of_the_authority_are_encrypted_and_for_their_owner_alone(place):
    server = make(place)
    for file in server.authority.directory.rglob("key.pem"):
        encrypted = "BEGIN ENCRYPTED PRIVATE KEY" in file.read_text()
        assert encrypted == (file.parent.name not in {"server", "admin"})
        assert file.stat().st_mode & 0o077 == 0
    assert (server.directory.path / "mintmark.db").stat().st_mode & 0o077 == 0
