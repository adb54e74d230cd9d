"""Strict YAML: one document, plain values, every key once.

A configuration says who may have certificates, so whatever could be read in two ways is
refused: repeated keys (YAML 1.2 §3.2.1.1 forbids them, parsers keep the last), anchors and
aliases (also how a small file becomes a large one), and tags.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml

from mintmark.model.errors import Error, Kind

MAX_BYTES: Final = 1_000_000
MAX_DEPTH: Final = 20

# The C parser is ten times as fast; wheels without it fall back to the same rules in Python.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Parser):  # type: ignore[misc] # chosen at import
    """Plain values only; a repeated key is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[object] = set()
        for name, _ in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise _refused("a key has to be a word", name.start_mark)
            if name.value in seen:
                raise _refused(f"key '{name.value}' is written twice", name.start_mark)
            seen.add(name.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def read(text: str) -> Any:
    """Return the value of one YAML document; None when it is empty.

    Raises:
        Error: CONFIGURATION with the line, for what is not YAML or not plain.
    """
    if len(text) > MAX_BYTES:
        raise Error(Kind.CONFIGURATION, f"the file has more than {MAX_BYTES} characters")
    try:
        _check_events(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise _refused(error.problem or "this is not YAML", error.problem_mark) from error
    except yaml.YAMLError as error:
        raise Error(Kind.CONFIGURATION, f"this is not YAML: {error}".splitlines()[0]) from error
    except ValueError as error:  # an impossible date, as 2026-13-45
        raise Error(Kind.CONFIGURATION, f"a value cannot be read: {error}") from error


def write(value: Any) -> str:
    """Return a value as block-style YAML, keys in their order."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)


def write_inline(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(
        value, sort_keys=False, allow_unicode=True, default_flow_style=True, width=100_000
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _check_events(text: str) -> None:
    """Refuse aliases, tags and depth before anything is built; parsing events takes no stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_Parser):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _refused("anchors and aliases are not used here", event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise _refused(f"values are nested more than {MAX_DEPTH} deep", event.start_mark)
        if tag := getattr(event, "tag", None):
            raise _refused(f"tag '{tag}' is not used here", event.start_mark)


def _refused(problem: str, mark: Any) -> Error:
    where = f"line {mark.line + 1}: " if mark is not None else ""
    return Error(Kind.CONFIGURATION, f"{where}{problem}")
