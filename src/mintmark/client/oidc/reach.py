"""How a provider is reached: verified TLS, no surroundings, no redirects, bounded answers."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import mintmark
from mintmark.client.oidc.metadata import MAX_BYTES, wrong
from mintmark.model.errors import Error, Kind

if TYPE_CHECKING:
    import httpx

TIMEOUT: Final = 5.0  # seconds to connect, and between two reads
# `identity`: what is counted is what was sent, and nothing grows when it is unpacked.
HEADERS: Final = {
    "user-agent": f"mintmark/{mintmark.__version__}",
    "accept": "application/json",
    "accept-encoding": "identity",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@lru_cache(maxsize=16)
def tls_context(ca_certificates: str) -> ssl.SSLContext:
    """Return a TLS context that trusts the system's roots and further ones.

    Args:
        ca_certificates: PEM, or empty.

    Raises:
        Error: CONFIGURATION when they cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if ca_certificates:
        try:
            context.load_verify_locations(cadata=ca_certificates)
        except (ssl.SSLError, ValueError) as error:
            raise Error(
                Kind.CONFIGURATION,
                f"the 'ca_certificates' of the OpenID provider are no PEM certificates: {error}",
                hint="give the roots that its TLS certificate leads to",
            ) from error
    return context


def options(ca_certificates: str) -> dict[str, Any]:
    """Return what every HTTP client here is made with."""
    return {
        "verify": tls_context(ca_certificates),
        "trust_env": False,
        "timeout": TIMEOUT,
        "follow_redirects": False,
        "headers": HEADERS,
    }


class Reach:
    """A provider as the CLI reaches it.

    Args:
        ca_certificates: PEM of roots beside the system's, or empty.
    """

    def __init__(self, ca_certificates: str = "") -> None:
        self._ca_certificates = ca_certificates

    def get(self, url: str) -> Answer:
        """Ask for a document.

        Raises:
            Error: UNAVAILABLE, CONFIGURATION.
        """
        return self._send("GET", url)

    def post(
        self, url: str, form: Mapping[str, str], basic: tuple[str, str] | None = None
    ) -> Answer:
        """Send a form, with a client's name and secret in the header if they go there.

        Raises:
            Error: UNAVAILABLE, CONFIGURATION.
        """
        return self._send("POST", url, data=dict(form), auth=basic)

    def _send(self, method: str, url: str, **more: Any) -> Answer:
        import httpx  # noqa: PLC0415 - 100 ms that `mintmark --help` must not pay

        try:
            with (
                httpx.Client(**options(self._ca_certificates)) as client,
                client.stream(method, url, **more) as response,
            ):
                parts = Parts()
                for chunk in response.iter_raw():
                    parts.add(chunk)
                return answer(response, parts)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise unreachable(url, error) from error


class Parts:
    """An answer while it is read, and no more of it than an answer can have."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, chunk: bytes) -> None:
        """Take one part.

        Raises:
            Error: UNAVAILABLE over the limit.
        """
        self._size += len(chunk)
        if self._size > MAX_BYTES:
            raise wrong(f"an answer has more than {MAX_BYTES} octets")
        self._parts.append(chunk)

    @property
    def whole(self) -> bytes:
        """All of it."""
        return b"".join(self._parts)


def answer(response: httpx.Response, parts: Parts) -> Answer:
    """Return a response that was read to its end."""
    return Answer(response.status_code, dict(response.headers), parts.whole)


def unreachable(url: str, error: Exception) -> Error:
    """Return the refusal when a provider gives no answer."""
    return Error(
        Kind.UNAVAILABLE,
        f"no answer from the OpenID provider at {urlsplit(url).netloc}: "
        f"{error or type(error).__name__}",
        hint="try again later; a TLS error asks for its root in 'ca_certificates'",
        retry_after=30,
    )
