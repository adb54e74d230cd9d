"""The configuration as text: the commented file, what is in force, and the reference page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Final, get_origin

from msgspec import NODEFAULT, structs, to_builtins

from mintmark.model.time import duration
from mintmark.server import yaml
from mintmark.server.sections import Form, Section, forms, plain
from mintmark.server.settings import Settings

_HEAD: Final = """\
# mintmark.yaml: the configuration of this authority.
#
# Every key is optional. A key stands here with its default and a # directly before it; remove
# that # to change the value. Unknown keys are refused. Durations are written 90d, 12h, 5m, 30s.
# "Attacker gains" says what the key is worth to somebody who can change it.
# Check this file with: mintmark config check
"""
_EXAMPLES: Final = {
    "services": '- {service_id: web, names: ["*.web.example.internal"], max_certificates: 3}',
    "patterns": '- {pattern: "test-*", max_certificates: 1, certificates_per_hour: 10}',
    "provisioners": "- {name: web, names: ['*.web.example.internal'], lifetime: 30d}",
    "profiles": "web: {extends: server, lifetime: 90d, key_types: [ec-p256]}",
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
    return "\n".join(_reference(Settings, ""))


def _section_lines(section: type[Section], values: Section, indent: str) -> Iterator[str]:
    defaults = section()
    described: set[tuple[str, str]] = set()
    for name, form in forms(section).items():
        value, default = getattr(values, name), getattr(defaults, name)
        if isinstance(value, Section):
            yield "\n" + _prose(type(value).__doc__ or "", indent)
            yield f"{indent}{name}:\n"
            yield from _section_lines(type(value), value, indent + "  ")
        else:
            yield "\n" if not indent else ""
            yield from _key_lines(name, form, indent, described)
            yield from _value_lines(name, value, form, indent, "" if value != default else "#")


def _key_lines(
    name: str, form: Form, indent: str, described: set[tuple[str, str]]
) -> Iterator[str]:
    """Yield the comment above a key; keys of entries that stand in `described` are left out."""
    yield _prose(form.meaning, indent)
    if form.section is None:
        yield _prose(f"{_capital(form.words)}. Attacker gains: {form.gain}.", indent)
        return
    entry = forms(form.section)
    for inner, one in entry.items():
        if (inner, one.meaning) not in described:
            words = f"{one.meaning} {_capital(one.words)}. Attacker gains: {one.gain}."
            yield _prose(f"{inner}: {words}", indent, hang="    ")
    if any((inner, one.meaning) in described for inner, one in entry.items()):
        yield _prose("Its other keys are those above.", indent)
    described |= {(inner, one.meaning) for inner, one in entry.items()}
    yield _prose(f"As {_EXAMPLES[name]}", indent)


def _value_lines(name: str, value: Any, form: Form, indent: str, mark: str) -> Iterator[str]:
    """Yield a key with its value, each line behind `mark`."""
    written = _written(value, form)
    if form.section is None or not written:
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
    if isinstance(value, tuple) and form.section is not None:
        return [_brief(entry) for entry in value]
    if isinstance(value, dict):
        return {name: _brief(entry) for name, entry in value.items()}
    if form.is_duration and value is not None:
        return duration(value)
    return to_builtins(value)


def _brief(entry: Section) -> dict[str, Any]:
    defaults = _defaults(type(entry))
    return {
        name: value
        for name, value in plain(entry).items()
        if getattr(entry, name) != defaults[name]
    }


def _defaults(section: type[Section]) -> dict[str, Any]:
    """Return the defaults of a section's keys; NODEFAULT marks one that is required."""
    return {
        field.name: field.default_factory() if callable(field.default_factory) else field.default
        for field in structs.fields(section)
    }


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


def _reference(section: type[Section], path: str) -> Iterator[str]:
    """Yield a heading and a table for a section, then those of the sections inside."""
    if path:
        yield f"## `{path}`\n\n{section.__doc__}\n"
    rows, inner = [], []
    defaults = _defaults(section)
    for name, form in forms(section).items():
        below = f"{path}.{name}" if path else name
        if form.section is not None:
            inner.append((form.section, below + _BELOW.get(get_origin(form.base), "")))
        if form.section is not form.base:
            meaning = f"{form.meaning} {_capital(form.words)}."
            rows.append(
                f"| `{name}` | {_default(defaults[name], form)} | {meaning} | {form.gain} |"
            )
    if rows:
        yield "| key | default | meaning | attacker gains |\n|---|---|---|---|"
        yield "\n".join(rows) + "\n"
    for one, below in inner:
        yield from _reference(one, below)


_BELOW: Final = {tuple: "[]", dict: ".NAME"}


def _default(value: Any, form: Form) -> str:
    if value is NODEFAULT:
        return "required"
    return f"`{yaml.write_inline(_written(value, form))}`"
