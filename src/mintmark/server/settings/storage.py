"""Section `storage`: where the authority remembers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from mintmark.model.errors import Error, Kind
from mintmark.server.sections import Section, key, wrong
from mintmark.server.settings.values import Line


class Storage(Section, frozen=True, kw_only=True):
    """Where the authority remembers."""

    url: Annotated[
        Line,
        key(
            "sqlite:FILE, relative to the authority directory, "
            "or postgresql://USER@HOST/DATABASE without a password.",
            "can hide revocations and certificates, which the audit log reveals",
        ),
    ] = "sqlite:mintmark.db"
    password_file: Annotated[
        Line | None,
        key("File with the database password, relative to the authority directory.", "as url"),
    ] = None


def problems(storage: Storage) -> Iterator[Error]:
    """Yield what is wrong although each key by itself is of its form."""
    if not storage.url.startswith(("sqlite:", "postgresql://")):
        yield wrong(
            f"'storage.url' is '{storage.url}'; it has to begin with sqlite: or postgresql://"
        )
    elif storage.url.startswith("postgresql://") and _has_password(storage.url):
        yield Error(
            Kind.CONFIGURATION,
            "'storage.url' holds a password",
            hint="put it into a file of mode 0600 and name that in storage.password_file",
        )


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:
        return False
