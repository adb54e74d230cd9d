"""How answers look: aligned text for people, exact and short."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import click

from mintmark.model.time import DAY, HOUR, MINUTE


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return rows in columns as wide as their widest value."""
    lines = [tuple(header), *(tuple(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def pairs(values: Iterable[tuple[str, str]]) -> str:
    """Return names and values, one pair a line, values aligned; empty values are left out."""
    shown = [(name, value) for name, value in values if value]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in shown)


def moment(text: str, now: float) -> str:
    """Return an RFC 3339 time with how far it is, as `2026-11-22 10:00:00Z (in 90 days)`."""
    then = datetime.fromisoformat(text)
    return f"{text.replace('T', ' ')} ({distance(then.timestamp() - now)})"


def distance(seconds: float) -> str:
    """Return how far a time is in its largest unit, rounded down: `in 90 days`, `2 hours ago`."""
    size = abs(int(seconds))
    units = ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (1, "second"))
    for unit, word in units:
        if size >= unit:
            count = size // unit
            text = f"{count} {word}{'' if count == 1 else 's'}"
            return f"in {text}" if seconds > 0 else f"{text} ago"
    return "now"


def colons(fingerprint: str) -> str:
    """Return a fingerprint in hex as `AB:CD:…`, as OpenSSL prints it."""
    text = fingerprint.upper()
    return ":".join(text[at : at + 2] for at in range(0, len(text), 2))


def say(text: str) -> None:
    """Print a line of the answer."""
    click.echo(visible(text))


def note(text: str) -> None:
    """Print a remark beside the answer, on the standard error stream."""
    click.echo(f"mintmark: {visible(text)}", err=True)


def visible(text: str) -> str:
    """Return text without control characters but newlines.

    Foreign certificates and servers choose some of what is printed; none of it shall move the
    cursor or color the terminal.
    """
    return text.translate(_INVISIBLE)


_INVISIBLE: Final = {
    code: "\N{REPLACEMENT CHARACTER}"
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(code) != "\n"
}
