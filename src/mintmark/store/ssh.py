"""The contract of what SSH and provisioners need to be remembered.

SSH certificates are rows of the inventory like X.509 ones: `Store.certificate` and
`Store.certificates` return `SSHCertificate` values for them, revocations, quotas and the audit
log are the same. What only SSH has stands here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from mintmark.model.act import Act
from mintmark.model.provisioner import StoredProvisioner
from mintmark.model.ssh import SSHAuthority, SSHBan, SSHCertificateType, StoredKRL


class SSHStore(Protocol):
    """What SSH needs; a part of every `Store`."""

    async def add_ssh_authority(self, authority: SSHAuthority, audit: Act) -> None:
        """Remember a CA key together with an act that says so; repeating it is harmless.

        The store keeps key and type, not the generation: that is what the files say.
        """

    async def ssh_authorities(self) -> list[tuple[str, SSHCertificateType, bytes]]:
        """Return (id, type, key blob) of every CA key that ever signed, oldest first."""

    async def ssh_hosts(self, now: int, *, after: str | None, limit: int) -> list[str]:
        """Return principals of unexpired, unrevoked host certificates above `after`, sorted."""

    async def ssh_host_exists(self, principal: str, now: int) -> bool:
        """Whether an unexpired, unrevoked host certificate names this principal."""

    async def banned(self, key_id: str, key_sha256: bytes) -> SSHBan | None:
        """Return the ban on a key id or a key, if there is one."""

    async def barred(self, spki_sha256: bytes, key_sha256: bytes, key_id: str) -> bool:
        """Whether an SSH certificate must not be: its key is blocked or banned, or its key id.

        One answer to what all issuances ask; `key_blocked` and `banned` say which it is.
        """

    def krl_serials(self, not_after_from: int) -> Iterator[tuple[str, int]]:
        """Yield (SSH authority id, serial), sorted, of revoked SSH certificates.

        Certificates with not_after < `not_after_from` are left out. Called in a worker thread.
        """

    async def bans(self) -> list[SSHBan]:
        """Return every ban, oldest first."""

    async def latest_krl(self) -> StoredKRL | None:
        """Return the newest KRL."""

    async def add_krl(self, krl: StoredKRL) -> bool:
        """Publish a KRL; False, and nothing stored, if that number exists already.

        Older KRLs keep their numbers and times; their octets go.
        """


class ProvisionerStore(Protocol):
    """What provisioners need; a part of every `Store`."""

    async def provisioners(self) -> list[StoredProvisioner]:
        """Return every stored provisioner, removed ones too, by name."""

    async def provisioners_version(self) -> int:
        """Return a number that rises with every change of a stored provisioner."""

    async def token_used(self, sha256: bytes) -> bool:
        """Whether a signed token was used up (an early answer; the commit decides)."""
