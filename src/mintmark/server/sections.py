"""Sections of a configuration: declared once, decoded strictly, described in words.

A `Section` is a msgspec struct whose fields carry their limits, their meaning and what an
attacker who controls them gains. Decoding goes key by key, so that every message can name the
key's full path, its value and what would be right. Where one of several sections may stand, its
key `type` says which.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from mintmark.model.errors import Error, Kind
from mintmark.model.time import duration, parse_duration


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A mapping of the file with known keys."""


S = TypeVar("S", bound=Section)

# What the key `type` means where it says which section stands there.
TAG: Final = "Which of these it is."


def key(meaning: str, gain: str) -> msgspec.Meta:
    """Describe a key: what it means, and what an attacker who controls it gains."""
    return msgspec.Meta(description=meaning, extra={"gain": gain})


def span(low: int, high: int) -> msgspec.Meta:
    """Mark an int as a duration in seconds, written as `90d`, from `low` to `high`."""
    return msgspec.Meta(ge=low, le=high, extra={"duration": True})


@dataclass(frozen=True, slots=True)
class Form:
    """What a key's value has to be.

    Args:
        hint: the type with its limits, as msgspec checks it.
        base: the bare type.
        limits: the `Meta` that bounds it, or None.
        nullable: whether null is a value.
        meaning: what the key is for.
        gain: what an attacker who controls it gains.
    """

    hint: Any
    base: Any
    limits: msgspec.Meta | None
    nullable: bool
    meaning: str
    gain: str

    @property
    def is_duration(self) -> bool:
        """Whether the value is written as a duration."""
        return self.limits is not None and bool((self.limits.extra or {}).get("duration"))

    @property
    def sections(self) -> tuple[type[Section], ...]:
        """The section it is, or is a list or mapping of; several if `type` says which."""
        inner = self.base
        if get_origin(inner) in (tuple, dict):
            inner = get_args(inner)[get_origin(inner) is dict]
        return alternatives(inner)

    @property
    def words(self) -> str:
        """What the value has to be, in words."""
        text = _words(self.base, self.limits)
        return f"{text}, or null" if self.nullable else text


@cache
def forms(section: type[Section]) -> dict[str, Form]:
    """Return the forms of a section's keys, those without a default first."""
    hints = get_type_hints(section, include_extras=True)
    ordered = sorted(msgspec.structs.fields(section), key=lambda one: not one.required)
    return {field.name: _form(hints[field.name]) for field in ordered}


def decode(section: type[S], value: object, path: str = "") -> S:
    """Return a section decoded from plain values.

    A section that is null, because all its keys are commented out, has its defaults.

    Raises:
        Error: CONFIGURATION, with the key's path and what it has to be.
    """
    if value is None:
        value = {}
    if not isinstance(value, dict):
        where = f"'{path}'" if path else "the file"
        raise Error(Kind.CONFIGURATION, f"{where} is {_quote(value)}, not a mapping of keys")
    known = forms(section)
    decoded = {}
    for name, one in value.items():
        if name not in known:
            raise unknown(f"unknown key '{join(path, name)}'", str(name), known)
        decoded[name] = _value(known[name], one, join(path, name))
    for field in msgspec.structs.fields(section):
        if field.required and field.name not in decoded:
            raise Error(Kind.CONFIGURATION, f"'{path}' needs the key '{field.name}'")
    return section(**decoded)


def decode_one(sections: tuple[type[S], ...], value: object, path: str = "") -> S:
    """Return the section that `value` says by its key `type`, decoded.

    Without the key it is the first one whose `type` has a default.

    Raises:
        Error: CONFIGURATION, as `decode`.
    """
    return decode(_chosen(sections, value, path), value, path)


def alternatives(hint: Any) -> tuple[type[Section], ...]:
    """Return the sections that a type hint is, or is a union of; empty if it is neither."""
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if all(isinstance(one, type) and issubclass(one, Section) for one in members):
        return members
    return ()


def tag(section: type[Section]) -> str:
    """Return the value of `type` that says this section."""
    (word,) = get_args(forms(section)["type"].base)
    return str(word)


def _chosen(sections: tuple[type[S], ...], value: object, path: str) -> type[S]:
    if len(sections) == 1 or not isinstance(value, dict):
        return sections[0]  # which says why what is no mapping is refused
    if "type" not in value:
        for section in sections:
            (field,) = (one for one in msgspec.structs.fields(section) if one.name == "type")
            if not field.required:
                return section
        raise Error(Kind.CONFIGURATION, f"'{path}' needs the key 'type'")
    by_tag = {tag(section): section for section in sections}
    found = by_tag.get(str(value["type"]))
    if found is None:
        where = join(path, "type")
        raise unknown(f"'{where}' is {_quote(value['type'])}", str(value["type"]), by_tag)
    return found


def unknown(what: str, name: str, known: Iterable[str]) -> Error:
    """Return the refusal of a name that is not known, with the nearest one that is."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if near:
        return Error(Kind.CONFIGURATION, f"{what}; did you mean '{near[0]}'?")
    return Error(Kind.CONFIGURATION, what, hint=f"known here: {', '.join(names)}")


def at(path: str, error: Error) -> Error:
    """Return a refusal that says at which key it is."""
    return Error(error.kind, f"'{path}': {error.detail}", hint=error.hint)


def wrong(detail: str) -> Error:
    """Return the refusal of a value."""
    return Error(Kind.CONFIGURATION, detail)


def join(path: str, name: object) -> str:
    """Return the path of a key below a path."""
    return f"{path}.{name}" if path else str(name)


def plain(section: Section) -> dict[str, Any]:
    """Return a section as plain values, as a file would write them."""
    return {
        name: _plain(form, getattr(section, name), plain)
        for name, form in forms(type(section)).items()
    }


def brief(section: Section) -> dict[str, Any]:
    """Return a section as plain values, without what is the default."""
    default = defaults(type(section))
    return {
        name: _plain(form, getattr(section, name), brief)
        for name, form in forms(type(section)).items()
        if getattr(section, name) != default[name]
    }


def defaults(section: type[Section]) -> dict[str, Any]:
    """Return the defaults of a section's keys; NODEFAULT marks one that is required."""
    return {
        field.name: field.default_factory() if callable(field.default_factory) else field.default
        for field in msgspec.structs.fields(section)
    }


def _form(hint: Any) -> Form:
    """Peel `Annotated` and `| None` off a type hint."""
    limits, described, nullable, inner = None, msgspec.Meta(), False, hint
    while True:
        if get_origin(inner) is Annotated:
            inner, *metas = get_args(inner)
            for meta in metas:
                if meta.description:
                    described = meta
                else:
                    limits = meta
        elif get_origin(inner) in (Union, UnionType) and NoneType in get_args(inner):
            (inner,) = (one for one in get_args(inner) if one is not NoneType)
            nullable = True
        else:
            gain = (described.extra or {}).get("gain", "")
            return Form(hint, inner, limits, nullable, described.description or "", gain)


def _value(form: Form, value: Any, path: str) -> Any:
    if value is None and form.nullable:
        return None
    if sections := alternatives(form.base):
        return decode_one(sections, value, path)
    if isinstance(value, list) and get_origin(form.base) is tuple:
        _check_size(form, value, path)
        item = _form(get_args(form.base)[0])
        return tuple(_value(item, one, f"{path}[{n}]") for n, one in enumerate(value))
    if isinstance(value, dict) and get_origin(form.base) is dict:
        _check_size(form, value, path)
        item = _form(get_args(form.base)[1])
        return {str(name): _value(item, one, join(path, name)) for name, one in value.items()}
    if form.is_duration:
        value = _seconds(value, path)
    try:
        return msgspec.convert(value, form.hint)
    except msgspec.ValidationError as error:
        shown = duration(value) if form.is_duration else _quote(value)
        raise Error(
            Kind.CONFIGURATION,
            f"'{path}' is {shown}; it has to be {form.words}",
            hint="write it in quotes" if form.base is str and not isinstance(value, str) else "",
        ) from error


def _check_size(form: Form, value: list[Any] | dict[Any, Any], path: str) -> None:
    limits = form.limits or msgspec.Meta()
    if not (limits.min_length or 0) <= len(value) <= (limits.max_length or len(value)):
        raise Error(
            Kind.CONFIGURATION, f"'{path}' has {len(value)} values; it has to be {form.words}"
        )


def _seconds(value: object, path: str) -> int:
    try:
        return parse_duration(value if isinstance(value, str) else f"{value}")
    except Error as error:
        raise Error(Kind.CONFIGURATION, f"'{path}': {error.detail}", hint=error.hint) from error


def _plain(form: Form, value: Any, inside: Callable[[Section], dict[str, Any]]) -> Any:
    if isinstance(value, Section):
        return inside(value)
    if form.sections and isinstance(value, tuple):
        return [inside(one) for one in value]
    if form.sections and isinstance(value, dict):
        return {name: inside(one) for name, one in value.items()}
    if form.is_duration and value is not None:
        return duration(value)
    return msgspec.to_builtins(value)


def _words(base: Any, limits: msgspec.Meta | None) -> str:
    """Return what a value of a bare type within limits has to be."""
    if get_origin(base) is tuple:
        text = f"a list of {_plural(get_args(base)[0])}{_sized(limits)}"
    elif get_origin(base) is dict:
        text = f"a mapping{_sized(limits)}"
    elif alternatives(base):
        text = "a mapping"
    elif base is bool:
        text = "true or false"
    elif choices := _choices(base):
        text = f"one of {', '.join(choices)}"
    elif base is int and limits is not None:
        low, high = int(limits.ge or 0), int(limits.le or 0)
        is_duration = (limits.extra or {}).get("duration")
        text = (
            f"a duration from {duration(low)} to {duration(high)}"
            if is_duration
            else (f"a whole number from {low} to {high}")
        )
    else:
        text = f"text{_sized(limits)}" if limits is None or limits.title is None else limits.title
    return text


def _plural(item: Any) -> str:
    choices = _choices(item)
    if choices:
        return ", ".join(choices)
    return "texts" if item is str else "mappings"


def _choices(base: Any) -> list[str]:
    if get_origin(base) is Literal:
        return list(get_args(base))
    if isinstance(base, type) and issubclass(base, Enum):
        return [str(member.value) for member in base]
    return []


def _sized(limits: msgspec.Meta | None) -> str:
    if limits is None or limits.max_length is None:
        return ""
    if limits.min_length:
        return f" ({limits.min_length} to {limits.max_length})"
    return f" (up to {limits.max_length})"


def _quote(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value) if isinstance(value, int | float) else f"'{value}'"
    return text if len(text) <= 60 else f"{text[:57]}..."
