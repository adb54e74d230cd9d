"""Files of keys and certificates: written whole or not at all, secrets for one reader only.

A reader never meets half a file: octets go into a temporary file beside the target, are made
durable, and take the target's name in one rename. A secret is never readable by others, not
even for a moment: its mode is set when the file is made.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from mintmark.model.errors import Error, Kind

SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
MAX_KEY_FILE_BYTES: Final = 64 * 1024  # an RSA-4096 key as PEM takes 3.3 kB


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, replacing `path` atomically.

    Raises:
        Error: CONFIGURATION when the directory cannot be written.
    """
    _write(path, data, SECRET_MODE)


def write_public(path: Path, data: bytes) -> None:
    """Write a file that everybody may read, replacing `path` atomically.

    Raises:
        Error: CONFIGURATION when the directory cannot be written.
    """
    _write(path, data, PUBLIC_MODE)


def read_secret(path: Path) -> bytes:
    """Return a secret file's octets.

    Raises:
        Error: CONFIGURATION when it cannot be read, is no regular file, is too large, or
            group or others could read it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            # The descriptor is asked, not the path: what was checked is what is read.
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Error(Kind.CONFIGURATION, f"secret file '{path}' is not a regular file")
            if status.st_mode & 0o077 & ~_granted_by_systemd(path):
                raise Error(
                    Kind.CONFIGURATION,
                    f"secret file '{path}' has mode {status.st_mode & 0o777:04o}: others than "
                    "its owner can reach it",
                    hint=f"chmod 600 '{path}'",
                )
            data = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        raise Error(
            Kind.CONFIGURATION,
            f"secret file '{path}' cannot be read: {error.strerror}",
            hint="look at the path, its owner and its mode",
        ) from error
    if len(data) > MAX_KEY_FILE_BYTES:
        raise Error(
            Kind.CONFIGURATION,
            f"secret file '{path}' is larger than {MAX_KEY_FILE_BYTES} octets",
        )
    return data


def _granted_by_systemd(path: Path) -> int:
    """Return the mode bits that mean nothing on a credential of the service manager.

    systemd 254 and newer keep credentials as root's, mode 0440, and let the service in by an
    access control list, whose mask shows as the group's bits (systemd.exec(5)).
    """
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return 0o040 if directory and path.parent == Path(directory) else 0


def _write(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        try:
            _write_new(temporary, data, mode)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_directory(path.parent)
    except OSError as error:
        raise Error(
            Kind.CONFIGURATION,
            f"file '{path}' cannot be written: {error.strerror}",
            hint="look at the directory's owner and mode, and at the free space",
        ) from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)  # the umask took bits away from a public file
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Make the rename itself durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
