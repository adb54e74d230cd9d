"""A person signs in at an OpenID provider, in a browser here or on another device."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from mintmark.cli.output import note, say
from mintmark.client.oidc import DevicePrompt, authorization_code, device_code
from mintmark.client.oidc.reach import Reach
from mintmark.client.ssh_documents import SignInProvider
from mintmark.model.errors import Error, Kind

_SCREENS: Final = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def sign_in(
    providers: Sequence[SignInProvider],
    name: str | None,
    *,
    device: bool,
    ca: Path | None,
    as_json: bool,
) -> str:
    """Have a person sign in, and return the ID token.

    Args:
        providers: those that the server takes.
        name: of one of them; None for the only one.
        device: whether to show a code for another device.
        ca: trust anchors of the provider, beside those of the system.
        as_json: whether the answer is JSON, so that nothing else may be printed with it.

    Raises:
        Error: NOT_FOUND or CONFLICT when it is not clear where, and as the flows.
    """
    provider = _chosen(providers, name)
    tell = note if as_json else say
    reach = Reach("" if ca is None else _certificates(ca))
    if device:
        return device_code(provider, lambda prompt: _show(prompt, tell), reach=reach)
    return authorization_code(provider, lambda url: _open(url, tell), reach=reach)


def _chosen(providers: Sequence[SignInProvider], name: str | None) -> SignInProvider:
    names = ", ".join(one.name for one in providers)
    found = [one for one in providers if name in {None, one.name}]
    if len(found) == 1:
        return found[0]
    if not providers:
        raise Error(
            Kind.NOT_FOUND,
            "nobody signs in at this authority: it has no provisioner of type oidc",
            hint="an operator adds one: mintmark provisioner add",
        )
    if not found:
        raise Error(
            Kind.NOT_FOUND,
            f"there is no provisioner '{name}' to sign in at",
            hint=f"one of {names}",
        )
    raise Error(
        Kind.CONFLICT,
        f"there are several places to sign in: {names}",
        hint="name one with --provisioner",
    )


def _open(url: str, tell: Callable[[str], None]) -> None:
    """Open a browser, and say where it goes for when none opens.

    A browser in a terminal would fight with this program for it, so that only those on a screen
    are started, and those that the person named. None is waited for, and what they say to the
    terminal is not heard.
    """
    tell(f"sign in at {url}")
    if sys.platform == "darwin" or any(os.environ.get(name) for name in _SCREENS):
        quiet = subprocess.DEVNULL
        subprocess.Popen(  # noqa: S603 - the standard library's own way to a browser, no shell
            [sys.executable, "-m", "webbrowser", url],
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            start_new_session=True,
        )


def _show(prompt: DevicePrompt, tell: Callable[[str], None]) -> None:
    tell(f"on any device, open {prompt.verification_uri} and type {prompt.user_code}")
    if prompt.complete_uri:
        tell(f"or open {prompt.complete_uri}")


def _certificates(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise Error(Kind.CONFIGURATION, f"cannot read '{path}': {error}") from error
