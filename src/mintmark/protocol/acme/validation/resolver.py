"""Names to addresses and TXT records, by resolvers that the operator chose.

Queries go to each server in turn, over UDP and, when the answer does not fit, TCP. Nothing is
remembered between validations (RFC 8555 §10.2 wants fresh data), and every failure names the
server and what it said.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mintmark.protocol.acme.validation import dns_message as dns
from mintmark.protocol.acme.validation.endpoint import endpoint, parse_endpoint, sources, why
from mintmark.protocol.acme.validation.outcome import ChallengeError
from mintmark.protocol.acme.validation.settings import ValidationSettings
from mintmark.protocol.acme.validation.system_files import (
    SystemFile,
    parse_hosts,
    parse_resolv_conf,
)

ROUNDS: Final = 2  # how often each server is asked


@dataclass(frozen=True, slots=True)
class Server:
    """One recursive resolver."""

    address: str
    port: int
    source: str | None

    def __str__(self) -> str:
        return endpoint(self.address, self.port, default=53)


class Resolver:
    """Asks resolvers.

    Args:
        settings: which ones, and for how long.
        entropy: random octets, for query ids.
        hosts: read when the settings name no resolver.
        resolv_conf: read for servers when the settings name none.

    Raises:
        Error: CONFIGURATION for a resolver or source address that is not of its form.
    """

    def __init__(
        self,
        settings: ValidationSettings,
        entropy: Callable[[int], bytes] = os.urandom,
        *,
        hosts: Path = Path("/etc/hosts"),
        resolv_conf: Path = Path("/etc/resolv.conf"),
    ) -> None:
        self._settings: Final = settings
        self._entropy: Final = entropy
        self._sources: Final = sources(settings)
        self._configured: Final = tuple(self._server(text) for text in settings.resolvers)
        self._hosts: Final = SystemFile(hosts, parse_hosts)
        self._resolv_conf: Final = SystemFile(resolv_conf, parse_resolv_conf)

    async def addresses(self, name: str) -> list[str]:
        """Return the addresses of a name, IPv6 first.

        Raises:
            ChallengeError: dns, also when there is none.
        """
        if not self._configured:
            known = self._hosts().get(name.lower().removesuffix("."))
            if known:
                return list(known)
        answers = await asyncio.gather(
            self._addresses(name, dns.AAAA), self._addresses(name, dns.A), return_exceptions=True
        )
        found: list[str] = []
        failures: list[ChallengeError] = []
        for answer in answers:
            if isinstance(answer, ChallengeError):
                failures.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found += answer
        if found:
            return found
        if failures:
            raise failures[-1]
        raise ChallengeError("dns", f"'{name}' is in the DNS but has neither an A nor AAAA record")

    async def _addresses(self, name: str, type: int) -> list[str]:  # noqa: A002 - DNS's word
        try:
            return [dns.address(rdata) for rdata in await self._lookup(name, type)]
        except ValueError as error:
            what = f"{dns.TYPES[type]} of '{name}'"
            raise ChallengeError("dns", f"the answer for {what} is broken: {error}") from None

    async def texts(self, name: str) -> list[bytes]:
        """Return the TXT records of a name, the strings of each joined; none is no error.

        Raises:
            ChallengeError: dns.
        """
        try:
            return [dns.text(rdata) for rdata in await self._lookup(name, dns.TXT)]
        except ValueError as error:
            raise ChallengeError(
                "dns", f"the answer for TXT of '{name}' is broken: {error}"
            ) from None

    async def _lookup(self, name: str, type: int) -> tuple[bytes, ...]:  # noqa: A002 - DNS's word
        """Return the RDATA of a name's records, aliases followed; NOERROR without any is none.

        Resolvers follow aliases themselves; where one does not, because it is authoritative and
        nothing else, the next name is asked for here.
        """
        what = f"{dns.TYPES[type]} of '{name}'"
        try:
            owner = dns.encode_name(name)
        except ValueError as error:
            raise ChallengeError("dns", f"{what} cannot be asked for: {error}") from None
        servers = self._servers()
        tries = _Tries(what)
        try:
            async with asyncio.timeout(self._settings.dns_timeout):
                return await self._chase(owner, type, servers, tries)
        except TimeoutError:
            raise ChallengeError(
                "dns",
                f"no answer for {what} within {self._settings.dns_timeout:g} s from "
                f"{_list(servers)}{tries.told()}; is the resolver running and reachable?",
            ) from None

    async def _chase(
        self,
        owner: bytes,
        type: int,  # noqa: A002 - DNS's word
        servers: tuple[Server, ...],
        tries: _Tries,
    ) -> tuple[bytes, ...]:
        seen = {owner}
        while True:
            reply, server = await self._ask(owner, type, servers, tries)
            alias = (
                "" if reply.name == owner else f" (an alias of it: '{dns.decode_name(reply.name)}')"
            )
            if reply.rcode == dns.NXDOMAIN:
                raise ChallengeError(
                    "dns",
                    f"there is no {tries.what}: resolver {server} says that the name does not "
                    f"exist{alias} (NXDOMAIN)",
                )
            if reply.rdata or reply.name == owner:
                return reply.rdata
            owner = reply.name
            if owner in seen or len(seen) >= dns.MAX_CHAIN:
                kind = "form a loop" if owner in seen else "are too many"
                raise ChallengeError(
                    "dns", f"the aliases (CNAME) of {tries.what} {kind}{alias} at resolver {server}"
                )
            seen.add(owner)

    async def _ask(
        self,
        owner: bytes,
        type: int,  # noqa: A002 - DNS's word
        servers: tuple[Server, ...],
        tries: _Tries,
    ) -> tuple[dns.Reply, Server]:
        """Return the first answer that says yes or no, and whose it is."""
        for _ in range(ROUNDS):
            for server in servers:
                query = dns.query(int.from_bytes(self._entropy(2)), owner, type)
                try:
                    async with asyncio.timeout(self._settings.dns_try):
                        reply = dns.parse(await _udp(server, query), query)
                        if reply.truncated:
                            reply = dns.parse(await _tcp(server, query), query)
                except (OSError, EOFError, ValueError) as error:  # TimeoutError is an OSError
                    tries.note(server, self._reason(error))
                    continue
                if reply.truncated:
                    tries.note(server, "a truncated answer over TCP")
                elif reply.rcode not in {dns.NOERROR, dns.NXDOMAIN}:
                    tries.note(server, dns.RCODES.get(reply.rcode, f"response code {reply.rcode}"))
                else:
                    return reply, server
        raise ChallengeError("dns", f"no usable answer for {tries.what}{tries.told()}")

    def _reason(self, error: Exception) -> str:
        if isinstance(error, TimeoutError) and error.errno is None:
            return f"no answer within {self._settings.dns_try:g} s"
        return why(error) if isinstance(error, OSError) else str(error)

    def _servers(self) -> tuple[Server, ...]:
        if self._configured:
            return self._configured
        servers = tuple(self._server(text) for text in self._resolv_conf())
        if not servers:
            raise ChallengeError(
                "serverInternal",
                "the authority knows no DNS resolver: neither its configuration nor its "
                "resolv.conf names one",
            )
        return servers

    def _server(self, text: str) -> Server:
        address, port = parse_endpoint(text, 53)
        return Server(address, port, self._sources.get(":" in address))


class _Tries:
    """What was tried for one lookup, for the sentence when all is in vain."""

    def __init__(self, what: str) -> None:
        self.what = what
        self._notes: dict[Server, str] = {}

    def note(self, server: Server, why: str) -> None:
        self._notes[server] = why

    def told(self) -> str:
        if not self._notes:
            return ""
        said = "; ".join(f"resolver {server}: {why}" for server, why in self._notes.items())
        return f" ({said})"


def _list(servers: tuple[Server, ...]) -> str:
    return ("resolver " if len(servers) == 1 else "resolvers ") + ", ".join(map(str, servers))


class _Datagrams(asyncio.DatagramProtocol):
    """Waits for the one datagram that answers a query."""

    def __init__(self, query: bytes) -> None:
        self._query = query
        self.reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:  # noqa: ARG002 - asyncio's
        if not self.reply.done() and dns.answers(data, self._query):
            self.reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)


async def _udp(server: Server, query: bytes) -> bytes:
    """Ask over UDP, from a port of its own that only the server's datagrams reach (RFC 5452)."""
    transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(query),
        remote_addr=(server.address, server.port),
        local_addr=(server.source, 0) if server.source else None,
    )
    try:
        transport.sendto(query)
        return await protocol.reply
    finally:
        transport.abort()


async def _tcp(server: Server, query: bytes) -> bytes:
    """Ask over TCP; an answer has at most 65535 octets (RFC 7766 §8)."""
    reader, writer = await asyncio.open_connection(
        server.address, server.port, local_addr=(server.source, 0) if server.source else None
    )
    try:
        writer.write(len(query).to_bytes(2) + query)
        size = int.from_bytes(await reader.readexactly(2))
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError:
        raise EOFError("the connection was closed before the answer was complete") from None
    finally:
        writer.transport.abort()
