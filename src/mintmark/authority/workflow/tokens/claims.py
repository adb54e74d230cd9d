"""Claims read strictly: a claim of a wrong type is a refusal, never a default (RFC 7519 §4).

All forgeries get one and the same refusal. What only the holder of a good token learns, as that
it expired or is for another act, is said in full, once the signature was verified.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from mintmark.authority.policy.provisioners import Provisioner
from mintmark.authority.workflow.tokens.purpose import Purpose
from mintmark.model.access import Burn
from mintmark.model.errors import Error, Kind
from mintmark.model.time import HOUR, MINUTE, timestamp
from mintmark.wire.identifiers import MAX_NAMES
from mintmark.wire.jwt import JWT

LEEWAY: Final = MINUTE  # for clocks that differ
LIFETIME_MAX: Final = HOUR  # of a token of our own provisioners, and the age of an ID token
MAX_TEXT: Final = 255
_TIME_MAX: Final = 1 << 40  # Unix seconds; the year 36812
_NUMBERS: Final = frozenset({int, float})
_SHOWN: Final = 200


def refused(detail: str, hint: str = "get a new token and send it at once") -> Error:
    """Return the refusal of a token whose signature is good."""
    return Error(Kind.BAD_TOKEN, detail, hint=hint)


def forged() -> Error:
    """Return the one refusal of every token that nobody known has signed."""
    return refused(
        "the token is not signed by a provisioner of this authority",
        "get one of a provisioner that exists here: mintmark provisioner list",
    )


def text(claims: Mapping[str, Any], name: str, *, limit: int = MAX_TEXT) -> str:
    """Return a text that logs and certificates can carry; empty when it is not there.

    Raises:
        Error: BAD_TOKEN for another type, control characters, or more than `limit` characters.
    """
    value = claims.get(name)
    return "" if value is None else _text(value, name, limit)


def texts(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Return the texts of a list, in order and without repetition; empty when it is not there.

    Raises:
        Error: BAD_TOKEN for another type, or for more of them than a certificate carries.
    """
    value = claims.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_NAMES:
        raise refused(
            f"the token's '{name}' is no list of at most {MAX_NAMES} texts",
            "make the token anew with a JSON array of strings there",
        )
    return tuple(dict.fromkeys([_filled(_text(one, name, MAX_TEXT), name) for one in value]))


def members(claims: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object among the claims; empty when it is not there.

    Raises:
        Error: BAD_TOKEN for another type.
    """
    value = claims.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise refused(f"the token's '{name}' is no JSON object")
    return value


def subject(claims: Mapping[str, Any]) -> str:
    """Return `sub`.

    Raises:
        Error: BAD_TOKEN when it is missing or empty.
    """
    return _filled(text(claims, "sub"), "sub")


def check_times(claims: Mapping[str, Any], now: float) -> int:
    """Check that a token of our own provisioners is valid now (RFC 7519 §4.1.4 to §4.1.6).

    Returns:
        When it ends, Unix seconds.

    Raises:
        Error: BAD_TOKEN.
    """
    ends = check_end(claims, now)
    begins, issued = claims.get("nbf"), claims.get("iat")  # numbers or nothing, as was checked
    start = begins if begins is not None else issued
    life = ends - (now if start is None else start)
    if life > LIFETIME_MAX + LEEWAY:
        raise refused(
            f"the token lives {int(life)} s, the limit is {LIFETIME_MAX} s",
            "make one that ends sooner; a few minutes are enough",
        )
    return ends


def check_age(claims: Mapping[str, Any], now: float) -> int:
    """Check that an ID token is valid now, and fresh, whatever its provider lets it live.

    Who was locked out at the provider cannot keep an old token for later.

    Returns:
        When it can no longer be used, Unix seconds.

    Raises:
        Error: BAD_TOKEN.
    """
    ends = check_end(claims, now)
    issued = _time(claims, "iat")
    if issued is None:  # OpenID Connect Core 1.0 §2: REQUIRED
        raise refused("the ID token has no 'iat'")
    if now >= issued + LIFETIME_MAX + LEEWAY:
        raise refused(
            f"the ID token was issued at {timestamp(issued)}, more than {LIFETIME_MAX} s ago",
            "sign in again",
        )
    return min(ends, int(issued) + LIFETIME_MAX)


def check_end(claims: Mapping[str, Any], now: float) -> int:
    """Check `exp`, which has to be there, `nbf` and `iat`; return `exp`.

    Raises:
        Error: BAD_TOKEN.
    """
    ends = _time(claims, "exp")
    if ends is None:
        raise refused("the token has no 'exp', so that it would never end")
    if now >= ends + LEEWAY:
        raise refused(f"the token expired at {timestamp(ends)} (it is {timestamp(now)} here)")
    for name in ("nbf", "iat"):
        begins = _time(claims, name)
        if begins is not None and now < begins - LEEWAY:
            raise refused(
                f"the token's '{name}' is {timestamp(begins)}, in the future "
                f"(it is {timestamp(now)} here)",
                "set the clock of the machine that made it",
            )
    return int(ends)


def audiences(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return `aud` as a list (RFC 7519 §4.1.3); a wrong type is no audience at all."""
    value = claims.get("aud")
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and len(value) <= MAX_NAMES:
        return tuple(one for one in value if isinstance(one, str))
    return ()


def provisioner_name(claims: Mapping[str, Any], type_: str) -> object:
    """Return which provisioner of a type is meant: by an audience's fragment, or else by `iss`."""
    fragments = (one.partition("#")[2].split("/") for one in audiences(claims))
    named = (parts[1] for parts in fragments if len(parts) == 2 and parts[0] == type_)
    return next(named, claims.get("iss"))


def check_issuer(claims: Mapping[str, Any], provisioner: Provisioner) -> None:
    """Check that a certificate's token is issued in the name of its provisioner.

    Raises:
        Error: BAD_TOKEN.
    """
    if claims.get("iss") != provisioner.name:
        raise refused(f"the token's 'iss' is not the provisioner {provisioner.name!r}")


def check_purpose(purpose: Purpose, good_for: frozenset[Purpose]) -> None:
    """Check that a kind of token is good for an act at all.

    Raises:
        Error: BAD_TOKEN.
    """
    if purpose not in good_for:
        words = ", ".join(sorted(one.value for one in good_for))
        raise refused(f"a token of this kind is good for {words}, not for {purpose.value}")


def check_audience(
    claims: Mapping[str, Any],
    names: Iterable[str],
    purpose: Purpose,
    provisioner: Provisioner | None = None,
) -> None:
    """Check that the token is for this authority, this act and this provisioner.

    Args:
        claims: its claims.
        names: DNS names and addresses of this authority.
        purpose: the act.
        provisioner: the one that an audience may name, as `#x5c/NAME`.

    Raises:
        Error: BAD_TOKEN, with what would be accepted.
    """
    hosts = _hosts(tuple(names))
    found = audiences(claims)
    fragment = "" if provisioner is None else f"{provisioner.type}/{provisioner.name}"
    for one in found:
        if _is_ours(one, hosts, purpose, fragment):
            return
    shown = ", ".join(found)[:_SHOWN] or "nobody"
    host = next(iter(sorted(hosts)), "this authority")
    raise refused(
        f"the token is for {shown!r}, not for 'https://{host}/1.0/{purpose.value}'",
        "make it for this act, by a name of 'server.names', and for one provisioner",
    )


def burn(type_: str, provisioner: str, jwt: JWT, ends: int) -> Burn:
    """Return what the store remembers of a token, so that it is used once.

    A token is its `jti`, or of an ID token its `nonce`, or all that was signed: the signature
    is left out, because an ECDSA signature has a second spelling that is as good.

    Args:
        type_: of the provisioner.
        provisioner: its name.
        jwt: the token.
        ends: when it can no longer be used, Unix seconds.

    Raises:
        Error: BAD_TOKEN for a `jti` or `nonce` that is no text.
    """
    what: tuple[str, ...]
    if jti := text(jwt.claims, "jti", limit=1024):
        what = ("jti", jti)
    elif nonce := text(jwt.claims, "nonce", limit=1024):
        what = ("nonce", jwt.claims["sub"], nonce)  # people choose nonces for themselves only
    else:
        what = ("token", hashlib.sha256(jwt.signing_input).hexdigest())
    key = "\0".join((type_, provisioner, *what))
    return Burn(hashlib.sha256(key.encode()).digest(), ends + 2 * LEEWAY)


def _text(value: object, name: str, limit: int) -> str:
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise refused(
            f"the token's '{name}' is no text of at most {limit} printable characters",
            "make the token anew with a plain text there",
        )
    return value


def _filled(value: str, name: str) -> str:
    if not value:
        raise refused(f"the token's '{name}' is missing or empty")
    return value


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a NumericDate (RFC 7519 §2), None when it is not there."""
    value: float | None = claims.get(name)
    if value is None:
        return None
    if type(value) not in _NUMBERS:  # a bool is an int, too
        raise refused(f"the token's '{name}' is no number of seconds")
    if not 0 <= value <= _TIME_MAX:  # nor is NaN
        raise refused(f"the token's '{name}' is no time")
    return value


@lru_cache(maxsize=128)  # the same few audiences come with every token, already verified
def _is_ours(audience: str, hosts: frozenset[str], purpose: Purpose, fragment: str) -> bool:
    try:
        parts = urlsplit(audience)
        host = _host(parts.hostname or "")
    except ValueError:  # brackets that hold no address
        return False
    paths = {f"{prefix}/{method}" for prefix in ("", "/1.0") for method in purpose.methods}
    return (
        parts.scheme == "https"
        and host in hosts
        and "@" not in parts.netloc
        and not parts.query
        and parts.path in paths
        and parts.fragment in {"", fragment}
    )


@lru_cache(maxsize=8)
def _hosts(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(_host, names))


def _host(text: str) -> str:
    """Return a host in the one form that is compared."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text.lower().removesuffix(".")
