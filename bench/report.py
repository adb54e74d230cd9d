"""Figures, their targets, the table of them and the JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Better(Enum):
    """Which side of its target a figure should be on."""

    MORE = "at least"
    LESS = "at most"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure.

    Args:
        area: the measurement it came from.
        name: what was measured.
        value: the figure.
        unit: of it.
        target: what was promised; None when nothing was.
        better: the side of the target on which it is reached.
        details: further facts of the same run, for the JSON.
    """

    area: str
    name: str
    value: float
    unit: str
    target: float | None = None
    better: Better = Better.MORE
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def is_reached(self) -> bool:
        """Whether the target is reached; nothing promised is always reached."""
        if self.target is None:
            return True
        if self.better is Better.MORE:
            return self.value >= self.target
        return self.value <= self.target

    @property
    def verdict(self) -> str:
        """The last column: `ok`, `BELOW` or nothing."""
        if self.target is None:
            return ""
        return "ok" if self.is_reached else "BELOW"


class Report:
    """All figures of one run.

    Args:
        machine: where it ran.
    """

    def __init__(self, machine: dict[str, Any]) -> None:
        self.machine = machine
        self.figures: list[Figure] = []
        self.failures: dict[str, str] = {}

    def add(self, figure: Figure) -> None:
        """Take a figure in, and print its line."""
        if not self.figures or self.figures[-1].area != figure.area:
            print(f"\n{figure.area}")
        self.figures.append(figure)
        print(line(figure), flush=True)

    def fail(self, area: str, why: str) -> None:
        """Say that a measurement could not be made, and why."""
        self.failures[area] = why
        print(f"\n{area}\n  not measured: {why}", flush=True)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        document = {
            "machine": self.machine,
            "figures": [_plain(figure) for figure in self.figures],
            "failures": self.failures,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n")


def line(figure: Figure) -> str:
    """Return one line of the table."""
    target = ""
    if figure.target is not None:
        target = f"{figure.better.value} {number(figure.target)}"
    text = f"  {figure.name:<58}{number(figure.value):>12} {figure.unit:<18}{target:<17}"
    return f"{text}{figure.verdict}".rstrip()


def number(value: float) -> str:
    """Return a number with three or so digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return (
        f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    )


def _plain(figure: Figure) -> dict[str, Any]:
    return {**asdict(figure), "better": figure.better.value, "verdict": figure.verdict}
