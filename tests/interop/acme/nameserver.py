"""A real DNS server that takes signed updates (RFC 2136, TSIG): Knot DNS on loopback.

Every name of the zone is 127.0.0.1, so that validation finds the clients of the tests without
a line in /etc/hosts.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.interop.programs import Account, Daemon, free_port, listens, program, running

ZONE = "example.internal"
KEY_NAME = "acme-key"
SECRET = base64.b64encode(hashlib.sha256(b"a TSIG key of the tests").digest()).decode()
_ZONE_FILE = f"""$ORIGIN {ZONE}.
$TTL 1
@ IN SOA ns hostmaster 1 60 30 600 1
@ IN NS ns
@ IN A 127.0.0.1
* IN A 127.0.0.1
"""


@dataclass(frozen=True)
class Nameserver:
    """A running DNS server.

    Args:
        port: on 127.0.0.1, UDP and TCP.
    """

    port: int

    @property
    def address(self) -> str:
        """Address and port, as clients are told them."""
        return f"127.0.0.1:{self.port}"


@contextlib.contextmanager
def serving(path: Path, account: Account) -> Iterator[Nameserver]:
    """Serve the zone for the length of a block.

    Args:
        path: the server's own directory, not there yet.
        account: whom it runs as.
    """
    knotd, port = program("knotd"), free_port()
    path.mkdir()
    (path / "zone").write_text(_ZONE_FILE)
    configuration = path / "knot.conf"
    configuration.write_text(f"""
server:
  listen: 127.0.0.1@{port}
  rundir: {path}
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: {path}
log:
  - target: stderr
    any: info
key:
  - id: {KEY_NAME}
    algorithm: hmac-sha256
    secret: {SECRET}
acl:
  - id: update
    key: {KEY_NAME}
    action: update
zone:
  - domain: {ZONE}
    file: {path}/zone
    acl: update
    zonefile-sync: -1
    zonefile-load: difference-no-serial
    journal-content: all
""")
    account.owns(path)
    command = (knotd, "-c", str(configuration))
    daemon = Daemon(command, path.with_suffix(".log"), {"cwd": path, **account.popen})
    with running(daemon, lambda: listens(port)):
        yield Nameserver(port)
