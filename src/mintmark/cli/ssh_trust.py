"""Which server a person's commands go to, remembered after it was known by its fingerprint once.

`~/.config/mintmark/server` holds its URL, `ca.pem` beside it the root that it is trusted by.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from mintmark.authority.signer.files import write_public
from mintmark.cli.options import Place
from mintmark.client.bootstrap import fetch_root
from mintmark.model.errors import Error, Kind
from mintmark.server.directory import Directory

_SERVER: Final = "server"
_CA: Final = "ca.pem"


def known(place: Place, fingerprint: str | None = None) -> Place:
    """Return the place with the server that is remembered, where the options name none.

    Args:
        place: the options.
        fingerprint: of the server's root, to remember it by from now on.

    Raises:
        Error: CONFIGURATION when no server is known, or its root is another.
    """
    if fingerprint is not None:
        return _remember(place, fingerprint)
    if place.offline or not place.is_default or Directory(place.directory).settings_file.exists():
        return place
    directory = _directory()
    remembered = _read(directory / _SERVER)
    if place.server is not None:
        same = remembered == place.server.rstrip("/") and place.ca is None
        return replace(place, ca=directory / _CA) if same else place
    if remembered is None:
        raise Error(
            Kind.CONFIGURATION,
            "no server is known here yet",
            hint="name it once with --server https://ca.example.internal:8443 and --fingerprint, "
            "the SHA-256 of its root, or each time with --server and --ca",
        )
    return replace(place, server=remembered, ca=place.ca or directory / _CA)


def _remember(place: Place, fingerprint: str) -> Place:
    if place.server is None or place.offline:
        raise Error(
            Kind.CONFIGURATION,
            "--fingerprint says whom to trust, and --server is missing that says where it is",
            hint="name it with --server https://ca.example.internal:8443",
        )
    server = place.server.rstrip("/")
    root = fetch_root(server, fingerprint)
    directory = _directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Error(
            Kind.CONFIGURATION, f"directory '{directory}' cannot be made: {error.strerror}"
        ) from error
    (directory / _SERVER).unlink(missing_ok=True)  # never an old server with a new root
    write_public(directory / _CA, root.encode())
    write_public(directory / _SERVER, f"{server}\n".encode())
    return replace(place, server=server, ca=directory / _CA)


def _directory() -> Path:
    """Return where a person's configuration is (XDG Base Directory Specification)."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".config") / "mintmark"


def _read(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Error(Kind.CONFIGURATION, f"'{path}' cannot be read: {error}") from error
