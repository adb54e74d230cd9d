"""The request target: from the octets of the request line to a path that means one thing.

A path is percent-decoded exactly once and must then be valid UTF-8 without anything that two
readers could read in two ways: dot segments, backslashes, control characters. RFC 3986 §3.3
says which octets a path has; RFC 9112 §3.2 which forms a target has.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

# pchar and "/" (RFC 3986 §3.3), with and without percent-encoding.
_PLAIN: Final = re.compile(rb"/[A-Za-z0-9\-._~!$&'()*+,;=:@/]*").fullmatch
_PATH: Final = re.compile(rb"/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*").fullmatch
# What a query may hold beside; brackets and the like are sent unencoded by many clients.
_QUERY: Final = re.compile(rb"[\x21\x24-\x7e]*").fullmatch
_ABSOLUTE: Final = re.compile(rb"https?://[A-Za-z0-9\-._~:\[\]]+", re.IGNORECASE).match
_DOT_SEGMENT: Final = re.compile(r"/\.\.?(?:/|$)").search
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\]").search


def parse(target: bytes, *, encoded_slash: bool = False) -> tuple[str, str]:
    """Split a request target into its decoded path and its raw query.

    Args:
        target: as it stood in the request line.
        encoded_slash: whether `%2F` may stand for `/`, which OCSP over GET needs (RFC 6960
            appendix A.1): there the path is Base64.

    Returns:
        The path, percent-decoded once, starting with `/`; and the query without `?`.

    Raises:
        ValueError: with a sentence that says what was refused.
    """
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/"):
        path = _origin_form(path)
    if not _QUERY(query):
        raise ValueError("the query has octets that must be percent-encoded")
    text = path.decode("ascii") if _PLAIN(path) else _decoded(path, encoded_slash=encoded_slash)
    if "/." in text and _DOT_SEGMENT(text):
        raise ValueError("the path has a dot segment")
    return text, query.decode("ascii")


def _origin_form(target: bytes) -> bytes:
    """Return the path of an absolute-form target, which servers must accept (RFC 9112 §3.2.2)."""
    authority = _ABSOLUTE(target)
    if authority is None:
        raise ValueError("the request target is not a path")
    return target[authority.end() :] or b"/"


def _decoded(path: bytes, *, encoded_slash: bool) -> str:
    if not _PATH(path):
        raise ValueError("the path has octets that must be percent-encoded")
    if not encoded_slash and b"%2f" in path.lower():
        raise ValueError("the path has an encoded slash")
    try:
        text = unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise ValueError("the path is not UTF-8 after percent-decoding") from None
    if _CONTROL(text):
        raise ValueError("the path has an encoded control character or backslash")
    return text
