"""What an SSH client asks about hosts, and the keys that it has to trust."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from mintmark.authority.workflow.authority import Authority
from mintmark.model.errors import Error, Kind
from mintmark.model.ssh import SSHCertificateType
from mintmark.protocol.step.call import Call, answer
from mintmark.wire.http import Response
from mintmark.wire.ssh.encoding import base64_text

_FRESH: Final = 5.0  # seconds that a list of hosts is kept: it may be long, and anybody asks
_PAGE: Final = 1000
_KEYS: Final = (("userKey", SSHCertificateType.USER), ("hostKey", SSHCertificateType.HOST))


async def roots(call: Call) -> Response:
    """Return the CA keys to trust; /ssh/federation has the same, there are no others."""
    members = {
        name: [base64_text(one.key.blob) for one in trusted]
        for name, type_ in (
            ("userKey", SSHCertificateType.USER),
            ("hostKey", SSHCertificateType.HOST),
        )
        if (trusted := call.authority.ssh.trusts(type_))
    }
    if not members:
        raise no_ssh()
    return answer(200, members)


async def check_host(call: Call) -> Response:
    """Say whether a host has a certificate that is neither expired nor revoked."""
    kind = (call.body.type or "").lower()
    if kind != "host":
        raise Error(Kind.MALFORMED, f"unsupported type {kind[:40]!r}", hint="send 'host'")
    principal = call.body.principal
    if not principal:
        raise Error(Kind.MALFORMED, "missing or empty principal")
    exists = len(principal) <= 255 and await call.authority.store.ssh_host_exists(
        principal.lower(), int(call.authority.clock())
    )
    return answer(200, {"exists": exists})


async def bastion(call: Call) -> Response:
    """Say through which host another one is reached: none, every one is reached by itself."""
    if not call.authority.ssh.trusted:
        raise no_ssh()
    if not call.body.hostname:
        raise Error(Kind.MALFORMED, "missing or empty hostname")
    return answer(200, {"hostname": call.body.hostname})


class Hosts:
    """The list of hosts with a certificate, kept for a few seconds.

    Args:
        authority: whose hosts.
    """

    def __init__(self, authority: Authority) -> None:
        self._authority: Final = authority
        self._reading: Final = asyncio.Lock()
        self._kept: tuple[float, Response] | None = None

    async def hosts(self, _: Call) -> Response:
        """Return principals of host certificates that are neither expired nor revoked."""
        async with self._reading:
            now = self._authority.clock()
            if self._kept is None or not 0 <= now - self._kept[0] < _FRESH:
                self._kept = now, answer(200, {"hosts": await self._read(int(now))})
            return self._kept[1]

    async def _read(self, now: int) -> list[dict[str, Any]]:
        found: list[str] = []
        page: list[str] | None = None
        while page is None or len(page) == _PAGE:
            after = found[-1] if found else None
            page = await self._authority.store.ssh_hosts(now, after=after, limit=_PAGE)
            found.extend(page)
        return [{"hid": "", "host_tags": None, "hostname": name} for name in found]


def no_ssh() -> Error:
    """Return what an authority without SSH answers; clients read the status."""
    return Error(Kind.NOT_FOUND, "ssh is not configured")
