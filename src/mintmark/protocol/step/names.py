"""Which names a CSR may ask for beside a token: the token's, all of a kind or none of it.

A client that changed its mind between token and CSR is refused rather than given something
else than it asked for. Whether the names may be certified at all is policy's to say.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from mintmark.authority.workflow.tokens import Verified
from mintmark.model.access import Requester
from mintmark.model.errors import Error, Kind
from mintmark.model.identifiers import Identifier, IdentifierType
from mintmark.wire.csr import CSR, MAX_COMMON_NAME
from mintmark.wire.identifiers import parse_any

_KINDS: Final = {
    IdentifierType.DNS: "DNS names",
    IdentifierType.IP: "IP addresses",
    IdentifierType.EMAIL: "email addresses",
    IdentifierType.URI: "URIs",
}
_SHOWN: Final = 10


def of_token(verified: Verified, csr: CSR) -> tuple[str, tuple[Identifier, ...]]:
    """Return common name and names of a certificate whose token names them all.

    Raises:
        Error: FORBIDDEN when the CSR asks for something else.
    """
    named = verified.requester.identifiers
    if csr.common_name:
        _check_common_name(verified, csr.common_name)
    if csr.identifiers != named:
        _check_names(csr.identifiers, named)
    common_name = _common_name(verified.subject, named)
    if csr.common_name and not _vouches(verified.requester, common_name):
        common_name = _common_name(csr.common_name, named)  # a certificate has no such subject
    return common_name, named


def _vouches(requester: Requester, common_name: str) -> bool:
    """Whether a credential vouches for a common name; for none it has not to."""
    if not common_name or common_name in requester.common_names:
        return True
    return any(common_name == one.value for one in requester.identifiers)


def _check_common_name(verified: Verified, asked: str) -> None:
    if asked == verified.subject:
        return
    texts = _texts(verified)
    if asked not in {*texts, *(one.value for one in verified.requester.identifiers)}:
        want = texts[0] if len(texts) == 1 else _list(texts)
        raise Error(
            Kind.FORBIDDEN,
            "certificate request does not contain the valid common name - "
            f"got {asked}, want {want}",
        )


def _check_names(names: tuple[Identifier, ...], named: tuple[Identifier, ...]) -> None:
    for kind, words in _KINDS.items():
        asked = {one.value for one in names if one.type is kind}
        allowed = {one.value for one in named if one.type is kind}
        if asked and asked != allowed:
            raise Error(
                Kind.FORBIDDEN,
                f"certificate request does not contain the valid {words} - "
                f"got {_list(sorted(asked))}, want {_list(sorted(allowed))}",
            )


def of_subject(verified: Verified) -> tuple[str, tuple[Identifier, ...]]:
    """Return common name and names of a person; whatever the CSR asks for does not count."""
    named = verified.requester.identifiers
    return _common_name(verified.subject, named), named


def asks_for_oneself(verified: Verified, csr: CSR) -> bool:
    """Whether a CSR has only the names of its holder, as clients write them by themselves."""
    own = set(verified.requester.identifiers)
    return bool(csr.identifiers) and set(csr.identifiers) <= own


def of_csr(csr: CSR) -> tuple[str, tuple[Identifier, ...]]:
    """Return common name and names that somebody asks for who may have any."""
    names = {one.value: one for one in csr.identifiers}
    with suppress(Error):  # a word that is no name; policy refuses what it does not know
        if csr.common_name:
            name = parse_any(csr.common_name)
            names.setdefault(name.value, name)
    named = tuple(names.values())
    return _common_name(csr.common_name, named), named


def _common_name(text: str, named: tuple[Identifier, ...]) -> str:
    """Return a common name as one of the names writes it, or as it is.

    Empty when it is too long for one (RFC 5280 appendix A.1): clients read the subject
    alternative names.
    """
    if len(text) > MAX_COMMON_NAME:
        return ""
    for one in named:
        if one.value == text:
            return text
    with suppress(Error):
        canonical = parse_any(text)
        if canonical in named:
            return canonical.value
    return text


def _texts(verified: Verified) -> list[str]:
    """Return the texts that a token names its holder by, as it writes them."""
    sans = verified.claims.get("sans")
    found = [verified.subject]
    if isinstance(sans, list):
        found += [one for one in sans if isinstance(one, str)]
    return [*dict.fromkeys(found)]


def _list(texts: Iterable[str]) -> str:
    """Return texts as Go writes a list, cut where it is long."""
    every = [*texts]
    more = " …" if len(every) > _SHOWN else ""
    return f"[{' '.join(every[:_SHOWN])}{more}]"
