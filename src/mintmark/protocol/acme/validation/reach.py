"""How a host is reached, and which addresses are not.

A name is resolved once, its addresses are checked, and exactly those are connected to, so that
no second resolution can lead elsewhere (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from typing import Final, TypeVar

from mintmark.protocol.acme.validation.endpoint import endpoint, sources, why
from mintmark.protocol.acme.validation.outcome import Attempt, ChallengeError
from mintmark.protocol.acme.validation.resolver import Resolver
from mintmark.protocol.acme.validation.settings import ValidationSettings

P = TypeVar("P", bound=asyncio.BaseProtocol)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Where clouds answer every machine with its secrets, beside the link-local 169.254.169.254.
_METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200"))
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1


class Reach:
    """Connects to hosts, within the settings.

    Args:
        settings: limits and ways.
        resolver: of names.
    """

    def __init__(self, settings: ValidationSettings, resolver: Resolver) -> None:
        self.settings: Final = settings
        self.resolver: Final = resolver
        self._sources: Final = sources(settings)

    async def addresses(self, host: str, attempt: Attempt) -> list[str]:
        """Return the addresses of a name or literal that may be connected to, at least one.

        Raises:
            ChallengeError: dns without any; unauthorized when the settings forbid them all.
        """
        attempt.at("dns", f"looking up the addresses of '{host}'")
        literal = ip_literal(host)
        found = [literal] if literal else await self.resolver.addresses(host)
        refused = {address: refusal(address, self.settings) for address in found}
        allowed = [address for address in found if not refused[address]]
        if not allowed:
            told = ", ".join(f"{address} is {reason}" for address, reason in refused.items())
            raise ChallengeError("unauthorized", f"'{host}' is not validated there: {told}")
        return allowed[: self.settings.addresses]

    async def connect(
        self,
        factory: Callable[[], P],
        addresses: list[str],
        port: int,
        what: str,
        attempt: Attempt,
        tls: tuple[ssl.SSLContext, str] | None = None,
    ) -> tuple[asyncio.Transport, P, str]:
        """Connect to the first address that answers.

        Args:
            factory: makes the connection's protocol.
            addresses: tried in order.
            port: of all of them.
            what: is done there, for sentences.
            attempt: told of every step.
            tls: context and server name, for a handshake.

        Returns:
            The transport, its protocol, and where it leads.

        Raises:
            ChallengeError: connection, or tls.
        """
        context, name = tls or (None, None)
        failures = []
        for address in addresses:
            place = endpoint(address, port, default=0)
            attempt.at("connection", f"{what} on {place}")
            source = self._sources.get(":" in address)
            try:
                async with asyncio.timeout(self.settings.connect_timeout):
                    transport, protocol = await asyncio.get_running_loop().create_connection(
                        factory,
                        address,
                        port,
                        ssl=context,
                        server_hostname=name,
                        local_addr=(source, 0) if source else None,
                    )
            except ssl.SSLError as error:
                raise ChallengeError(
                    "tls",
                    f"{what} on {place}: TLS failed with '{tls_reason(error)}'; is this the "
                    "right server, and the right port?",
                ) from None
            except OSError as error:  # TimeoutError is one
                failures.append(f"on {place} {self._why(error, tls=context is not None)}")
                continue
            return transport, protocol, place
        raise ChallengeError(
            "connection",
            f"{what} {', '.join(failures)}; is the server running on port {port} and reachable "
            "from the authority?",
        )

    def _why(self, error: OSError, *, tls: bool) -> str:
        if isinstance(error, TimeoutError) and error.errno is None:
            what = "no TLS handshake" if tls else "no connection"
            return f"{what} within {self.settings.connect_timeout:g} s"
        return why(error)


def ip_literal(host: str) -> str | None:
    """Return a host as an IP address without a zone, or None when it is something else."""
    try:
        return None if "%" in host else str(ipaddress.ip_address(host))
    except ValueError:
        return None


def refusal(text: str, settings: ValidationSettings) -> str | None:
    """Return why an address is not connected to, or None when it may be.

    IPv6 addresses that stand for IPv4 addresses are what they stand for.
    """
    try:
        address = _meant(ipaddress.ip_address(text))
    except ValueError:
        return "no address"
    never = _never(address)
    if never or settings.allow_private or address.is_global:
        return never
    return "a loopback address" if address.is_loopback else "a private address"


def _never(address: Address) -> str | None:
    """Return why an address is nobody's to be validated at, whatever the settings."""
    if address.is_unspecified:
        return "no host's address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_link_local:
        return "a link-local address, which is never validated"
    if address in _METADATA:
        return "an address of cloud metadata, which is never validated"
    if address.version == 4 and address.is_reserved:
        return "a reserved address"
    return None


def _meant(address: Address) -> Address:
    """Return the IPv4 address within an IPv6 address: mapped, 6to4 or NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def tls_reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's reason in words, as `unsupported protocol`."""
    return (error.reason or str(error)).replace("_", " ").lower()


def client_context(*protocols: str) -> ssl.SSLContext:
    """Return a TLS client's context that verifies nothing: the challenge itself is the proof.

    RFC 8555 §8.3 for redirects to https, RFC 8737 §3 for certificates that sign themselves.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context
