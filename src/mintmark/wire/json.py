"""JSON from strangers into typed values: bounded before it is parsed, strict while it is.

RFC 8259 leaves duplicate names and depth to the reader; here duplicates are refused (two readers
of one document must not see two requests), depth and size are bounded, NaN is no JSON, and a
field nobody knows is answered with the nearest one that is known.
"""

from __future__ import annotations

import difflib
import json
import re
from functools import lru_cache
from typing import Any, Final, TypeVar, cast

import msgspec

from mintmark.model.errors import Error, Kind

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 16

_T = TypeVar("_T")
_OBJECT: Final = dict[str, Any]  # read as it is, so that it need not be read again
_encode: Final = msgspec.json.Encoder().encode
# A string ends at its quote or, cut short, with the data: no place is looked at twice.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\Z)', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")
_AT: Final = re.compile(r"(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)


def decode(data: bytes, type: type[_T], *, max_bytes: int = MAX_BYTES) -> _T:  # noqa: A002 - msgspec's word
    """Return the value of `type` that a JSON document holds.

    Args:
        data: the document, UTF-8 without a byte order mark.
        type: a `msgspec.Struct` with `forbid_unknown_fields`, or a type made of such.
        max_bytes: its limit.

    Raises:
        Error: TOO_LARGE over `max_bytes` or `MAX_DEPTH`; MALFORMED with the path of the field
            that is wrong, or with the place where it stops being JSON.
    """
    if len(data) > max_bytes:
        raise Error(
            Kind.TOO_LARGE, f"JSON document has {len(data)} octets, the limit is {max_bytes}"
        )
    _check_depth(data)
    decoder, certain = _decoder(cast("Any", type))
    try:
        value = decoder.decode(data)
        if data.count(b":") > certain:
            _check_names(data, value if type == _OBJECT else msgspec.json.decode(data))
    except msgspec.ValidationError as error:
        raise _wrong_field(str(error), type) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Error(
            Kind.MALFORMED,
            f"body is no JSON document: {str(error).removeprefix('JSON is malformed: ')}"
            if data
            else "body is empty, a JSON document is expected",
        ) from error
    return cast("_T", value)


@lru_cache(maxsize=64)
def _decoder(type: Any) -> tuple[msgspec.json.Decoder[Any], int]:  # noqa: A002 - msgspec's word
    """Return the decoder of a type, and the most members of which none can be there twice.

    Where there are only as many as the type cannot do without, each of these is there once, and
    no other. A single one is alone anyway; but one that the type does not know is skipped, and
    `_check_names` sees that it is JSON.
    """
    config = getattr(type, "__struct_config__", None)
    if config is None:
        return msgspec.json.Decoder(type), int(type == _OBJECT)
    required = sum(field.required for field in msgspec.structs.fields(type))
    return msgspec.json.Decoder(type), max(required, int(config.forbid_unknown_fields))


def _check_depth(data: bytes) -> None:
    """Refuse arrays and objects nested too deep, counting outside strings."""
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", data)):
        depth += 1 if bracket in {b"{", b"["} else -1
        if depth > MAX_DEPTH:
            raise Error(Kind.TOO_LARGE, f"JSON is nested deeper than {MAX_DEPTH} levels")


def _check_names(data: bytes, value: object) -> None:
    """Refuse an object with two members of one name (RFC 8259 §4).

    Every colon of a document stands after a name or in a string, and none is ever escaped when
    it is written. Reading it into dicts loses a repeated name and its value, so that colons are
    missing when they are written again; only an escape could hide one. Documents that do not
    add up are read again, slowly.

    Args:
        data: the document.
        value: the same, read into dicts.
    """
    if b"\\u" in data or data.count(b":") != _encode(value).count(b":"):
        # Numbers stay text: they were judged already, and long ones take long to convert.
        json.loads(data.decode(), object_pairs_hook=_unique, parse_int=str, parse_float=str)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    """Refuse the members of one object if a name is among them twice."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise Error(Kind.MALFORMED, f"JSON object has the member {name[:80]!r} twice")
        seen.add(name)


def _wrong_field(message: str, type: Any) -> Error:  # noqa: A002 - msgspec's word
    """Return the refusal of a document that is JSON and not of the type."""
    match = _AT.fullmatch(message)
    what, path = (match["what"], match["path"]) if match else (message, None)
    field = "" if path in {None, "$"} else f"{path.removeprefix('$').removeprefix('.')}: "
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is None:
        return Error(Kind.MALFORMED, f"{field}{what[:1].lower()}{what[1:].replace('`', chr(39))}")
    name = unknown["name"][:80]
    known = _field_names(type)
    nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{nearest[0]}'?" if nearest else f"known fields: {', '.join(known)}"
    return Error(Kind.MALFORMED, f"{field}field {name!r} is not known", hint=hint)


@lru_cache(maxsize=64)
def _field_names(type: Any) -> tuple[str, ...]:  # noqa: A002 - msgspec's word
    """Return the names of all fields of a type and of the types inside it."""
    names: dict[str, None] = {}
    pending = [msgspec.inspect.type_info(type)]
    seen: set[Any] = set()
    while pending:
        info = pending.pop()
        if isinstance(info, msgspec.inspect.StructType):
            if info.cls in seen:
                continue
            seen.add(info.cls)
            for field in info.fields:
                names[field.encode_name] = None
                pending.append(field.type)
        elif isinstance(info, msgspec.inspect.UnionType):
            pending.extend(info.types)
        elif isinstance(info, msgspec.inspect.CollectionType):
            pending.append(info.item_type)
        elif isinstance(info, msgspec.inspect.DictType):
            pending.append(info.value_type)
    return tuple(names)
