"""How a request of the API's client reaches a server: over mutual TLS, or another way.

`HTTPTransport` trusts what it is given and nothing of its surroundings: no proxy, no trust
store and no credentials from environment variables. httpx is imported when the first
connection is made, so that programs which never connect do not pay for it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

import msgspec

import mintmark
from mintmark.model.errors import Error, Kind

if TYPE_CHECKING:
    import httpx

TIMEOUT = 30.0  # seconds to connect, and between two reads
MAX_ANSWER = 256 * 1024 * 1024  # octets; a CRL of a million entries has 40 MB

# TLS alerts by which a server refuses a client certificate (RFC 8446 §6.2), as OpenSSL says.
_CLIENT_ALERTS = (
    "certificate required",
    "certificate revoked",
    "certificate expired",
    "certificate unknown",
    "bad certificate",
    "unsupported certificate",
    "unknown ca",
    "handshake failure",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered.

    Args:
        status: HTTP status code.
        headers: names in lower case.
        body: complete.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Transport(Protocol):
    """A way to a server."""

    def request(
        self,
        method: str,
        path: str,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and return what was answered, whatever its status.

        Args:
            method: upper case.
            path: starts with `/api/v1/`, with its query, encoded.
            json: a struct or plain value for the body; None sends none.
            headers: further headers.

        Raises:
            Error: UNAVAILABLE when no answer came, CONFIGURATION when TLS cannot work.
        """

    def close(self) -> None:
        """Let go of connections."""


class HTTPTransport:
    """Requests over HTTPS, by one connection that is kept open.

    Args:
        base_url: as `https://ca.example:8443`.
        cert: client certificate with its chain, PEM; None asks without a certificate.
        key: its private key, PEM.
        ca: trust anchors, PEM; None trusts what the operating system trusts.
        timeout: seconds.
    """

    def __init__(
        self,
        base_url: str,
        cert: Path | None = None,
        key: Path | None = None,
        ca: Path | None = None,
        *,
        timeout: float = TIMEOUT,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._files = (cert, key, ca)
        self._timeout = timeout
        self._client: httpx.Client | None = None

    def request(
        self,
        method: str,
        path: str,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request and return what was answered, whatever its status.

        Raises:
            Error: UNAVAILABLE when no answer came, CONFIGURATION when TLS cannot work,
                UNAUTHENTICATED when the server refuses the client certificate.
        """
        import httpx  # noqa: PLC0415 - 100 ms that `mintmark --help` must not pay

        sent = {"user-agent": f"mintmark/{mintmark.__version__}", **(headers or {})}
        content = None
        if json is not None:
            content = msgspec.json.encode(json)
            sent["content-type"] = "application/json"
        client = self._open()
        try:
            with client.stream(
                method, self._base_url + path, content=content, headers=sent
            ) as response:
                return Answer(response.status_code, dict(response.headers), _read(response))
        except httpx.HTTPError as error:
            raise self._explained(error) from error
        except httpx.InvalidURL as error:
            raise Error(
                Kind.CONFIGURATION,
                f"{self._base_url!r} is not a URL: {error}",
                hint="write it as https://localhost:8443",
            ) from error

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> httpx.Client:
        import httpx  # noqa: PLC0415 - as above

        if self._client is None:
            self._client = httpx.Client(
                verify=tls_context(*self._files),
                trust_env=False,
                timeout=self._timeout,
                follow_redirects=False,
            )
        return self._client

    def _explained(self, error: httpx.HTTPError) -> Error:
        """Return what went wrong in words that say what to do."""
        import httpx  # noqa: PLC0415 - as above

        url = self._base_url
        reason = _root_cause(error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            return _untrusted(url, reason)
        if isinstance(reason, ssl.SSLError) or "[SSL" in str(error):
            return _tls_failure(url, f"{reason or error}")
        if isinstance(error, httpx.ConnectTimeout | httpx.ConnectError):
            why = "connection timed out" if isinstance(error, httpx.ConnectTimeout) else str(error)
            return Error(
                Kind.UNAVAILABLE,
                f"cannot connect to {url}: {why}",
                hint="is the server running? start it with: mintmark serve",
            )
        if isinstance(error, httpx.UnsupportedProtocol):
            return Error(
                Kind.CONFIGURATION,
                f"{url!r} is not an https URL",
                hint="write it as https://localhost:8443",
            )
        return Error(
            Kind.UNAVAILABLE,
            f"no answer from {url}: {error or type(error).__name__}",
            hint="the request may have been carried out; look with: mintmark list",
        )


def tls_context(cert: Path | None, key: Path | None, ca: Path | None) -> ssl.SSLContext:
    """Return a client's TLS context that reads no environment variable.

    Raises:
        Error: CONFIGURATION when a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        with _naming(ca, "trust anchors"):
            context.load_verify_locations(cadata=ca.read_text(encoding="ascii"))
    if cert is not None:
        with _naming(cert, f"a certificate with key '{key or cert}'"):
            context.load_cert_chain(cert, key)
    return context


@contextmanager
def _naming(path: Path, what: str) -> Iterator[None]:
    """Name the file in errors of the block."""
    try:
        yield
    except (OSError, ValueError) as error:  # an ssl.SSLError is an OSError
        reason = getattr(error, "strerror", None) or str(error)
        raise Error(
            Kind.CONFIGURATION,
            f"cannot use '{path}' as {what}: {reason}",
            hint="give readable PEM files: --cert, --key, --ca",
        ) from error


def _untrusted(url: str, reason: ssl.SSLCertVerificationError) -> Error:
    return Error(
        Kind.CONFIGURATION,
        f"the certificate of {url} cannot be trusted: {reason.verify_message or reason}",
        hint="give the authority's root with --ca, and call the server by a name that is in "
        "'server.names' of its configuration",
    )


def _tls_failure(url: str, reason: str) -> Error:
    text = reason.lower().replace("_", " ")
    if any(alert in text for alert in _CLIENT_ALERTS):
        return Error(
            Kind.UNAUTHENTICATED,
            f"{url} refuses the client certificate: {reason}",
            hint="it must be of this authority, valid now, and for clients (profile client or "
            "peer)",
        )
    return Error(
        Kind.CONFIGURATION,
        f"TLS with {url} does not work: {reason}",
        hint="is this the HTTPS port? plain HTTP has another",
    )


def _root_cause(error: BaseException) -> BaseException | None:
    """Return the TLS error behind an error, if there is one."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


def _read(response: httpx.Response) -> bytes:
    """Read an answer, and no more of it than an answer can have."""
    parts: list[bytes] = []
    size = 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > MAX_ANSWER:
            raise Error(
                Kind.TOO_LARGE, f"the answer has more than {MAX_ANSWER} octets", hint="ask for less"
            )
        parts.append(chunk)
    return b"".join(parts)
