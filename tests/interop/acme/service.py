"""An authority served for ACME clients: where they find it, and where it looks for them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.interop.acme.nameserver import Nameserver
from tests.interop.authority import Authority


@dataclass(frozen=True)
class Service:
    """A served authority and the ports that it validates at.

    Args:
        authority: the authority.
        nameserver: the only resolver that its validation asks.
        http_port: in place of 80, where the tests may not listen.
        https_port: in place of 443.
    """

    authority: Authority
    nameserver: Nameserver
    http_port: int
    https_port: int

    @property
    def host(self) -> str:
        """Host and port of its URLs."""
        return f"localhost:{self.authority.https_port}"

    def directory(self, provisioner: str = "acme") -> str:
        """Return the URL of a provisioner's directory."""
        return f"https://{self.host}/acme/{provisioner}/directory"

    def external_key(self) -> tuple[str, str]:
        """Return a new external account key of `partners`: its id and the HMAC key."""
        add = ("acme", "eab", "add", "--provisioner", "partners", "--json")
        made = json.loads(self.authority.mintmark(*add).succeeded())
        return made["key_id"], made["hmac_key"]

    @property
    def root(self) -> Path:
        """What clients trust."""
        return self.authority.root

    @property
    def words(self) -> dict[str, str]:
        """What texts of the pages mean here."""
        return {"pki.example.internal:8443": self.host}
