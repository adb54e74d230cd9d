"""What every measurement is given: a scratch directory, the report, requests not yet used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import requests
from bench.driver import Floor, floor, mean

if TYPE_CHECKING:
    from pathlib import Path

    from bench.report import Report

FLOOR_CSRS = 3000
GROUP = 64
"""Certificates a commit in the floor that shares commits, as the server does under load."""


@dataclass(slots=True)
class Bench:
    """One run.

    Args:
        scratch: a directory on the disk that is measured.
        report: where figures go.
        quick: whether to be content with less certainty.
        peers: other programs to measure beside ours, by name.
    """

    scratch: Path
    report: Report
    quick: bool
    peers: dict[str, Path] = field(default_factory=dict)
    _pool: list[bytes] = field(default_factory=list)
    _floor_csrs: Path | None = None

    @property
    def seconds(self) -> float:
        """How long one load lasts."""
        return 1.5 if self.quick else 4.0

    def amount(self, count: int) -> int:
        """Return a number of requests, fewer when it has to be quick."""
        return count // 3 if self.quick else count

    def csrs(self, count: int) -> list[bytes]:
        """Return CSRs that were used nowhere before."""
        self._pool += requests.csrs(count, len(self._pool))
        return self._pool[-count:]

    def issuance(self, name: str, count: int) -> Path:
        """Return a file of requests for certificates."""
        path = self.scratch / f"{name}.requests"
        requests.save(path, requests.issuance(self.csrs(count)))
        return path

    def floor(self, group: int) -> Floor:
        """Run the floor for a while."""
        if self._floor_csrs is None:
            self._floor_csrs = self.scratch / "floor.csrs"
            requests.save(self._floor_csrs, self.csrs(FLOOR_CSRS))
        return floor(self._floor_csrs, self.scratch, self.seconds / 2, group)

    def floors(self, group: int, times: int = 2) -> Floor:
        """Run the floor several times and return the mean."""
        return mean([self.floor(group) for _ in range(times)])
