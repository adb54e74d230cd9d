"""`SSHStore` and `ProvisionerStore` on SQLite; `mintmark.store.ssh` says what they promise.

What all requests with a signed token ask, and all for SSH certificates, is answered to those of
one turn together. So are they gathered when they go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw

from mintmark.model.act import Act
from mintmark.model.provisioner import StoredProvisioner
from mintmark.model.ssh import BanKind, SSHAuthority, SSHBan, SSHCertificateType, StoredKRL
from mintmark.model.time import Clock
from mintmark.store import leaf as leaves
from mintmark.store import ssh_rows
from mintmark.store.sqlite import ssh
from mintmark.store.sqlite.acme_store import SQLiteACME
from mintmark.store.sqlite.connection import connect, explain
from mintmark.store.sqlite.lookup import Lookup


class SQLiteSSH(SQLiteACME):
    """What SSH and provisioners need to be remembered."""

    def __init__(self, path: str | Path, clock: Clock, *, threaded: bool | None = None) -> None:
        super().__init__(path, clock, threaded=threaded)
        self._used = Lookup(self._reader, ssh.USED)
        self._barred = Lookup(self._reader, ssh.BARRED)

    async def add_ssh_authority(self, authority: SSHAuthority, audit: Act) -> None:
        """Remember a CA key together with an act that says so."""
        leaf = leaves.encode(audit)
        await self._work(lambda c: ssh.add_authority(c, authority, leaf))

    async def ssh_authorities(self) -> list[tuple[str, SSHCertificateType, bytes]]:
        """Return (id, type, key blob) of every CA key that ever signed, oldest first."""
        found = self._rows(f"{ssh_rows.AUTHORITIES} ORDER BY id", [()])
        return [ssh_rows.authority(row) for row in found]

    async def ssh_hosts(self, now: int, *, after: str | None, limit: int) -> list[str]:
        """Return principals of unexpired, unrevoked host certificates above `after`, sorted."""
        if not ssh_rows.findable(after or ""):
            return []
        return await self._scan(lambda c: ssh.hosts(c, now, after, limit))

    async def ssh_host_exists(self, principal: str, now: int) -> bool:
        """Whether an unexpired, unrevoked host certificate names this principal."""
        if not ssh_rows.findable(principal):
            return False
        return self._row(ssh.HOST, (principal.lower(), now)) is not None

    async def banned(self, key_id: str, key_sha256: bytes) -> SSHBan | None:
        """Return the ban on a key id or a key, if there is one."""
        keys = key_sha256, BanKind.KEY.value, key_id.encode(), BanKind.KEY_ID.value
        row = self._row(ssh.BAN, keys)
        return None if row is None else ssh_rows.ban(row)

    async def barred(self, spki_sha256: bytes, key_sha256: bytes, key_id: str) -> bool:
        """Whether an SSH certificate must not be: its key is blocked or banned, or its key id."""
        return await self._barred.has(spki_sha256 + key_sha256 + key_id.encode())

    def krl_serials(self, not_after_from: int) -> Iterator[tuple[str, int]]:
        """Yield (SSH authority id, serial), sorted, of revoked SSH certificates."""
        try:
            connection = connect(self._path)
            try:
                for issuer, serial in connection.execute(ssh.KRL_SERIALS, (not_after_from,)):
                    yield issuer, int.from_bytes(serial)
            finally:
                connection.close(True)
        except apsw.Error as error:
            raise explain(error) from error

    async def bans(self) -> list[SSHBan]:
        """Return every ban, oldest first."""
        return await self._scan(ssh.bans)

    async def latest_krl(self) -> StoredKRL | None:
        """Return the newest KRL."""
        row = await self._scan(lambda c: c.execute(ssh_rows.KRL).fetchone())  # of any size
        return None if row is None else ssh_rows.krl(row)

    async def add_krl(self, krl: StoredKRL) -> bool:
        """Publish a KRL; False, and nothing stored, if that number exists already."""
        return await self._work(lambda c: ssh.add_krl(c, krl))

    async def provisioners(self) -> list[StoredProvisioner]:
        """Return every stored provisioner, removed ones too, by name."""
        found = self._rows(f"{ssh_rows.PROVISIONERS} ORDER BY name", [()])
        return [ssh_rows.provisioner(row) for row in found]

    async def provisioners_version(self) -> int:
        """Return a number that rises with every change of a stored provisioner."""
        row = self._row(ssh_rows.PROVISIONERS_VERSION, ())
        return int(row[0]) if row is not None else 0

    async def token_used(self, sha256: bytes) -> bool:
        """Whether a signed token was used up."""
        return await self._used.has(sha256)
