"""`SSHStore` and `ProvisionerStore` on PostgreSQL; `mintmark.store.ssh` has their promises."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from mintmark.model.act import Act
from mintmark.model.provisioner import StoredProvisioner
from mintmark.model.ssh import BanKind, SSHAuthority, SSHBan, SSHCertificateType, StoredKRL
from mintmark.store import leaf as leaves
from mintmark.store import ssh_rows
from mintmark.store.postgresql import ssh
from mintmark.store.postgresql.acme_store import PostgreSQLACME


class PostgreSQLSSH(PostgreSQLACME):
    """What SSH and provisioners need to be remembered."""

    async def add_ssh_authority(self, authority: SSHAuthority, audit: Act) -> None:
        """Remember a CA key together with an act that says so."""
        leaf = leaves.encode(audit)
        await self._write(lambda c: ssh.add_authority(c, authority, leaf))

    async def ssh_authorities(self) -> list[tuple[str, SSHCertificateType, bytes]]:
        """Return (id, type, key blob) of every CA key that ever signed, oldest first."""
        return await self._read(ssh.authorities)

    async def ssh_hosts(self, now: int, *, after: str | None, limit: int) -> list[str]:
        """Return principals of unexpired, unrevoked host certificates above `after`, sorted."""
        if not ssh_rows.findable(after or ""):
            return []
        return await self._read(lambda c: ssh.hosts(c, now, after, limit))

    async def ssh_host_exists(self, principal: str, now: int) -> bool:
        """Whether an unexpired, unrevoked host certificate names this principal."""
        if not ssh_rows.findable(principal):
            return False
        return bool(await self._read(lambda c: c.fetchval(ssh.HOST, principal.lower(), now)))

    async def banned(self, key_id: str, key_sha256: bytes) -> SSHBan | None:
        """Return the ban on a key id or a key, if there is one."""
        keys = key_sha256, BanKind.KEY.value, key_id.encode(), BanKind.KEY_ID.value
        row = await self._read(lambda c: c.fetchrow(ssh.BAN, *keys))
        return None if row is None else ssh_rows.ban(row)

    async def barred(self, spki_sha256: bytes, key_sha256: bytes, key_id: str) -> bool:
        """Whether an SSH certificate must not be: its key is blocked or banned, or its key id."""
        if await self._open_parts().blocked.get(spki_sha256) is not None:
            return True
        return await self.banned(key_id, key_sha256) is not None

    def krl_serials(self, not_after_from: int) -> Iterator[tuple[str, int]]:
        """Yield (SSH authority id, serial), sorted, of revoked SSH certificates."""
        for page in self._snapshot(partial(ssh.krl_serials, not_after_from)):
            for issuer, serial in page:
                yield issuer, int.from_bytes(serial)

    async def bans(self) -> list[SSHBan]:
        """Return every ban, oldest first."""
        return await self._read(ssh.bans)

    async def latest_krl(self) -> StoredKRL | None:
        """Return the newest KRL."""
        row = await self._read(lambda c: c.fetchrow(ssh_rows.KRL))
        return None if row is None else ssh_rows.krl(row)

    async def add_krl(self, krl: StoredKRL) -> bool:
        """Publish a KRL; False, and nothing stored, if that number exists already."""
        return await self._long(lambda c: ssh.add_krl(c, krl))

    async def provisioners(self) -> list[StoredProvisioner]:
        """Return every stored provisioner, removed ones too, by name."""
        found = await self._read(lambda c: c.fetch(f"{ssh_rows.PROVISIONERS} ORDER BY name"))
        return [ssh_rows.provisioner(row) for row in found]

    async def provisioners_version(self) -> int:
        """Return a number that rises with every change of a stored provisioner."""
        return int(await self._read(lambda c: c.fetchval(ssh_rows.PROVISIONERS_VERSION)))

    async def token_used(self, sha256: bytes) -> bool:
        """Whether a signed token was used up."""
        return await self._open_parts().used.get(sha256) is not None
