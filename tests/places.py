"""Directories that servers of other accounts can reach, unlike pytest's own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def reachable() -> Iterator[Path]:
    """Return a context with an empty directory; its name is short, for sockets."""
    path = Path(tempfile.mkdtemp(prefix="mintmark-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)
