"""URLs of ACME resources (RFC 8555 §7.1), under the base that the client itself uses.

A server is reached under several names and through forwarders; whatever name a client used,
the answers it gets stay there. The Host header says which; nothing is trusted for it, because
a client that lies about it misleads only itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mintmark.model.errors import Error, Kind
from mintmark.model.provisioner import ChallengeType
from mintmark.wire.http import Request

# uri-host [":" port] (RFC 9110 §7.2), the host a DNS name, an IPv4 or a bracketed IPv6 address.
_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9.])?|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Links:
    """The URLs of one provisioner for one client.

    Args:
        origin: as `https://ca.example.internal:8443`.
        provisioner: its name.
    """

    origin: str
    provisioner: str

    def __call__(self, *parts: str) -> str:
        """Return the URL of a resource by the parts of its path."""
        return "/".join((self.origin, "acme", self.provisioner, *parts))

    @property
    def directory(self) -> str:
        """Where everything is found (§7.1.1)."""
        return self("directory")

    @property
    def index(self) -> tuple[str, str]:
        """The header that every answer has (§7.1)."""
        return ("Link", f'<{self.directory}>;rel="index"')

    def account(self, id: str) -> str:  # noqa: A002 - its name in the model
        """Return an account's URL, which is its `kid`."""
        return self("account", id)

    def orders(self, account: str) -> str:
        """Return the URL of an account's list of orders."""
        return self("account", account, "orders")

    def order(self, id: str) -> str:  # noqa: A002 - its name in the model
        """Return an order's URL."""
        return self("order", id)

    def finalize(self, order: str) -> str:
        """Return where an order's CSR is sent."""
        return self("order", order, "finalize")

    def authorization(self, id: str) -> str:  # noqa: A002 - its name in the model
        """Return an authorization's URL."""
        return self("authorization", id)

    def challenge(self, authorization: str, type: ChallengeType) -> str:  # noqa: A002 - as above
        """Return a challenge's URL."""
        return self("challenge", authorization, type.value)

    def certificate(self, serial: bytes, chain: int = 0) -> str:
        """Return a certificate's URL; `chain` tells alternates apart."""
        return self("certificate", serial.hex(), *([str(chain)] if chain else []))

    def explanation(self, certificate: str) -> str:
        """Return a page that tells a person why a certificate should be renewed."""
        return self("explanation", certificate)

    def account_id(self, kid: str) -> str | None:
        """Return the id in an account's URL, None for a URL that is none of ours."""
        prefix = self.account("")
        return kid.removeprefix(prefix) if kid.startswith(prefix) else None


def origin(request: Request) -> str:
    """Return the origin that the client used.

    Raises:
        Error: MALFORMED without a Host header of its form.
    """
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        raise Error(
            Kind.MALFORMED,
            f"Host header {host[:80]!r} is not a host with an optional port",
            hint="send the host and port of the directory URL (RFC 9110 §7.2)",
        )
    return f"https://{host}"
