"""Directories for tests: in memory, and where servers of other accounts can reach them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")
_NEEDED = 2**30


def memory() -> Path | None:
    """Return a directory in memory, or None where there is none with room."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _NEEDED:
        return _MEMORY
    return None


@contextmanager
def reachable() -> Iterator[Path]:
    """Return a context with an empty directory; its name is short, for sockets."""
    path = Path(tempfile.mkdtemp(prefix="mintmark-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)
