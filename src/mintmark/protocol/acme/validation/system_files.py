"""What the system's own files say about names: hosts(5) and resolv.conf(5)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from mintmark.protocol.acme.validation.endpoint import is_address

_MAX_FILE: Final = 4 * 1024 * 1024  # octets of a hosts file that are read

T = TypeVar("T")


class SystemFile(Generic[T]):
    """A system file, read again when it changed."""

    def __init__(self, path: Path, parse: Callable[[str], T]) -> None:
        self._path: Final = path
        self._parse: Final = parse
        self._stamp: tuple[int, int, int] | None = None
        self._value: T = parse("")

    def __call__(self) -> T:
        """Return what it says; a file that is missing or cannot be read says nothing."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
            if stamp != self._stamp:
                with self._path.open(encoding="utf-8", errors="replace") as file:
                    self._value = self._parse(file.read(_MAX_FILE))
                self._stamp = stamp
        except OSError:
            self._stamp, self._value = None, self._parse("")
        return self._value


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Return the addresses of each name of a hosts file (hosts(5)), IPv6 first."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        fields = line.partition("#")[0].split()
        if not fields or not is_address(fields[0]):
            continue
        for name in fields[1:]:
            known = found.setdefault(name.lower(), [])
            if fields[0] not in known:
                known.append(fields[0])
    return {
        name: tuple(sorted(known, key=lambda one: ":" not in one)) for name, known in found.items()
    }


def parse_resolv_conf(text: str) -> tuple[str, ...]:
    """Return the name servers of a resolv.conf (resolv.conf(5)); names here are absolute."""
    lines = [line.split() for line in text.splitlines()]
    found = [line[1] for line in lines if len(line) > 1 and line[0] == "nameserver"]
    return tuple(
        f"[{address}]:53" if ":" in address else address for address in found if is_address(address)
    )
