"""What comes out of a validation, and what goes into it."""

from __future__ import annotations

from dataclasses import dataclass

from mintmark.model.identifiers import Identifier


@dataclass(frozen=True, slots=True)
class Validated:
    """Control was shown.

    Args:
        evidence: where and how it was shown, in words.
        valid_until: Unix seconds after which nothing may rest on it, where the record says so
            (draft-ietf-acme-dns-persist-02 §4.1): the authorization expires no later.
    """

    evidence: str
    valid_until: int | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """Control was not shown.

    Args:
        kind: the type of RFC 8555 §6.7, without its URN.
        detail: one sentence for a person: what was tried, where, and what came back.
    """

    kind: str
    detail: str


class ChallengeError(Exception):
    """Ends a validation; becomes a `Failed`."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.failed = Failed(kind, detail)


@dataclass(slots=True)
class Attempt:
    """One validation under way.

    Args:
        identifier: without `*.`.
        wildcard: whether it stands for `*.identifier`.
        token: of the challenge; empty where it has none.
        thumbprint: of the account's key (RFC 7638), base64url.
        account_url: as the client knows it.
        former_thumbprints: of keys that the account had before, latest first.
        step: what it is at, for when time is over.
        step_kind: the type of failure that this would be.
    """

    identifier: Identifier
    wildcard: bool
    token: str
    thumbprint: str
    account_url: str
    former_thumbprints: tuple[str, ...] = ()
    step: str = "validation"
    step_kind: str = "connection"

    @property
    def key_authorization(self) -> str:
        """Token and thumbprint, as RFC 8555 §8.1 joins them."""
        return f"{self.token}.{self.thumbprint}"

    def at(self, kind: str, step: str) -> None:
        """Say what comes next, and which type of failure it would be."""
        self.step_kind = kind
        self.step = step


def shown(text: str, limit: int = 80) -> str:
    """Return foreign text for a sentence: quoted, printable and short."""
    short = text if len(text) <= limit else f"{text[: limit - 3]}..."
    return repr(short)
