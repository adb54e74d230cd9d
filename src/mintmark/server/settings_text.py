"""The configuration as text: the commented file, what is in force, and the reference page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Final, get_origin

from msgspec import NODEFAULT, to_builtins

from mintmark.model.time import duration
from mintmark.server import yaml
from mintmark.server.sections import TAG, Form, Section, brief, defaults, forms, plain, tag
from mintmark.server.settings import (
    ACMEEntry,
    PatternEntry,
    ProfileEntry,
    ServiceEntry,
    Settings,
    SSHProfileEntry,
)

_HEAD: Final = """\
# mintmark.yaml: the configuration of this authority.
#
# Every key is optional. A key stands here with its default and a # directly before it; remove
# that # to change the value. Unknown keys are refused. Durations are written 90d, 12h, 5m, 30s.
# "Attacker gains" says what the key is worth to somebody who can change it.
# Check this file with: mintmark config check
"""
# By what an entry is, or the first thing that it may be.
_EXAMPLES: Final[dict[type[Section], str]] = {
    ServiceEntry: '- {service_id: web, names: ["*.web.example.internal"], max_certificates: 3}',
    PatternEntry: '- {pattern: "test-*", max_certificates: 1, certificates_per_hour: 10}',
    ACMEEntry: "- {name: web, type: acme, names: ['*.web.example.internal'], lifetime: 30d}",
    ProfileEntry: "web: {extends: server, lifetime: 90d, key_types: [ec-p256]}",
    SSHProfileEntry: "backup: {critical_options: [force-command=/usr/bin/backup], extensions: []}",
}


def template(settings: Settings) -> str:
    """Return a commented file that says `settings`; what is the default is commented out."""
    return "".join((_HEAD, *_section_lines(Settings, settings, "")))


def show(settings: Settings) -> str:
    """Return the settings in force as YAML, defaults filled in.

    There is nothing to redact: a database password in `storage.url` is refused at reading,
    and every other secret lives in a file of its own.
    """
    return yaml.write(plain(settings))


def reference() -> str:
    """Return the tables of `docs/reference/configuration.md`, one for each section."""
    return "\n".join(_reference(Settings, "", "", set()))


def _section_lines(section: type[Section], values: Section, indent: str) -> Iterator[str]:
    untouched = section()
    described: set[tuple[str, str]] = set()
    for name, form in forms(section).items():
        value, default = getattr(values, name), getattr(untouched, name)
        if isinstance(value, Section):
            yield "\n" + _prose(type(value).__doc__ or "", indent)
            yield f"{indent}{name}:\n"
            yield from _section_lines(type(value), value, indent + "  ")
        else:
            yield "\n" if not indent else ""
            yield from _key_lines(form, indent, described)
            yield from _value_lines(name, value, form, indent, "" if value != default else "#")


def _key_lines(form: Form, indent: str, described: set[tuple[str, str]]) -> Iterator[str]:
    """Yield the comment above a key; keys of entries that stand in `described` are left out."""
    yield _prose(form.meaning, indent)
    if not form.sections:
        yield _prose(f"{_capital(form.words)}. Attacker gains: {form.gain}.", indent)
        return
    for section in form.sections:
        if len(form.sections) > 1:
            yield _prose(f"With type {tag(section)}: {section.__doc__}", indent)
        yield from _entry_lines(section, "", indent, described)
    yield _prose(f"As {_EXAMPLES[form.sections[0]]}", indent)


def _entry_lines(
    section: type[Section], above: str, indent: str, described: set[tuple[str, str]]
) -> Iterator[str]:
    """Yield a comment for each key of an entry, and of the mappings inside it."""
    known = {f"{above}{inner}": one for inner, one in forms(section).items()}
    told = [inner for inner, one in known.items() if (inner, one.meaning) in described]
    for inner, one in known.items():
        if inner in told or one.meaning == TAG:
            continue
        words = f"{one.meaning} {_capital(one.words)}. Attacker gains: {one.gain}."
        yield _prose(f"{inner}: {words}", indent, hang="    ")
        for below in one.sections:
            item = "[]." if get_origin(one.base) is tuple else "."
            yield from _entry_lines(below, f"{inner}{item}", indent, described)
    if told and not above:
        yield _prose("Its other keys are those above.", indent)
    described |= {(inner, one.meaning) for inner, one in known.items() if one.meaning != TAG}


def _value_lines(name: str, value: Any, form: Form, indent: str, mark: str) -> Iterator[str]:
    """Yield a key with its value, each line behind `mark`."""
    written = _written(value, form)
    if not form.sections or not written:
        yield f"{indent}{mark}{yaml.write_inline({name: written})[1:-1]}\n"
    elif isinstance(written, list):
        yield f"{indent}{mark}{name}:\n"
        yield from (f"{indent}{mark}- {yaml.write_inline(entry)}\n" for entry in written)
    else:
        yield f"{indent}{mark}{name}:\n"
        for key, entry in written.items():
            yield f"{indent}  {mark}{yaml.write_inline({key: entry})[1:-1]}\n"


def _written(value: Any, form: Form) -> Any:
    """Return a value as plain data, entries of sections without their defaults."""
    if isinstance(value, tuple) and form.sections:
        return [brief(entry) for entry in value]
    if isinstance(value, dict) and form.sections:
        return {name: brief(entry) for name, entry in value.items()}
    if form.is_duration and value is not None:
        return duration(value)
    return to_builtins(value)


def _prose(text: str, indent: str, hang: str = "") -> str:
    lines = textwrap.wrap(
        " ".join(text.split()),
        width=96,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# {hang}",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "".join(f"{line}\n" for line in lines)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _reference(
    section: type[Section], path: str, heading: str, seen: set[tuple[object, str]]
) -> Iterator[str]:
    """Yield a heading and a table for a section, then those of the sections inside."""
    if heading:
        yield f"## {heading}\n\n{section.__doc__}\n"
    rows, inner = [], []
    default = defaults(section)
    for name, form in forms(section).items():
        below = f"{path}.{name}" if path else name
        place = below + _BELOW.get(get_origin(form.base), "")
        for one in form.sections:
            if (one, place) not in seen:
                of_type = f" of type `{tag(one)}`" if len(form.sections) > 1 else ""
                inner.append((one, place, f"`{place}`{of_type}"))
                seen.add((one, place))
        if form.base not in form.sections:
            meaning = f"{form.meaning} {_capital(form.words)}."
            rows.append(f"| `{name}` | {_default(default[name], form)} | {meaning} | {form.gain} |")
    if rows:
        yield "| key | default | meaning | attacker gains |\n|---|---|---|---|"
        yield "\n".join(rows) + "\n"
    for one, below, title in inner:
        yield from _reference(one, below, title, seen)


_BELOW: Final = {tuple: "[]", dict: ".NAME"}


def _default(value: Any, form: Form) -> str:
    if value is NODEFAULT:
        return "required"
    return f"`{yaml.write_inline(_written(value, form))}`"
