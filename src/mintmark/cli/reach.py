"""From options to the API: over mutual TLS to a server, or straight into the directory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from mintmark.cli.delivery import CA, FULLCHAIN, KEY
from mintmark.cli.options import Place
from mintmark.cli.passphrase import read_passphrase
from mintmark.client.api import APIClient
from mintmark.client.transport import Answer, HTTPTransport, Transport
from mintmark.model.errors import Error, Kind

if TYPE_CHECKING:
    from mintmark.server.local import LocalAPI


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
    if place.offline:
        if place.server is not None:
            raise Error(Kind.CONFIGURATION, "--offline and --server exclude each other")
        with _local(place) as transport:
            yield APIClient(transport)
        return
    transport = HTTPTransport(server_url(place), *_credentials(place, token, own))
    try:
        yield APIClient(transport, token=token)
    finally:
        transport.close()


def server_url(place: Place) -> str:
    """Return the server's URL; without --server, that of the directory's own server."""
    if place.server is not None:
        return place.server
    from mintmark.server.directory import Directory  # noqa: PLC0415 - not with --server

    directory = Directory(place.directory)
    directory.require_ready()
    server = directory.settings().server
    local = next((name for name in ("localhost", "127.0.0.1", "::1") if name in server.names), None)
    host = local or server.names[0]
    return f"https://{f'[{host}]' if ':' in host else host}:{server.https_port}"


def _credentials(
    place: Place, token: str | None, own: Path | None
) -> tuple[Path | None, Path | None, Path | None]:
    """Return client certificate, key and trust anchors."""
    ca = place.ca
    certificate, key = place.certificate, place.key
    if (certificate is None) != (key is None):
        raise Error(Kind.CONFIGURATION, "--cert and --key go together")
    admin, root = place.directory / "admin", place.directory / "root" / "cert.pem"
    if ca is None and root.exists():
        ca = root
    if token is not None:  # a token speaks for itself
        return certificate, key, ca
    if certificate is None and (admin / "key.pem").exists():
        certificate, key = admin / "fullchain.pem", admin / "key.pem"
    if certificate is None and own is not None and (own / KEY).exists():
        certificate, key = own / FULLCHAIN, own / KEY
        ca = ca or own / CA
    return certificate, key, ca


@contextmanager
def _local(place: Place) -> Iterator[Transport]:
    """Yield a transport that answers in this process, from the directory's own files."""
    from mintmark.server.directory import Directory  # noqa: PLC0415 - only for --offline
    from mintmark.server.local import local_api  # noqa: PLC0415 - only for --offline

    directory = Directory(place.directory)
    directory.require_ready()
    settings = directory.settings()
    passphrase = read_passphrase(place, directory.passphrase_file)
    with asyncio.Runner() as runner:
        context = local_api(directory, settings, passphrase)
        api = runner.run(context.__aenter__())
        try:
            yield _LocalTransport(runner, api)
        finally:
            runner.run(context.__aexit__(None, None, None))


class _LocalTransport:
    """A transport without a network.

    Args:
        runner: of the event loop in which the authority was opened.
        api: the authority's API.
    """

    def __init__(self, runner: asyncio.Runner, api: LocalAPI) -> None:
        self._runner = runner
        self._api = api

    def request(
        self,
        method: str,
        path: str,
        json: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Answer one request."""
        from urllib.parse import unquote  # noqa: PLC0415 - only for --offline

        from mintmark.wire.http import Peer, Request  # noqa: PLC0415 - only for --offline

        route, _, query = path.partition("?")
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        body = b""
        if json is not None:
            body = msgspec.json.encode(json)
            sent["content-type"] = "application/json"
        request = Request(method, unquote(route), query, sent, body, Peer(""))
        response = self._runner.run(self._api.call(request))
        found = {name.lower(): value for name, value in response.headers}
        return Answer(response.status, found, response.body)

    def close(self) -> None:
        """Nothing is open here that `_local` does not close."""
