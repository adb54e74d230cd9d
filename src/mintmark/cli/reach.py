"""From options to the API: over mutual TLS to a server, or straight into the directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mintmark.cli.delivery import CA, FULLCHAIN, KEY
from mintmark.cli.options import Place
from mintmark.cli.passphrase import read_passphrase
from mintmark.client.api import APIClient
from mintmark.client.transport import HTTPTransport, Transport
from mintmark.model.errors import Error, Kind
from mintmark.server.directory import Directory

_LOCAL: Final = ("localhost", "127.0.0.1", "::1")


@contextmanager
def reach(
    place: Place, *, token: str | None = None, own: Path | None = None
) -> Iterator[APIClient]:
    """Yield the API of the authority that the options name.

    Args:
        place: the options.
        token: a one-time token to ask with, instead of a certificate.
        own: directory of an issued certificate to ask with where there is no administrator.

    Raises:
        Error: CONFIGURATION when the options do not say enough, or contradict each other.
    """
    if place.offline and place.server is not None:
        raise Error(Kind.CONFIGURATION, "--offline and --server exclude each other")
    transport: Transport
    if place.offline:
        transport = _local(place)
    else:
        transport = HTTPTransport(server_url(place), *_credentials(place, token, own))
    try:
        yield APIClient(transport, token=token)
    finally:
        transport.close()


def server_url(place: Place) -> str:
    """Return the server's URL; without --server, that of the directory's own server."""
    if place.server is not None:
        return place.server
    directory = Directory(place.directory)
    directory.require_ready()
    server = directory.settings().server
    host = next((name for name in _LOCAL if name in server.names), server.names[0])
    return _url(host, server.https_port)


def distant_url(place: Place) -> str:
    """Return the server's URL as other hosts reach it."""
    if place.server is not None:
        return place.server.rstrip("/")
    server = Directory(place.directory).settings().server
    host = next((name for name in server.names if name not in _LOCAL), server.names[0])
    return _url(host, server.https_port)


def _url(host: str, port: int) -> str:
    return f"https://{f'[{host}]' if ':' in host else host}:{port}"


def trust_anchor(place: Place) -> Path:
    """Return the file of the root certificate, to be copied to whoever has to trust it."""
    return place.ca or Directory(place.directory).root.certificate


def asks_as_admin(place: Place) -> bool:
    """Whether the directory's administrator asks, who can ask for every service."""
    if place.offline:
        return True
    return place.certificate is None and Directory(place.directory).admin.key.exists()


def _credentials(
    place: Place, token: str | None, own: Path | None
) -> tuple[Path | None, Path | None, Path | None]:
    """Return client certificate, key and trust anchors."""
    ca = place.ca
    certificate, key = place.certificate, place.key
    if (certificate is None) != (key is None):
        raise Error(Kind.CONFIGURATION, "--cert and --key go together")
    directory = Directory(place.directory)
    if ca is None and directory.root.certificate.exists():
        ca = directory.root.certificate
    if token is not None:  # a token speaks for itself
        return certificate, key, ca
    if certificate is None and directory.admin.key.exists():
        certificate, key = directory.admin.fullchain, directory.admin.key
    if certificate is None and own is not None and (own / KEY).exists():
        certificate, key = own / FULLCHAIN, own / KEY
        ca = ca or own / CA
    return certificate, key, ca


def _local(place: Place) -> Transport:
    """Return a transport that answers in this process, from the directory's own files."""
    from mintmark.server.local import local_transport  # noqa: PLC0415 - only for --offline

    directory = Directory(place.directory)
    directory.require_ready()
    settings = directory.settings()
    return local_transport(directory, settings, read_passphrase(place, directory.passphrase_file))
